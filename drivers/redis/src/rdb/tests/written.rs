//! What the writer writes is what the reader gives.

use proptest::prelude::*;

use super::made::{Value, value};
use super::*;

fn versions() -> impl Strategy<Value = Version> {
    prop_oneof![(5u16..=14), Just(80)].prop_map(|number| Version::of(number).unwrap())
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..most)
}

/// Keys with their values, of that version.
fn keys(version: Version) -> impl Strategy<Value = Vec<(Entry, Value)>> {
    let entry = (
        0u64..20_000,
        value(version),
        bytes(90),
        proptest::option::of(any::<u64>().prop_map(|time| time >> 1)),
    );
    let used = (proptest::option::of(any::<u64>()), proptest::option::of(any::<u8>()));
    let key = (entry, used).prop_map(|((database, value, key, expires), (idle, freq))| {
        (Entry { database, kind: value.kind, key, expires, idle, freq }, value)
    });
    proptest::collection::vec(key, 0..8)
}

fn contents() -> impl Strategy<Value = (Version, Vec<(Entry, Value)>)> {
    versions().prop_flat_map(|version| (Just(version), keys(version)))
}

fn write(version: Version, keys: &[(Entry, Value)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::begin(&mut out, version).unwrap();
    for (entry, value) in keys {
        writer.entry(entry).unwrap();
        std::io::copy(&mut Drops(&value.bytes[..], 11), &mut writer.value()).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), keys.len() as u64);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn keys_come_back_with_their_values_and_elements((version, keys) in contents(), drop in 1usize..70) {
        let file = write(version, &keys);
        let mut reader = Reader::begin(Drops(&file[..], drop)).unwrap();
        let mut back = Vec::new();
        let mut database = None;
        while let Some(item) = reader.next().unwrap() {
            match item {
                Item::Select(other) => {
                    prop_assert_ne!(database, Some(other));
                    database = Some(other);
                }
                Item::Key(entry) => {
                    let (mut bytes, mut elements) = (Vec::new(), Vec::new());
                    let length = reader.copy_elements(&mut bytes, &mut |element| {
                        elements.push(Owned::from(element));
                        Ok(())
                    }).unwrap();
                    prop_assert_eq!(length, bytes.len() as u64);
                    prop_assert_eq!(reader.copy_value(&mut Vec::new()).unwrap(), 0);
                    back.push((entry.clone(), Value { kind: entry.kind, bytes, elements }));
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
        prop_assert_eq!(back, keys);
        prop_assert!(reader.next().unwrap().is_none());
    }

    #[test]
    fn remarks_and_functions_come_back(remarks in proptest::collection::vec((bytes(90), bytes(90)), 0..5), code in bytes(90)) {
        let mut file = Vec::new();
        let mut writer = Writer::begin(&mut file, Version::of(11).unwrap()).unwrap();
        let mut expected = Vec::new();
        for (name, value) in remarks {
            writer.aux(&name, &value).unwrap();
            expected.push(Item::Aux { name, value });
        }
        writer.function(&code).unwrap();
        expected.push(Item::Function(code));
        writer.finish().unwrap();
        let items: Vec<_> = read(&file[..]).unwrap().into_iter().map(|(item, _)| item).collect();
        prop_assert_eq!(items, expected);
    }

    #[test]
    fn what_follows_a_file_is_left((version, keys) in contents(), more in bytes(90), drop in 1usize..70) {
        let mut file = write(version, &keys);
        file.extend_from_slice(&more);
        let mut reader = Reader::begin(Drops(&file[..], drop)).unwrap();
        while reader.next().unwrap().is_some() {}
        let (Drops(rest, _), ahead) = reader.into_inner();
        prop_assert_eq!([&ahead[..], rest].concat(), more);
    }

    #[test]
    fn a_payload_opens_as_it_was_closed((version, keys) in contents()) {
        for (_, value) in keys {
            let mut footer = payload::Footer::of(value.kind);
            value.bytes.chunks(3).for_each(|piece| footer.update(piece));
            let footer = footer.finish(version);
            prop_assert_eq!(footer, payload::footer(version, value.kind, &value.bytes));
            let payload = [&[value.kind.byte()], &value.bytes[..], &footer].concat();
            prop_assert_eq!(payload::open(&payload).unwrap(), (value.kind, &value.bytes[..], version));
            prop_assert_eq!(elements_of(value.kind, &value.bytes).unwrap(), value.elements);
        }
    }
}

/// A string of that length, as it stands in a file.
fn long(length: u32) -> Vec<u8> {
    let mut value = vec![0x80];
    value.extend_from_slice(&length.to_be_bytes());
    value.extend((0..length).map(|at| (at % 251) as u8));
    value
}

fn a_key(key: &[u8]) -> Entry {
    Entry { database: 0, kind: Kind::String, key: key.to_vec(), expires: None, idle: None, freq: None }
}

#[test]
fn values_and_keys_longer_than_any_buffer_come_back() {
    let (key, value) = (long(300_000), long(1_000_000));
    let mut file = Vec::new();
    let mut writer = Writer::begin(&mut file, Version::of(10).unwrap()).unwrap();
    writer.entry(&a_key(&key)).unwrap();
    writer.value().write_all(&value).unwrap();
    writer.finish().unwrap();
    let items = read(&file[..]).unwrap();
    assert_eq!(items[1..], [(Item::Key(a_key(&key)), value)]);
}

#[test]
fn a_value_that_is_longer_than_allowed_is_refused() {
    let value = long(1000);
    let mut file = Vec::new();
    let mut writer = Writer::begin(&mut file, Version::of(10).unwrap()).unwrap();
    writer.entry(&a_key(b"key")).unwrap();
    writer.value().write_all(&value).unwrap();
    writer.finish().unwrap();
    for (most, allowed) in [(value.len() as u64, true), (value.len() as u64 - 1, false)] {
        let mut reader = Reader::begin(&file[..]).unwrap();
        reader.next().unwrap();
        reader.next().unwrap();
        let read = reader.read_value(&mut Vec::new(), most);
        assert_eq!(read.is_ok(), allowed);
        if let Err(error) = read {
            assert_eq!(error.to_string(), "the value is longer than 1004 bytes");
        }
    }
}

#[test]
fn nobody_is_written_to_who_cannot_take_it() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut writer = Writer::begin(Full, Version::of(10).unwrap()).unwrap();
    writer.entry(&a_key(b"key")).unwrap();
    writer.value().write_all(&long(10)).unwrap();
    assert_eq!(writer.finish().unwrap_err().hint(), Some("make room and run it again"));
}
