//! What goes in comes out.

mod sample;

use sample::*;

#[test]
fn everything_comes_back_as_it_was() {
    let (bytes, expected) = everything(&METHODS, 1);
    let archive = open(&bytes).unwrap();
    assert_eq!(contents(&archive).unwrap(), expected);
    assert_eq!(verify(&archive).unwrap().parts, expected.len() as u64);
}

#[test]
fn an_archive_without_parts_is_an_archive() {
    let (maker, written) = Maker::memory();
    maker.seal();
    let archive = open(&written.bytes()).unwrap();
    assert_eq!(verify(&archive).unwrap().parts, 0);
}
