//! What a configuration means.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod fixture;

use std::collections::BTreeMap;
use std::path::Path;

use dumprestore::{
    BackupSet, Compression, ConfigOrigin, ErrorKind, HookPoint, IfUncertified, NodePath, OnError, Overrides,
    Registry,
};
use fixture::{load, load_with, origin, paths, registry, told};

const SHOP: &str = r#"
version: 1
name: shop
archive: { to: backups/ }
parallel: 4
compression: zstd
hooks:
  before_dump: [["./maintenance", "on"]]
  always:
    - run: [curl, "${PING}"]
      timeout: 1m 30s
      on_error: continue
      env: { TOKEN: "${TOKEN}", MODE: plain }
coherence: { max_cuts: 2, if_uncertified: degraded }
set:
  - name: db
    driver: table
    path: data/shop.db
    rows: 500
    passphrase: ${PASSPHRASE}
    references:
      - { to: uploads, keys: "SELECT image FROM product" }
  - name: sessions
    driver: stream
    url: redis://cache:${REDIS_PASSWORD}@redis/0
    references: [db]
  - name: files
    compression: store
    children:
      - { name: uploads, driver: folder, path: /var/uploads }
      - { name: exports, driver: folder, path: exports, compression: deflate, parallel: 1, after: uploads }
"#;

const VARIABLES: &[(&str, &str)] = &[
    ("PING", "https://ping/1"),
    ("TOKEN", "t0k#n"),
    ("PASSPHRASE", "pa$$ %:#'\""),
    ("REDIS_PASSWORD", "s3cr3t"),
];

fn path(text: &str) -> NodePath {
    NodePath::new(text).unwrap()
}

#[test]
fn every_key_of_a_set_arrives() {
    let set = load_with(SHOP, VARIABLES).unwrap();
    assert_eq!(set.name(), "shop");
    assert_eq!(set.base(), Path::new("/srv/shop"));
    assert_eq!(set.state_dir(), Path::new("/srv/shop/.dumprestore"));
    assert_eq!(set.archive().unwrap().local, [Path::new("/srv/shop/backups/")]);
    assert!(set.allow_restore());
    assert_eq!(set.parallel().unwrap().get(), 4);
    assert_eq!(set.coherence().max_cuts.get(), 2);
    assert_eq!(set.coherence().if_uncertified, IfUncertified::Degraded);
    assert_eq!(set.hooks().at(HookPoint::BeforeDump)[0].run, ["./maintenance", "on"]);
    let always = &set.hooks().at(HookPoint::Always)[0];
    assert_eq!(always.run, ["curl", "https://ping/1"]);
    assert_eq!(always.timeout.unwrap().as_secs(), 90);
    assert_eq!(always.on_error, OnError::Continue);
    assert_eq!(always.env["TOKEN"].expose(), "t0k#n");
    assert!(!format!("{always:?}").contains("t0k#n"));
}

#[test]
fn every_key_of_a_node_arrives() {
    let set = load_with(SHOP, VARIABLES).unwrap();
    let names: Vec<&str> = set.nodes().iter().map(|node| node.path().as_str()).collect();
    assert_eq!(names, ["db", "sessions", "files", "files.uploads", "files.exports"]);
    let exports = set.node(&path("files.exports")).unwrap();
    assert_eq!(exports.driver().unwrap().target(), "/srv/shop/exports");
    assert_eq!(exports.compression(), Compression::Deflate);
    assert_eq!(exports.parallel().unwrap().get(), 1);
    assert_eq!(exports.parent(), Some(&path("files")));
    let uploads = set.node(&path("files.uploads")).unwrap();
    assert_eq!(uploads.compression(), Compression::Store, "from its parent");
    assert_eq!(set.node(&path("db")).unwrap().compression(), Compression::Zstd, "from the set");
    let files = set.node(&path("files")).unwrap();
    assert!(files.driver().is_none());
    assert_eq!(paths(files.children()), ["files.uploads", "files.exports"]);
    assert_eq!(
        set.node(&path("db")).unwrap().driver().unwrap().target(),
        "/srv/shop/data/shop.db Some(500) false"
    );
}

