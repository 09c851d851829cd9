//! What a manifest must fulfil before anything in it is believed, or written.

use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::manifest::{Content, Manifest, Node, Part};
use crate::method::Method;
use crate::name::{EntryName, NameIndex, full_name, same_but_for_case};
use crate::tail::{by_offset, header};

/// Checks names, places and sizes.
pub(crate) fn check(manifest: &Manifest, limits: &Limits) -> Result<()> {
    if let Some((one, other)) = same_but_for_case(manifest.nodes.iter().map(|node| &*node.path)) {
        let message = format!("the node path is the same as `{one}` but for letter case, or wholly");
        return Err(Error::new(ErrorKind::UnsafeName, message).at(other));
    }
    check_names(manifest)?;
    check_sizes(manifest, limits)?;
    check_places(manifest)
}

fn check_names(manifest: &Manifest) -> Result<()> {
    let mut names = NameIndex::default();
    for (node, part) in manifest.parts() {
        let name = EntryName::new(&node.path, &part.name)?.full();
        if !names.insert(&name) {
            return Err(Error::new(ErrorKind::UnsafeName, "two entries have this name").at(name));
        }
    }
    for (node, part) in manifest.parts() {
        let name = full_name(&node.path, &part.name);
        if let Some(above) = names.file_above(&name) {
            let message = format!("its folder `{above}` is an entry itself");
            return Err(Error::new(ErrorKind::UnsafeName, message).at(name));
        }
    }
    Ok(())
}

fn check_sizes(manifest: &Manifest, limits: &Limits) -> Result<()> {
    let mut total: u64 = 0;
    for (number, (node, part)) in (1..).zip(manifest.parts()) {
        let at = |error: Error| error.at(full_name(&node.path, &part.name));
        let over = |message| Err(at(Error::new(ErrorKind::Limit, message)));
        if number > limits.parts {
            return over(format!("there are more than {} parts", limits.parts));
        }
        check_content(part).map_err(at)?;
        total = total.saturating_add(part.size);
        if part.size > limits.part_bytes {
            return over(format!("{} bytes are declared, the limit is {}", part.size, limits.part_bytes));
        }
        if total > limits.total_bytes {
            return over(format!("more than {} bytes are declared so far", limits.total_bytes));
        }
        let ratio = limits.ratio.min(part.method.greatest_ratio());
        if part.size > part.stored.saturating_mul(ratio) {
            let (size, stored) = (part.size, part.stored);
            return over(format!("{size} bytes are declared for {stored} stored, over {ratio} to 1"));
        }
    }
    Ok(())
}

fn check_content(part: &Part) -> Result<()> {
    if let Content::Unknown(place) = &part.content {
        let message =
            format!("the content lies in `{}`, a place unknown to this version", place.escape_debug());
        return Err(Error::new(ErrorKind::Unsupported, message).hint("update dumprestore"));
    }
    if part.method == Method::Store && part.size != part.stored {
        return Err(Error::damaged("it is stored as it is, but its sizes differ"));
    }
    Ok(())
}

/// No two entries share a byte, and none reaches into the manifest.
fn check_places(manifest: &Manifest) -> Result<()> {
    let parts = by_offset(manifest);
    let ends = parts.iter().skip(1).map(|(_, next)| next.offset).chain([manifest.preceding.bytes]);
    for ((node, part), end) in parts.iter().zip(ends) {
        let name = full_name(node, &part.name);
        let len = header(manifest, part, &name).total_len();
        if part.offset.saturating_add(len) > end {
            return Err(Error::damaged("it overlaps what follows it in the archive").at(name));
        }
    }
    Ok(())
}

impl Node {
    /// Numbers of the parts in the order of their names, for looking them up.
    pub(crate) fn parts_by_name(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> = (0..).take(self.parts.len()).collect();
        numbers.sort_unstable_by(|&a, &b| self.parts[a as usize].name.cmp(&self.parts[b as usize].name));
        numbers
    }
}
