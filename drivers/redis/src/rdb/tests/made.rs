//! Values of every kind, as servers encode them, with what is in them.

use proptest::prelude::*;

use super::super::kind;
use super::super::source::append_length;
use super::*;

/// A value, and the elements that are to be found in it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value {
    pub(super) kind: Kind,
    pub(super) bytes: Vec<u8>,
    pub(super) elements: Vec<Owned>,
}

/// A string, and how to encode it where there is a choice.
#[derive(Debug, Clone)]
struct Text {
    bytes: Vec<u8>,
    compressed: bool,
}

fn text() -> impl Strategy<Value = Text> {
    let numbers =
        prop_oneof![any::<i8>().prop_map(i64::from), any::<i16>().prop_map(i64::from), any::<i64>()];
    let bytes = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..40),
        2 => numbers.prop_map(|number| number.to_string().into_bytes()),
        1 => (any::<u8>(), 40usize..400).prop_map(|(byte, count)| vec![byte; count]),
        1 => proptest::collection::vec(0u8..3, 60..300),
        // Around what listpacks and ziplists encode differently.
        1 => proptest::sample::select(vec![63, 64, 127, 253, 254, 4095, 4096, 16376, 16377, 16378, 16379]).prop_map(|count| vec![b'x'; count]),
    ];
    (bytes, any::<bool>()).prop_map(|(bytes, compressed)| Text { bytes, compressed })
}

/// A value of any kind that the version has.
pub(super) fn value(version: Version) -> impl Strategy<Value = Value> {
    let kinds: Vec<_> = kind::all().filter(|kind| Kind::of(kind.byte(), version) == Some(*kind)).collect();
    let kind = proptest::sample::select(kinds);
    (kind, proptest::collection::vec((text(), text(), any::<u64>()), 1..7))
        .prop_map(|(kind, parts)| made(kind, &parts))
}

fn made(kind: Kind, parts: &[(Text, Text, u64)]) -> Value {
    let mut bytes = Vec::new();
    match kind {
        Kind::String => string(&mut bytes, &parts[0].0),
        Kind::List | Kind::Set | Kind::ZsetText | Kind::Zset | Kind::Hash | Kind::HashExpiringDraft => {
            loose(kind, &mut bytes, parts);
        }
        Kind::HashExpiringValkey => loose(kind, &mut bytes, parts),
        Kind::HashExpiring => {
            bytes.extend_from_slice(&4_102_444_800_000u64.to_le_bytes());
            loose(kind, &mut bytes, parts);
        }
        Kind::ListQuicklist | Kind::ListQuicklist2 => quicklist(kind, &mut bytes, parts),
        Kind::SetIntset => return intset(parts),
        Kind::Stream | Kind::Stream2 | Kind::Stream3 | Kind::Stream4 | Kind::Stream5 => {
            stream(kind, &mut bytes, parts)
        }
        Kind::Array => array(&mut bytes, parts),
        Kind::HashListpackExpiring => {
            bytes.extend_from_slice(&4_102_444_800_000u64.to_le_bytes());
            blob(&mut bytes, packed(kind, parts), parts);
        }
        _ => blob(&mut bytes, packed(kind, parts), parts),
    }
    Value { kind, bytes, elements: expected(kind, parts) }
}

fn expected(kind: Kind, parts: &[(Text, Text, u64)]) -> Vec<Owned> {
    let all = parts.iter();
    match kind.name() {
        "string" => vec![Owned::Value(parts[0].0.bytes.clone())],
        "hash" => all.map(|(name, value, _)| Owned::Field(name.bytes.clone(), value.bytes.clone())).collect(),
        "stream" | "array" => Vec::new(),
        _ => all.map(|(member, ..)| Owned::Member(member.bytes.clone())).collect(),
    }
}

fn number(bytes: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(bytes).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == bytes).then_some(number)
}

