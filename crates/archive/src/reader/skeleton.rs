//! The manifest without its parts, and where in it they stand.
//!
//! The parts may be too many for memory. So the text is gone through once, from outside to inside: what is in a
//! node's list of parts is left out, and the rest goes to the parser. Whatever is no sound JSON is refused either
//! there or when the parts are read.

use crate::error::{Error, ErrorKind, Result};
use crate::limits::{FREE_FORM_BYTES, NODES};
use std::ops::Range;

/// A key that is longer than this is none of ours, however it is escaped.
const LONGEST_KEY: usize = 64;

/// Finds the bracket that closes a value.
#[derive(Default)]
pub(crate) struct Extent {
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl Extent {
    /// From behind an opening bracket on.
    fn inside() -> Self {
        Self { depth: 1, ..Self::default() }
    }

    /// Takes more of the value. Says how many bytes of it belong to it, once its end has come.
    pub(crate) fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, &byte) in bytes.iter().enumerate() {
            if self.in_string {
                self.in_string = self.escaped || byte != b'"';
                self.escaped = byte == b'\\' && !self.escaped;
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

/// The value of which key comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Nodes,
    Parts,
    /// What has any form, or any number of elements.
    FreeForm,
    Other,
}

/// What an object takes, however little is in it: a tree of one node.
const OBJECT_BYTES: u64 = 768;
/// What an element of a list or an object takes, with its share of unused room.
const ELEMENT_BYTES: u64 = 128;

/// Takes the text of a manifest, piece by piece.
pub(crate) struct Skeleton {
    /// The text with all lists of parts empty.
    pub(crate) head: Vec<u8>,
    /// For each node the place of what is in its list of parts.
    pub(crate) lists: Vec<Option<Range<u64>>>,
    most: u64,
    at: u64,
    depth: u32,
    in_nodes: bool,
    next: Next,
    in_string: bool,
    escaped: bool,
    /// The last string where keys are looked at, as it stands there.
    key: Vec<u8>,
    /// The list of parts that is being gone through.
    list: Option<Extent>,
    /// How deep the value in free form lies that is being gone through.
    free_form: Option<u32>,
    /// What all values in free form are estimated to take.
    estimated: u64,
}

impl Skeleton {
    /// Of a head of at most so many bytes.
    pub(crate) fn new(most: u64) -> Self {
        Self {
            head: Vec::new(),
            lists: Vec::new(),
            most,
            at: 0,
            depth: 0,
            in_nodes: false,
            next: Next::Other,
            in_string: false,
            escaped: false,
            key: Vec::new(),
            list: None,
            free_form: None,
            estimated: 0,
        }
    }

    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let passed = match &mut self.list {
                Some(extent) => match extent.end(bytes) {
                    // The bracket itself stands in the head.
                    Some(end) => {
                        self.end_list(end);
                        end - 1
                    }
                    None => bytes.len(),
                },
                None => {
                    self.take_one(bytes[0])?;
                    1
                }
            };
            self.at += passed as u64;
            bytes = &bytes[passed..];
        }
        Ok(())
    }

    fn end_list(&mut self, end: usize) {
        self.list = None;
        // It closes nothing that `depth` has counted.
        self.depth += 1;
        if let Some(Some(list)) = self.lists.last_mut() {
            list.end = self.at + end as u64 - 1;
        }
    }

    fn looks_at_keys(&self) -> bool {
        self.depth == 1 || self.depth == 3 && self.in_nodes
    }

