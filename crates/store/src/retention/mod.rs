//! Which archives are kept, and why.

mod judge;
mod keep;
mod period;
mod reason;

pub use judge::{Candidate, Judgement, Verdict, judge};
pub use keep::{Keep, Span};
pub use period::Rhythm;
pub use reason::{KeptFor, RemovedFor, Ruling};
