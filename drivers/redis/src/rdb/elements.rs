//! What is in a value: the strings that references are made of.

use dumprestore_driver::Result;

use super::Kind;
use super::packed::{Elements, Packed, intset, listpack, ziplist, zipmap};
use super::slice::Slice;
use super::source::{Source, append_number};
use super::walk::{PACKED, PLAIN, text_score, walk};

/// One of the strings of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element<'a> {
    /// A string is one of itself.
    Value(&'a [u8]),
    /// Of a list, a set or a sorted set.
    Member(&'a [u8]),
    /// Of a hash, be it expired or not.
    Field { name: &'a [u8], value: &'a [u8] },
}

/// Who is given the elements.
pub(super) type Each<'e> = &'e mut dyn FnMut(Element<'_>) -> Result<()>;

/// Gives each element of a value as it stands in a file or payload. Streams, arrays and what
/// modules make give none.
///
/// # Errors
///
/// If the value is damaged, or `each` gives one.
pub(crate) fn elements(
    kind: Kind,
    value: &[u8],
    each: &mut dyn FnMut(Element<'_>) -> Result<()>,
) -> Result<()> {
    let mut source = Slice::new(value);
    walk_elements(kind, &mut source, each)?;
    source.end()
}

/// Goes past a value as [`walk`] does, and gives its elements.
pub(super) fn walk_elements<S: Source>(kind: Kind, source: &mut S, each: Each<'_>) -> Result<()> {
    let mut strings = Strings::default();
    match kind {
        Kind::String => strings.value(source, each),
        Kind::List | Kind::Set => strings.members(source, each, |_| Ok(())),
        Kind::ZsetText => strings.members(source, each, text_score),
        Kind::Zset => strings.members(source, each, |source| source.skip(8, "a score")),
        Kind::Hash => strings.fields(source, each, |_| Ok(()), |_| Ok(())),
        Kind::HashExpiringDraft => strings.fields(source, each, expiry, |_| Ok(())),
        Kind::HashExpiring => {
            source.skip(8, "the time of the next expiry")?;
            strings.fields(source, each, expiry, |_| Ok(()))
        }
        Kind::HashExpiringValkey => {
            strings.fields(source, each, |_| Ok(()), |source| source.skip(8, "when a field expires"))
        }
        Kind::ListQuicklist => {
            for _ in 0..source.length("a number of nodes")? {
                strings.packed(source, each, Shape::Members, ziplist)?;
            }
            Ok(())
        }
        Kind::ListQuicklist2 => strings.quicklist(source, each),
        Kind::SetIntset => strings.intset(source, each),
        Kind::ListZiplist => strings.packed(source, each, Shape::Members, ziplist),
        Kind::ZsetZiplist => strings.packed(source, each, Shape::Scored, ziplist),
        Kind::HashZiplist => strings.packed(source, each, Shape::Fields, ziplist),
        Kind::HashZipmap => strings.packed(source, each, Shape::Fields, zipmap),
        Kind::SetListpack => strings.packed(source, each, Shape::Members, listpack),
        Kind::ZsetListpack => strings.packed(source, each, Shape::Scored, listpack),
        Kind::HashListpack => strings.packed(source, each, Shape::Fields, listpack),
        Kind::HashListpackExpiringDraft => strings.packed(source, each, Shape::Expiring, listpack),
        Kind::HashListpackExpiring => {
            source.skip(8, "the time of the next expiry")?;
            strings.packed(source, each, Shape::Expiring, listpack)
        }
        Kind::Stream
        | Kind::Stream2
        | Kind::Stream3
        | Kind::Stream4
        | Kind::Stream5
        | Kind::Array
        | Kind::Module => walk(kind, source),
    }
}

fn expiry<S: Source>(source: &mut S) -> Result<()> {
    source.length("when a field expires").map(drop)
}

/// What stands side by side in a packed list.
#[derive(Clone, Copy)]
enum Shape {
    Members,
    /// Members, each with its score.
    Scored,
    Fields,
    /// Fields, each with its value and the time when it expires.
    Expiring,
}

/// Strings at hand, kept for the next.
#[derive(Default)]
struct Strings {
    first: Vec<u8>,
    second: Vec<u8>,
    digits: Vec<u8>,
}

impl Strings {
    fn value<S: Source>(&mut self, source: &mut S, each: Each<'_>) -> Result<()> {
        source.string(&mut self.first, "a string")?;
        each(Element::Value(&self.first))
    }

    fn members<S: Source>(
        &mut self,
        source: &mut S,
        each: Each<'_>,
        after: impl Fn(&mut S) -> Result<()>,
    ) -> Result<()> {
        for _ in 0..source.length("a number of elements")? {
            source.string(&mut self.first, "an element")?;
            after(source)?;
            each(Element::Member(&self.first))?;
        }
        Ok(())
    }

    fn fields<S: Source>(
        &mut self,
        source: &mut S,
        each: Each<'_>,
        before: impl Fn(&mut S) -> Result<()>,
        after: impl Fn(&mut S) -> Result<()>,
    ) -> Result<()> {
        for _ in 0..source.length("a number of fields")? {
            before(source)?;
            source.string(&mut self.first, "a field")?;
            source.string(&mut self.second, "the value of a field")?;
            after(source)?;
            each(Element::Field { name: &self.first, value: &self.second })?;
        }
        Ok(())
    }

    fn quicklist<S: Source>(&mut self, source: &mut S, each: Each<'_>) -> Result<()> {
        for _ in 0..source.length("a number of nodes")? {
            let offset = source.offset();
            match source.length("how a node is packed")? {
                PLAIN => {
                    source.string(&mut self.first, "an element")?;
                    each(Element::Member(&self.first))?;
                }
                PACKED => self.packed(source, each, Shape::Members, listpack)?,
                _ => return Err(source.damaged(offset, "how a node is packed")),
            }
        }
        Ok(())
    }

    fn intset<S: Source>(&mut self, source: &mut S, each: Each<'_>) -> Result<()> {
        let offset = source.offset();
        source.string(&mut self.first, "a set of numbers")?;
        for number in intset(&self.first).ok_or_else(|| source.damaged(offset, "a set of numbers"))? {
            self.digits.clear();
            append_number(&mut self.digits, number);
            each(Element::Member(&self.digits))?;
        }
        Ok(())
    }

    fn packed<S: Source>(
        &mut self,
        source: &mut S,
        each: Each<'_>,
        shape: Shape,
        open: fn(&[u8]) -> Option<Elements<'_>>,
    ) -> Result<()> {
        let offset = source.offset();
        source.string(&mut self.first, "a packed list")?;
        let damaged = || source.damaged(offset, "a packed list");
        let mut elements = open(&self.first).ok_or_else(damaged)?;
        while let Some(element) = elements.next() {
            let element = element.ok_or_else(damaged)?.string(&mut self.digits);
            let mut and = || elements.next().flatten().ok_or_else(damaged);
            match shape {
                Shape::Members => each(Element::Member(element))?,
                Shape::Scored => {
                    and()?;
                    each(Element::Member(element))?;
                }
                Shape::Fields | Shape::Expiring => {
                    let value: Packed<'_> = and()?;
                    if matches!(shape, Shape::Expiring) {
                        and()?;
                    }
                    each(Element::Field { name: element, value: value.string(&mut self.second) })?;
                }
            }
        }
        Ok(())
    }
}