fn string(out: &mut Vec<u8>, text: &Text) {
    if let Some(number) = number(&text.bytes) {
        if let Ok(number) = i8::try_from(number) {
            return out.extend_from_slice(&[0xc0, number as u8]);
        }
        if let Ok(number) = i16::try_from(number) {
            out.push(0xc1);
            return out.extend_from_slice(&number.to_le_bytes());
        }
        if let Ok(number) = i32::try_from(number) {
            out.push(0xc2);
            return out.extend_from_slice(&number.to_le_bytes());
        }
    }
    if text.compressed && !text.bytes.is_empty() {
        let packed = compressed(&text.bytes);
        out.push(0xc3);
        append_length(out, packed.len() as u64);
        append_length(out, text.bytes.len() as u64);
        return out.extend_from_slice(&packed);
    }
    append_length(out, text.bytes.len() as u64);
    out.extend_from_slice(&text.bytes);
}

/// LZF. In short strings what came before is looked for at every distance, which no server has the time for.
fn compressed(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut literal, mut at) = (Vec::new(), Vec::new(), 0);
    let flush = |literal: &mut Vec<u8>, out: &mut Vec<u8>| {
        for piece in literal.chunks(32) {
            out.push(piece.len() as u8 - 1);
            out.extend_from_slice(piece);
        }
        literal.clear();
    };
    while at < bytes.len() {
        let same = |back: usize| {
            (at..bytes.len().min(at + 264)).take_while(|at| bytes[*at] == bytes[*at - back]).count()
        };
        let furthest = if bytes.len() < 500 { at } else { at.min(1) };
        let found = (1..=furthest).map(|back| (same(back), back)).max().filter(|(count, _)| *count >= 3);
        let Some((count, back)) = found else {
            literal.push(bytes[at]);
            at += 1;
            continue;
        };
        flush(&mut literal, &mut out);
        let (distance, length) = (back - 1, count - 2);
        out.push((length.min(7) << 5 | distance >> 8) as u8);
        if length >= 7 {
            out.push((length - 7) as u8);
        }
        out.push(distance as u8);
        at += count;
    }
    flush(&mut literal, &mut out);
    out
}

/// Strings one after the other, with what each kind has beside them.
fn loose(kind: Kind, out: &mut Vec<u8>, parts: &[(Text, Text, u64)]) {
    append_length(out, parts.len() as u64);
    for (first, second, number) in parts {
        if matches!(kind, Kind::HashExpiring | Kind::HashExpiringDraft) {
            append_length(out, *number);
        }
        string(out, first);
        if kind.is_hash() {
            string(out, second);
        }
        match kind {
            Kind::Zset | Kind::HashExpiringValkey => out.extend_from_slice(&number.to_le_bytes()),
            Kind::ZsetText if number % 4 == 0 => out.push(253 + (number % 3) as u8),
            Kind::ZsetText => {
                let score = number.to_string();
                out.push(score.len() as u8);
                out.extend_from_slice(score.as_bytes());
            }
            _ => {}
        }
    }
}

fn blob(out: &mut Vec<u8>, bytes: Vec<u8>, parts: &[(Text, Text, u64)]) {
    string(out, &Text { bytes, compressed: parts[0].0.compressed });
}

fn quicklist(kind: Kind, out: &mut Vec<u8>, parts: &[(Text, Text, u64)]) {
    let nodes: Vec<_> = parts.chunks(2).collect();
    append_length(out, nodes.len() as u64);
    for node in nodes {
        match (kind, node) {
            (Kind::ListQuicklist2, [one]) => {
                append_length(out, 1);
                string(out, &one.0);
            }
            (Kind::ListQuicklist2, _) => {
                append_length(out, 2);
                blob(out, packed(Kind::SetListpack, node), node);
            }
            _ => blob(out, packed(Kind::ListZiplist, node), node),
        }
    }
}

