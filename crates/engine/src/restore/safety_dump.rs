//! The present state, kept as an archive before a restore replaces it.

use dumprestore_archive::Status;
use dumprestore_driver::{Error, ErrorKind, Inspection, NodePath, Problem, Result, Severity};

use super::choose::Chosen;
use super::options::RestoreOptions;
use crate::dump::{ArchiveCopy, CopyOutcome, Destination, DumpOptions, DumpReport, RunHooks, dump_locked};
use crate::event::warn;
use crate::run::Run;
use crate::set::BackupSet;

const HINT: &str = "mend that, or go on without it deliberately: `--best-effort` keeps what can be dumped, and without \
                    `--safety-dump` nothing is kept";

/// Refuses a node that is there and can't be dumped, if a safety dump is asked for and has to be whole.
pub(super) fn refuse(node: &NodePath, inspection: &Inspection, options: &RestoreOptions) -> Result<()> {
    if !options.dumps_first() || options.safety_dump_best_effort || inspection.absent {
        return Ok(());
    }
    match problem(inspection, Severity::NoDump) {
        None => Ok(()),
        Some(problem) => {
            let message = format!("what is there can't be dumped before it is replaced: {}", problem.message);
            Err(Error::environment(message).with_node(node).with_hint(HINT))
        }
    }
}

/// Dumps the present state, except for what is not there. References may dangle in it, and need not be certified: it
/// may be a broken one.
///
/// # Errors
/// If it can't be had whole, and the caller has not said that less will do. Nothing has been touched then.
pub(super) async fn dump(
    set: &BackupSet,
    chosen: &[Chosen],
    restoring: &RestoreOptions,
    run: &Run,
) -> Result<Option<String>> {
    let destination = match (&restoring.safety_dump, &restoring.safety_dump_elsewhere) {
        (Some(path), _) => Destination::new_file(path),
        (None, Some(make)) => Destination::Elsewhere(make()?),
        (None, None) => return Ok(None),
    };
    let mut label = destination.label().unwrap_or_default();
    let mut options = DumpOptions::default();
    for chosen in chosen {
        let inspection = chosen.driver.inspect().await.map_err(|error| error.with_node(&chosen.node))?;
        refuse(&chosen.node, &inspection, restoring)?;
        let tell = |what: &str, message: &str| {
            let message = format!("{what} the safety dump: {message}");
            warn(&*run.observer, Some(&chosen.node), message, None);
        };
        if let Some(problem) = problem(&inspection, Severity::NoCertificate) {
            options.certify = false;
            tell("references are not checked in", &problem.message);
        }
        match problem(&inspection, Severity::NoDump) {
            None => options.only.push(chosen.node.to_string()),
            Some(problem) => tell("not in", &problem.message),
        }
    }
    if options.only.is_empty() {
        return Ok(None);
    }
    options.observer = restoring.observer.clone();
    options.cancel = restoring.cancel.clone();
    options.if_uncertified = Some(crate::IfUncertified::Degraded);
    let run = Run::new(options.observer.clone(), options.cancel.clone());
    let dumped = dump_locked(set, destination, &options, run, RunHooks::No).await;
    let report = dumped.map_err(|error| match (error.kind(), error.hint()) {
        (ErrorKind::Cancelled, _) => error,
        (_, Some(_)) => error.with_context("while", "making the safety dump"),
        (_, None) => error
            .with_context("while", "making the safety dump")
            .with_hint("mend that, or leave out `--safety-dump` deliberately"),
    })?;
    if !report.copies.is_empty() {
        label = places(&report);
    }
    if !restoring.safety_dump_best_effort {
        refuse_degraded(&report, &label)?;
        refuse_unverified(&report, &label)?;
    }
    Ok(Some(label))
}

fn problem(inspection: &Inspection, severity: Severity) -> Option<&Problem> {
    inspection.problems.iter().find(|problem| problem.severity == severity)
}

