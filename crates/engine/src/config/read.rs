//! Reading YAML into a tree: within bounds, and without surprises.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, StrInput, Tag};

use super::mistake::{Mistake, quoted};
use super::value::{Key, Kind, Mapping, Scalar, Span, Value};

/// No configuration is longer; whatever is, is another file.
const LONGEST_FILE: usize = 1024 * 1024;
/// Aliases included, for they are copied.
const MOST_VALUES: usize = 50_000;
const MOST_TEXT: usize = 4 * LONGEST_FILE;
const DEEPEST: usize = 64;

type Result<T> = std::result::Result<T, Box<Mistake>>;

/// Reads the one document of a file.
pub(crate) fn read_document(text: &str) -> Result<Value> {
    if text.len() > LONGEST_FILE {
        return Err(Mistake::at(Span::START, "a configuration of more than 1 MiB is not read"));
    }
    Reader { events: Parser::new_from_str(text), text, anchors: HashMap::new(), values: 0, bytes: 0 }
        .document()
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    text: &'a str,
    anchors: HashMap<usize, Value>,
    values: usize,
    bytes: usize,
}

impl<'a> Reader<'a> {
    fn document(mut self) -> Result<Value> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
                (Event::StreamEnd | Event::DocumentEnd, _) => return Err(empty()),
                (event, span) => {
                    let value = self.value(event, span, 0)?;
                    self.end()?;
                    return if value.is_null() { Err(empty()) } else { Ok(value) };
                }
            }
        }
    }

    /// Only the end of the file may follow.
    fn end(&mut self) -> Result<()> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentEnd | Event::Nothing, _) => {}
                (_, span) => {
                    return Err(Mistake::at(span, "a second YAML document begins here")
                        .with_hint("a configuration is one document: remove the `---`, or make two files"));
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span)> {
        match self.events.next_event() {
            Some(Ok((event, span))) => Ok((event, from_parser(span))),
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, Span::START)),
        }
    }

    fn syntax(&self, error: &ScanError) -> Box<Mistake> {
        let (line, column) = (error.marker().line().max(1), error.marker().col());
        let mistake = |span| Mistake::at(span, format!("not valid YAML: {}", error.info()));
        // A tab is noticed as the end of what stands before it.
        if let Some(span) = [line, line + 1].into_iter().find_map(|line| self.tab_in_indent(line)) {
            return mistake(span).with_hint("indent with spaces, not with tabs");
        }
        let mistake = mistake(Span::at(line, column, 1));
        let written = self.line(line);
        if written.contains("${") && written.contains(['{', '[']) {
            mistake.with_hint("inside of `{ }` and `[ ]`, put `\"${VARIABLE}\"` in quotes")
        } else {
            mistake
        }
    }

    fn line(&self, line: usize) -> &'a str {
        self.text.lines().nth(line - 1).unwrap_or_default()
    }

    fn tab_in_indent(&self, line: usize) -> Option<Span> {
        let written = self.line(line);
        let indent = written.len() - written.trim_start_matches([' ', '\t']).len();
        let tab = written[..indent].find('\t').filter(|_| indent < written.len())?;
        Some(Span::at(line, tab, 1))
    }

    fn value(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Value> {
        if depth > DEEPEST {
            return Err(Mistake::at(span, format!("nested more than {DEEPEST} levels deep")));
        }
        let (value, anchor) = match event {
            Event::Alias(anchor) => return self.alias(anchor, span, depth),
            Event::Scalar(text, style, anchor, tag) => {
                (self.scalar(text, style, tag.as_deref(), span)?, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                no_tag(tag.as_deref(), span)?;
                (self.list(span, depth)?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                no_tag(tag.as_deref(), span)?;
                (self.mapping(span, depth)?, anchor)
            }
            _ => return Err(Mistake::at(span, "not valid YAML: a value is missing here")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn scalar(
        &mut self,
        text: Cow<'a, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<Value> {
        let string_tag = tag.is_some_and(is_string);
        if !string_tag {
            no_tag(tag, span)?;
        }
        self.count(1, text.len(), span)?;
        let plain = style == ScalarStyle::Plain && !string_tag;
        let scalar = Scalar { text: text.into_owned(), template: None, plain };
        Ok(Value { span, kind: Kind::Scalar(scalar) })
    }

    fn list(&mut self, span: Span, depth: usize) -> Result<Value> {
        self.count(1, 0, span)?;
        let mut list = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => break,
                (event, span) => list.push(self.value(event, span, depth + 1)?),
            }
        }
        Ok(Value { span: Span::at(span.line, span.column, 1), kind: Kind::List(list) })
    }

    fn mapping(&mut self, span: Span, depth: usize) -> Result<Value> {
        self.count(1, 0, span)?;
        let mut mapping = Mapping::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => break,
                (Event::Scalar(text, _, 0, None), span) => self.key(text, span)?,
                (_, span) => return Err(Mistake::at(span, "a key must be plain text")),
            };
            if let Some(line) = seen.insert(key.text.clone(), key.span.line) {
                return Err(Mistake::at(key.span, format!("the key {} is there twice", quoted(&key.text)))
                    .with_hint(format!("its first place is in line {line}")));
            }
            let (event, span) = self.next()?;
            let value = self.value(event, span, depth + 1)?;
            mapping.push((key, value));
        }
        let span = mapping.first().map_or(Span::at(span.line, span.column, 1), |(key, _)| key.span);
        Ok(Value { span, kind: Kind::Mapping(mapping) })
    }

    fn key(&mut self, text: Cow<'a, str>, span: Span) -> Result<Key> {
        self.count(1, text.len(), span)?;
        if text == "<<" {
            return Err(Mistake::at(span, "merge keys (`<<`) are not part of YAML 1.2")
                .with_hint("write the keys out, or use an alias for a whole value"));
        }
        Ok(Key { text: text.into_owned(), span })
    }

    fn alias(&mut self, anchor: usize, span: Span, depth: usize) -> Result<Value> {
        let Some(original) = self.anchors.get(&anchor) else {
            return Err(Mistake::at(span, "this alias is inside of what it stands for"));
        };
        let extent = Extent::of(original);
        if depth + extent.depth > DEEPEST {
            return Err(Mistake::at(span, format!("nested more than {DEEPEST} levels deep")));
        }
        self.count(extent.values, extent.bytes, span)?;
        let kind = self.anchors.get(&anchor).map(|original| original.kind.clone());
        kind.map(|kind| Value { span, kind })
            .ok_or_else(|| Mistake::at(span, "this alias stands for nothing"))
    }

    fn count(&mut self, values: usize, bytes: usize, span: Span) -> Result<()> {
        self.values = self.values.saturating_add(values);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.values > MOST_VALUES || self.bytes > MOST_TEXT {
            return Err(Mistake::at(span, "too much for a configuration").with_hint(format!(
                "at most {MOST_VALUES} values are read; aliases count with all they stand for"
            )));
        }
        Ok(())
    }
}

fn empty() -> Box<Mistake> {
    Mistake::at(Span::START, "the configuration is empty").with_hint("begin with `version: 1`")
}

fn from_parser(span: saphyr_parser::Span) -> Span {
    Span {
        line: span.start.line().max(1),
        column: span.start.col(),
        end_line: span.end.line().max(1),
        end_column: span.end.col(),
    }
}

fn is_string(tag: &Tag) -> bool {
    (tag.is_yaml_core_schema() && tag.suffix == "str") || (tag.handle.is_empty() && tag.suffix == "!")
}

fn no_tag(tag: Option<&Tag>, span: Span) -> Result<()> {
    match tag {
        None => Ok(()),
        Some(tag) => Err(Mistake::at(span, format!("the tag {} is not supported", quoted(&tag.to_string())))),
    }
}

/// How much a value is.
struct Extent {
    values: usize,
    bytes: usize,
    depth: usize,
}

impl Extent {
    fn of(value: &Value) -> Self {
        let below: Vec<Self> = match &value.kind {
            Kind::Scalar(scalar) => return Self { values: 1, bytes: scalar.text.len(), depth: 0 },
            Kind::List(list) => list.iter().map(Self::of).collect(),
            Kind::Mapping(mapping) => {
                mapping.iter().map(|(key, value)| Self::of(value).with_key(&key.text)).collect()
            }
        };
        Self {
            values: 1 + below.iter().map(|extent| extent.values).sum::<usize>(),
            bytes: below.iter().map(|extent| extent.bytes).sum(),
            depth: 1 + below.iter().map(|extent| extent.depth).max().unwrap_or(0),
        }
    }

    fn with_key(mut self, key: &str) -> Self {
        self.values += 1;
        self.bytes += key.len();
        self
    }
}
