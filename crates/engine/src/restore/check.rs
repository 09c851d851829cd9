//! Whether references hold in what is staged, before any of it is swapped in.

use dumprestore_archive::Manifest;
use dumprestore_driver::{Edge, Error, ErrorKind, NodePath, Result};

use super::transaction::Transaction;
use crate::event::warn;
use crate::reference_check::{self, EdgeCheck, LinkEnd, Room};
use crate::run::Run;
use crate::set::BackupSet;

/// Checks all references whose both ends are staged. Gives how many dangle.
///
/// # Errors
/// [`ErrorKind::Dangling`] if a reference dangles that the archive's certificate says does not: then the archive was
/// loaded wrongly, and must not be swapped in. What dangled at the dump already is only told.
pub(super) async fn references(
    set: &BackupSet,
    transaction: &Transaction,
    manifest: Option<&Manifest>,
    run: &Run,
) -> Result<u64> {
    let mut dangling = 0;
    for edge in set.edges() {
        let (Some(from), Some(to)) = (end(transaction, edge, true), end(transaction, edge, false)) else {
            continue;
        };
        // Of a node that is restored in part, the certificate says nothing.
        let whole = |path: &NodePath| transaction.steps.iter().any(|step| step.node == *path && step.whole);
        let is_certified = certified(manifest, edge) && whole(&edge.from) && whole(&edge.to);
        let check = match reference_check::check(edge, &from, &to, &mut Room::default(), &run.stop).await {
            Ok(check) => check,
            Err(error) if is_certified || error.kind() == ErrorKind::Cancelled => {
                return Err(error);
            }
            // What was dumped without a certificate may be too broken for its references to be read, and may be all
            // that there is.
            Err(error) => {
                let message = format!("references to `{}` could not be checked: {error}", edge.to);
                warn(&*run.observer, Some(&edge.from), message, None);
                continue;
            }
        };
        if check.dangling() == 0 {
            continue;
        }
        dangling += check.dangling();
        if is_certified {
            return Err(refusal(edge, &check));
        }
        let message = format!("{} references of `{}` to `{}` dangle", check.dangling(), edge.from, edge.to);
        warn(&*run.observer, Some(&edge.from), message, examples(&check));
    }
    Ok(dangling)
}

fn end(transaction: &Transaction, edge: &Edge, referrer: bool) -> Option<LinkEnd> {
    let path = if referrer { &edge.from } else { &edge.to };
    let step = transaction.steps.iter().find(|step| step.node == *path)?;
    Some(LinkEnd::Staging(step.staging.clone()))
}

/// Whether the archive says that all references of this edge resolve.
fn certified(manifest: Option<&Manifest>, edge: &Edge) -> bool {
    let edges = manifest.map_or(&[][..], |manifest| &manifest.edges);
    edges.iter().any(|archived| {
        archived.certified
            && archived.from == edge.from.as_str()
            && archived.to == edge.to.as_str()
            && archived.keys == edge.keys
            && archived.r#in == edge.within
    })
}

fn refusal(edge: &Edge, check: &EdgeCheck) -> Error {
    let message = format!("{} references to `{}` dangle in what was staged", check.dangling(), edge.to);
    let error = Error::new(ErrorKind::Dangling, message).with_node(&edge.from);
    match examples(check) {
        Some(examples) => error.with_hint(examples),
        None => error,
    }
}

fn examples(check: &EdgeCheck) -> Option<String> {
    let some: Vec<_> =
        check.unresolved.iter().take(3).map(|bad| format!("`{}`: {}", bad.reference.key, bad.why)).collect();
    if some.is_empty() { None } else { Some(format!("for example {}", some.join(", "))) }
}
