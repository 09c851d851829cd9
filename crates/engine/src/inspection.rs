//! What inspections mean for a run.

use dumprestore_driver::{Claim, Error, Inspection, NodePath, Problem, Result, Severity};

use crate::event::{Event, Observer};

/// Refuses a run that an inspection says will fail: on problems of severity `Error`, and on those of `also`. Tells the
/// others to the observer.
pub(crate) fn refuse(
    observer: &dyn Observer,
    node: &NodePath,
    inspection: &Inspection,
    also: &[Severity],
) -> Result<()> {
    for problem in &inspection.problems {
        if problem.severity == Severity::Error || also.contains(&problem.severity) {
            return Err(as_error(problem).with_node(node));
        }
        if problem.severity == Severity::Warning {
            tell(observer, node, problem);
        }
    }
    Ok(())
}

/// Whether two nodes restore into one place.
pub(crate) fn overlap(a: &Inspection, b: &Inspection) -> bool {
    a.claims.iter().any(|a| b.claims.iter().any(|b| claims_overlap(a, b)))
}

/// Whether two claims are on one place, or one within the other.
pub(crate) fn claims_overlap(a: &Claim, b: &Claim) -> bool {
    match (a, b) {
        (Claim::Path(a), Claim::Path(b)) => a.starts_with(b) || b.starts_with(a),
        (a, b) => a == b,
    }
}

fn as_error(problem: &Problem) -> Error {
    let error = Error::environment(&problem.message);
    match &problem.hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn tell(observer: &dyn Observer, node: &NodePath, problem: &Problem) {
    observer.event(&Event::Notice {
        severity: problem.severity,
        node: Some(node.clone()),
        message: problem.message.clone(),
        hint: problem.hint.clone(),
    });
}
