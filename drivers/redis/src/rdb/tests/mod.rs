//! On files of real servers, on files that were made up, and on damaged ones.

mod damaged;
mod files;
mod made;
mod written;

use std::io::{Read, Write};

use dumprestore_driver::Result;

use super::*;

/// An element that owns its strings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Owned {
    Value(Vec<u8>),
    Member(Vec<u8>),
    Field(Vec<u8>, Vec<u8>),
}

impl From<Element<'_>> for Owned {
    fn from(element: Element<'_>) -> Self {
        match element {
            Element::Value(value) => Self::Value(value.to_vec()),
            Element::Member(member) => Self::Member(member.to_vec()),
            Element::Field { name, value } => Self::Field(name.to_vec(), value.to_vec()),
        }
    }
}

fn elements_of(kind: Kind, value: &[u8]) -> Result<Vec<Owned>> {
    let mut found = Vec::new();
    elements(kind, value, &mut |element| {
        found.push(element.into());
        Ok(())
    })?;
    Ok(found)
}

/// All that is in a file, keys with their values.
fn read(from: impl Read) -> Result<Vec<(Item, Vec<u8>)>> {
    let mut reader = Reader::begin(from)?;
    let mut items = Vec::new();
    while let Some(item) = reader.next()? {
        let mut value = Vec::new();
        reader.read_value(&mut value, u64::MAX)?;
        items.push((item, value));
    }
    Ok(items)
}

/// Gives a few bytes at a time.
struct Drops<R>(R, usize);

impl<R: Read> Read for Drops<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let most = self.1.min(into.len());
        self.0.read(&mut into[..most])
    }
}
