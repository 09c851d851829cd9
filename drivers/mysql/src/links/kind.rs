//! What keys of a column look like, by its type.

use crate::connect::Row;
use crate::quote;

/// How keys are compared with a column's values: in its own type where that is known here, so that an index is of use,
/// and that no key is taken for another, as a server takes `1abc` for `1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Integer {
        least: i128,
        most: i128,
    },
    /// So many digits before the point, and so many behind it.
    Decimal {
        whole: usize,
        fraction: usize,
    },
    /// In its collation.
    Text {
        charset: String,
    },
    Bytes,
    Uuid,
    /// Compared as what the server prints.
    Printed {
        number: bool,
    },
}

impl Kind {
    /// Of a row of `information_schema`: type, whole type, character set, digits, digits behind the point. `None`: its values
    /// are no keys.
    pub(super) fn of(row: &Row, from: usize) -> Option<Self> {
        let text = |at: usize| row.text_or_null(from + at).ok().flatten().unwrap_or_default().to_lowercase();
        let number = |at: usize| text(at).parse::<usize>().unwrap_or(0);
        let unsigned = text(1).contains("unsigned");
        let integer = |bits: u32| {
            let all = 1_i128 << bits;
            match unsigned {
                true => Self::Integer { least: 0, most: all - 1 },
                false => Self::Integer { least: -all / 2, most: all / 2 - 1 },
            }
        };
        Some(match text(0).as_str() {
            "tinyint" => integer(8),
            "smallint" => integer(16),
            "mediumint" => integer(24),
            "int" => integer(32),
            "bigint" => integer(64),
            "decimal" => Self::Decimal { whole: number(3).saturating_sub(number(4)), fraction: number(4) },
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set" => {
                Self::Text { charset: text(2) }
            }
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Self::Bytes,
            "uuid" => Self::Uuid,
            "bit" => Self::Printed { number: true },
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
            | "multipolygon" | "geometrycollection" | "geomcollection" | "vector" => return None,
            _ => Self::Printed { number: false },
        })
    }

    /// The column's values, as they are compared.
    pub(super) fn of_column(&self, name: &str) -> String {
        let name = quote::name(name);
        match self {
            Self::Printed { number: true } => format!("CAST({name} + 0 AS CHAR CHARACTER SET utf8mb4)"),
            Self::Printed { number: false } => format!("CAST({name} AS CHAR CHARACTER SET utf8mb4)"),
            _ => name,
        }
    }

    /// A value that was found, as bytes that [`canonical`](Self::canonical) understands.
    pub(super) fn told(&self, value: &str) -> String {
        match self {
            Self::Text { .. } | Self::Bytes => format!("CAST({value} AS BINARY)"),
            _ => format!("CAST({value} AS CHAR CHARACTER SET utf8mb4)"),
        }
    }

    /// Whether values that differ in their bytes may be equal.
    pub(super) fn is_collated(&self) -> bool {
        matches!(self, Self::Text { .. })
    }

    /// The form that all keys have that are equal to this one by their bytes. `None`: no row has such a key. A text must be in
    /// the column's character set.
    pub(super) fn canonical(&self, key: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Integer { least, most } => {
                let key = std::str::from_utf8(key).ok()?;
                let number: i128 = key.parse().ok().filter(|_| !key.starts_with('+'))?;
                (*least..=*most).contains(&number).then(|| number.to_string().into_bytes())
            }
            Self::Decimal { whole, fraction } => decimal(key, *whole, *fraction),
            Self::Uuid => uuid(key),
            Self::Text { .. } | Self::Bytes => Some(key.to_vec()),
            Self::Printed { .. } => std::str::from_utf8(key).is_ok().then(|| key.to_vec()),
        }
    }

    /// A canonical key, as a statement has it.
    pub(super) fn literal(&self, key: &[u8]) -> String {
        match self {
            Self::Integer { .. } | Self::Decimal { .. } => String::from_utf8_lossy(key).into_owned(),
            Self::Uuid => format!("'{}'", with_hyphens(key)),
            Self::Text { charset } => format!("_{charset} {}", quote::hex(key)),
            Self::Bytes => quote::binary(key),
            Self::Printed { .. } => format!("_utf8mb4 {}", quote::hex(key)),
        }
    }
}

/// Digits with perhaps a sign and a point, without zeros that mean nothing. What the column can't hold is no key: a server
/// would round it.
fn decimal(key: &[u8], most_whole: usize, most_fraction: usize) -> Option<Vec<u8>> {
    let key = std::str::from_utf8(key).ok()?;
    let negative = key.starts_with('-');
    let digits = key.strip_prefix('-').unwrap_or(key);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    if whole.len() > most_whole || fraction.len() > most_fraction {
        return None;
    }
    let sign = if negative && !(whole.is_empty() && fraction.is_empty()) { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{point}{fraction}").into_bytes())
}

/// 32 hexadecimal digits, wherever hyphens stand between them.
fn uuid(key: &[u8]) -> Option<Vec<u8>> {
    let key = std::str::from_utf8(key).ok()?;
    let digits: String = key.chars().filter(|c| !matches!(c, '-' | '{' | '}')).collect();
    let fits = digits.len() == 32 && digits.chars().all(|c| c.is_ascii_hexdigit());
    fits.then(|| digits.to_ascii_lowercase().into_bytes())
}

fn with_hyphens(digits: &[u8]) -> String {
    let mut text = String::new();
    for (at, digit) in digits.iter().enumerate() {
        if [8, 12, 16, 20].contains(&at) {
            text.push('-');
        }
        text.push(char::from(*digit));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(kind: &Kind, key: &[u8]) -> Option<String> {
        kind.canonical(key).map(|key| String::from_utf8(key).unwrap())
    }

    #[test]
    fn a_key_that_is_not_of_the_type_is_the_key_of_nothing() {
        let tiny = Kind::Integer { least: 0, most: 255 };
        assert_eq!(canonical(&tiny, b"007").as_deref(), Some("7"));
        for none in [&b"256"[..], b"-1", b"1abc", b"1.0", b"1e1", b"", b"0x1", b"\xff", b" 7", b"+7"] {
            assert_eq!(canonical(&tiny, none), None, "{none:?}");
        }
        let big = Kind::Integer { least: 0, most: u64::MAX.into() };
        assert_eq!(canonical(&big, b"18446744073709551615").as_deref(), Some("18446744073709551615"));
        let decimal = Kind::Decimal { whole: 4, fraction: 2 };
        assert_eq!(canonical(&decimal, b"-001.50").as_deref(), Some("-1.5"));
        assert_eq!(canonical(&decimal, b"-0.00").as_deref(), Some("0"));
        for none in [&b"1.005"[..], b"10000", b"1e3", b".5", b"1 OR 1", b"1.2.3", b"", b"+12", b" 1"] {
            assert_eq!(canonical(&decimal, none), None, "{none:?}");
        }
        let key = b"{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}";
        let digits = Kind::Uuid.canonical(key).unwrap();
        assert_eq!(Kind::Uuid.literal(&digits), "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'");
        assert_eq!(Kind::Uuid.canonical(b"a0eebc99"), None);
    }

    #[test]
    fn no_key_leaves_its_literal() {
        let hostile = b"') OR 1=1 -- \\";
        for kind in
            [Kind::Text { charset: "latin1".to_owned() }, Kind::Bytes, Kind::Printed { number: false }]
        {
            let literal = kind.literal(&kind.canonical(hostile).unwrap());
            assert!(literal.ends_with("x'2729204f5220313d31202d2d205c'"), "{literal}");
        }
    }
}
