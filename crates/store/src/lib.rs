//! Where archives live: names, places, encryption, and which of them are kept.
//!
//! # From the top
//!
//! A [`Place`] is a folder, a file, a prefix of a bucket, or an object of it. A [`StoreDestination`] is one such place or
//! several, into which a dump goes at once; [`open`] opens an archive where it lies, and reads of it what is needed, by
//! ranges. Nothing is kept on local disk either way.
//!
//! A [`Shelf`] is all the places of one set, with how archives are named there: it finds the `latest` one, one of a moment,
//! or one by its name. [`ArchiveOptions`] are what a configuration says of all this.
//!
//! [`judge`] says of each archive of a set whether it stays by a policy, [`Keep`], and why: a pure function, which
//! removes nothing itself.
//!
//! [`Encryption`] makes any [`Output`](dumprestore_archive::Output) an encrypted one; [`readable`] gives the content of a
//! file that may be encrypted, with the [`Identities`] that there are. [`rewrap`] writes an archive for others.
//!
//! [`diff`](diff()) says what changed between two archives, and a [`Blueprint`] describes a bucket for them to Terraform.

mod amount;
mod carry;
mod destination;
mod diff;
mod encryption;
mod half;
mod notes;
mod object;
mod place;
mod proof;
mod prune;
mod read;
mod replacement;
mod retention;
mod settings;
mod shelf;
mod template;
mod terraform;
mod told;
mod transfers;
mod write;

pub use amount::{Amount, Rate};
pub use carry::Cargo;
pub use destination::{StoreDestination, Target, WriteSettings, limited};
pub use diff::{ArchiveDiff, ChangedFact, EdgeDiff, NodeDiff, PartChange, PartCounts, Presence, Sides, diff};
pub use dumprestore_bucket::BucketOptions;
pub use encryption::{
    DecryptedRead, EncryptedOutput, Encryption, EncryptionOptions, Identities, IdentityOption,
    IdentitySource, Rewrapped, check_rewrapped, is_encrypted, readable, rewrap,
};
pub use object::Object;
pub use place::Place;
pub use prune::{Judged, PrunePlan, Pruned, Unreadable};
pub use read::StoredArchive;
pub use replacement::{Seen, free_beside};
pub use retention::{Candidate, Judgement, Keep, KeptFor, RemovedFor, Rhythm, Ruling, Span, Verdict, judge};
pub use settings::{ArchiveOptions, ArchiveSettings, SetPlace};
pub use shelf::{
    ArchivedNode, BEFORE_RESTORE, Copies, Entry, LATEST, Latest, Listed, Listing, Shelf, StoredCopy, Summary,
    Unusable, WrongClock, name_of, open, parse_moment, place_of_path,
};
pub use template::{Naming, Template};
pub use terraform::{Blueprint, Cloud, Retention};
