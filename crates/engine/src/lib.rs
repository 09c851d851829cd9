//! Dump and restore the whole state of an application, coherent, all or nothing.