fn intset(parts: &[(Text, Text, u64)]) -> Value {
    let each = [2, 4, 8][parts.len() % 3];
    let numbers = parts.iter().map(|(.., number)| match each {
        2 => i64::from(*number as i16),
        4 => i64::from(*number as i32),
        _ => *number as i64,
    });
    let mut set = (each as u32).to_le_bytes().to_vec();
    set.extend_from_slice(&(parts.len() as u32).to_le_bytes());
    let mut elements = Vec::new();
    for number in numbers {
        set.extend_from_slice(&number.to_le_bytes()[..each]);
        elements.push(Owned::Member(number.to_string().into_bytes()));
    }
    let mut bytes = Vec::new();
    blob(&mut bytes, set, parts);
    Value { kind: Kind::SetIntset, bytes, elements }
}

/// What stands side by side in a packed list.
fn packed(kind: Kind, parts: &[(Text, Text, u64)]) -> Vec<u8> {
    let mut strings: Vec<Vec<u8>> = Vec::new();
    for (first, second, number) in parts {
        strings.push(first.bytes.clone());
        if kind.is_hash() {
            strings.push(second.bytes.clone());
        }
        if kind.is_sorted_set()
            || matches!(kind, Kind::HashListpackExpiring | Kind::HashListpackExpiringDraft)
        {
            strings.push((*number as i64).to_string().into_bytes());
        }
    }
    match kind {
        Kind::HashZipmap => zipmap(&strings, parts[0].2),
        Kind::ListZiplist | Kind::ZsetZiplist | Kind::HashZiplist => ziplist(&strings),
        _ => listpack(&strings, parts[0].2.is_multiple_of(2)),
    }
}

fn zipmap(strings: &[Vec<u8>], unused: u64) -> Vec<u8> {
    let mut out = vec![(strings.len() / 2).min(254) as u8];
    for (at, string) in strings.iter().enumerate() {
        match string.len() {
            0..=253 => out.push(string.len() as u8),
            _ => {
                out.push(254);
                out.extend_from_slice(&(string.len() as u32).to_le_bytes());
            }
        }
        let unused = if at % 2 == 1 { (unused % 5) as u8 } else { 0 };
        if at % 2 == 1 {
            out.push(unused);
        }
        out.extend_from_slice(string);
        out.extend((0..unused).map(|_| 0xff));
    }
    out.push(0xff);
    out
}

fn ziplist(strings: &[Vec<u8>]) -> Vec<u8> {
    let (mut out, mut before) = (vec![0; 10], 0);
    for string in strings {
        let mut entry = if before < 254 {
            vec![before as u8]
        } else {
            [&[0xfe], &(before as u32).to_le_bytes()[..]].concat()
        };
        match (number(string), string.len()) {
            (Some(number @ 0..=12), _) => entry.push(0xf1 + number as u8),
            (Some(number), _) => {
                let (mark, length) = match number {
                    -0x80..=0x7f => (0xfe, 1),
                    -0x8000..=0x7fff => (0xc0, 2),
                    -0x80_0000..=0x7f_ffff => (0xf0, 3),
                    -0x8000_0000..=0x7fff_ffff => (0xd0, 4),
                    _ => (0xe0, 8),
                };
                entry.push(mark);
                entry.extend_from_slice(&number.to_le_bytes()[..length]);
            }
            (None, length @ 0..=0x3f) => entry.push(length as u8),
            (None, length @ 0..=0x3fff) => entry.extend_from_slice(&(length as u16 | 0x4000).to_be_bytes()),
            (None, length) => {
                entry.extend_from_slice(&[&[0x80], &(length as u32).to_be_bytes()[..]].concat())
            }
        }
        if number(string).is_none() {
            entry.extend_from_slice(string);
        }
        before = entry.len();
        out.extend_from_slice(&entry);
    }
    out.push(0xff);
    let length = out.len() as u32;
    out[..4].copy_from_slice(&length.to_le_bytes());
    out
}

