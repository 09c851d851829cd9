//! Where archives go, which one `latest` is, and how they come apart again.

#![allow(clippy::unwrap_used, reason = "a surrounding that fails ends the test")]

mod support;

use std::process::Command;

use support::{CONFIG, Shop};

fn archive_of(ran: &support::Ran) -> String {
    ran.stdout.trim().to_owned()
}

#[test]
fn an_archive_goes_where_it_is_told_to() {
    let shop = Shop::new();
    let given = archive_of(&shop.must(&["dump"]));
    assert!(
        given.starts_with(shop.path("backups/shop-").to_str().unwrap()) && given.ends_with("Z.zip"),
        "{given}"
    );
    assert_eq!(archive_of(&shop.must(&["dump", "-o", "x.zip"])), shop.path("x.zip").to_str().unwrap());
    let in_folder = archive_of(&shop.must(&["dump", "-o", "new/"]));
    assert!(in_folder.contains("/new/shop-"), "{in_folder}");
    shop.configure(&CONFIG.replace("archive: { to: backups }", ""));
    let beside = archive_of(&shop.must(&["dump"]));
    assert!(beside.starts_with(shop.path("shop-").to_str().unwrap()), "{beside}");
    shop.configure(&CONFIG.replace("to: backups", "to: one.zip"));
    shop.must(&["dump"]);
    assert_eq!(shop.run(&["dump"]).code, 1);
    shop.must(&["dump", "--force"]);
    shop.must(&["verify", "latest"]);
}

#[test]
fn two_dumps_in_one_second_have_two_names() {
    let shop = Shop::new();
    let names: std::collections::BTreeSet<_> = (0..3).map(|_| archive_of(&shop.must(&["dump"]))).collect();
    assert_eq!(names.len(), 3);
}

#[test]
fn latest_is_the_one_sealed_last_whatever_its_file_says() {
    let shop = Shop::new();
    let first = archive_of(&shop.must(&["dump"]));
    let second = archive_of(&shop.must(&["dump"]));
    // The older one is copied later, under a later name.
    std::fs::copy(&first, shop.path("backups/shop-99991231T235959Z.zip")).unwrap();
    // Others that must not count: of another set, older ones that are cut off or no archive at all, and a safety dump.
    shop.configure(&CONFIG.replace("name: shop", "name: other"));
    shop.must(&["dump"]);
    shop.configure(CONFIG);
    let whole = std::fs::read(&second).unwrap();
    let (cut, notes) = ("shop-20200101T000000Z.zip", "shop-20200102T000000Z-2.zip.age");
    let (cut_path, notes_path) = (shop.path("backups").join(cut), shop.path("backups").join(notes));
    std::fs::write(&cut_path, &whole[..whole.len() / 2]).unwrap();
    std::fs::write(&notes_path, "notes").unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    for older in [cut, notes] {
        let file = std::fs::File::options().write(true).open(shop.path("backups").join(older)).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    shop.must(&["restore", "latest", "--yes", "--safety-dump"]);
    let ran = shop.must(&["inspect", "latest"]);
    assert!(ran.stdout.contains(&format!("archive    {second},")), "{}", ran.stdout);
    for passed_over in [cut, notes] {
        assert!(ran.stderr.contains(passed_over), "{}", ran.stderr);
    }
}

#[test]
fn latest_never_means_an_older_one_because_a_newer_one_is_damaged() {
    let shop = Shop::new();
    let older = archive_of(&shop.must(&["dump"]));
    let newer = archive_of(&shop.must(&["dump"]));
    let damaged = std::fs::File::options().write(true).open(&newer).unwrap();
    damaged.set_len(damaged.metadata().unwrap().len() - 10).unwrap();
    // A copy of the older one that is made later makes it no newer.
    std::fs::copy(&older, shop.path("backups/shop-20990101T000000Z.zip")).unwrap();
    shop.break_it();
    let broken = shop.state();
    let ran = shop.run(&["restore", "latest", "--yes"]);
    assert_eq!((ran.code, shop.state()), (4, broken), "{}", ran.stderr);
    assert!(ran.stderr.contains(&newer) && ran.stderr.contains("\nhint: "), "{}", ran.stderr);
    shop.must(&["restore", &older, "--yes"]);
}

#[test]
fn what_is_called_otherwise_is_told_of_and_is_neither_latest_nor_pruned() {
    let shop = Shop::new();
    let ours = archive_of(&shop.must(&["dump"]));
    let staging = archive_of(&shop.must(&["dump", "-o", "staging/"]));
    std::fs::create_dir(shop.path("backups/staging")).unwrap();
    std::fs::copy(staging, shop.path("backups/staging/shop-20990101T000000Z.zip")).unwrap();
    shop.must(&["dump", "-o", "backups/before-2.0.zip"]);
    for named in ["latest", "shop@2999-12-31"] {
        let ran = shop.must(&["inspect", named]);
        assert!(ran.stdout.contains(&format!("archive    {ours},")), "{}", ran.stdout);
        assert!(ran.stderr.contains("before-2.0.zip") && !ran.stderr.contains("staging"), "{}", ran.stderr);
    }
    shop.must(&["prune", "--last", "1", "--yes"]);
    assert!(std::path::Path::new(&ours).exists() && shop.path("backups/before-2.0.zip").exists());
    shop.must(&["verify", "before-2.0.zip"]);
    std::fs::remove_file(&ours).unwrap();
    let none = shop.run(&["verify", "latest"]);
    assert!(none.code == 2 && none.stderr.contains("is not called `{set}-{utc}.zip`"), "{}", none.stderr);
}

#[test]
fn a_newer_archive_of_a_part_of_the_set_is_told_of() {
    let shop = Shop::new();
    let part = archive_of(&shop.must(&["dump", "--only", "db"]));
    let alone = shop.must(&["inspect", "latest"]);
    assert!(alone.stdout.contains(&format!("archive    {part},")), "{}", alone.stdout);
    let whole = archive_of(&shop.must(&["dump"]));
    assert!(!shop.must(&["inspect", "latest"]).stderr.contains("only"));
    let newer = archive_of(&shop.must(&["dump", "--only", "db"]));
    let told =
        |text: &str| text.matches(&newer).count() == 1 && text.contains(" is newer, and holds `db` only");
    for command in ["inspect", "verify", "rehearse"] {
        let ran = shop.must(&[command, "latest"]);
        assert!(told(&ran.stderr), "{command}: {}", ran.stderr);
    }
    let dry = shop.must(&["restore", "latest", "--dry-run"]);
    assert!(told(&dry.stdout) && dry.stdout.contains(&whole), "{}", dry.stdout);
    for quiet in [&[][..], &["--quiet"]] {
        let ran = shop.must(&[&["restore", "latest", "--yes"][..], quiet].concat());
        assert!(told(&ran.stderr), "{quiet:?}: {}", ran.stderr);
    }
    let json = shop.must(&["restore", "latest", "--yes", "--json"]);
    assert!(told(&json.stdout), "{}", json.stdout);
}

#[test]
fn a_dump_that_could_not_begin_leaves_nothing() {
    let shop = Shop::new();
    shop.must(&["dump"]);
    let folder = ["a", "b", "c"].map(|letter| letter.repeat(200)).join("/");
    std::fs::create_dir_all(shop.path(&folder)).unwrap();
    // What is noted down first is longer than a file may be.
    let ran = shop.run_with_small_files(&["dump", "-o", &format!("{folder}/shop.zip")]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert_eq!(shop.files(".dumprestore"), ["shop.lock"], "{}", ran.stderr);
    let next = shop.must(&["dump"]);
    assert!(!next.stderr.contains("killed"), "{}", next.stderr);
}

#[test]
fn an_archive_on_standard_output_is_one_that_any_tool_reads() {
    let shop = Shop::new();
    let output = shop.command(&["dump", "-o", "-"]).output().unwrap();
    assert!(output.status.success());
    std::fs::write(shop.path("piped.zip"), &output.stdout).unwrap();
    let tested = Command::new("unzip").arg("-t").arg(shop.path("piped.zip")).output().unwrap();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stdout));
    shop.must(&["verify", "piped.zip"]);
}

