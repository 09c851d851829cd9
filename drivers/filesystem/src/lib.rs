//! The dumprestore driver for folders.
