//! One object store and a prefix in it, by URL.
//!
//! # From the top
//!
//! A [`BucketUrl`] says which store: `s3://bucket/prefix`, `gs://bucket/prefix`, `azblob://container/prefix`, or
//! `fs:///folder`. [`BucketOptions`] say how to get there: endpoint, region, credentials, limits. [`Bucket::open`] makes
//! a [`Bucket`] of both, without a word to the network.
//!
//! What every store can do goes through its [`operator`](Bucket::operator), an OpenDAL one: list, read, write, copy,
//! delete. What only S3 has, the bucket asks for itself: its [`versioning`](Bucket::versioning), its
//! [`lifecycle`](Bucket::lifecycle) rules, its [unfinished uploads](Bucket::unfinished_uploads), its
//! [clock](Bucket::server_time).
//!
//! Whatever goes wrong becomes an error for people by [`Bucket::failed`]: what failed, on which object, why, and what to
//! do. OpenDAL's own errors hold whole requests; they must never be shown.
//!
//! # Limits
//!
//! A bucket has at most [`concurrency`](BucketOptions::concurrency) requests under way, its clones and whatever lies
//! [`within`](Bucket::within) it included. A request that was throttled, refused by a busy server, or cut off is tried
//! again, with growing pauses. Nothing limits how long a body may take, only how long it may stand still.

mod bucket;
mod credentials;
mod endpoint;
mod fault;
mod identity;
mod local;
mod options;
mod pause;
mod readable;
mod s3;
mod service;
mod tls;
mod transport;
mod trouble;
mod url;
mod veil;

pub use bucket::Bucket;
pub use local::PARTIAL_FOLDER;
pub use options::BucketOptions;
pub use readable::UNREADABLE;
pub use s3::{
    Expiration, LifecycleRule, Listed, Lock, LockMode, Locking, Marker, Page, Transition, UnfinishedUpload,
    Versioning,
};
pub use url::{BucketUrl, Scheme};

pub use opendal;
