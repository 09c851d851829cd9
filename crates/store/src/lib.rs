//! Where archives live: names, places, encryption, and which of them are kept.
//!
//! # From the top
//!
//! [`judge`] says of each archive of a set whether it stays by a policy, [`Keep`], and why: a pure function, which
//! removes nothing itself.

mod retention;

pub use retention::{Candidate, Judgement, Keep, KeptFor, RemovedFor, Rhythm, Ruling, Span, Verdict, judge};
