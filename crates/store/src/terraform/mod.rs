//! Configuration for [Terraform](https://developer.hashicorp.com/terraform) and OpenTofu: a bucket for archives, and who
//! may do what there.

mod aws;
mod blueprint;
mod gcs;

pub use blueprint::{Blueprint, Cloud, Retention};