/// Where it is: not in places that have failed.
fn places(report: &DumpReport) -> String {
    let there = report.copies.iter().filter(|copy| copy.outcome != CopyOutcome::Failed);
    there.map(|copy| copy.place.as_str()).collect::<Vec<_>>().join(", ")
}

/// What is about to be replaced must be somewhere for sure.
fn refuse_unverified(report: &DumpReport, archive: &str) -> Result<()> {
    let is_sure = |copy: &ArchiveCopy| copy.outcome == CopyOutcome::Verified;
    if report.copies.is_empty() || report.copies.iter().any(is_sure) {
        return Ok(());
    }
    let why: Vec<_> = report.copies.iter().filter_map(|copy| copy.why.as_deref()).collect();
    Err(Error::environment(format!("no copy of the safety dump could be checked: {}", why.join("; ")))
        .with_context("what there is of it", archive)
        .with_hint(
            "look at it with `dumprestore verify`; with `--best-effort` the restore goes on, and without \
             `--safety-dump` nothing is kept",
        ))
}

/// What dangles is dumped as it is; what is degraded was not.
fn refuse_degraded(report: &DumpReport, archive: &str) -> Result<()> {
    let Some(degraded) = report.nodes.iter().find(|node| node.status != Status::Ok) else { return Ok(()) };
    let entries = degraded.ledger.iter().filter(|entry| entry.degrades);
    let some: Vec<_> = entries.take(3).map(|entry| format!("`{}`: {}", entry.what, entry.why)).collect();
    Err(Error::environment(format!("the safety dump is not whole: {}", some.join(", ")))
        .with_node(&degraded.node)
        .with_context("what there is of it", archive)
        .with_hint(HINT))
}

#[cfg(test)]
mod tests {
    use dumprestore_driver::LedgerEntry;

    use super::*;
    use crate::dump::{DumpOutcome, DumpedNode};

    fn report(status: Status) -> DumpReport {
        let node = DumpedNode {
            node: NodePath::new("uploads").unwrap(),
            status,
            bytes: 1,
            parts: 1,
            ledger: vec![LedgerEntry::note("a socket", "skipped"), LedgerEntry::degrading("a.jpg", "gone")],
        };
        DumpReport {
            run: "run".into(),
            // This outweighs what is degraded, and must not hide it.
            outcome: DumpOutcome::Dangling,
            archive: None,
            copies: Vec::new(),
            bytes: 1,
            nodes: vec![node],
            edges: Vec::new(),
            cuts: 1,
            verdict: "known".into(),
        }
    }

    #[test]
    fn a_safety_dump_that_lacks_something_is_refused_and_one_that_dangles_is_not() {
        let error = refuse_degraded(&report(Status::Degraded), "/safety.zip").unwrap_err();
        let told = error.to_string();
        assert!(told.contains("uploads: ") && told.contains("`a.jpg`: gone"), "{told}");
        assert!(told.contains("/safety.zip") && !told.contains("socket") && error.hint().is_some(), "{told}");
        refuse_degraded(&report(Status::Ok), "/safety.zip").unwrap();
    }
    #[test]
    fn a_restore_goes_on_only_if_one_copy_was_checked_and_names_those_that_are_there() {
        let mut report = report(Status::Ok);
        let amiss = |place: &str, outcome| ArchiveCopy::amiss(place, outcome, &Error::environment("403"));
        report.copies =
            vec![amiss("s3://a/x.zip", CopyOutcome::Unverified), amiss("s3://b/x.zip", CopyOutcome::Failed)];
        assert_eq!(places(&report), "s3://a/x.zip");
        let error = refuse_unverified(&report, &places(&report)).unwrap_err();
        assert!(error.to_string().contains("403") && error.hint().is_some(), "{error}");
        report.copies.push(ArchiveCopy::verified("/c/x.zip"));
        refuse_unverified(&report, "").unwrap();
        assert_eq!(places(&report), "s3://a/x.zip, /c/x.zip");
    }
}
