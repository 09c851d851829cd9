//! Statements read piece by piece: what is quoted, what is a comment, and words.

use memchr::memmem;

/// One way to read a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// A backslash in a text is an escape: not with `NO_BACKSLASH_ESCAPES`.
    in_text: bool,
    /// The same between double quotes: with `ANSI_QUOTES`, some clients know that these are names.
    in_double: bool,
    /// Bytes beyond ASCII take the next one along, which may look like a backslash or a backtick.
    in_pairs: bool,
}

impl Reading {
    /// Every way in which a client may read under these modes what is in that character set.
    pub(crate) fn all(mode: &str, charset: &str) -> Vec<Self> {
        let is_set = |name: &str| mode.split(',').any(|mode| mode.eq_ignore_ascii_case(name));
        let in_text = !is_set("NO_BACKSLASH_ESCAPES");
        let doubles: &[bool] = if in_text && is_set("ANSI_QUOTES") { &[true, false] } else { &[in_text] };
        let is_paired = ["big5", "cp932", "gb18030", "gbk", "sjis"].contains(&charset);
        let pairs: &[bool] = if is_paired { &[false, true] } else { &[false] };
        doubles
            .iter()
            .flat_map(|in_double| {
                pairs.iter().map(move |in_pairs| Self { in_text, in_double: *in_double, in_pairs: *in_pairs })
            })
            .collect()
    }
}

/// Goes over a statement, piece by piece.
pub(crate) struct Scan<'a> {
    sql: &'a [u8],
    at: usize,
    reading: Reading,
    /// Within `/*! … */`, which is read as if it were none: where it ends.
    conditional: Option<usize>,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(sql: &'a [u8], reading: Reading) -> Self {
        Self { sql, at: 0, reading, conditional: None }
    }

    /// Of what servers print themselves.
    pub(crate) fn plain(sql: &'a [u8]) -> Self {
        Self::new(sql, Reading { in_text: true, in_double: true, in_pairs: false })
    }

    /// Whether all of it was passed.
    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.sql.len()
    }

    /// Whether it can be read to its end, and nothing in it is one that a client acts on.
    pub(crate) fn harmless(mut self) -> bool {
        while self.at < self.sql.len() {
            if self.piece().is_none() {
                return false;
            }
        }
        self.conditional.is_none()
    }

    /// Passes the next piece and gives it: what is quoted or a comment as a whole, a word, or a character. `None`: it must
    /// not be there, or there is nothing more.
    pub(crate) fn piece(&mut self) -> Option<&'a [u8]> {
        let rest = self.sql.get(self.at..)?;
        if self.conditional == Some(self.at) {
            self.conditional = None;
            return self.pass(2);
        }
        let first = *rest.first()?;
        let length = match first {
            b'\\' if rest.get(1) == Some(&b'N') => 2,
            b'\\' => return None,
            b'\'' => quoted(rest, first, self.reading.in_text, self.reading.in_pairs)?,
            b'"' => quoted(rest, first, self.reading.in_double, self.reading.in_pairs)?,
            b'`' => quoted(rest, first, false, self.reading.in_pairs)?,
            b'#' => to_the_end_of_the_line(rest),
            b'-' if begins_comment(rest) => to_the_end_of_the_line(rest),
            b'/' if rest.starts_with(b"/*") => self.comment(rest)?,
            b'\t' | b'\n' | b'\r' => 1,
            first if first.is_ascii_control() => return None,
            first if !first.is_ascii() && self.reading.in_pairs && rest.len() > 1 => 2,
            first if is_of_word(first) => {
                rest.iter().position(|byte| !is_of_word(*byte)).unwrap_or(rest.len())
            }
            _ => 1,
        };
        // What is read as `*/` within quotes ends a comment for those who skip it.
        if self.conditional.is_some_and(|end| self.at + length > end) {
            return None;
        }
        self.pass(length)
    }

    fn pass(&mut self, length: usize) -> Option<&'a [u8]> {
        let passed = self.sql.get(self.at..self.at + length)?;
        self.at += length;
        Some(passed)
    }

    /// A comment as a whole; of one whose content is for some servers, the beginning.
    fn comment(&mut self, rest: &[u8]) -> Option<usize> {
        let content = memmem::find(rest.get(2..)?, b"*/")? + 2;
        // None ends within another, in every client alike.
        if self.conditional.is_some() || memmem::find(rest.get(2..content)?, b"/*").is_some() {
            return None;
        }
        if rest.starts_with(b"/*!") || rest.starts_with(b"/*M!") {
            self.conditional = Some(self.at + content);
            return Some(3);
        }
        let is_hint = rest.starts_with(b"/*+");
        let acts = |byte: &u8| b"'\"`\\;".contains(byte);
        (!(is_hint && rest.get(..content)?.iter().any(acts))).then_some(content + 2)
    }
}

/// The pieces of what servers print themselves, each name in backticks as a whole, and spaces among them. `None`: it can't be
/// read to its end.
pub(crate) fn pieces(sql: &[u8]) -> Option<Vec<&[u8]>> {
    let mut scan = Scan::plain(sql);
    let mut pieces: Vec<&[u8]> = Vec::new();
    let mut from = 0;
    while let Some(piece) = scan.piece() {
        match pieces.last_mut() {
            // A backtick in a name is doubled.
            Some(last) if piece.starts_with(b"`") && last.starts_with(b"`") => {
                *last = sql.get(from..scan.at)?
            }
            _ => {
                from = scan.at - piece.len();
                pieces.push(piece);
            }
        }
    }
    scan.is_at_end().then_some(pieces)
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

fn begins_comment(rest: &[u8]) -> bool {
    rest.starts_with(b"--") && rest.get(2).is_none_or(u8::is_ascii_whitespace)
}

fn to_the_end_of_the_line(rest: &[u8]) -> usize {
    memchr::memchr(b'\n', rest).unwrap_or(rest.len())
}

/// How long it is, from its first quote on. A quote that is doubled is two of them.
fn quoted(rest: &[u8], quote: u8, escapes: bool, in_pairs: bool) -> Option<usize> {
    let mut at = 1;
    loop {
        match *rest.get(at)? {
            0 => return None,
            byte if byte == quote => return Some(at + 1),
            b'\\' if escapes => at += 2,
            byte if in_pairs && !byte.is_ascii() => at += 2,
            _ => at += 1,
        }
    }
}
