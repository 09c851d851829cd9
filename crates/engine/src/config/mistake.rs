//! A mistake in a configuration: what is wrong, where, and what was probably meant.

use std::fmt::{self, Display};

use dumprestore_driver::closest;
use serde::de::{self, Expected, Unexpected};

use super::value::Span;
use crate::names::listed;

/// What is wrong with a configuration. As a serde error it gathers, on its way up, where it happened.
#[derive(Debug)]
pub(crate) struct Mistake {
    pub(crate) span: Option<Span>,
    /// The keys that lead to it, from below the value that was read.
    path: Vec<String>,
    what: What,
    hint: Option<String>,
}

#[derive(Debug)]
enum What {
    Unknown {
        key: String,
        known: Vec<String>,
    },
    /// A key whose value nobody wants: [`What::Unknown`], once it is known which.
    Unwanted,
    Missing(String),
    Said(String),
}

/// Whose keys were read, for messages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject<'a> {
    /// The top of the file.
    Top,
    /// A node with that driver.
    Driver(&'a str),
    /// A node without one.
    Group,
}

impl Mistake {
    pub(crate) fn at(span: Span, message: impl Into<String>) -> Box<Self> {
        let mut mistake = Self::said(message);
        mistake.span = Some(span);
        mistake
    }

    pub(crate) fn said(message: impl Into<String>) -> Box<Self> {
        Box::new(Self { span: None, path: Vec::new(), what: What::Said(message.into()), hint: None })
    }

    pub(crate) fn unknown<K: Into<String>>(
        span: Span,
        key: &str,
        known: impl IntoIterator<Item = K>,
    ) -> Box<Self> {
        let known = known.into_iter().map(Into::into).collect();
        Box::new(Self {
            span: Some(span),
            path: Vec::new(),
            what: What::Unknown { key: key.to_owned(), known },
            hint: None,
        })
    }

    pub(crate) fn missing(span: Span, key: &str) -> Box<Self> {
        Box::new(Self { span: Some(span), path: Vec::new(), what: What::Missing(key.to_owned()), hint: None })
    }

    pub(crate) fn with_hint(mut self: Box<Self>, hint: impl Into<String>) -> Box<Self> {
        self.hint = Some(hint.into());
        self
    }

    /// Whether no more is known of where it is than that it is in what begins there.
    pub(crate) fn is_somewhere_in(&self, whole: Span) -> bool {
        let is_vague = self.span.is_none_or(|span| span == whole);
        is_vague && self.path.is_empty() && matches!(self.what, What::Said(_))
    }

    /// The same, at `span` unless it is known better.
    pub(crate) fn or_at(mut self: Box<Self>, span: Span) -> Box<Self> {
        self.span.get_or_insert(span);
        self
    }

    /// The same, below `key`.
    pub(crate) fn under(mut self: Box<Self>, key: impl Into<String>) -> Box<Self> {
        self.path.insert(0, key.into());
        self
    }

    /// The same, with other keys to choose from as well.
    pub(crate) fn with_known(mut self: Box<Self>, more: &[&str]) -> Box<Self> {
        if let (What::Unknown { known, .. }, true) = (&mut self.what, self.path.is_empty()) {
            known.extend(more.iter().map(|&key| key.to_owned()));
        }
        self
    }

    /// The same, if it is that a value was not wanted: with the key that nobody knows.
    pub(crate) fn if_unwanted(mut self: Box<Self>, span: Span, key: &str, known: &[&str]) -> Box<Self> {
        if matches!(self.what, What::Unwanted) && self.path.is_empty() {
            self.span = Some(span);
            let known = known.iter().map(|&key| key.to_owned()).collect();
            self.what = What::Unknown { key: key.to_owned(), known };
        }
        self
    }

    /// The key nobody knows, and what was probably meant.
    pub(crate) fn unknown_key(&self) -> Option<(&str, Option<&str>)> {
        match &self.what {
            What::Unknown { key, known } => Some((key, closest(key, known.iter().map(String::as_str)))),
            _ => None,
        }
    }

    /// Message and hint.
    pub(crate) fn words(&self, subject: Subject<'_>) -> (String, Option<String>) {
        let message = match &self.what {
            What::Unknown { key, .. } => self.about_key("unknown", key, subject),
            What::Missing(key) => self.about_key("missing", key, subject),
            What::Unwanted => "this value is not wanted".to_owned(),
            What::Said(message) if self.path.is_empty() => message.clone(),
            What::Said(message) => format!("`{}`: {message}", self.dotted()),
        };
        let hint = self.hint.clone().or_else(|| match &self.what {
            What::Unknown { known, .. } => suggestion(self.unknown_key().and_then(|(_, meant)| meant), known),
            What::Missing(key) if key == "version" => Some("begin with `version: 1`".to_owned()),
            _ => None,
        });
        (message, hint)
    }