#[test]
fn a_referrer_comes_before_its_referent_and_certified_edges_are_told_from_others() {
    let set = load_with(SHOP, VARIABLES).unwrap();
    assert_eq!(paths(set.dump_order()), ["sessions", "db", "files.uploads", "files.exports"]);
    assert_eq!(paths(&set.restore_order()), ["files.exports", "files.uploads", "db", "sessions"]);
    assert_eq!(set.edges().len(), 1);
    assert_eq!((set.edges()[0].from.as_str(), set.edges()[0].to.as_str()), ("db", "files.uploads"));
    assert_eq!(set.edges()[0].keys, "SELECT image FROM product");
    assert_eq!(set.order_edges().len(), 2);
}

#[test]
fn the_plan_reads_well() {
    let plan = load_with(SHOP, VARIABLES).unwrap().order_plan();
    let json = serde_json::to_string_pretty(&plan).unwrap();
    insta::assert_snapshot!(format!("{plan}\n{json}\n\n{}", plan.mermaid()));
}

#[test]
fn the_manifest_gets_variables_as_they_are_written_and_literal_secrets_masked() {
    let config = r#"
version: 1
name: shop
password: hunter2
set:
  - { name: a, driver: stream, url: "a://u:hunter2@h/d", lines: 0 }
  - { name: b, driver: stream, url: "${URL}" }
  - { name: c, driver: stream, url: "a://u:${PW}@h:${PORT:-hunter2}/d" }
  - { name: d, driver: stream, url: "file:secret/url" }
  - name: e
    driver: table
    path: "x?password=hunter2&a=b"
    passphrase: hunter2
    labels: { home: "https://me:hunter2@h/${X}", token: hunter2, deep: "${TOKEN}" }
hooks:
  always: [[curl, "https://u:hunter2@h"], { run: [b], env: { A: hunter2, B: "${B}" } }]
"#;
    let error = load_with(config, VARIABLES).unwrap_err();
    assert!(!told(&error).contains("hunter2"), "{error}");
    let config = config.replace("password: hunter2\nset", "set").replace("file:secret/url", "${URL:-}a://b");
    let set =
        load_with(&config, &[("URL", "a://b"), ("PW", "s3cr3t"), ("X", "1"), ("TOKEN", "t"), ("B", "b")])
            .unwrap();
    let json = serde_json::to_string_pretty(set.config()).unwrap();
    assert!(!json.contains("hunter2") && !json.contains("s3cr3t"), "{json}");
    insta::assert_snapshot!(json);
}

fn target_of(options: &str, variables: &[(&str, &str)]) -> String {
    let config = format!("version: 1\nname: shop\nset:\n  - name: db\n    driver: table\n{options}");
    let set = load_with(&config, variables).unwrap();
    set.nodes()[0].driver().unwrap().target()
}

#[test]
fn text_without_quotes_stays_as_it_is_written() {
    for written in ["NO", "off", "0123", "1.10", "true", "1e3", "0x1F", "12:30", "-x"] {
        assert_eq!(
            target_of(&format!("    path: {written}\n"), &[]),
            format!("/srv/shop/{written} None false")
        );
    }
}

#[test]
fn a_variable_without_quotes_is_typed_by_its_value_and_one_in_quotes_is_text() {
    let target = target_of(
        "    path: ${P}\n    rows: ${N}\n    again: ${B}\n",
        &[("P", "7"), ("N", "7"), ("B", "true")],
    );
    assert_eq!(target, "/srv/shop/7 Some(7) true");
    assert_eq!(target_of("    path: x\n    rows: ${N:-}\n", &[]), "/srv/shop/x None false");
    let quoted = "version: 1\nname: shop\nset: [{ name: db, driver: table, path: x, rows: \"${N}\" }]\n";
    let error = load_with(quoted, &[("N", "7")]).unwrap_err();
    assert!(error.message().contains("found `${N}`"), "{error}");
}

