//! Files that are cut off, changed, foreign, or meant to do harm.

use std::path::Path;

use proptest::prelude::*;

use super::*;

fn fixture(server: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/rdb/{server}.rdb"))).unwrap()
}

fn refusal(bytes: &[u8]) -> String {
    read(bytes).unwrap_err().to_string()
}

/// A file of version 11 with that content and no checksum.
fn with(content: &[u8]) -> Vec<u8> {
    [b"REDIS0011", content, &[0xff], &[0; 8]].concat()
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    for server in ["redis-8.0", "valkey-9.1"] {
        let bytes = fixture(server);
        for length in (0..300).chain((300..bytes.len()).step_by(83)).chain(bytes.len() - 40..bytes.len()) {
            let refused = refusal(&bytes[..length]);
            assert!(refused.starts_with("the RDB file is cut off: it ends after "), "{refused}");
            assert!(refused.contains(&format!(" {length} bytes")), "{refused}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn a_file_with_a_byte_changed_is_refused(at in any::<proptest::sample::Index>(), change in 1u8..) {
        let mut bytes = fixture("redis-8.0");
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        prop_assert!(read(&bytes[..]).is_err());
    }

    #[test]
    fn a_payload_with_a_byte_changed_is_refused(at in any::<proptest::sample::Index>(), change in 1u8..) {
        let footer = payload::footer(Version::of(11).unwrap(), Kind::Set, b"\x02\x01a\xc0\x11");
        let mut payload = [b"\x02\x02\x01a\xc0\x11", &footer[..]].concat();
        prop_assert!(payload::open(&payload).is_ok());
        let at = at.index(payload.len());
        payload[at] ^= change;
        prop_assert!(payload::open(&payload).is_err());
        payload[at] ^= change;
        prop_assert!(payload::open(&payload[..at]).is_err());
    }

    #[test]
    fn anything_at_all_does_no_harm(content in proptest::collection::vec(any::<u8>(), 0..300), version in 1u16..=12) {
        let magic = format!("REDIS{version:04}");
        drop(read(&[magic.as_bytes(), &content[..]].concat()[..]));
        drop(payload::open(&content));
        for kind in kind::all() {
            drop(elements_of(kind, &content));
        }
    }
}

#[test]
fn a_refusal_says_where_and_what() {
    for (content, said) in [
        (&b"\xfe\x82"[..], "the RDB file is damaged: a database was expected at byte 10"),
        (b"\xfe\xc0\x01", "the RDB file is damaged: a database was expected at byte 10"),
        (b"\x00\x01k\xc4", "the RDB file is damaged: a string was expected at byte 12"),
        (b"\x12\x01k\x01\x03", "the RDB file is damaged: how a node is packed was expected at byte 13"),
        (
            b"\x08\x01k",
            "the RDB file is damaged: an opcode or a type was expected at byte 9 (instead: 8, version: REDIS0011)",
        ),
        (
            b"\xfc\xfe\xff\xff\xff\xff\xff\xff\xff",
            "the RDB file is damaged: a time of expiry was expected at byte 9",
        ),
        (
            b"\xfa\xc3\x02\x05\x04ab\x01v",
            "the RDB file is damaged: the name of a remark was expected at byte 10",
        ),
        (b"\x00\x01k\xf5", "the RDB file is damaged: a string was expected at byte 12"),
    ] {
        assert_eq!(refusal(&with(content)), said);
    }
    let sum = [&with(b"")[..10], &[1, 0, 0, 0, 0, 0, 0, 0]].concat();
    assert!(
        refusal(&sum)
            .starts_with("the RDB file is damaged: the checksum at byte 10 is 0000000000000001, and ")
    );
    assert_eq!(
        refusal(b""),
        "the RDB file is cut off: it ends after 0 bytes, where an RDB file was expected"
    );
}

#[test]
fn a_length_that_is_only_claimed_takes_no_memory() {
    let claims: [&[u8]; 6] = [
        b"\x00\x81\x00\x00\x00\x00\x1f\xff\xff\xff",
        b"\x00\x01k\x81\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x00\xc3\x80\x1f\xff\xff\xff\x80\x1f\xff\xff\xff",
        b"\x00\xc3\x02\x80\x1f\xff\xff\xff\xe0\xff",
        b"\x02\x01k\x81\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x15\x01k\x81\xff\xff\xff\xff\xff\xff\xff\xff",
    ];
    for claim in claims {
        let refused = refusal(&with(claim));
        assert!(refused.starts_with("the RDB file is "), "{refused}");
    }
    assert_eq!(
        refusal(&with(b"\x00\x81\x00\x00\x00\x00\x20\x00\x00\x01")),
        "a string of 536870913 bytes at byte 10 is longer than keys and elements can be"
    );
}

#[test]
fn packed_lists_that_are_damaged_are_refused() {
    for (kind, packed) in [
        (Kind::SetListpack, &b"\x08\0\0\0\x01\0\x05"[..]),
        (Kind::SetListpack, b"\x08\0\0\0\x01\0\x05\x01"),
        (Kind::SetListpack, b"\x09\0\0\0\x01\0\x05\x02\xff"),
        (Kind::SetListpack, b"\x09\0\0\0\x01\0\xf5\x01\xff"),
        (Kind::SetListpack, b"\x09\0\0\0\x01\0\x85\x01\xff"),
        (Kind::SetListpack, b"\x08\0\0\0\x00\0\xff\xff"),
        (Kind::HashListpack, b"\x09\0\0\0\x01\0\x05\x01\xff"),
        (Kind::ListZiplist, b"\x0b\0\0\0\x0a\0\0\0\0\0"),
        (Kind::ListZiplist, b"\x0d\0\0\0\x0a\0\0\0\x01\0\0\xff\xff"),
        (Kind::SetIntset, b"\x02\0\0\0\x02\0\0\0\x01\0"),
        (Kind::SetIntset, b"\x03\0\0\0\x00\0\0\0"),
        (Kind::SetIntset, b"\x08\0\0\0\xff\xff\xff\xff"),
        (Kind::HashZipmap, b"\x01\x01a\x01"),
        (Kind::HashZipmap, b"\x01\x01a\xff"),
    ] {
        let mut value = vec![packed.len() as u8];
        value.extend_from_slice(packed);
        let refused = elements_of(kind, &value).unwrap_err().to_string();
        assert!(refused.starts_with("the value is damaged: a "), "{kind:?}: {refused}");
        assert!(refused.ends_with("was expected at byte 0"), "{kind:?}: {refused}");
    }
}

/// `ReJSON-RL`, version 3.
const MODULE: &[u8] = b"\x81\x45\xe2\x52\x38\xdf\x91\x2c\x03";
/// A piece of each sort.
const PIECES: &[u8] = b"\x01\x05\x02\x05\x03four\x04four and\x05\x03abc\x00";

#[test]
fn what_modules_keep_is_refused_by_name() {
    for (content, said) in [
        (&b"\x06\x03doc"[..], "the key `doc` holds a `ReJSON-RL`, a type of a module"),
        (b"\x07\x03doc", "the key `doc` holds a `ReJSON-RL`, a type of a module"),
        (b"\xf7", "the module of `ReJSON-RL` keeps data beside the keys"),
        (b"\xf3", "a module keeps data of its own with a key"),
    ] {
        let error = read(&with(&[content, MODULE, PIECES].concat())[..]).unwrap_err();
        assert_eq!(error.message(), said);
        assert!(error.hint().is_some());
    }
    for (byte, said) in [
        (6, "the value is of a module's type"),
        (7, "the value is of a module's type"),
        (0xf3, "a module keeps data of its own with a key"),
        (8, "the type 8 of a value is not known"),
    ] {
        let mut payload = [&[byte], MODULE, PIECES, &[11, 0]].concat();
        let mut sum = checksum::Checksum::new();
        sum.update(&payload);
        payload.extend_from_slice(&sum.value().to_le_bytes());
        assert_eq!(payload::open(&payload).unwrap_err().message(), said);
    }
}

#[test]
fn a_key_of_a_modules_type_can_be_left_out() {
    let file = with(&[b"\x07\x03doc", MODULE, PIECES, b"\x00\x01k\x01v"].concat());
    let mut reader = Reader::begin(&file[..]).unwrap();
    for kind in [Kind::Module, Kind::String] {
        let Some(Item::Key(entry)) = reader.next().unwrap() else { panic!("no key") };
        assert_eq!(entry.kind, kind);
    }
    assert!(reader.next().unwrap().is_none());
}

#[test]
fn a_slot_that_is_on_its_way_is_refused() {
    let file = [b"VALKEY080", &b"\xf3"[..]].concat();
    assert!(refusal(&file).starts_with("a slot of the cluster is on its way"));
}
