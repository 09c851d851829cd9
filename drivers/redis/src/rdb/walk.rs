//! Where a value ends.

use dumprestore_driver::Result;

use super::Kind;
use super::source::Source;

/// Goes past a value. What servers keep packed in one string is passed by as that string.
pub(super) fn walk<S: Source>(kind: Kind, source: &mut S) -> Result<()> {
    match kind {
        Kind::String => source.skip_string("a string"),
        Kind::List | Kind::Set => strings(source, "a number of elements", 1),
        Kind::Hash => strings(source, "a number of fields", 2),
        Kind::ZsetText => zset(source, text_score),
        Kind::Zset => zset(source, |source| source.skip(8, "a score")),
        Kind::ListQuicklist => strings(source, "a number of nodes", 1),
        Kind::ListQuicklist2 => quicklist(source),
        Kind::HashExpiringDraft => expiring(source),
        Kind::HashExpiring => {
            source.skip(8, "the time of the next expiry")?;
            expiring(source)
        }
        Kind::HashExpiringValkey => expiring_valkey(source),
        Kind::HashListpackExpiring => {
            source.skip(8, "the time of the next expiry")?;
            source.skip_string("a listpack")
        }
        Kind::Stream => stream(source, 1),
        Kind::Stream2 => stream(source, 2),
        Kind::Stream3 => stream(source, 3),
        Kind::Stream4 => stream(source, 4),
        Kind::Stream5 => stream(source, 5),
        Kind::Array => array(source),
        Kind::Module => {
            source.length("a module")?;
            module(source)
        }
        Kind::HashListpack
        | Kind::HashListpackExpiringDraft
        | Kind::ZsetListpack
        | Kind::SetListpack
        | Kind::HashZipmap
        | Kind::ListZiplist
        | Kind::ZsetZiplist
        | Kind::HashZiplist
        | Kind::SetIntset => source.skip_string("a packed value"),
    }
}

fn strings<S: Source>(source: &mut S, expected: &'static str, each: u64) -> Result<()> {
    for _ in 0..source.length(expected)? {
        for _ in 0..each {
            source.skip_string("an element")?;
        }
    }
    Ok(())
}

fn zset<S: Source>(source: &mut S, score: impl Fn(&mut S) -> Result<()>) -> Result<()> {
    for _ in 0..source.length("a number of members")? {
        source.skip_string("a member")?;
        score(source)?;
    }
    Ok(())
}

/// The last three lengths stand for: not a number, and the two infinities.
pub(super) fn text_score<S: Source>(source: &mut S) -> Result<()> {
    match source.byte("a score")? {
        253..=255 => Ok(()),
        length => source.skip(u64::from(length), "a score"),
    }
}

/// A node of a list holds one element as it is, or several in a listpack.
pub(super) const PLAIN: u64 = 1;
pub(super) const PACKED: u64 = 2;

fn quicklist<S: Source>(source: &mut S) -> Result<()> {
    for _ in 0..source.length("a number of nodes")? {
        let offset = source.offset();
        match source.length("how a node is packed")? {
            PLAIN | PACKED => source.skip_string("a node")?,
            _ => return Err(source.damaged(offset, "how a node is packed")),
        }
    }
    Ok(())
}

fn expiring<S: Source>(source: &mut S) -> Result<()> {
    for _ in 0..source.length("a number of fields")? {
        source.length("when a field expires")?;
        source.skip_string("a field")?;
        source.skip_string("the value of a field")?;
    }
    Ok(())
}

fn expiring_valkey<S: Source>(source: &mut S) -> Result<()> {
    for _ in 0..source.length("a number of fields")? {
        source.skip_string("a field")?;
        source.skip_string("the value of a field")?;
        source.skip(8, "when a field expires")?;
    }
    Ok(())
}

/// An id is two numbers: milliseconds and a count.
fn id<S: Source>(source: &mut S, expected: &'static str) -> Result<()> {
    source.length(expected)?;
    source.length(expected).map(drop)
}

/// How long an id is where it is not written as two lengths.
const RAW_ID: u64 = 16;

fn stream<S: Source>(source: &mut S, version: u8) -> Result<()> {
    for _ in 0..source.length("a number of listpacks")? {
        source.skip_string("the id of a listpack")?;
        source.skip_string("a listpack")?;
    }
    source.length("a number of entries")?;
    id(source, "the last id")?;
    if version >= 2 {
        id(source, "the first id")?;
        id(source, "the greatest id deleted")?;
        source.length("a number of entries added")?;
    }
    for _ in 0..source.length("a number of consumer groups")? {
        group(source, version)?;
    }
    if version >= 4 { producers(source) } else { Ok(()) }
}

fn group<S: Source>(source: &mut S, version: u8) -> Result<()> {
    source.skip_string("the name of a consumer group")?;
    id(source, "the last id of a consumer group")?;
    if version >= 2 {
        source.length("a number of entries read")?;
    }
    for _ in 0..source.length("a number of pending entries")? {
        source.skip(RAW_ID + 8, "a pending entry")?;
        source.length("a number of deliveries")?;
    }
    for _ in 0..source.length("a number of consumers")? {
        source.skip_string("the name of a consumer")?;
        source.skip(if version >= 3 { 16 } else { 8 }, "when a consumer was seen")?;
        for _ in 0..source.length("a number of pending entries of a consumer")? {
            source.skip(RAW_ID, "the id of a pending entry")?;
        }
    }
    if version >= 5 {
        for _ in 0..source.length("a number of entries given back")? {
            source.skip(RAW_ID, "the id of an entry given back")?;
        }
    }
    Ok(())
}

/// What producers are known to have said, so that they may say it twice.
fn producers<S: Source>(source: &mut S) -> Result<()> {
    source.length("for how long producers are remembered")?;
    source.length("how much of producers is remembered")?;
    for _ in 0..source.length("a number of producers")? {
        source.skip_string("the name of a producer")?;
        for _ in 0..source.length("a number of entries of a producer")? {
            source.skip_string("a producer's name of an entry")?;
            id(source, "the id of an entry of a producer")?;
        }
    }
    source.length("a number of entries of producers")?;
    source.length("a number of entries said twice").map(drop)
}

fn array<S: Source>(source: &mut S) -> Result<()> {
    let count = source.length("a number of elements")?;
    let offset = source.offset();
    match source.length("whether an array was inserted into")? {
        0 => {}
        1 => source.length("where an array was inserted into").map(drop)?,
        _ => return Err(source.damaged(offset, "whether an array was inserted into")),
    }
    for _ in 0..count {
        source.length("the place of an element")?;
        let offset = source.offset();
        match source.length("what an element is")? {
            0 | 3 => source.skip_string("an element")?,
            1 | 2 => source.skip(8, "an element")?,
            _ => return Err(source.damaged(offset, "what an element is")),
        }
    }
    Ok(())
}

/// Modules write whatever they like, but each piece says what it is.
fn module<S: Source>(source: &mut S) -> Result<()> {
    loop {
        let offset = source.offset();
        match source.length("a piece of a module's value")? {
            0 => return Ok(()),
            1 | 2 => source.length("a number of a module").map(drop)?,
            3 => source.skip(4, "a number of a module")?,
            4 => source.skip(8, "a number of a module")?,
            5 => source.skip_string("a string of a module")?,
            _ => return Err(source.damaged(offset, "a piece of a module's value")),
        }
    }
}
