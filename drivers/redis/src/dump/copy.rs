//! Copies what is meant of what a server sends, and leaves out the rest.

use std::io::Write;

use dumprestore_driver::{Cancel, Result};

use super::arrival::{Arrival, of_stream};
use super::choice::Choice;
use super::collect::Collecting;
use super::told::Tally;
use crate::rdb::{Entry, Item, Reader, Writer};

/// What a file says of itself that holds wherever it is loaded. Where it stood in the stream of its server's changes is not
/// among that: who loads it would go on from there.
const REMARKS: [&[u8]; 4] = [b"redis-ver", b"valkey-ver", b"redis-bits", b"ctime"];
/// So often it is looked whether the run goes on.
const ITEMS: u64 = 1000;

/// Copies a file that arrives.
///
/// # Errors
/// If the connection is lost, the data are damaged or can't be dumped, the part can't be written, or the run is to stop.
pub(super) fn copy(
    choice: &Choice<'_>,
    mut arrival: Arrival,
    collecting: &mut Collecting,
    cancel: &Cancel,
    out: &mut (dyn Write + Send),
) -> Result<Tally> {
    let mut writer = begin(arrival.reader.version(), &arrival.remarks, out)?;
    let mut tally = Tally::default();
    let mut next = arrival.first.take();
    let mut items = 0;
    while let Some(item) = next {
        match item {
            Item::Function(code) if choice.setup.functions => {
                writer.function(&code)?;
                tally.functions.insert(code);
            }
            Item::Key(entry) if choice.has(entry.database, &entry.key) => {
                choice.shard.check(&entry.key)?;
                copy_key(&mut arrival.reader, &entry, &mut writer, collecting, &mut tally)?;
            }
            _ => {}
        }
        items += 1;
        if items % ITEMS == 0 {
            cancel.check()?;
        }
        next = arrival.reader.next().map_err(of_stream)?;
    }
    arrival.end()?;
    writer.finish()?;
    Ok(tally)
}

/// A file with what holds of it wherever it is loaded.
pub(super) fn begin<'o>(
    version: crate::rdb::Version,
    remarks: &[(Vec<u8>, Vec<u8>)],
    out: &'o mut (dyn Write + Send),
) -> Result<Writer<&'o mut (dyn Write + Send)>> {
    let mut writer = Writer::begin(out, version)?;
    for (name, value) in remarks {
        if REMARKS.contains(&name.as_slice()) {
            writer.aux(name, value)?;
        }
    }
    writer.aux(b"dumprestore", env!("CARGO_PKG_VERSION").as_bytes())?;
    Ok(writer)
}

fn copy_key(
    reader: &mut Reader<impl std::io::Read>,
    entry: &Entry,
    writer: &mut Writer<&mut (dyn Write + Send)>,
    collecting: &mut Collecting,
    tally: &mut Tally,
) -> Result<()> {
    writer.entry(entry)?;
    let mut looks = collecting.look(entry)?;
    let copied = match looks.need_value() {
        true => reader.copy_elements(&mut writer.value(), &mut |element| looks.see(element)),
        false => reader.copy_value(&mut writer.value()),
    };
    tally.count(entry, copied.map_err(of_stream)?);
    looks.end()
}