    fn take_one(&mut self, byte: u8) -> Result<()> {
        self.head.push(byte);
        if self.head.len() as u64 > self.most {
            let message = format!("it is larger than {} bytes without its parts", self.most);
            return Err(Error::new(ErrorKind::Limit, message));
        }
        if self.in_string {
            self.in_string = self.escaped || byte != b'"';
            self.escaped = byte == b'\\' && !self.escaped;
            if self.looks_at_keys() && self.key.len() < LONGEST_KEY {
                self.key.push(byte);
            }
            return Ok(());
        }
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => Ok(()),
            b':' => {
                self.next = self.next();
                Ok(())
            }
            _ => self.take_mark(byte),
        }
    }

    fn next(&self) -> Next {
        if !self.looks_at_keys() {
            return Next::Other;
        }
        match serde_json::from_slice::<String>(&self.key).as_deref() {
            Ok("nodes") if self.depth == 1 => Next::Nodes,
            Ok("config" | "order" | "edges") if self.depth == 1 => Next::FreeForm,
            Ok("parts") if self.depth == 3 => Next::Parts,
            Ok("facts" | "capabilities") if self.depth == 3 => Next::FreeForm,
            _ => Next::Other,
        }
    }

    /// The first byte of a value, or one that parts or ends values.
    fn take_mark(&mut self, byte: u8) -> Result<()> {
        let next = std::mem::replace(&mut self.next, Next::Other);
        if next == Next::Parts {
            return self.begin_list(byte);
        }
        if next == Next::FreeForm && matches!(byte, b'{' | b'[') {
            self.free_form = Some(self.depth);
        }
        if self.free_form.is_some() {
            self.estimate(byte)?;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                if self.looks_at_keys() {
                    self.key.clear();
                    self.key.push(byte);
                }
            }
            b'{' | b'[' => {
                if self.in_nodes && self.depth == 2 {
                    self.begin_node()?;
                }
                self.in_nodes |= next == Next::Nodes && byte == b'[';
                self.depth = self.depth.saturating_add(1);
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.in_nodes &= self.depth > 1;
                self.free_form = self.free_form.filter(|depth| self.depth > *depth);
            }
            _ => {}
        }
        Ok(())
    }

    fn estimate(&mut self, byte: u8) -> Result<()> {
        self.estimated += match byte {
            b'{' => OBJECT_BYTES,
            b'[' | b',' => ELEMENT_BYTES,
            _ => 0,
        };
        if self.estimated > FREE_FORM_BYTES {
            let message =
                "its configuration, order, references and facts have more elements than memory is given to";
            return Err(Error::new(ErrorKind::Limit, message));
        }
        Ok(())
    }

    fn begin_node(&mut self) -> Result<()> {
        if self.lists.len() >= NODES {
            return Err(Error::new(ErrorKind::Limit, format!("there are more than {NODES} nodes")));
        }
        self.lists.push(None);
        Ok(())
    }

    fn begin_list(&mut self, byte: u8) -> Result<()> {
        let list = self.lists.last_mut().filter(|list| list.is_none() && byte == b'[');
        let list = list.ok_or_else(|| Error::damaged("a node has no list of parts, or two"))?;
        *list = Some(self.at + 1..self.at + 1);
        self.list = Some(Extent::inside());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn skeleton(text: &str, piece: usize) -> Result<Skeleton> {
        let mut skeleton = Skeleton::new(1 << 20);
        text.as_bytes().chunks(piece).try_for_each(|piece| skeleton.take(piece))?;
        Ok(skeleton)
    }

    /// A value with all that could lead astray.
    fn value() -> impl Strategy<Value = Value> {
        let text =
            prop_oneof![Just("nodes"), Just("parts"), Just("\"[{"), Just("}]\\"), Just("ü\n"), Just("")];
        let leaf = prop_oneof![text.clone().prop_map(Value::from), any::<i8>().prop_map(Value::from)];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(text.clone().prop_map(str::to_owned), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_lists_of_parts_are_found_and_nothing_else_is_left_out(
            more in proptest::collection::btree_map("[a-z]{0,3}", value(), 0..4),
            nodes in proptest::collection::vec((value(), proptest::collection::vec(value(), 0..4)), 0..4),
            piece in 1usize..50,
            pretty in any::<bool>(),
        ) {
            let mut whole = json!(more);
            let mut without = whole.clone();
            for (document, keeps) in [(&mut whole, true), (&mut without, false)] {
                document["nodes"] = nodes.iter().map(|(other, parts)| {
                    json!({ "other": other, "parts": if keeps { json!(parts) } else { json!([]) }, "z": other })
                }).collect();
            }
            let text = if pretty { serde_json::to_string_pretty(&whole) } else { serde_json::to_string(&whole) };
            let text = text.unwrap();
            let found = skeleton(&text, piece).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Value>(&found.head).unwrap(), without);
            prop_assert_eq!(found.lists.len(), nodes.len());
            for (list, (_, parts)) in found.lists.iter().zip(&nodes) {
                let list = list.clone().unwrap();
                let text = format!("[{}]", &text[list.start as usize..list.end as usize]);
                prop_assert_eq!(serde_json::from_str::<Vec<Value>>(&text).unwrap(), parts.clone());
            }
        }
    }

    #[test]
    fn an_escaped_key_is_known_and_a_second_list_is_refused() {
        let found = skeleton(r#"{"nod\u0065s":[{"p\u0061rts":[1,2]},{"path":"x"}]}"#, 3).unwrap();
        assert_eq!(found.head, br#"{"nod\u0065s":[{"p\u0061rts":[]},{"path":"x"}]}"#);
        assert!(found.lists[0].is_some() && found.lists[1].is_none());
        for text in [
            r#"{"nodes":[{"parts":[1],"parts":[2]}]}"#,
            r#"{"nodes":[{"parts":null}]}"#,
            r#"{"nodes":[{"parts":{"parts":[1]}}]}"#,
        ] {
            assert!(skeleton(text, 5).is_err(), "{text}");
        }
    }

    #[test]
    fn values_in_free_form_are_bounded_by_what_they_take_and_not_by_their_length() {
        let many = |element: &str, count: u64| element.repeat(usize::try_from(count).unwrap());
        let nodes = |values: &str| format!(r#"{{"nodes":[{{"facts":{{"a":[{values}0]}}}}]}}"#);
        let all: [&dyn Fn(&str) -> String; 4] = [
            &|values| format!(r#"{{"config":[{values}0]}}"#),
            &|values| format!(r#"{{"ord\u0065r":[{values}0]}}"#),
            &|values| format!(r#"{{"edges":[{values}0]}}"#),
            &nodes,
        ];
        let take = |text: &str| {
            let mut skeleton = Skeleton::new(32 << 20);
            skeleton.take(text.as_bytes()).map(|()| skeleton.estimated)
        };
        for text in all {
            for (element, bytes) in [("0,", ELEMENT_BYTES), ("{},", OBJECT_BYTES + ELEMENT_BYTES)] {
                let most = FREE_FORM_BYTES / bytes;
                assert!(take(&text(&many(element, most - 20))).unwrap() > FREE_FORM_BYTES / 2);
                assert_eq!(take(&text(&many(element, most + 1))).unwrap_err().kind(), ErrorKind::Limit);
            }
        }
        // What follows is not counted, and neither is what stands in texts.
        let more = many("{},", FREE_FORM_BYTES / OBJECT_BYTES);
        assert!(take(&format!(r#"{{"config":{{"a":"{more}"}},"other":[{more}0]}}"#)).unwrap() < 10_000);
    }

    #[test]
    fn a_head_over_the_limit_and_too_many_nodes_are_refused() {
        let mut small = Skeleton::new(10);
        assert_eq!(small.take(br#"{"nodes":[{"parts":[]}]}"#).unwrap_err().kind(), ErrorKind::Limit);
        let many = format!(r#"{{"nodes":[{}]}}"#, "{},".repeat(NODES + 1));
        assert_eq!(skeleton(&many, 1000).err().unwrap().kind(), ErrorKind::Limit);
    }
}
