//! What inspections mean for a run.

use std::path::{Path, PathBuf};

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
    a.claims.iter().any(|a| b.claims.iter().any(|b| a.overlaps(b)))
}

/// Whether that place of archives, such as `s3.amazonaws.com/backups/shop` or `fs:///backups`, lies in what a restore replaces.
pub(crate) fn holds(claim: &Claim, place: &str) -> bool {
    match (claim, place.strip_prefix("fs://")) {
        (Claim::Path(claimed), Some(path)) => resolved(Path::new(path)).starts_with(claimed),
        _ => claim.holds_place(place),
    }
}

/// The path with all links resolved, as far as it exists.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let exists = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match exists {
        Some((above, real)) => path.strip_prefix(above).map_or(path.clone(), |rest| real.join(rest)),
        None => path,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_archives_are_found_within_claims() {
        let bucket = Claim::Prefix("host:9000/shop/media".to_owned());
        for (place, lies_within) in [
            ("host:9000/shop/media", true),
            ("host:9000/shop/media/archives", true),
            ("host:9000/shop/media2", false),
            ("host:9001/shop/media/archives", false),
            ("host:9000/shop", false),
            ("fs:///shop/media", false),
        ] {
            assert_eq!(holds(&bucket, place), lies_within, "{place}");
        }
        let folder = Claim::Path(PathBuf::from("/no such/media"));
        assert!(holds(&folder, "fs:///no such/media/archives") && holds(&folder, "fs:///no such/media"));
        assert!(!holds(&folder, "fs:///no such/media2") && !holds(&folder, "s3://no such/media"));
    }
}