/// Of Valkey, or of Redis, which takes a byte more for the length of some elements.
fn listpack(strings: &[Vec<u8>], valkeys: bool) -> Vec<u8> {
    let mut out = vec![0; 6];
    for string in strings {
        let start = out.len();
        match (number(string), string.len()) {
            (Some(number @ 0..=127), _) => out.push(number as u8),
            (Some(number @ -4096..=4095), _) => {
                out.extend_from_slice(&(number as u16 & 0x1fff | 0xc000).to_be_bytes())
            }
            (Some(number), _) => {
                let (mark, length) = match number {
                    -0x8000..=0x7fff => (0xf1, 2),
                    -0x80_0000..=0x7f_ffff => (0xf2, 3),
                    -0x8000_0000..=0x7fff_ffff => (0xf3, 4),
                    _ => (0xf4, 8),
                };
                out.push(mark);
                out.extend_from_slice(&number.to_le_bytes()[..length]);
            }
            (None, length @ 0..=0x3f) => out.push(0x80 | length as u8),
            (None, length @ 0..=0xfff) => out.extend_from_slice(&(length as u16 | 0xe000).to_be_bytes()),
            (None, length) => out.extend_from_slice(&[&[0xf0], &(length as u32).to_le_bytes()[..]].concat()),
        }
        if number(string).is_none() {
            out.extend_from_slice(string);
        }
        let length = out.len() - start;
        let bytes = match length {
            0..=127 => 1,
            128..=16382 => 2,
            16383 if valkeys => 2,
            _ => 3,
        };
        out.extend(
            (0..bytes)
                .rev()
                .map(|at| (length >> (7 * at) & 0x7f) as u8 | if at + 1 == bytes { 0 } else { 0x80 }),
        );
    }
    out.push(0xff);
    let length = out.len() as u32;
    out[..4].copy_from_slice(&length.to_le_bytes());
    out
}

fn array(out: &mut Vec<u8>, parts: &[(Text, Text, u64)]) {
    append_length(out, parts.len() as u64);
    append_length(out, parts[0].2 % 2);
    if parts[0].2 % 2 == 1 {
        append_length(out, parts[0].2);
    }
    for (text, _, number) in parts {
        append_length(out, *number);
        append_length(out, number % 4);
        match number % 4 {
            0 | 3 => string(out, text),
            _ => out.extend_from_slice(&number.to_le_bytes()),
        }
    }
}

/// Which of the encodings of streams it is.
fn generation(kind: Kind) -> usize {
    [Kind::Stream, Kind::Stream2, Kind::Stream3, Kind::Stream4, Kind::Stream5]
        .iter()
        .position(|known| *known == kind)
        .unwrap()
        + 1
}

fn stream(kind: Kind, out: &mut Vec<u8>, parts: &[(Text, Text, u64)]) {
    let generation = generation(kind);
    append_length(out, parts.len() as u64);
    for (text, ..) in parts {
        string(out, &Text { bytes: vec![7; 16], compressed: text.compressed });
        string(out, text);
    }
    let numbers = if generation == 1 { 3 } else { 8 };
    (0..numbers).for_each(|at| append_length(out, parts[0].2 >> (at * 7)));
    append_length(out, parts.len() as u64);
    for (name, consumer, number) in parts {
        string(out, name);
        (0..if generation == 1 { 2 } else { 3 }).for_each(|_| append_length(out, *number));
        let pending = number % 3;
        append_length(out, pending);
        for _ in 0..pending {
            out.extend_from_slice(&[9; 24]);
            append_length(out, *number);
        }
        append_length(out, 1);
        string(out, consumer);
        out.extend_from_slice(&[0; 16][..if generation >= 3 { 16 } else { 8 }]);
        append_length(out, pending);
        (0..pending).for_each(|_| out.extend_from_slice(&[9; 16]));
        if generation == 5 {
            append_length(out, pending);
            (0..pending).for_each(|_| out.extend_from_slice(&[8; 16]));
        }
    }
    if generation >= 4 {
        (0..2).for_each(|at| append_length(out, parts[0].2 >> (at * 9)));
        append_length(out, parts.len() as u64);
        for (name, entry, number) in parts {
            string(out, name);
            append_length(out, 1);
            string(out, entry);
            (0..2).for_each(|at| append_length(out, number >> (at * 5)));
        }
        (0..2).for_each(|at| append_length(out, parts[0].2 >> (at * 3)));
    }
}
