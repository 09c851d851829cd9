//! The dumprestore driver for anything with a command that dumps and one that restores.
