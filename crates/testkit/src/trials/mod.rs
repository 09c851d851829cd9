//! The trials. Each is named by the behaviour that it proves, and is listed in the table of `trial.rs`.

pub(crate) mod contract;
pub(crate) mod crash;
pub(crate) mod dump;
pub(crate) mod links;
pub(crate) mod partial;
pub(crate) mod place;
pub(crate) mod restore;
pub(crate) mod undo;

use crate::Broken;

/// Fails with what was seen, unless it is so.
pub(crate) fn ensure(so: bool, what: impl FnOnce() -> String) -> Result<(), Broken> {
    if so { Ok(()) } else { Err(Broken::new(what())) }
}
