//! The dumprestore driver for SQLite databases.
