//! Option files are read as the client programs read them: `my_print_defaults` has the last word.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use dumprestore_driver::Error;
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::target::{Place, Target};
use super::{context, nobody, write};
use crate::config::MysqlConfig;

/// A URL, an option file, and the group of it to read.
fn read(url: Option<&str>, file: &Path, group: Option<&str>) -> Result<Target, Error> {
    let mut config = MysqlConfig::new(url.unwrap_or_default());
    if url.is_none() {
        config.url = None;
    }
    config.defaults_file = Some(file.to_owned());
    config.defaults_group = group.map(str::to_owned);
    config.with_variables(nobody()).setup(&context()).map(|setup| setup.target)
}

fn of(text: &str) -> Target {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("my.cnf");
    write(&file, text);
    read(None, &file, None).unwrap()
}

fn password_of(target: &Target) -> Option<&str> {
    target.password.as_ref().map(|password| password.expose())
}

#[test]
fn a_group_fills_in_what_the_url_leaves_out() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("my.cnf");
    write(
        &file,
        "[mysqld]\nport=1\n\n[client]\nuser = someone\nhost=db.example\nport=3307\n\n[backup]\nuser=backup\npassword=of-backup\n\
         host = backup.example\ndatabase=shop\nssl-mode=REQUIRED\n",
    );
    let target = read(None, &file, Some("backup")).unwrap();
    assert_eq!(target.to_string(), "mysql://backup@backup.example:3306/shop");
    assert_eq!(password_of(&target), Some("of-backup"));
    let target = read(Some("mysql://me:mine@/other"), &file, None).unwrap();
    assert_eq!(target.to_string(), "mysql://me@db.example:3307/other");
    assert_eq!(password_of(&target), Some("mine"));
}

#[test]
fn a_group_or_a_file_that_is_not_there_is_an_error() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("my.cnf");
    let error = read(Some("mysql://u@h/d"), &file, None).unwrap_err();
    assert!(error.to_string().starts_with("can't read an option file (file: "), "{error}");
    write(&file, "[client]\nuser=u\n");
    let error = read(Some("mysql://u@h/d"), &file, Some("backup")).unwrap_err();
    assert_eq!(error.to_string(), "there is no group `[backup]` in the option files");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    let error = read(Some("mysql://u@h/d"), &file, None).unwrap_err();
    assert!(error.to_string().starts_with("an option file can be written by everybody"), "{error}");
}

#[test]
fn files_include_files_and_folders() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("conf.d")).unwrap();
    write(&at("my.cnf"), "[client]\nuser=first\n!include more.cnf\n!includedir conf.d\n");
    write(&at("more.cnf"), "[client]\nhost=h\nuser=second\n");
    write(&at("conf.d/b.cnf"), "[dumprestore]\ndatabase=d\nuser=fourth\n");
    write(&at("conf.d/a.cnf"), "[client]\nuser=third\n");
    write(&at("conf.d/c.cnf~"), "[client]\nuser=nobody\n");
    assert_eq!(read(None, &at("my.cnf"), None).unwrap().to_string(), "mysql://fourth@h:3306/d");
    write(&at("more.cnf"), "!include my.cnf\n");
    let error = read(None, &at("my.cnf"), None).unwrap_err();
    assert!(error.to_string().starts_with("option files include each other"), "{error}");
}

#[test]
fn the_usual_files_are_read_if_none_is_named() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("etc/mysql")).unwrap();
    write(&at("etc/my.cnf"), "[client]\nuser=system\nport=3310\nhost=h\n");
    write(&at("etc/mysql/my.cnf"), "[client-server]\nport=3311\n");
    write(&at(".my.cnf"), "[client]\nuser=own\npassword=secret\n");
    let variables = [("HOME", folder.path().to_path_buf()), ("DUMPRESTORE_TEST_ETC", at("etc"))]
        .map(|(name, path)| (name.to_owned(), path.to_str().unwrap().to_owned()));
    let read =
        || MysqlConfig::new("mysql:///d").with_variables(variables.clone()).setup(&context()).unwrap().target;
    assert_eq!(read().to_string(), "mysql://own@h:3311/d");
    // As every client does.
    std::fs::set_permissions(at(".my.cnf"), std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!((read().to_string().as_str(), read().password), ("mysql://system@h:3311/d", None));
}

#[test]
fn a_host_elsewhere_has_no_socket_here() {
    let file = "[client]\nuser=u\ndatabase=d\nsocket=/run/s\nport=3306\n";
    assert_eq!(of(file).place, Place::Socket("/run/s".into()));
    assert_eq!(of(&format!("{file}host=localhost\n")).place, Place::Socket("/run/s".into()));
    assert_eq!(of(&format!("{file}host=db\n")).place.to_string(), "db:3306");
    assert_eq!(of(&format!("{file}protocol=tcp\n")).place.to_string(), "localhost:3306");
}

#[test]
fn what_only_other_programs_know_is_passed_over() {
    let target = of(
        "[client]\nuser=u\ndatabase=d\nhost=h\ndefault-character-set=utf8mb4\nquick\nmax_allowed_packet = 1G\nloose-connect_timeout=3\nssl\n",
    );
    assert_eq!(target.connect_timeout, Some(std::time::Duration::from_secs(3)));
    let folder = TempDir::new().unwrap();
    for option in ["ssl-crl", "ssl-fp", "tls-fp"] {
        write(&folder.path().join("my.cnf"), &format!("[client]\n{option} = x\n"));
        let error = read(Some("mysql://u@h/d"), &folder.path().join("my.cnf"), None).unwrap_err();
        assert!(error.to_string().contains(&format!("option: {option}")), "{error}");
    }
}

/// What MariaDB's own program makes of the file.
fn printed(file: &Path) -> Option<String> {
    let output = std::process::Command::new("my_print_defaults")
        .arg(format!("--defaults-file={}", file.display()))
        .arg("client")
        .output()
        .expect("my_print_defaults is installed");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.strip_prefix("--password=")?.strip_suffix('\n')?.to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_value_is_what_the_servers_own_program_reads(value in r#"[ab#;=' "\\ntsx!\[\]é$-]{0,10}"#) {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("my.cnf");
        write(&file, &format!("[client]\npassword={value}\n"));
        let target = read(Some("mysql://u@h/d"), &file, None).unwrap();
        prop_assert_eq!(password_of(&target).map(str::to_owned), printed(&file));
    }

    #[test]
    fn nothing_in_an_option_file_is_a_panic(text in r#"(\[client\]|password|ssl-ca|host|!include|=|#|\\|'|"|\n| |[a-z]){0,30}"#) {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("my.cnf");
        write(&file, &text);
        let _ = read(Some("mysql://u@h/d"), &file, None);
    }
}
