//! Four nodes of three drivers, two databases of Redis among them: a failure, an interrupt, a `kill -9` of our process
//! and a `kill -9` of the server, at every step of the dump and of the restore. Afterwards all is old or all is new, and
//! nothing is left behind, in the folder or at the server, but what `recover` removes.
//!
//! `DUMPRESTORE_FAULTS` says how many moments are tried of each run (few by default, `all` for every one).

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what they can't go on without ends them")]

use dumprestore_tests::Kiosk;

dumprestore_tests::fault_matrix!(Kiosk, bystanders: |_| ());
