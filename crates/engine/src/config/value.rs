//! A YAML document as a tree whose every value knows where it stands.

/// Where something stands in the file: lines from 1, columns from 0, in characters; the end is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) end_line: usize,
    pub(crate) end_column: usize,
}

impl Span {
    /// The beginning of the file.
    pub(crate) const START: Self = Self::at(1, 0, 1);

    /// `length` characters on one line.
    pub(crate) const fn at(line: usize, column: usize, length: usize) -> Self {
        Self { line, column, end_line: line, end_column: column + length }
    }
}

/// A value.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(crate) span: Span,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Scalar(Scalar),
    List(Vec<Value>),
    Mapping(Mapping),
}

/// Keys and values as written; no key twice.
pub(crate) type Mapping = Vec<(Key, Value)>;

#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) span: Span,
}

/// A scalar: its text, and what decides its type.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    /// The text, with variables replaced if it was filled in.
    pub(crate) text: String,
    /// What stood in the file, if that is something else.
    pub(crate) template: Option<String>,
    /// Not quoted: it may be a number, a boolean or null.
    pub(crate) plain: bool,
}

impl Scalar {
    /// What stands in the file.
    pub(crate) fn written(&self) -> &str {
        self.template.as_deref().unwrap_or(&self.text)
    }

    /// Whether it means that there is no value. What comes out of a variable is null only if it is empty: a
    /// password may well be `null`.
    pub(crate) fn is_null(&self) -> bool {
        let written_null = || matches!(self.text.as_str(), "~" | "null" | "Null" | "NULL");
        self.plain && (self.text.is_empty() || (self.template.is_none() && written_null()))
    }

    /// Its type and value, by YAML's core schema.
    pub(crate) fn typed(&self) -> Typed<'_> {
        if self.is_null() {
            return Typed::Null;
        }
        if !self.plain {
            return Typed::Text(&self.text);
        }
        match self.text.as_str() {
            "true" | "True" | "TRUE" => Typed::Bool(true),
            "false" | "False" | "FALSE" => Typed::Bool(false),
            text => number(text).unwrap_or(Typed::Text(text)),
        }
    }
}

/// A scalar's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Typed<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a str),
}

/// The number that `text` is. What begins with a needless zero is text: it may be meant as octal, or be a code.
fn number(text: &str) -> Option<Typed<'static>> {
    if let Some(octal) = text.strip_prefix("0o") {
        return digits(octal, 8).map(Typed::Unsigned);
    }
    if let Some(hexadecimal) = text.strip_prefix("0x") {
        return digits(hexadecimal, 16).map(Typed::Unsigned);
    }
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if let Some(named) = named_float(unsigned, negative, text.len() == unsigned.len()) {
        return Some(Typed::Float(named));
    }
    if has_needless_zero(unsigned) {
        return None;
    }
    match digits(unsigned, 10) {
        Some(whole) if !negative => Some(Typed::Unsigned(whole)),
        Some(whole) => 0_i64.checked_sub_unsigned(whole).map(Typed::Signed),
        None => float(unsigned).map(|number| Typed::Float(if negative { -number } else { number })),
    }
}

fn digits(text: &str, radix: u32) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric()).then(|| u64::from_str_radix(text, radix).ok())?
}

fn named_float(unsigned: &str, negative: bool, no_sign: bool) -> Option<f64> {
    match unsigned {
        ".inf" | ".Inf" | ".INF" if negative => Some(f64::NEG_INFINITY),
        ".inf" | ".Inf" | ".INF" => Some(f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" if no_sign => Some(f64::NAN),
        _ => None,
    }
}

fn has_needless_zero(unsigned: &str) -> bool {
    unsigned.strip_prefix('0').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn float(unsigned: &str) -> Option<f64> {
    let plain = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.contains(|c: char| c.is_ascii_digit())
        && unsigned
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    plain.then(|| unsigned.parse().ok())?
}

impl Value {
    /// The value under `key`, if this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.mapping()?.iter().find(|(found, _)| found.text == key).map(|(_, value)| value)
    }

    pub(crate) fn mapping(&self) -> Option<&Mapping> {
        match &self.kind {
            Kind::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    pub(crate) fn list(&self) -> Option<&[Value]> {
        match &self.kind {
            Kind::List(list) => Some(list),
            _ => None,
        }
    }

    pub(crate) fn scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// Whether nothing is written here.
    pub(crate) fn is_null(&self) -> bool {
        self.scalar().is_some_and(Scalar::is_null)
    }
}

#[cfg(test)]
mod tests {
    use super::{Scalar, Typed};

    fn plain(text: &str) -> Scalar {
        Scalar { text: text.to_owned(), template: None, plain: true }
    }

    #[test]
    fn plain_scalars_are_typed_by_the_core_schema() {
        for (text, typed) in [
            ("", Typed::Null),
            ("~", Typed::Null),
            ("true", Typed::Bool(true)),
            ("NO", Typed::Text("NO")),
            ("off", Typed::Text("off")),
            ("12", Typed::Unsigned(12)),
            ("+12", Typed::Unsigned(12)),
            ("-12", Typed::Signed(-12)),
            ("0", Typed::Unsigned(0)),
            ("-0", Typed::Signed(0)),
            ("0123", Typed::Text("0123")),
            ("0o17", Typed::Unsigned(15)),
            ("0x1F", Typed::Unsigned(31)),
            ("0x+1", Typed::Text("0x+1")),
            ("1_000", Typed::Text("1_000")),
            ("1:30", Typed::Text("1:30")),
            ("1.5", Typed::Float(1.5)),
            ("-.5e1", Typed::Float(-5.0)),
            ("1e3", Typed::Float(1000.0)),
            (".inf", Typed::Float(f64::INFINITY)),
            ("infinity", Typed::Text("infinity")),
            ("e1", Typed::Text("e1")),
            (".", Typed::Text(".")),
            ("-", Typed::Text("-")),
            ("--1", Typed::Text("--1")),
            ("2024-01-01", Typed::Text("2024-01-01")),
            ("9223372036854775808", Typed::Unsigned(1 << 63)),
            ("-9223372036854775808", Typed::Signed(i64::MIN)),
        ] {
            assert_eq!(plain(text).typed(), typed, "`{text}`");
        }
    }

    #[test]
    fn what_comes_out_of_a_variable_is_null_only_if_it_is_empty() {
        let filled = |text: &str| Scalar { template: Some("${X}".to_owned()), ..plain(text) };
        assert_eq!(filled("null").typed(), Typed::Text("null"));
        assert_eq!(filled("").typed(), Typed::Null);
    }
}
