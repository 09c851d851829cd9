//! What hooks print: told line by line, without what they were told in confidence.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use dumprestore_driver::{Blotter, NodePath};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, BufReader};

use crate::event::Event;
use crate::{HookPoint, Observer};

/// As many of a hook's last lines as an error can bear.
const LINES_IN_ERROR: usize = 10;
/// As many lines of each of its streams are told while it runs.
const LINES_TOLD: usize = 1_000;
/// A line longer than this many bytes is cut: hooks may print anything.
const LINE_TOLD: usize = 400;

/// Blots out secrets, line by line.
pub(crate) struct Scrubber(Blotter);

impl Scrubber {
    /// Of these values.
    pub(crate) fn new(values: impl IntoIterator<Item = String>) -> Self {
        let values: Vec<String> = values.into_iter().collect();
        Self(Blotter::new(values.iter().map(String::as_str)))
    }

    /// How many bytes of a line are needed to tell its beginning: a secret that is cut off is no longer found.
    fn needs(&self) -> usize {
        LINE_TOLD + self.0.longest()
    }

    /// A line, or the first [`needs`](Self::needs) bytes of it.
    fn line(&self, raw: &[u8]) -> String {
        let is_cut = raw.len() >= self.needs() && raw.last() != Some(&b'\n');
        let text = String::from_utf8_lossy(raw);
        let mut text = self.0.blot_out(text.trim_end());
        let sure = if is_cut { text.len().saturating_sub(self.0.longest()) } else { text.len() };
        let mut end = sure.min(LINE_TOLD);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text
    }
}

/// The last lines of a stream, as far as it was read: whoever holds it open may do so for ever. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_IN_ERROR {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// Them so far, the oldest first.
    pub(crate) fn so_far(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Tells what one hook prints.
pub(crate) struct HookOutput {
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) hook: HookPoint,
    pub(crate) node: Option<NodePath>,
    pub(crate) program: String,
    pub(crate) scrubber: Scrubber,
}

impl HookOutput {
    /// Tells each line of a stream as it comes, and keeps the last ones.
    pub(crate) async fn tell(
        &self,
        name: &'static str,
        stream: Option<impl AsyncRead + Unpin>,
        last: LastLines,
    ) {
        let Some(stream) = stream else { return };
        let mut reader = BufReader::new(stream);
        let mut raw = Vec::new();
        let mut told = 0;
        // An error here only means that less can be told.
        while let Ok(length) = read_line(&mut reader, &mut raw, self.scrubber.needs()).await {
            if length == 0 {
                break;
            }
            let line = self.scrubber.line(&raw);
            told += 1;
            match told {
                ..=LINES_TOLD => self.line(name, line.clone()),
                _ if told == LINES_TOLD + 1 => self.line(name, "(and more, which is not told)".to_owned()),
                _ => {}
            }
            last.push(line);
        }
    }

    fn line(&self, stream: &'static str, line: String) {
        self.observer.event(&Event::HookOutput {
            hook: self.hook.as_str(),
            node: self.node.clone(),
            program: self.program.clone(),
            stream,
            line,
        });
    }
}

/// Reads a line of any length, and keeps its first `most` bytes.
async fn read_line(
    reader: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
    most: usize,
) -> std::io::Result<usize> {
    line.clear();
    let mut length = 0;
    loop {
        let buffer = reader.fill_buf().await?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(buffer.len(), |end| end + 1);
        let room = most.saturating_sub(line.len()).min(taken);
        line.extend_from_slice(&buffer[..room]);
        reader.consume(taken);
        length += taken;
        if end.is_some() || taken == 0 {
            return Ok(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_secret_is_told_wherever_a_line_is_cut() {
        let secret = "correct-horse-battery";
        let scrubber = Scrubber::new([secret.to_owned(), "another-one".to_owned()]);
        for before in 0..2 * LINE_TOLD {
            let whole = format!("{}another-one{secret}{secret}{}\n", "x".repeat(before), "y".repeat(500));
            let raw = &whole.as_bytes()[..whole.len().min(scrubber.needs())];
            let told = scrubber.line(raw);
            assert!(told.len() <= LINE_TOLD, "{before}: {told}");
            assert!(!told.contains("cor") && !told.contains("ano"), "{before}: {told}");
        }
    }

    #[test]
    fn a_short_line_is_told_as_it_is() {
        let scrubber = Scrubber::new(["1".to_owned(), "on".to_owned()]);
        assert_eq!(scrubber.line(b"1 on /tmp/a/path\r\n"), "1 on /tmp/a/path");
        assert_eq!(scrubber.line(b""), "");
    }

    #[test]
    fn a_secret_may_look_like_anything() {
        let values = ["/k3y/of+base64==", "-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----", "x9z"];
        let scrubber = Scrubber::new(
            values
                .into_iter()
                .chain(["host=db password=p#w dbname=shop", "postgres://u:q%40w@h/d"])
                .map(str::to_owned),
        );
        let told = scrubber
            .line(b"/k3y/of+base64== MIIEvQIBADANBg x9z; p#w; postgresql+psycopg2://u:q%40w@h, q@w\n");
        assert_eq!(told, "*** *** ***; ***; postgresql+psycopg2://u:***@h, ***");
    }

    #[tokio::test]
    async fn as_many_lines_are_told_as_anybody_reads_and_the_last_ones_kept() {
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let lines = seen.clone();
        let observer = move |event: &Event| {
            if let Event::HookOutput { line, .. } = event {
                lines.lock().unwrap().push(line.clone());
            }
        };
        let output = HookOutput {
            observer: Arc::new(observer),
            hook: HookPoint::PreSwap,
            node: None,
            program: "migrate".to_owned(),
            scrubber: Scrubber::new([]),
        };
        let text: String = (0..5_000).map(|number| format!("{number}\n")).collect();
        let last = LastLines::default();
        output.tell("stdout", Some(text.as_bytes()), last.clone()).await;
        let last = last.so_far();
        assert_eq!(last.len(), LINES_IN_ERROR);
        assert_eq!(last.last().unwrap(), "4999");
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), LINES_TOLD + 1);
        assert_eq!(seen[LINES_TOLD - 1], "999");
    }
}