#[test]
fn one_part_goes_to_standard_output_as_it_is() {
    let shop = Shop::new();
    shop.must(&["dump", "-o", "shop.zip"]);
    let part = shop.must(&["extract", "shop.zip", "uploads/files/a.jpg", "-o", "-"]);
    assert_eq!(part.stdout, "a.jpg".repeat(200));
    let several = shop.run(&["extract", "shop.zip", "uploads", "-o", "-"]);
    assert_eq!((several.code, several.stdout.as_str()), (2, ""), "{}", several.stderr);
    let missing = shop.run(&["extract", "shop.zip", "uploads/files/z.jpg"]);
    assert_eq!(missing.code, 2, "{}", missing.stderr);
}

#[test]
fn nothing_is_extracted_over_a_file_or_through_a_link() {
    let shop = Shop::new();
    shop.must(&["dump", "-o", "shop.zip"]);
    shop.must(&["extract", "shop.zip", "uploads/files/a.jpg", "-o", "out"]);
    let again = shop.run(&["extract", "shop.zip", "uploads/files/a.jpg", "-o", "out"]);
    assert!(again.code == 1 && again.stderr.contains("--force"), "{}", again.stderr);
    shop.must(&["extract", "shop.zip", "uploads/files/a.jpg", "-o", "out", "--force"]);
    std::fs::create_dir(shop.path("linked")).unwrap();
    std::fs::create_dir(shop.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(shop.path("elsewhere"), shop.path("linked/uploads")).unwrap();
    let linked = shop.run(&["extract", "shop.zip", "uploads", "-o", "linked", "--force"]);
    assert_eq!(linked.code, 1, "{}", linked.stderr);
    assert!(shop.files("elsewhere").is_empty());
}

#[test]
fn a_device_is_never_replaced_by_an_archive() {
    let shop = Shop::new();
    let link = shop.path("device");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    assert_eq!(shop.run(&["dump", "-o", "device", "--force"]).code, 1);
    assert!(link.symlink_metadata().unwrap().is_symlink());
}
