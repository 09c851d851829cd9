//! Rows, as `LOAD DATA` reads them by default: fields with a tab between them, rows ended by a line feed, and a
//! backslash before what would be misread. NULL is `\N`. Bytes are as the server keeps them, each text in the character
//! set of its column: they are loaded with `CHARACTER SET binary`.

use std::io::{BufRead, BufReader, Read};

use dumprestore_driver::{Error, Result};

/// What stands for a byte behind a backslash; 0: it needs none.
const ESCAPES: [u8; 256] = {
    let mut escapes = [0; 256];
    escapes[0] = b'0';
    escapes[b'\t' as usize] = b't';
    escapes[b'\n' as usize] = b'n';
    escapes[b'\r' as usize] = b'r';
    escapes[b'\\' as usize] = b'\\';
    escapes
};

/// Appends a field that is not NULL.
pub(crate) fn write_field(out: &mut Vec<u8>, field: &[u8]) {
    let mut rest = field;
    while let Some(at) = first_escaped(rest) {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before);
        if let Some((byte, after)) = from.split_first() {
            out.extend_from_slice(&[b'\\', ESCAPES[usize::from(*byte)]]);
            rest = after;
        }
    }
    out.extend_from_slice(rest);
}

/// Where the first byte stands that needs an escape.
fn first_escaped(field: &[u8]) -> Option<usize> {
    let (words, rest) = field.as_chunks::<8>();
    let escaped = |bytes: &[u8]| bytes.iter().position(|byte| ESCAPES[usize::from(*byte)] != 0);
    for (at, word) in words.iter().enumerate() {
        if may_be_escaped(u64::from_ne_bytes(*word))
            && let Some(found) = escaped(word)
        {
            return Some(at * 8 + found);
        }
    }
    escaped(rest).map(|found| words.len() * 8 + found)
}

/// Whether one of eight bytes is a backslash, or no greater than a carriage return: rarely so in most data.
fn may_be_escaped(word: u64) -> bool {
    const EACH: u64 = u64::MAX / 255;
    let below = |word: u64, limit: u8| word.wrapping_sub(EACH * u64::from(limit)) & !word & (EACH << 7);
    below(word, b'\r' + 1) | below(word ^ (EACH * u64::from(b'\\')), 1) != 0
}

/// Appends a field that is NULL.
pub(crate) fn write_null(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\\N");
}

/// No server takes or gives a row that is longer, in bytes: its largest message has 1 GiB. Escaped, each byte may be two.
const LONGEST: u64 = (2 << 30) + (1 << 20);

/// Reads rows back, one at a time. Memory: that of the longest row.
pub(crate) struct RowReader<R> {
    from: BufReader<R>,
    line: Vec<u8>,
    /// The bytes of the row's fields, one after the other, and where each ends; `None` is NULL.
    fields: Vec<u8>,
    ends: Vec<(usize, bool)>,
}

impl<R: Read> RowReader<R> {
    pub(crate) fn new(from: R) -> Self {
        Self {
            from: BufReader::with_capacity(256 << 10, from),
            line: Vec::new(),
            fields: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Reads the next row, if there is one.
    ///
    /// # Errors
    /// Those of the reader, and if the last row is cut off.
    pub(crate) fn advance(&mut self) -> Result<bool> {
        self.line.clear();
        let read = (&mut self.from)
            .take(LONGEST)
            .read_until(b'\n', &mut self.line)
            .map_err(|error| Error::io("can't read rows of the archive", error))?;
        if read == 0 {
            return Ok(false);
        }
        if self.line.pop() != Some(b'\n') {
            let what = match read as u64 {
                LONGEST => "a row of a part is longer than any server has",
                _ => "the last row of a part is cut off",
            };
            return Err(Error::archive(what));
        }
        self.split();
        Ok(true)
    }

    /// The fields of the row that was read last.
    pub(crate) fn fields(&self) -> impl ExactSizeIterator<Item = Option<&[u8]>> {
        let mut from = 0;
        self.ends.iter().map(move |(end, is_null)| {
            let field = self.fields.get(from..*end).unwrap_or_default();
            from = *end;
            (!is_null).then_some(field)
        })
    }

    fn split(&mut self) {
        self.fields.clear();
        self.ends.clear();
        for field in self.line.split(|byte| *byte == b'\t') {
            if field == b"\\N" {
                self.ends.push((self.fields.len(), true));
                continue;
            }
            let mut rest = field;
            while let Some(at) = memchr::memchr(b'\\', rest) {
                self.fields.extend_from_slice(rest.get(..at).unwrap_or_default());
                let after = rest.get(at + 1..).unwrap_or_default();
                let Some((escape, after)) = after.split_first() else {
                    rest = after;
                    break;
                };
                self.fields.push(meant_by(*escape));
                rest = after;
            }
            self.fields.extend_from_slice(rest);
            self.ends.push((self.fields.len(), false));
        }
    }
}

/// As `LOAD DATA` takes it.
fn meant_by(escape: u8) -> u8 {
    match escape {
        b'0' => 0,
        b'b' => 8,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'Z' => 26,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Row = Vec<Option<Vec<u8>>>;

    fn written(rows: &[Row]) -> Vec<u8> {
        let mut out = Vec::new();
        for row in rows {
            for (at, field) in row.iter().enumerate() {
                if at > 0 {
                    out.push(b'\t');
                }
                match field {
                    Some(field) => write_field(&mut out, field),
                    None => write_null(&mut out),
                }
            }
            out.push(b'\n');
        }
        out
    }

    fn read(bytes: &[u8]) -> Result<Vec<Row>> {
        let mut reader = RowReader::new(bytes);
        let mut rows = Vec::new();
        while reader.advance()? {
            rows.push(reader.fields().map(|field| field.map(<[u8]>::to_vec)).collect());
        }
        Ok(rows)
    }

    fn any_rows() -> impl Strategy<Value = Vec<Row>> {
        let byte = prop_oneof![Just(b'\\'), Just(b'\t'), Just(b'\n'), Just(b'N'), Just(0), any::<u8>()];
        let field = proptest::option::of(proptest::collection::vec(byte, 0..12));
        proptest::collection::vec(proptest::collection::vec(field, 1..5), 0..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn rows_of_any_bytes_are_read_as_they_were_written(rows in any_rows()) {
            prop_assert_eq!(read(&written(&rows)).unwrap(), rows);
        }

        #[test]
        fn rows_that_are_cut_off_are_an_error_or_fewer(rows in any_rows(), cut in any::<prop::sample::Index>()) {
            let whole = written(&rows);
            if let Ok(read) = read(&whole[..cut.index(whole.len() + 1)]) {
                prop_assert_eq!(&read[..], &rows[..read.len()]);
            }
        }

        #[test]
        fn bytes_of_any_kind_are_an_error_or_rows(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
