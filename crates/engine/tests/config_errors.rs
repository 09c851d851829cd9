//! What people are told when their configuration is wrong. One file holds all of it, to be read as a whole.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod fixture;

use std::fmt::Write;

use fixture::{load_with, told};

const HEAD: &str = "version: 1\nname: shop\nset:\n";

/// Bad configurations, by what is wrong with them. Those that begin with two spaces get the usual head.
const BAD: &[(&str, &str)] = &[
    ("unknown option", "  - name: db\n    driver: table\n    pth: data/shop.db\n"),
    ("unknown option, nothing like it", "  - name: db\n    driver: table\n    path: x\n    frobnicate: 1\n"),
    ("unknown node key", "  - name: db\n    driver: table\n    path: x\n    chidren: []\n"),
    ("unknown nested key", "  - name: db\n    driver: table\n    path: x\n    copy: { host: a, prot: 1 }\n"),
    (
        "unknown option of a flattened config",
        "  - name: s\n    driver: stream\n    url: a://b\n    line: 5\n",
    ),
    (
        "option of a group",
        "  - name: files\n    path: x\n    children:\n      - { name: a, driver: folder, path: y }\n",
    ),
    ("unknown top key", "version: 1\nname: shop\narchives: { to: x }\nset: []\n"),
    ("unknown key of a setting", "version: 1\nname: shop\ncoherence: { max_cut: 3 }\nset: []\n"),
    ("archive.keep", "version: 1\nname: shop\narchive: { to: x, keep: { last: 3 } }\nset: []\n"),
    ("missing option", "  - name: db\n    driver: table\n    rows: 3\n"),
    ("missing nested key", "  - name: db\n    driver: table\n    path: x\n    copy: { host: a }\n"),
    ("missing version", "name: shop\nset: []\n"),
    ("missing set", "version: 1\nname: shop\n"),
    ("missing node name", "  - driver: table\n    path: x\n"),
    ("other version", "version: 2\nname: shop\nset: []\n"),
    ("unknown driver", "  - name: db\n    driver: tabel\n    path: x\n"),
    ("unknown driver, nothing like it", "  - name: db\n    driver: oracle\n"),
    ("wrong type", "  - name: db\n    driver: table\n    path: x\n    rows: many\n"),
    ("too large", "  - name: db\n    driver: table\n    path: x\n    rows: 70000\n"),
    ("leading zero", "  - name: db\n    driver: table\n    path: x\n    rows: 0123\n"),
    ("list for text", "  - name: db\n    driver: table\n    path: [x]\n"),
    ("nothing for text", "  - name: db\n    driver: table\n    path:\n"),
    ("text for list", "  - name: db\n    driver: table\n    path: x\n    exclude: a\n"),
    ("wrong item", "  - name: db\n    driver: table\n    path: x\n    exclude: [a, [b]]\n"),
    ("yes is no boolean", "  - name: db\n    driver: table\n    path: x\n    again: yes\n"),
    ("unknown choice", "  - name: db\n    driver: table\n    path: x\n    style: narow\n"),
    ("zero parallel", "  - name: db\n    driver: table\n    path: x\n    parallel: 0\n"),
    ("zero cuts", "version: 1\nname: shop\ncoherence: { max_cuts: 0 }\nset: []\n"),
    ("bad compression", "  - name: db\n    driver: table\n    path: x\n    compression: zst\n"),
    ("build fails, option named", "  - name: db\n    driver: table\n    rows: 2\n    path: \":memory:\"\n"),
    ("duplicate key", "  - name: db\n    driver: table\n    path: x\n    path: y\n"),
    (
        "duplicate node",
        "  - { name: db, driver: table, path: x }\n  - { name: DB, driver: table, path: y }\n",
    ),
    ("bad node name", "  - { name: shop.db, driver: table, path: x }\n"),
    ("bad set name", "version: 1\nname: my shop\nset:\n  - { name: db, driver: table, path: x }\n"),
    ("empty node", "  - name: db\n"),
    ("node is text", "  - db\n"),
    ("set is a mapping", "version: 1\nname: shop\nset:\n  db: { driver: table, path: x }\n"),
    ("nothing to dump", "version: 1\nname: shop\nset: []\n"),
    ("nothing enabled", "  - { name: db, driver: table, path: x, enabled: false }\n"),
    ("archive is a url", "version: 1\nname: shop\narchive: { to: \"s3://b/c\" }\nset: []\n"),
    ("hooks are text", "version: 1\nname: shop\nhooks:\n  before_dump: echo hi\nset: []\n"),
    ("hook is text", "version: 1\nname: shop\nhooks:\n  before_dump: [./maintenance on]\nset: []\n"),
    (
        "hook is not in a list",
        "version: 1\nname: shop\nhooks:\n  before_dump: [./maintenance, on]\nset: []\n",
    ),
    ("hook run is text", "version: 1\nname: shop\nhooks:\n  always:\n    - run: echo done\nset: []\n"),
    ("empty hook", "version: 1\nname: shop\nhooks: { always: [[]] }\nset: []\n"),
    ("unknown hook point", "version: 1\nname: shop\nhooks: { before_backup: [[a]] }\nset: []\n"),
    ("bad timeout", "version: 1\nname: shop\nhooks: { always: [{ run: [a], timeout: 30 }] }\nset: []\n"),
    (
        "hooks of a group",
        "  - name: files\n    hooks: { always: [[a]] }\n    children:\n      - { name: a, driver: folder, path: y }\n",
    ),
    (
        "after nobody",
        "  - { name: db, driver: table, path: x }\n  - { name: a, driver: folder, path: y, after: bd }\n",
    ),
    ("after itself", "  - { name: db, driver: table, path: x, after: [db] }\n"),
    (
        "ambiguous",
        "  - name: one\n    children: [{ name: up, driver: folder, path: x }]\n  - name: two\n    children: [{ name: up, driver: folder, path: y }]\n  - { name: db, driver: table, path: z, references: [up] }\n",
    ),
    (
        "two namesakes",
        "  - { name: up, driver: folder, path: x }\n  - name: shop\n    children:\n      - { name: up, driver: folder, path: y }\n      - { name: db, driver: table, path: z, after: up }\n",
    ),
    (
        "cycle",
        "  - name: db\n    driver: table\n    path: x\n    references: [uploads]\n  - name: uploads\n    driver: folder\n    path: y\n  - { name: index, driver: folder, path: z, after: uploads }\n  - { name: last, driver: folder, path: q }\n  - { name: first, driver: folder, path: w, after: [last, db] }\n  - name: more\n    children:\n      - { name: cache, driver: folder, path: e, references: [db] }\n    after: [index]\n",
    ),
    (
        "keys to a group",
        "  - name: db\n    driver: table\n    path: x\n    references: [{ to: files, keys: SELECT a }]\n  - name: files\n    children: [{ name: up, driver: folder, path: y }]\n",
    ),
    (
        "keys to a stream",
        "  - name: db\n    driver: table\n    path: x\n    references:\n      - { to: s, keys: SELECT a }\n  - { name: s, driver: stream, url: \"a://b\" }\n",
    ),
    (
        "keys of a folder",
        "  - { name: db, driver: table, path: x }\n  - { name: up, driver: folder, path: x, references: [{ to: db, keys: SELECT a }] }\n",
    ),
    (
        "bad keys",
        "  - { name: db, driver: table, path: x, references: [{ to: up, keys: DELETE a }] }\n  - { name: up, driver: folder, path: y }\n",
    ),
    (
        "in not understood",
        "  - name: db\n    driver: table\n    path: x\n    references:\n      - to: up\n        keys: SELECT a\n        in: customer.id\n  - { name: up, driver: folder, path: y }\n",
    ),
    (
        "in without keys",
        "  - { name: db, driver: table, path: x, references: [{ to: up, in: a }] }\n  - { name: up, driver: folder, path: y }\n",
    ),
    ("unset variable", "  - name: db\n    driver: table\n    path: data/${SHOP}/${NAME}.db\n"),
    ("unset variable in quotes", "  - name: db\n    driver: table\n    path: \"\\t${SHOP}\"\n"),
    ("unclosed variable", "  - name: db\n    driver: table\n    path: \"${SHOP\"\n"),
    ("bad variable", "  - name: db\n    driver: table\n    path: ${SHOP:?no}\n"),
    ("variable in flow", "  - { name: db, driver: table, path: ${HIDDEN} }\n"),
    (
        "value of a variable, wrong type",
        "  - name: db\n    driver: table\n    path: x\n    rows: ${HIDDEN}\n",
    ),
    (
        "value of a variable, foreign message",
        "  - name: db\n    driver: table\n    path: x\n    copy: { host: a, port: \"${HIDDEN}\" }\n",
    ),
    ("value of a variable, choice", "  - name: db\n    driver: table\n    path: x\n    style: ${HIDDEN}\n"),
    ("value of a variable, driver", "  - name: db\n    driver: ${HIDDEN}\n    path: x\n"),
    ("value of a variable, build", "  - name: s\n    driver: stream\n    url: x${HIDDEN}\n"),
    ("literal secret, build", "  - name: db\n    driver: table\n    path: x\n    passphrase: pq7\n"),
    (
        "literal secret in the line",
        "  - { name: db, driver: table, path: x, passphrase: hunter2!, pth: y }\n",
    ),
    (
        "misspelt secret",
        "  - name: db\n    driver: table\n    path: x\n    passphrse: hunter2!\n    passphras: hunter2!\n",
    ),
    ("literal url password", "  - name: db\n    driver: tabel\n    url: a://b:hunter2!@c/d\n"),
    (
        "secret in the line, wrong type",
        "  - name: db\n    driver: table\n    path: x\n    passphrase: [hunter2!]\n",
    ),
    (
        "secret by alias",
        "  - name: db\n    driver: table\n    path: x\n    passphrase: &p \"hunter2!\"\n    rows: *p\n",
    ),
    ("syntax error after a secret", "  - name: db\n    password: \"hunter2!\" x\n"),
    ("tab", "  - name: db\n\tdriver: table\n"),
    ("unclosed quote", "  - name: \"db\n    driver: table\n"),
    ("bad indent", "  - name: db\n   driver: table\n"),
    ("two documents", "version: 1\nname: shop\n---\nversion: 1\n"),
    ("empty file", ""),
    ("only comments", "# nothing\n"),
    ("a list", "- a\n- b\n"),
    ("a text", "hello\n"),
    ("merge key", "  - <<: x\n    name: db\n"),
    ("tag", "  - name: !secret db\n"),
    ("complex key", "? [a, b]\n: c\n"),
    ("self alias", "version: &a [*a]\n"),
    ("unknown alias", "version: *nobody\n"),
    (
        "control characters and wide letters",
        "  - name: db\n    driver: table\n    datei-näme-日本: \"\u{9b}x\"\n",
    ),
];

#[test]
fn every_mistake_is_pointed_at_and_explained() {
    let mut all = String::new();
    for (what, text) in BAD {
        let text = if text.starts_with(' ') { format!("{HEAD}{text}") } else { (*text).to_owned() };
        let error = match load_with(&text, &[("HIDDEN", "s3cr3t")]) {
            Ok(_) => panic!("{what}: this was accepted:\n{text}"),
            Err(error) => told(&error),
        };
        assert!(
            !error.contains("s3cr3t") && !error.contains("hunter2") && !error.contains("pq7"),
            "{what}: {error}"
        );
        assert!(!error.contains('\u{9b}'), "{what}: {error}");
        writeln!(all, "-- {what}\n{error}\n").unwrap();
    }
    insta::assert_snapshot!(all);
}
