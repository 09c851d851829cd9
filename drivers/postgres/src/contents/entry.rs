//! The head and the entries.

use std::io::Read;

use dumprestore_driver::{Error, Result};

use super::stream::{Stream, misshapen};

/// Versions of the format that are known, from the one of `pg_dump` 9.3 on.
const KNOWN: std::ops::RangeInclusive<u8> = 12..=16;
/// The number of the custom format among the formats.
const CUSTOM: u8 = 1;
/// From here on an entry names its table access method.
const ACCESS_METHOD: u8 = 14;
/// From here on the head names a compression, where there was a level.
const COMPRESSION: u8 = 15;
/// From here on an entry tells the kind of its relation.
const RELATION_KIND: u8 = 16;

/// What stands before the entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// The version of the server, as `pg_dump` saw it.
    pub(crate) server: String,
    /// The version of `pg_dump`.
    pub(crate) pg_dump: String,
}

/// One entry, with all that is of use later.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Entry {
    pub(crate) id: i32,
    /// The catalogue that the thing is in, by its number, and the thing's own. Zeros, where it has none.
    pub(crate) object: (u32, u32),
    pub(crate) tag: String,
    pub(crate) kind: String,
    pub(crate) section: i32,
    pub(crate) create: String,
    pub(crate) drop: String,
    pub(crate) schema: String,
    pub(crate) tablespace: String,
    pub(crate) access_method: String,
    /// `p` for a partitioned table, as a number; 0 where `pg_dump` is too old to tell.
    pub(crate) relation_kind: i32,
    pub(crate) owner: String,
    pub(crate) needs: Vec<i32>,
}

/// Reads the head, and then all entries, in the order in which they can be made.
///
/// # Errors
/// If it is not the custom format, of a version that is not known, or not well formed; those of the reader.
pub(crate) fn read(from: impl Read) -> Result<(Head, Vec<Entry>)> {
    let mut stream = Stream::new(from);
    let (minor, offset) = read_format(&mut stream)?;
    let head = read_rest_of_head(&mut stream, minor)?;
    let count = stream.number()?;
    // Nothing is allocated for a count that is only claimed.
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(read_entry(&mut stream, minor, offset)?);
    }
    Ok((head, entries))
}

/// The minor version, and how many bytes an offset has.
fn read_format<R: Read>(stream: &mut Stream<R>) -> Result<(u8, usize)> {
    if stream.bytes::<5>()? != *b"PGDMP" {
        return Err(misshapen("it does not begin with `PGDMP`"));
    }
    let [major, minor, _revision] = stream.bytes()?;
    if major != 1 || !KNOWN.contains(&minor) {
        return Err(Error::unsupported(format!(
            "`pg_dump` writes format {major}.{minor}, which is not known"
        ))
        .with_hint("use a `pg_dump` of PostgreSQL 18 or older, or a newer version of this program"));
    }
    let [integer, offset, format] = stream.bytes()?;
    if !(1..=8).contains(&integer) || !(1..=8).contains(&offset) || format != CUSTOM {
        return Err(misshapen("it is not the custom format"));
    }
    stream.integer = usize::from(integer);
    Ok((minor, usize::from(offset)))
}

fn read_rest_of_head<R: Read>(stream: &mut Stream<R>, minor: u8) -> Result<Head> {
    if minor >= COMPRESSION {
        stream.byte()?;
    } else {
        stream.number()?;
    }
    // When it was made, to the second, and whether that was summer time.
    for _ in 0..7 {
        stream.number()?;
    }
    let _database = stream.text()?;
    Ok(Head { server: stream.text()?, pg_dump: stream.text()? })
}

fn read_entry<R: Read>(stream: &mut Stream<R>, minor: u8, offset: usize) -> Result<Entry> {
    let id = stream.number()?;
    let _has_data = stream.number()?;
    let object = (stream.written_number()?, stream.written_number()?);
    let tag = stream.text()?;
    let kind = stream.text()?;
    let section = stream.number()?;
    let create = stream.text()?;
    let drop = stream.text()?;
    let _copy = stream.text()?;
    let schema = stream.text()?;
    let tablespace = stream.text()?;
    let access_method = if minor >= ACCESS_METHOD { stream.text()? } else { String::new() };
    let relation_kind = if minor >= RELATION_KIND { stream.number()? } else { 0 };
    let owner = stream.text()?;
    let _with_oids = stream.text()?;
    let needs = read_needs(stream)?;
    // Where its rows would be.
    stream.skip(1 + offset)?;
    Ok(Entry {
        id,
        object,
        tag,
        kind,
        section,
        create,
        drop,
        schema,
        tablespace,
        access_method,
        relation_kind,
        owner,
        needs,
    })
}