#[test]
fn a_value_can_hold_anything_and_becomes_no_yaml() {
    for value in ["pa$$w${X}rd", "a: b", "# x", "\"'", "{a: b}", "\n  - x: y\n", "*a", "null", "~"] {
        assert_eq!(target_of("    path: ${V}\n", &[("V", value)]), format!("/srv/shop/{value} None false"));
        assert_eq!(target_of("    path: '${V}'\n", &[("V", value)]), format!("/srv/shop/{value} None false"));
    }
}

#[test]
fn a_dollar_stands_for_itself_and_a_default_for_an_unset_or_empty_variable() {
    let target = |path: &str| target_of(&format!("    path: '{path}'\n"), &[("EMPTY", ""), ("SET", "v")]);
    for (written, meant) in [
        ("a$b$$c$", "a$b$$c$"),
        ("$${SET}", "${SET}"),
        ("${SET:-x}", "v"),
        ("${EMPTY:-x y}", "x y"),
        ("${UNSET:-x:-y}", "x:-y"),
        ("${EMPTY}z", "z"),
    ] {
        assert_eq!(target(written), format!("/srv/shop/{meant} None false"));
    }
}

#[test]
fn where_only_the_file_variable_is_set_the_value_is_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("n"), "77\n").unwrap();
    std::fs::write(folder.path().join("long"), "7".repeat(70_000)).unwrap();
    let load = |variables: &[(&str, &str)]| {
        let variables: BTreeMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let origin = ConfigOrigin::new("d.yaml", folder.path());
        let text =
            "version: 1\nname: shop\nset:\n  - name: db\n    driver: table\n    path: x\n    rows: ${N}\n";
        BackupSet::from_yaml(text, &origin, &registry(), &variables, &Overrides::none())
    };
    let rows = |set: BackupSet| set.nodes()[0].driver().unwrap().target();
    assert!(rows(load(&[("N_FILE", "n")]).unwrap()).ends_with("Some(77) false"));
    assert!(rows(load(&[("N_FILE", "n"), ("N", "5")]).unwrap()).ends_with("Some(5) false"));
    assert!(load(&[("N_FILE", "long")]).unwrap_err().message().contains("longer than 64 KiB"));
    assert!(load(&[("N_FILE", "none")]).unwrap_err().message().contains("can't be read"));
}

#[test]
fn aliases_stand_for_whole_values_and_only_so_many() {
    let set = load(
        "version: 1\nname: shop\nset:\n  - { name: a, driver: table, path: x, exclude: &e [a, b] }\n  - { name: b, driver: table, path: x, exclude: *e }\n",
    );
    assert!(set.is_ok());
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let below = format!("*a{}, ", level - 1).repeat(9);
        laughs.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    let error = load(&laughs).unwrap_err();
    assert!(error.message().contains("too much for a configuration"), "{error}");
    let deep = format!("a: {}", "[".repeat(200));
    let error = load(&deep).unwrap_err();
    assert!(error.message().contains("nested more than 64 levels"), "{error}");
    assert!(load(&format!("a: {}", "[".repeat(100_000))).is_err());
    assert!(load(&format!("a: {}", "- ".repeat(100_000))).is_err());
    let mut stairs = "a0: &a0 x\n".to_owned();
    for level in 1..40 {
        stairs.push_str(&format!("a{level}: &a{level} [[*a{}]]\n", level - 1));
    }
    assert!(load(&stairs).unwrap_err().message().contains("nested more than 64 levels"));
    let long = format!("# {}\nversion: 1\n", "x".repeat(1024 * 1024));
    assert!(load(&long).unwrap_err().message().contains("more than 1 MiB"));
}

#[test]
fn a_byte_order_mark_and_foreign_line_ends_do_no_harm() {
    let windows = SHOP.replace('\n', "\r\n");
    assert!(load_with(&format!("\u{feff}{windows}"), VARIABLES).is_ok());
    let latin = BackupSet::from_yaml(
        b"version: 1\nname: \xe9\n",
        &origin(),
        &registry(),
        &BTreeMap::new(),
        &Overrides::none(),
    );
    assert_eq!(
        told(&latin.unwrap_err()),
        "dumprestore.yaml:2: this is not UTF-8 text\nhint: save the file as UTF-8"
    );
}

