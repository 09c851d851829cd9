//! Numbers and texts of the custom format.

use std::io::Read;

use dumprestore_driver::{Error, Result};

/// No text of a catalogue is longer: the server itself can't hold one of more than a gigabyte.
const LONGEST_TEXT: usize = 1 << 28;

/// All texts together. Ten thousand tables have some ten megabytes.
const LONGEST_TOTAL: usize = 1 << 30;

/// Reads the format's pieces, and counts them, so that no foreign length has its way.
pub(super) struct Stream<R> {
    from: R,
    /// How many bytes an integer has, besides its sign.
    pub(super) integer: usize,
    total: usize,
}

impl<R: Read> Stream<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, integer: 4, total: 0 }
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => misshapen("it ends early"),
            _ => unreadable(error),
        })?;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    /// A sign, and then the number, its lowest byte first.
    pub(super) fn number(&mut self) -> Result<i32> {
        let negative = match self.byte()? {
            0 => false,
            1 => true,
            _ => return Err(misshapen("a sign is none")),
        };
        let mut number = [0; 8];
        for byte in number.iter_mut().take(self.integer) {
            *byte = self.byte()?;
        }
        let number =
            i32::try_from(u64::from_le_bytes(number)).map_err(|_| misshapen("a number is too large"))?;
        Ok(if negative { -number } else { number })
    }

    /// A length, and then the text. A negative length is no text at all.
    pub(super) fn optional_text(&mut self) -> Result<Option<String>> {
        let Ok(length) = usize::try_from(self.number()?) else { return Ok(None) };
        self.total = self.total.saturating_add(length);
        if length > LONGEST_TEXT || self.total > LONGEST_TOTAL {
            return Err(misshapen("a text is too long"));
        }
        let mut text = Vec::new();
        (&mut self.from).take(length as u64).read_to_end(&mut text).map_err(unreadable)?;
        if text.len() < length {
            return Err(misshapen("it ends early"));
        }
        String::from_utf8(text).map(Some).map_err(|error| not_utf8(error.as_bytes()))
    }

    pub(super) fn text(&mut self) -> Result<String> {
        self.optional_text().map(Option::unwrap_or_default)
    }

    /// A number that is kept as a text.
    pub(super) fn written_number<T: std::str::FromStr>(&mut self) -> Result<T> {
        self.text()?.parse().map_err(|_| misshapen("a number is none"))
    }

    pub(super) fn skip(&mut self, count: usize) -> Result<()> {
        (0..count).try_for_each(|_| self.byte().map(drop))
    }
}

pub(super) fn misshapen(why: &str) -> Error {
    Error::environment(format!("can't read the table of contents that `pg_dump` wrote: {why}"))
}

fn unreadable(error: std::io::Error) -> Error {
    Error::io("can't read what `pg_dump` writes", error)
}

fn not_utf8(text: &[u8]) -> Error {
    const SHOWN: usize = 80;
    let shown = &text[..text.len().min(SHOWN)];
    Error::unsupported("a definition in the database is not valid UTF-8")
        .with_context("definition", shown.escape_ascii())
        .with_hint(
            "the database's encoding is `SQL_ASCII`, which checks nothing: mend the name, comment or statement",
        )
}
