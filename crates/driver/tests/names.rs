//! Names: what goes in comes out, and what is unfit never gets in.

#![allow(clippy::unwrap_used, reason = "tests: what they can't go on without ends them")]

use dumprestore_driver::{NodePath, PartName};
use proptest::prelude::*;

proptest! {
    #[test]
    fn an_escaped_name_gives_its_bytes_back(path in prop::collection::vec(any::<u8>(), 1..60)) {
        let fine = path.split(|byte| *byte == b'/').all(|c| !matches!(c, b"" | b"." | b".."));
        match PartName::escape(&path) {
            Ok(name) => {
                prop_assert!(fine);
                prop_assert_eq!(name.unescape(), path);
                prop_assert!(PartName::new(name.as_str()).is_ok());
            }
            Err(_) => prop_assert!(!fine),
        }
    }

    #[test]
    fn any_name_but_an_empty_one_is_escaped_to_one_component_and_given_back(
        name in prop_oneof![prop::collection::vec(any::<u8>(), 1..60), "[./%\\\\a]{1,4}".prop_map(String::into_bytes)]
    ) {
        let component = PartName::escape_component(&name).unwrap();
        prop_assert!(!component.as_str().contains('/'));
        prop_assert_eq!(component.unescape(), name);
    }

    #[test]
    fn no_part_name_climbs_out(name in "[a-z./\\\\%\u{0}-\u{20}]{0,12}") {
        if let Ok(name) = PartName::new(name) {
            prop_assert!(!name.as_str().starts_with('/'));
            prop_assert!(name.as_str().split('/').all(|c| c != ".." && c != "." && !c.is_empty()));
        }
    }
}

#[test]
fn an_empty_name_makes_no_component() {
    PartName::escape_component(b"").unwrap_err();
}

#[test]
fn a_node_lies_within_itself_and_its_parents_but_not_within_a_namesake() {
    let node = |path| NodePath::new(path).unwrap();
    assert!(node("files.media").is_within(&node("files")));
    assert!(node("files").is_within(&node("files")));
    assert!(!node("files2").is_within(&node("files")));
    assert!(!node("files").is_within(&node("files.media")));
}

#[test]
fn unfit_node_names_are_refused_with_a_hint() {
    for name in ["", "a..b", "-a", "a b", "ä", ".", "a/b", &"x".repeat(65)] {
        let error = NodePath::new(name).unwrap_err();
        assert!(error.hint().is_some(), "{error:?}");
    }
}
