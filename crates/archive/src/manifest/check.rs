//! What a manifest must fulfil before anything in it is believed, or written.

use crate::clash::{Checked, NameCheck};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::manifest::{Content, Node, Part};
use crate::method::Method;
use crate::name::{check_name, full_name, same_but_for_case};
use crate::scratch::Scratch;

/// Checks the paths of nodes.
pub(crate) fn check_nodes(nodes: &[Node]) -> Result<()> {
    if let Some((one, other)) = same_but_for_case(nodes.iter().map(|node| &*node.path)) {
        let message = format!("the node path is the same as `{one}` but for letter case, or wholly");
        return Err(Error::new(ErrorKind::UnsafeName, message).at(other));
    }
    Ok(())
}

/// Checks names and sizes, part by part.
pub(crate) struct Checker<'a> {
    limits: &'a Limits,
    names: NameCheck,
    parts: u64,
    total: u64,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(limits: &'a Limits, scratch: Scratch) -> Self {
        Self { limits, names: NameCheck::new(scratch), parts: 0, total: 0 }
    }

    /// Checks a part of that node, which can be found again by that number. Returns the entry's full name.
    pub(crate) fn add(&mut self, node: &str, part: &Part, number: u32) -> Result<String> {
        check_name(node, &part.name)?;
        let name = full_name(node, &part.name);
        if let Err(error) = self.check(part) {
            return Err(error.at(name));
        }
        self.names.add(&name, number)?;
        Ok(name)
    }

    fn check(&mut self, part: &Part) -> Result<()> {
        let over = |message| Err(Error::new(ErrorKind::Limit, message));
        let limits = self.limits;
        self.parts += 1;
        if self.parts > limits.parts {
            return over(format!("there are more than {} parts", limits.parts));
        }
        check_content(part)?;
        self.total = self.total.saturating_add(part.size);
        if part.size > limits.part_bytes {
            return over(format!("{} bytes are declared, the limit is {}", part.size, limits.part_bytes));
        }
        if self.total > limits.total_bytes {
            return over(format!("more than {} bytes are declared so far", limits.total_bytes));
        }
        let ratio = limits.ratio.min(part.method.greatest_ratio());
        if part.size > part.stored.saturating_mul(ratio) {
            let (size, stored) = (part.size, part.stored);
            return over(format!("{size} bytes are declared for {stored} stored, over {ratio} to 1"));
        }
        Ok(())
    }

    /// Checks all names against each other.
    pub(crate) fn finish(self) -> Result<Checked> {
        self.names.finish()
    }
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