#[test]
fn what_is_disabled_is_left_out_with_all_below_it_and_noted_where_it_is_named() {
    let set = load(
        r#"
version: 1
name: shop
set:
  - name: db
    driver: table
    path: x
    after: [cache]
    references: [{ to: uploads, keys: SELECT a }, cache]
  - name: files
    enabled: false
    children: [{ name: uploads, driver: folder, path: "${UNSET}" }]
  - name: cache
    driver: stream
    enabled: ${CACHE:-false}
    url: ${UNSET}
"#,
    )
    .unwrap();
    assert_eq!(paths(set.dump_order()), ["db"]);
    assert_eq!(set.nodes().len(), 1);
    assert!(set.edges().is_empty());
    insta::assert_snapshot!(set.notes().join("\n"));
}

#[test]
fn selectors_mean_a_node_with_all_below_it() {
    let set = load_with(SHOP, VARIABLES).unwrap();
    assert_eq!(paths(&set.select("files").unwrap()), ["files.uploads", "files.exports"]);
    assert_eq!(paths(&set.select("exports").unwrap()), ["files.exports"]);
    assert_eq!(paths(&set.select("files.exports").unwrap()), ["files.exports"]);
    let error = set.select("file").unwrap_err();
    assert_eq!(told(&error), "there is no node `file`\nhint: did you mean `files`?");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(set.select("xports").is_err());
}

#[test]
fn a_target_can_be_replaced_and_its_variable_is_then_not_needed() {
    let text = "version: 1\nname: shop\nset:\n  - name: files\n    children:\n      - { name: up, driver: folder, path: \"${UNSET}\" }\n  - { name: s, driver: stream, url: \"a://b\" }\n";
    let load = |node: &str, target: &str| {
        let targets = BTreeMap::from([(path(node), target.to_owned())]);
        BackupSet::from_yaml(
            text,
            &origin(),
            &registry(),
            &BTreeMap::new(),
            &Overrides::targets(targets, "/home/me"),
        )
    };
    let target = |set: BackupSet| set.node(&path("files.up")).unwrap().driver().unwrap().target();
    assert_eq!(target(load("files.up", "copy/${X}").unwrap()), "/home/me/copy/${X}");
    assert_eq!(target(load("files.up", "/abs").unwrap()), "/abs");
    assert!(load("files", "x").unwrap_err().message().contains("can't be restored to another target"));
    let two = BTreeMap::from([(path("files.up"), "x".to_owned()), (path("s"), "x".to_owned())]);
    let refused =
        BackupSet::from_yaml(text, &origin(), &registry(), &BTreeMap::new(), &Overrides::targets(two, "/"));
    assert_eq!(refused.unwrap_err().message(), "the node `s` can't be restored to another target");
    let nobody = BTreeMap::from([(path("files.up"), "x".to_owned()), (path("nobody"), "x".to_owned())]);
    let refused = BackupSet::from_yaml(
        text,
        &origin(),
        &registry(),
        &BTreeMap::new(),
        &Overrides::targets(nobody, "/"),
    );
    assert!(refused.unwrap_err().message().contains("no enabled node `nobody`"));
}

#[test]
fn two_drivers_of_one_name_are_a_defect() {
    let twice = Registry::new().with::<fixture::FolderConfig>().with::<fixture::FolderConfig>();
    let error =
        BackupSet::from_yaml(SHOP, &origin(), &twice, &BTreeMap::new(), &Overrides::none()).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Defect, "two drivers are called `folder`"));
}

#[test]
fn a_folder_that_is_not_absolute_is_refused_as_a_base() {
    let origin = ConfigOrigin::new("d.yaml", "here");
    let variables: BTreeMap<String, String> =
        VARIABLES.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let error = BackupSet::from_yaml(SHOP, &origin, &registry(), &variables, &Overrides::none()).unwrap_err();
    assert!(error.message().contains("has to be absolute"), "{error}");
}
