//! Secrets are read, and never shown.

#![allow(clippy::unwrap_used, reason = "tests: what they can't go on without ends them")]

use dumprestore_driver::{BuildContext, Error, ErrorKind, NodePath, Revealed, Secret};

fn cx(base: &std::path::Path) -> BuildContext {
    BuildContext::new(NodePath::new("db").unwrap(), base)
}

#[test]
fn neither_a_secret_nor_its_value_shows_in_debug() {
    let secret: Secret = serde_json::from_str(r#""hunter2$%""#).unwrap();
    let revealed = secret.reveal(&cx("/".as_ref())).unwrap();
    assert_eq!(revealed.expose(), "hunter2$%");
    let found = Revealed::new("hunter2$%");
    assert_eq!(found, revealed);
    assert!(!format!("{secret:?} {revealed:?} {found:?}").contains("hunter2"));
}

#[test]
fn a_secret_in_a_file_is_read_without_its_line_end_and_only_that() {
    let folder = std::env::temp_dir().join(format!("dumprestore-secret-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("pw"), " two words \r\n").unwrap();
    let secret: Secret = serde_json::from_str(r#""file:pw""#).unwrap();
    let value = secret.reveal(&cx(&folder)).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(value.expose(), " two words ");
    let error = secret.reveal(&cx(&folder)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn an_error_that_travels_through_io_arrives_whole() {
    let sent = Error::archive("block 7 is damaged").with_hint("take another archive");
    let received = Error::io("can't write", std::io::Error::from(sent));
    assert_eq!(received.kind(), ErrorKind::Archive);
    assert_eq!(received.to_string(), "block 7 is damaged");
    assert_eq!(received.hint(), Some("take another archive"));
}
