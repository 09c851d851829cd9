//! What comes from the environment is never seen again.

#![allow(clippy::unwrap_used, reason = "a surrounding that fails ends the test")]

mod support;

use support::{CONFIG, Shop};

const SECRET: &str = "s3cr3t-pa$$word";

#[test]
fn a_variable_reaches_a_hook_and_nothing_that_is_printed_or_kept() {
    let shop = Shop::new();
    let hook = "[{ run: [sh, -c, 'printf %s \"$TOKEN\" > ../seen'], env: { TOKEN: \"${SHOP_TOKEN}\" } }]";
    shop.configure(&format!("{CONFIG}hooks: {{ before_dump: {hook} }}\n"));
    for arguments in
        [&["check"][..], &["plan"], &["dump", "-v", "-o", "a.zip"], &["dump", "--json", "-o", "b.zip"]]
    {
        let output = shop.command(arguments).env("SHOP_TOKEN", SECRET).output().unwrap();
        let ran = shop.ran(arguments, &output);
        assert_eq!(ran.code, 0, "{}", ran.transcript());
        assert!(!ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET), "{}", ran.transcript());
    }
    assert_eq!(std::fs::read_to_string(shop.path("../seen")).unwrap(), SECRET);
    let manifest = shop.must(&["inspect", "a.zip", "--json"]).stdout;
    assert!(manifest.contains("${SHOP_TOKEN}") && !manifest.contains(SECRET), "{manifest}");
}

#[test]
fn an_error_about_a_value_does_not_show_the_value() {
    let shop = Shop::new();
    shop.configure(&CONFIG.replace("path: shop.db", "path: shop.db\n    busy_timeout: ${SHOP_TOKEN}"));
    let output = shop.command(&["check"]).env("SHOP_TOKEN", SECRET).output().unwrap();
    let ran = shop.ran(&["check"], &output);
    assert_eq!(ran.code, 2, "{}", ran.transcript());
    assert!(!ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET), "{}", ran.stderr);
}

#[test]
fn a_url_in_the_place_of_a_path_is_refused_and_not_shown() {
    let shop = Shop::new();
    shop.must(&["dump", "-o", "shop.zip"]);
    for node in ["uploads", "db"] {
        let map = format!("{node}=postgres://app:{SECRET}@db/shop");
        let ran = shop.run(&["restore", "shop.zip", "--dry-run", "--only", node, "--map", &map]);
        assert_eq!(ran.code, 2, "{}", ran.transcript());
        assert!(ran.stderr.contains("URL"), "{}", ran.stderr);
        assert!(!ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET), "{}", ran.stderr);
    }
}