fn read_needs<R: Read>(stream: &mut Stream<R>) -> Result<Vec<i32>> {
    let mut needs = Vec::new();
    while let Some(id) = stream.optional_text()? {
        needs.push(id.trim().parse().map_err(|_| misshapen("a dependency is no number"))?);
    }
    Ok(needs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes the format, as far as it is read.
    struct Writer {
        minor: u8,
        bytes: Vec<u8>,
    }

    impl Writer {
        fn number(&mut self, number: i32) {
            self.bytes.push(u8::from(number < 0));
            self.bytes.extend_from_slice(&number.unsigned_abs().to_le_bytes());
        }

        fn text(&mut self, text: Option<&str>) {
            match text {
                None => self.number(-1),
                Some(text) => {
                    self.number(text.len() as i32);
                    self.bytes.extend_from_slice(text.as_bytes());
                }
            }
        }

        fn entry(&mut self, entry: &Entry) {
            self.number(entry.id);
            self.number(0);
            self.text(Some(&entry.object.0.to_string()));
            self.text(Some(&entry.object.1.to_string()));
            self.text(Some(&entry.tag));
            self.text(Some(&entry.kind));
            self.number(entry.section);
            self.text(Some(&entry.create));
            self.text(Some(&entry.drop));
            self.text(None);
            self.text(Some(&entry.schema).filter(|text| !text.is_empty()).map(String::as_str));
            self.text(Some(&entry.tablespace));
            if self.minor >= 14 {
                self.text(Some(&entry.access_method));
            }
            if self.minor >= 16 {
                self.number(entry.relation_kind);
            }
            self.text(Some(&entry.owner));
            self.text(Some("false"));
            for id in &entry.needs {
                self.text(Some(&id.to_string()));
            }
            self.text(None);
            self.bytes.extend_from_slice(&[3; 9]);
        }
    }

    fn written(minor: u8, entries: &[Entry]) -> Vec<u8> {
        let mut writer = Writer { minor, bytes: b"PGDMP\x01".to_vec() };
        writer.bytes.extend_from_slice(&[minor, 0, 4, 8, 1]);
        if minor >= 15 {
            writer.bytes.push(0)
        } else {
            writer.number(-1)
        }
        (0..7).for_each(|number| writer.number(number));
        for text in ["shop", "15.1", "16.2"] {
            writer.text(Some(text));
        }
        writer.number(entries.len() as i32);
        entries.iter().for_each(|entry| writer.entry(entry));
        writer.bytes
    }

    prop_compose! {
        fn any_entry(minor: u8)(
            id in 1..i32::MAX,
            object in any::<(u32, u32)>(),
            texts in proptest::array::uniform8(".{0,20}"),
            section in 1..5,
            relation_kind in -i32::MAX..=i32::MAX,
            needs in proptest::collection::vec(1..i32::MAX, 0..5),
        ) -> Entry {
            let [tag, kind, create, drop, schema, tablespace, access_method, owner] = texts;
            Entry {
                id, object, tag, kind, section, create, drop, schema, tablespace, owner, needs,
                access_method: if minor >= 14 { access_method } else { String::new() },
                relation_kind: if minor >= 16 { relation_kind } else { 0 },
            }
        }
    }

    fn any_contents() -> impl Strategy<Value = (u8, Vec<Entry>)> {
        KNOWN.prop_flat_map(|minor| (Just(minor), proptest::collection::vec(any_entry(minor), 0..8)))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn entries_of_every_version_are_read_as_they_were_written((minor, entries) in any_contents()) {
            let (head, read) = read(&written(minor, &entries)[..]).unwrap();
            prop_assert_eq!(head, Head { server: "15.1".to_owned(), pg_dump: "16.2".to_owned() });
            prop_assert_eq!(read, entries);
        }

        #[test]
        fn what_is_cut_off_anywhere_is_an_error((minor, entries) in any_contents(), cut in any::<prop::sample::Index>()) {
            let whole = written(minor, &entries);
            prop_assert!(read(&whole[..cut.index(whole.len())]).is_err());
        }

        #[test]
        fn no_changed_bytes_make_it_panic_or_take_more_memory_than_there_is_input(
            (minor, entries) in any_contents(),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        ) {
            let mut bytes = written(minor, &entries);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok((_, read)) = read(&bytes[..]) {
                prop_assert!(read.iter().map(|entry| entry.create.len()).sum::<usize>() <= bytes.len());
            }
        }

        #[test]
        fn bytes_of_any_kind_are_an_error_or_entries(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes[..]);
            let mut behind_a_head = written(14, &[]);
            behind_a_head.truncate(behind_a_head.len() - 5);
            behind_a_head.extend(bytes);
            let _ = read(&behind_a_head[..]);
        }
    }

    #[test]
    fn a_version_that_is_not_known_is_named() {
        let mut bytes = written(16, &[]);
        bytes[6] = 17;
        assert!(read(&bytes[..]).unwrap_err().to_string().contains("1.17"));
    }
}