    fn about_key(&self, how: &str, key: &str, subject: Subject<'_>) -> String {
        let key = quoted(key);
        if !self.path.is_empty() {
            return format!("{how} key {key} in `{}`", self.dotted());
        }
        match subject {
            Subject::Top => format!("{how} key {key}"),
            Subject::Driver(kind) => format!("{how} option {key} for driver {}", quoted(kind)),
            Subject::Group => format!("{how} key {key} for a node without a driver"),
        }
    }

    fn dotted(&self) -> String {
        let mut dotted = String::new();
        for key in &self.path {
            if !dotted.is_empty() && !key.starts_with('[') {
                dotted.push('.');
            }
            dotted.push_str(&printable(key));
        }
        dotted
    }
}

fn suggestion(meant: Option<&str>, known: &[String]) -> Option<String> {
    match meant {
        Some(meant) => Some(format!("did you mean `{meant}`?")),
        None if known.is_empty() => None,
        None => Some(format!("there is {}", listed(known))),
    }
}

/// Foreign text for a message: in backticks, without control characters. Whole, however long: it can only be
/// scrubbed as a whole.
pub(crate) fn quoted(text: &str) -> String {
    format!("`{}`", printable(text))
}

/// Without anything that a terminal would obey; quotes and backslashes stay.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => printable.push(c),
            _ => printable.extend(c.escape_debug()),
        }
    }
    printable
}

impl Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words(Subject::Top).0)
    }
}

impl std::error::Error for Mistake {}

/// What serde carries: a box, since a mistake is large and rare.
#[derive(Debug)]
pub(crate) struct Boxed(pub(crate) Box<Mistake>);

impl Display for Boxed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Boxed {}

impl Boxed {
    /// A value that is skipped by whoever reads it.
    pub(crate) fn unwanted() -> Self {
        Self(Box::new(Mistake { span: None, path: Vec::new(), what: What::Unwanted, hint: None }))
    }

    fn without_place(what: What) -> Self {
        Self(Box::new(Mistake { span: None, path: Vec::new(), what, hint: None }))
    }
}

impl de::Error for Boxed {
    fn custom<T: Display>(message: T) -> Self {
        let text = message.to_string();
        // Our own visitors say what to do after a line end.
        match text.split_once("\nhint: ") {
            Some((message, hint)) => Self(Mistake::said(message).with_hint(hint)),
            None => Self(Mistake::said(text)),
        }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let wanted = wanted(&expected.to_string());
        let mistake = Mistake::said(format!("expected {wanted}, found {}", found(unexpected)));
        Self(match (unexpected, wanted.as_str()) {
            (Unexpected::Str("yes" | "Yes" | "YES" | "on" | "On" | "ON"), BOOLEAN) => {
                mistake.with_hint("write `true`")
            }
            (Unexpected::Str("no" | "No" | "NO" | "off" | "Off" | "OFF"), BOOLEAN) => {
                mistake.with_hint("write `false`")
            }
            (Unexpected::Str(text), _) if wanted.contains("number") && text.starts_with('0') => {
                mistake.with_hint("write decimal numbers without a leading zero, octal ones as `0o17`")
            }
            _ => mistake,
        })
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self(Mistake::said(format!(
            "expected {}, found {}",
            wanted(&expected.to_string()),
            found(unexpected)
        )))
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self(Mistake::said(format!("expected {}, found {length} items", wanted(&expected.to_string()))))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let mistake = Mistake::said(format!("{} is not one of {}", quoted(variant), listed(expected)));
        Self(match closest(variant, expected.iter().copied()) {
            Some(meant) => mistake.with_hint(format!("did you mean `{meant}`?")),
            None => mistake,
        })
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let known = expected.iter().map(|&key| key.to_owned()).collect();
        Self::without_place(What::Unknown { key: field.to_owned(), known })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::without_place(What::Missing(field.to_owned()))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self(Mistake::said(format!("{} is given twice, under two names", quoted(field))))
    }
}

const BOOLEAN: &str = "`true` or `false`";

/// serde's words for what it expects, in words for people.
fn wanted(expected: &str) -> String {
    let words = match expected {
        "a boolean" => BOOLEAN,
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" | "u128" => "a whole number, not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" | "i128" => "a whole number",
        "f32" | "f64" => "a number",
        "a sequence" => "a list",
        "a map" => "a mapping",
        "unit" => "nothing",
        "path string" => "a path",
        _ if expected.starts_with("a nonzero") => "a whole number from 1",
        _ if expected.starts_with("struct ") => "a mapping",
        _ => expected,
    };
    words.to_owned()
}

fn found(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("`{value}`"),
        Unexpected::Signed(value) => format!("`{value}`"),
        Unexpected::Float(value) => format!("`{value}`"),
        Unexpected::Str(text) => quoted(text),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}
