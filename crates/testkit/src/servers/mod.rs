//! Throw-away real servers: on free ports, in temporary folders, as an ordinary user, many at once.
//!
//! Each lives in the hands of a [`Keeper`], a process of a few lines of shell, which ends the server and removes its
//! folder when whoever started it is gone, even by a `kill -9`.

mod account;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "redis"))]
mod authority;
mod keeper;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
mod programs;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod room;
#[cfg(feature = "s3")]
mod s3;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "redis", feature = "s3"))]
mod server;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod template;

pub use account::Account;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "redis"))]
pub use authority::Authority;
pub use keeper::Keeper;
#[cfg(feature = "mysql")]
pub use mysql::{MysqlFamily, MysqlOptions, MysqlServer, MysqlVersion};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresOptions, PostgresServer, PostgresVersion};
pub use programs::Programs;
#[cfg(feature = "redis")]
pub use redis::{RedisCluster, RedisOptions, RedisServer, RedisVersion};
#[cfg(feature = "s3")]
pub use s3::{S3Answer, S3Bucket, S3Kind, S3Object, S3Server, S3Upload, S3Version};

/// Whether a process has ended, reaped or not.
#[cfg(any(feature = "mysql", feature = "postgres", feature = "redis", feature = "s3"))]
fn has_ended(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
}

#[cfg(any(feature = "mysql", feature = "postgres", feature = "redis"))]
fn run(command: &mut std::process::Command) {
    let output = command.output().unwrap_or_else(|error| panic!("can't start {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
