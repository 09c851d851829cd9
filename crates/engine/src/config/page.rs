//! The configuration file as a page to point at.

use std::ops::Range;

use dumprestore_driver::Error;

use super::mistake::{Mistake, Subject, printable};
use super::scrub::Scrubber;
use super::secrets::{MASK, secret_ranges, secret_ranges_of_line};
use super::value::Span;

/// A file's name and text, and where its secrets are.
pub(crate) struct Page<'a> {
    file: &'a str,
    lines: Vec<&'a str>,
    /// Not known before the file could be parsed.
    secrets: Option<Vec<Span>>,
}

/// No more of a line is shown.
const LONGEST_LINE: usize = 120;

impl<'a> Page<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, lines: text.lines().collect(), secrets: None }
    }

    /// These are never shown.
    pub(crate) fn hide(&mut self, secrets: Vec<Span>) {
        self.secrets = Some(secrets);
    }

    /// Where `text` stands within `span`; `span` itself if it can't be found as it is.
    pub(crate) fn find(&self, text: &str, span: Span) -> Span {
        (span.line..=span.end_line)
            .find_map(|line| {
                let written = self.line(line);
                let from = if line == span.line { byte_of(written, span.column) } else { 0 };
                let at = from + written.get(from..)?.find(text)?;
                Some(Span::at(line, written[..at].chars().count(), text.chars().count()))
            })
            .unwrap_or(span)
    }

    /// The error for a mistake: where, what, the line, and the hint.
    pub(crate) fn error(&self, mistake: &Mistake, subject: Subject<'_>, scrubber: &Scrubber) -> Error {
        let (message, hint) = mistake.words(subject);
        let message = clipped(printable(&scrubber.clean(&message)));
        let error = Error::config(self.pointed_at(mistake.span.unwrap_or(Span::START), &message));
        match hint {
            Some(hint) => error.with_hint(clipped(printable(&scrubber.clean(&hint)))),
            None => error,
        }
    }

    /// `message`, with the place before it and the line below it.
    pub(crate) fn pointed_at(&self, span: Span, message: &str) -> String {
        let place = format!("{}:{}:{}: ", self.file, span.line, span.column + 1);
        let number = span.line.to_string();
        let written = self.line(span.line);
        if written.trim().is_empty() {
            return format!("{place}{message}");
        }
        let shown = Shown::of(written, span, &self.secrets_in(span.line, written));
        let (gutter, text) = (" ".repeat(number.len()), &shown.text);
        let (space, carets) = (" ".repeat(shown.column), "^".repeat(shown.length));
        format!("{place}{message}\n  {number} | {text}\n  {gutter} | {space}{carets}")
    }

    fn line(&self, line: usize) -> &'a str {
        self.lines.get(line.wrapping_sub(1)).copied().unwrap_or_default()
    }

    fn secrets_in(&self, line: usize, written: &str) -> Vec<Range<usize>> {
        let Some(secrets) = &self.secrets else { return secret_ranges_of_line(written) };
        let on_line = secrets.iter().filter(|span| span.line <= line && line <= span.end_line);
        let mut ranges: Vec<Range<usize>> = on_line
            .map(|span| {
                let from = if span.line == line { byte_of(written, span.column) } else { 0 };
                let to =
                    if span.end_line == line { byte_of(written, span.end_column) } else { written.len() };
                from..to.max(from)
            })
            .collect();
        ranges.extend(secret_ranges(written));
        ranges
    }
}

/// A line as it is shown, and where in it the carets go.
struct Shown {
    text: String,
    column: usize,
    length: usize,
}

impl Shown {
    fn of(written: &str, span: Span, secrets: &[Range<usize>]) -> Self {
        let from = byte_of(written, span.column);
        let to = if span.end_line == span.line { byte_of(written, span.end_column) } else { written.len() };
        let to = written[..to.max(from)].trim_end().len().max(from);
        let (before, pointed, after) = (
            masked(written, 0..from, secrets),
            masked(written, from..to, secrets),
            masked(written, to..written.len(), secrets),
        );
        let column = before.chars().count();
        let length = pointed.chars().count().max(1);
        Self { text: format!("{before}{pointed}{after}"), column, length }.cut()
    }

    /// A window of the line around what is pointed at.
    fn cut(self) -> Self {
        if self.text.chars().count() <= LONGEST_LINE {
            return self;
        }
        let length = self.length.min(LONGEST_LINE / 2);
        let skipped = if self.column + length <= LONGEST_LINE { 0 } else { self.column - LONGEST_LINE / 4 };
        let mut text: String = self.text.chars().skip(skipped).take(LONGEST_LINE).collect();
        let column = self.column - skipped;
        if skipped > 0 {
            text.insert_str(0, "… ");
        }
        text.push_str(" …");
        Self { text, column: column + if skipped > 0 { 2 } else { 0 }, length }
    }
}

/// That piece of the line, with secrets masked and nothing in it that a terminal would obey.
fn masked(written: &str, piece: Range<usize>, secrets: &[Range<usize>]) -> String {
    let is_secret = |at: usize| secrets.iter().any(|range| range.contains(&at));
    let mut shown = String::new();
    // A secret that goes on from the piece before has its mask there.
    let mut in_secret =
        piece.start > 0 && piece.start < piece.end && is_secret(piece.start) && is_secret(piece.start - 1);
    for (at, c) in written[piece.clone()].char_indices() {
        let at = piece.start + at;
        let secret = is_secret(at);
        match (secret, in_secret) {
            (true, false) => shown.push_str(MASK),
            (true, true) => {}
            (false, _) if c == '\t' => shown.push(' '),
            (false, _) if c.is_control() => shown.push('\u{fffd}'),
            (false, _) => shown.push(c),
        }
        in_secret = secret;
    }
    shown
}

/// No more of a message than anybody reads.
fn clipped(mut message: String) -> String {
    const LONGEST: usize = 400;
    if let Some((at, _)) = message.char_indices().nth(LONGEST) {
        message.truncate(at);
        message.push('…');
    }
    message
}

fn byte_of(line: &str, column: usize) -> usize {
    line.char_indices().nth(column).map_or(line.len(), |(at, _)| at)
}
