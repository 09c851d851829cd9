//! YAML of others, as far as it is of use here: read leniently, and within bounds.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, StrInput};

/// Aliases included, for they are copied.
const MOST_VALUES: usize = 20_000;
const DEEPEST: usize = 32;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Yaml {
    Text(String),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
}

impl Yaml {
    /// The first document of a file. `None`: it is not YAML, or more of it than anybody writes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut reader =
            Reader { events: Parser::new_from_str(text), anchors: HashMap::new(), left: MOST_VALUES };
        loop {
            match reader.next()? {
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
                event => return reader.value(event, 0),
            }
        }
    }

    /// What a mapping has under that key, also by what it merges (`<<`).
    pub(super) fn get(&self, key: &str) -> Option<&Yaml> {
        let Self::Map(entries) = self else { return None };
        let own = entries.iter().find(|(own, _)| own == key).map(|(_, value)| value);
        let merged = || entries.iter().filter(|(key, _)| key == "<<").find_map(|(_, from)| from.merged(key));
        own.or_else(merged)
    }

    fn merged(&self, key: &str) -> Option<&Yaml> {
        match self {
            Self::List(maps) => maps.iter().find_map(|map| map.get(key)),
            map => map.get(key),
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text under that key, if there is one.
    pub(super) fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key)?.text().filter(|text| !text.is_empty())
    }

    /// The elements of a list, or what stands alone instead of one.
    pub(super) fn elements(&self) -> &[Yaml] {
        match self {
            Self::List(elements) => elements,
            alone => std::slice::from_ref(alone),
        }
    }

    /// The entries of a mapping, without what it merges.
    pub(super) fn entries(&self) -> &[(String, Yaml)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Yaml>,
    left: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<Event<'a>> {
        self.events.next_event()?.ok().map(|(event, _)| event)
    }

    fn value(&mut self, event: Event<'a>, depth: usize) -> Option<Yaml> {
        self.left = self.left.checked_sub(1)?;
        let (value, anchor) = match event {
            _ if depth > DEEPEST => return None,
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor)?.clone();
                self.left = self.left.checked_sub(count(&value))?;
                return Some(value);
            }
            Event::Scalar(text, _, anchor, _) => (Yaml::Text(text.into_owned()), anchor),
            Event::SequenceStart(anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.map(depth)?, anchor),
            _ => return None,
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Some(value)
    }

    fn list(&mut self, depth: usize) -> Option<Yaml> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Some(Yaml::List(list)),
                event => list.push(self.value(event, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Option<Yaml> {
        let mut map = Vec::new();
        loop {
            let key = match self.next()? {
                Event::MappingEnd => return Some(Yaml::Map(map)),
                event => self.value(event, depth + 1)?,
            };
            let event = self.next()?;
            let value = self.value(event, depth + 1)?;
            map.push((key.text().unwrap_or_default().to_owned(), value));
        }
    }
}

fn count(value: &Yaml) -> usize {
    match value {
        Yaml::Text(_) => 1,
        Yaml::List(list) => list.iter().map(count).sum::<usize>() + 1,
        Yaml::Map(map) => map.iter().map(|(_, value)| count(value) + 1).sum::<usize>() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_merged_is_found_and_what_is_own_comes_first() {
        let text = "base: &base { a: 1, b: 2 }\nmore: &more { c: 3 }\nx:\n  <<: [*base, *more]\n  b: own\n";
        let yaml = Yaml::parse(text).unwrap();
        let x = yaml.get("x").unwrap();
        assert_eq!(["a", "b", "c", "d"].map(|key| x.text_of(key)), [Some("1"), Some("own"), Some("3"), None]);
    }

    #[test]
    fn what_grows_without_end_or_is_no_yaml_is_not_read() {
        let laughs: String =
            (1..30).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}, *a{0}, *a{0}]\n", n - 1)).collect();
        assert_eq!(Yaml::parse(&format!("a0: &a0 x\n{laughs}")), None);
        for text in ["", "a: [", "a: *b", &"[".repeat(1000)] {
            assert_eq!(Yaml::parse(text), None, "{text}");
        }
    }
}
