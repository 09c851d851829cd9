//! The conformance suite of dumprestore drivers, and fault injection.
