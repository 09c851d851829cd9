//! Archives that only their recipients can read: [age](https://age-encryption.org/v1) around the whole file.
//!
//! The format is age's own, not armored, so that `age -d` and `rage -d` decrypt what is written here, and what they have
//! encrypted is read here. Its payload is a row of chunks of 64 KiB, each with its own proof: an archive is read in
//! ranges, from several threads at once, and what was changed or cut off is never handed out.

mod identities;
mod identity_file;
mod kinds;
mod lane;
mod options;
mod output;
mod passphrase;
mod position;
mod read;
mod recipients;
mod rewrap;
mod unlock;

pub use identities::{Identities, IdentitySource};
pub use options::{EncryptionOptions, IdentityOption};
pub use output::EncryptedOutput;
pub use read::{DecryptedRead, is_encrypted, readable};
pub use recipients::Encryption;
pub use rewrap::{Rewrapped, check_rewrapped, rewrap};

/// Bytes of content in a chunk of the payload.
pub(crate) const CHUNK: u64 = 64 << 10;
