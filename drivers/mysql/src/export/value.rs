//! Values, so that they mean the same in every session, whatever a client takes the script's encoding for.

use dumprestore_driver::Result;

use super::script::Script;
use crate::archived::{Form, Table};

/// How many bytes become digits at once.
const CHUNK: usize = 16 << 10;

/// Which bytes a table's texts are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Texts {
    /// UTF-8, all of them.
    Utf8,
    /// ASCII is ASCII in all of them.
    AsciiAlike,
    /// What looks like ASCII may be something else.
    Other,
}

impl Texts {
    pub(super) fn of(table: &Table) -> Self {
        const UTF_8: [&str; 5] = ["utf8mb4", "utf8mb3", "utf8", "ascii", "binary"];
        const ALIKE: [&str; 26] = [
            "armscii8", "big5", "cp1250", "cp1251", "cp1256", "cp1257", "cp850", "cp852", "cp866", "eucjpms",
            "euckr", "gb18030", "gb2312", "gbk", "geostd8", "greek", "hebrew", "keybcs2", "koi8r", "koi8u",
            "latin1", "latin2", "latin5", "latin7", "tis620", "ujis",
        ];
        let mut charsets =
            table.collations.iter().map(|collation| collation.split('_').next().unwrap_or_default());
        match () {
            () if charsets.clone().all(|charset| UTF_8.contains(&charset)) => Self::Utf8,
            () if charsets.all(|charset| UTF_8.contains(&charset) || ALIKE.contains(&charset)) => {
                Self::AsciiAlike
            }
            () => Self::Other,
        }
    }
}

/// Writes a value, and gives back how many bytes that took.
///
/// A backslash stands in texts of ASCII only: a client that reads pairs of bytes would take it for the second of a pair.
/// A carriage return is escaped, for clients change it.
pub(super) fn write(
    script: &mut Script<'_>,
    value: Option<&[u8]>,
    form: Form,
    texts: Texts,
) -> Result<usize> {
    let Some(value) = value else {
        script.bytes(b"NULL")?;
        return Ok(4);
    };
    let introducer: &[u8] = match form {
        Form::Text => b"_utf8mb4",
        Form::Bytes => b"_binary",
    };
    if value.is_ascii() && !value.iter().any(|byte| is_odd(*byte)) {
        let introduced = form == Form::Bytes && texts == Texts::Other;
        return text(script, if introduced { introducer } else { b"" }, value);
    }
    let is_plain = |byte: &u8| !is_odd(*byte) && !matches!(byte, b'\\' | b'\r');
    if std::str::from_utf8(value).is_ok() && value.iter().all(is_plain) {
        let introduced = form == Form::Bytes && texts != Texts::Utf8;
        return text(script, if introduced { introducer } else { b"" }, value);
    }
    script.bytes(introducer)?;
    script.bytes(b" x'")?;
    value.chunks(CHUNK).try_for_each(|chunk| script.bytes(hex::encode(chunk).as_bytes()))?;
    script.bytes(b"'")?;
    Ok(value.len() * 2 + introducer.len() + 4)
}

/// What is not for the eye.
fn is_odd(byte: u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r')
}

fn text(script: &mut Script<'_>, introducer: &[u8], value: &[u8]) -> Result<usize> {
    let mut quoted = Vec::with_capacity(introducer.len() + value.len() + 3);
    quoted.extend_from_slice(introducer);
    if !introducer.is_empty() {
        quoted.push(b' ');
    }
    quoted.push(b'\'');
    let is_ascii = value.is_ascii();
    for byte in value {
        match byte {
            b'\'' => quoted.extend_from_slice(b"''"),
            b'\\' => quoted.extend_from_slice(b"\\\\"),
            b'\n' if is_ascii => quoted.extend_from_slice(b"\\n"),
            b'\r' => quoted.extend_from_slice(b"\\r"),
            other => quoted.push(*other),
        }
    }
    quoted.push(b'\'');
    script.bytes(&quoted)?;
    Ok(quoted.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &[u8], form: Form, texts: Texts) -> String {
        let mut out = Vec::new();
        let told = write(&mut Script::new(&mut out), Some(value), form, texts).unwrap();
        assert_eq!(told, out.len());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_value_is_a_text_where_that_is_safe_and_digits_elsewhere() {
        let bytes = |value: &[u8]| written(value, Form::Bytes, Texts::Utf8);
        assert_eq!(bytes(b"it's \\ \r\n"), r"'it''s \\ \r\n'");
        assert_eq!(bytes("é'\n".as_bytes()), "'é''\n'");
        assert_eq!(bytes("é\\".as_bytes()), "_binary x'c3a95c'");
        assert_eq!(bytes(b"\0a"), "_binary x'0061'");
        assert_eq!(bytes(b"\xff"), "_binary x'ff'");
        assert_eq!(bytes(b""), "''");
        assert_eq!(written("é".as_bytes(), Form::Bytes, Texts::AsciiAlike), "_binary 'é'");
        assert_eq!(written(b"ab", Form::Bytes, Texts::Other), "_binary 'ab'");
        assert_eq!(written(b"a\0", Form::Text, Texts::Other), "_utf8mb4 x'6100'");
        assert_eq!(written("é".as_bytes(), Form::Text, Texts::Other), "'é'");
    }
}
