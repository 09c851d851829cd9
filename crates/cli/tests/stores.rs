//! Archives in buckets, by the command line: dumped into them and restored from them, with no copy on disk.

#![allow(clippy::unwrap_used, reason = "a surrounding that fails ends the test")]

mod support;

use std::collections::BTreeSet;

use dumprestore_testkit::{Mishap, Requests, S3Bucket, S3Kind, S3Server, Trouble};
use support::{CONFIG, Shop};

/// `archive:` with these places.
fn configure(shop: &Shop, places: &[String], more: &str) {
    let archive = format!("archive:\n  to: [{}]\n{more}", places.join(", "));
    shop.configure(&CONFIG.replace("archive: { to: backups }\n", &archive));
}

fn place(bucket: &S3Bucket, endpoint: &str) -> String {
    let server = S3Server::shared(S3Kind::Moto);
    format!(
        "{{ url: '{}', endpoint: '{endpoint}', access_key_id: '{}', secret_access_key: '{}', retries: 2, timeout: 5 }}",
        bucket.url("shop"),
        server.access_key(),
        server.secret_key(),
    )
}

fn moto() -> (S3Bucket, String) {
    let server = S3Server::shared(S3Kind::Moto);
    let bucket = server.create_bucket();
    let place = place(&bucket, &server.endpoint());
    (bucket, place)
}

#[test]
fn a_shop_goes_into_a_bucket_and_comes_back_with_no_copy_on_disk() {
    let (bucket, place) = moto();
    let shop = Shop::new();
    configure(&shop, &[place], "  name: '{set}/{utc}.{profile}.zip'\n");
    let before = shop.files(".");
    let archive = shop.must(&["dump"]).stdout.trim().to_owned();
    assert!(archive.starts_with(&bucket.url("shop/shop/")) && archive.ends_with(".full.zip"), "{archive}");
    let name = archive.rsplit('/').next().unwrap();
    for named in ["latest", &archive, name, &name[..12], "shop@2999-12-31"] {
        shop.must(&["verify", named]);
    }
    let inspected = shop.must(&["inspect", "latest"]).stdout;
    assert!(inspected.contains(&archive) && inspected.contains("uploads"), "{inspected}");
    let part = shop.must(&["extract", "latest", "uploads/files/a.jpg", "-o", "-"]).stdout;
    assert_eq!(part, "a.jpg".repeat(200));
    let state = shop.state();
    shop.break_it();
    shop.must(&["restore", "latest", "--yes", "--safety-dump"]);
    assert_eq!(shop.state(), state);
    assert_eq!(bucket.keys("shop/before-restore/").len(), 1);
    shop.must(&["verify", &archive]);
    assert_eq!(shop.must(&["inspect", "latest"]).stdout, inspected, "a safety dump is not the latest");
    let mut after = shop.files(".");
    after.retain(|file| file != ".dumprestore");
    assert_eq!(after, before, "nothing but our own state was left on disk");
    assert!(bucket.uploads("").is_empty());
}

#[test]
fn what_is_not_there_or_can_not_be_asked_has_its_exit_code() {
    let (bucket, place) = moto();
    let shop = Shop::new();
    configure(&shop, &[place], "");
    assert_eq!(shop.run(&["verify", "latest"]).code, 2);
    assert_eq!(shop.run(&["verify", &bucket.url("shop/none.zip")]).code, 4);
    assert_eq!(shop.run(&["verify", "none"]).code, 4);
    assert_eq!(shop.run(&["verify", "shop@2020-01-01"]).code, 2);
    assert_eq!(shop.run(&["verify", &bucket.url("shop")]).code, 2);
    shop.must(&["dump", "-o", &bucket.url("shop/one.zip")]);
    let again = shop.run(&["dump", "-o", &bucket.url("shop/one.zip")]);
    assert!(again.code == 1 && again.stderr.contains("exists"), "{}", again.stderr);
    let away = self::place(&bucket, "http://127.0.0.1:1");
    configure(&shop, &[away], "");
    for command in [&["dump"][..], &["verify", "latest"], &["restore", "latest", "--yes"]] {
        let ran = shop.run(command);
        assert!(ran.code == 1 && ran.stderr.contains("can't connect"), "{}", ran.stderr);
    }
}

#[test]
fn mistakes_under_archive_are_shown_where_they_stand_and_no_secret_is() {
    let shop = Shop::new();
    for (archive, told) in [
        ("archive: { to: { url: 's3://b', regoin: x } }", "did you mean `region`"),
        ("archive: { to: 's3://key:secret@b/x' }", "login"),
        ("archive: { to: 'ftp://b/x' }", "kind is not known"),
        ("archive: { to: x, name: shop.zip }", "{utc}"),
        ("archive: { to: x, keep: { dayly: 1 } }", "did you mean `daily`"),
        ("archive: { to: x, bandwidth: fast }", "20MiB/s"),
        ("archive: { to: [] }", "at least one place"),
        ("archive: {}", "to"),
    ] {
        shop.configure(&CONFIG.replace("archive: { to: backups }", archive));
        let ran = shop.run(&["plan"]);
        assert_eq!(ran.code, 2, "{archive}");
        assert!(
            ran.stderr.contains(told) && ran.stderr.contains("dumprestore.yaml:3"),
            "{archive}: {}",
            ran.stderr
        );
        assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
    }
}

#[test]
fn the_key_of_a_bucket_is_not_in_the_archive() {
    let (bucket, place) = moto();
    let shop = Shop::new();
    configure(&shop, &[place], "");
    let archive = shop.must(&["dump"]).stdout.trim().to_owned();
    let key = archive.strip_prefix(&bucket.url("")).unwrap();
    let content = bucket.get(key).unwrap();
    let secret = S3Server::shared(S3Kind::Moto).secret_key().as_bytes();
    assert!(!content.windows(secret.len()).any(|window| window == secret));
    let manifest = shop.must(&["inspect", "latest", "--json"]).stdout;
    assert!(manifest.contains("***") && !manifest.contains(S3Server::shared(S3Kind::Moto).secret_key()));
}

#[test]
fn a_copy_that_fails_degrades_the_dump_and_push_brings_it_up_to_date() {
    let (bucket, place) = moto();
    let other = S3Server::shared(S3Kind::Moto).create_bucket();
    let trouble = Trouble::before(&S3Server::shared(S3Kind::Moto).address());
    let shop = Shop::new();
    configure(&shop, &[place, "backups".to_owned(), self::place(&other, &trouble.endpoint())], "");
    trouble.make(Requests::all(), Mishap::Status(403));
    let ran = shop.run(&["dump"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("there is no copy of the archive at"), "{}", ran.stderr);
    assert_eq!(ran.stdout.lines().count(), 2, "{}", ran.stdout);
    assert!(other.keys("").is_empty());
    let latest = shop.run(&["verify", "latest"]);
    assert!(latest.code == 1 && latest.stderr.contains("name the archive"), "{}", latest.stderr);
    trouble.clear();
    shop.must(&["verify", "latest"]);
    shop.must(&["push", "latest"]);
    assert_eq!((bucket.keys("").len(), other.keys("").len(), shop.files("backups").len()), (1, 1, 1));
    let again = shop.must(&["push", "latest"]);
    assert!(again.stderr.contains("every place has it"), "{}", again.stderr);
    let listed = shop.must(&["ls"]).stdout;
    assert!(listed.contains("3 copies") && listed.lines().count() == 1, "{listed}");
}

#[test]
fn archives_are_listed_pulled_and_pruned() {
    let (bucket, place) = moto();
    let shop = Shop::new();
    configure(&shop, &[place], "  keep: { last: 2 }\n");
    let names: Vec<_> = (0..4).map(|_| shop.must(&["dump"]).stdout.trim().to_owned()).collect();
    shop.must(&["dump", "--only", "uploads"]);
    let notes = "shop-20200102T000000Z.zip";
    bucket.put(&format!("shop/{notes}"), "no archive");
    let eu = bucket.begin_upload("shop/shop-eu-20200101T000000Z.zip");
    let foreign = bucket.begin_upload("shop/theirs.zip");
    let ours = bucket.begin_upload("shop/shop-20200101T000000Z.zip");
    let ran = shop.run(&["ls", "--json"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let report = ran.json().pop().unwrap();
    let archives = report["report"]["archives"].as_array().unwrap().clone();
    let verdicts: Vec<_> =
        archives.iter().map(|archive| archive["verdict"].as_str().unwrap().to_owned()).collect();
    assert_eq!(verdicts, ["partial", "good", "good", "good", "good"]);
    assert_eq!(shop.run(&["ls", "--state", "partial"]).stdout.lines().count(), 1);
    assert_eq!(shop.run(&["ls", "--until", "2020-01-01"]).stdout.trim(), "no archives");
    assert_eq!(shop.run(&["ls", "--by", "state"]).stdout.lines().count(), 7);

    let pulled = shop.must(&["pull", &names[0], "-o", "copy.zip"]).stdout;
    assert_eq!(pulled.trim(), "copy.zip");
    shop.must(&["verify", "copy.zip"]);

    let twin = bucket.get(names[3].strip_prefix(&bucket.url("")).unwrap()).unwrap();
    bucket.put("shop/shop-20200103T000000Z.zip", twin.clone());
    // Of another environment below, and put aside: both stay, and count for nothing.
    bucket.put("shop/staging/shop-20990101T000000Z.zip", twin.clone());
    bucket.put("shop/legal-hold.zip", twin);
    let dry = shop.run(&["prune", "--dry-run"]);
    assert_eq!(dry.code, 3, "something can't be read: {}", dry.stderr);
    let plan = dry.stdout;
    assert_eq!(plan.matches("remove  shop-").count(), 3, "{plan}");
    assert!(plan.contains(&format!("{notes}: it can't be read")), "{plan}");
    assert_eq!(shop.run(&["prune"]).code, 2, "nobody is there to be asked");
    assert_eq!(shop.run(&["prune", "--yes"]).code, 3);
    let left = bucket.keys("");
    assert_eq!(
        left.len(),
        7,
        "two good ones, one of them twice, the newer part of one, what can't be read, and two others: {left:?}"
    );
    for (name, stays) in names.iter().zip([false, false, true, true]) {
        assert_eq!(left.iter().any(|key| name.ends_with(key.as_str())), stays, "{name}: {left:?}");
    }
    let uploads: Vec<_> = bucket.uploads("").into_iter().map(|upload| upload.id).collect();
    assert_eq!(
        uploads.into_iter().collect::<BTreeSet<_>>(),
        BTreeSet::from([foreign, eu]),
        "only ours went, not {ours}"
    );
    assert_eq!(shop.run(&["prune", "--last", "1", "--yes"]).code, 3);
    let unsure = shop.run(&["verify", "latest"]);
    assert!(unsure.code == 4 && unsure.stderr.contains(notes), "{}", unsure.stderr);
    bucket.delete(&format!("shop/{notes}"));
    shop.must(&["verify", "latest"]);
    shop.must(&["prune", "--last", "1", "--yes"]);
    assert_eq!(bucket.keys("").len(), 5, "{:?}", bucket.keys(""));
}

#[test]
fn what_the_store_has_locked_stays_and_older_versions_are_listed_and_read() {
    let bucket = S3Server::shared(S3Kind::Moto).create_bucket_with_locks();
    let shop = Shop::new();
    configure(&shop, &[place(&bucket, &S3Server::shared(S3Kind::Moto).endpoint())], "");
    let locked = shop.must(&["dump"]).stdout.trim().to_owned();
    let key = locked.strip_prefix(&bucket.url("")).unwrap().to_owned();
    let version = bucket.versions(&key).remove(0).id;
    bucket.lock_until(&key, &version, "2999-01-01T00:00:00Z");
    shop.must(&["dump"]);
    let ran = shop.must(&["prune", "--last", "1", "--yes"]);
    assert!(ran.stdout.contains("locked until 2999-01-01"), "{}", ran.stdout);
    shop.must(&["verify", &locked]);

    let fixed = bucket.url("shop/fixed.zip");
    shop.must(&["dump", "-o", &fixed]);
    shop.must(&["dump", "-o", &fixed, "--force"]);
    let versions = bucket.versions("shop/fixed.zip");
    assert_eq!(versions.len(), 2);
    let listed = shop.must(&["ls", "--versions", "--json"]).json().pop().unwrap();
    let archives = listed["report"]["archives"].as_array().unwrap();
    let copies = archives.iter().flat_map(|archive| archive["copies"].as_array().unwrap());
    let old: Vec<_> = copies.filter(|copy| copy["superseded"] == true).collect();
    assert_eq!(old.len(), 1, "{listed}");
    shop.must(&["verify", old[0]["archive"].as_str().unwrap()]);
}

#[test]
fn an_encrypted_archive_in_a_bucket_is_opened_with_its_identity_only() {
    let (bucket, place) = moto();
    let shop = Shop::new();
    configure(&shop, &[place], "  encryption: { passphrase: 'correct horse', work_factor: 10 }\n");
    let archive = shop.must(&["dump"]).stdout.trim().to_owned();
    assert!(archive.ends_with(".zip.age"), "{archive}");
    let content = bucket.get(archive.strip_prefix(&bucket.url("")).unwrap()).unwrap();
    assert!(content.starts_with(b"age-encryption.org/v1"));
    shop.must(&["verify", "latest"]);
    let state = shop.state();
    shop.break_it();
    shop.must(&["restore", "latest", "--yes"]);
    assert_eq!(shop.state(), state);
    shop.must(&["pull", "latest", "-o", "copy.zip.age"]);
    let (_, place) = moto();
    configure(&shop, &[place], "");
    let ran = shop.run(&["verify", "copy.zip.age"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let mut command = shop.command(&["verify", "copy.zip.age"]);
    let output = command.env("DUMPRESTORE_PASSPHRASE", "correct horse").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_dump_that_is_killed_leaves_nothing_once_the_next_one_has_run() {
    let bucket = S3Server::shared(S3Kind::Moto).create_bucket();
    let trouble = Trouble::before(&S3Server::shared(S3Kind::Moto).address());
    let shop = Shop::new();
    configure(&shop, &[place(&bucket, &trouble.endpoint())], "");
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    std::fs::write(shop.path("uploads/large.jpg"), noise.take(24 << 20).collect::<Vec<_>>()).unwrap();
    trouble.make(Requests::all().method("PUT").with("partNumber"), Mishap::Stall);
    let mut dump = shop.command(&["dump"]).stderr(std::process::Stdio::null()).spawn().unwrap();
    while bucket.uploads("").is_empty() {
        assert!(dump.try_wait().unwrap().is_none(), "it has ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    dump.kill().unwrap();
    dump.wait().unwrap();
    assert!(bucket.keys("").is_empty());
    trouble.clear();
    shop.must(&["dump"]);
    assert_eq!((bucket.keys("").len(), bucket.uploads("").len()), (1, 0));
    shop.must(&["verify", "latest"]);
}

#[test]
fn check_looks_at_the_places_of_archives() {
    let (bucket, place) = moto();
    let shop = Shop::new();
    configure(&shop, &[place], "");
    shop.must(&["check"]);
    let gone = self::place(&bucket, "http://127.0.0.1:1");
    configure(&shop, &[gone], "");
    let ran = shop.run(&["check"]);
    assert!(ran.code == 1 && ran.stdout.contains("can't connect"), "{}", ran.stdout);
}

#[test]
fn a_mistyped_option_of_a_store_is_shown_where_it_stands_with_what_was_meant() {
    let shop = Shop::new();
    let config = "version: 1\nname: shop\nset:\n  - name: media\n    driver: media\n    url: s3://media\n    endpont: http://localhost\n";
    std::fs::write(shop.path("dumprestore.yaml"), config).unwrap();
    let ran = shop.run(&["check"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    for told in ["7:5", "unknown option `endpont` for driver `media`", "did you mean `endpoint`?"] {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
}

#[test]
fn a_restore_never_removes_archives_that_lie_in_a_bucket_of_media() {
    let (bucket, archives) = moto();
    let node = archives.replacen('{', "{ name: media, driver: media,", 1);
    let shop = Shop::new();
    let configure = |to: &str| {
        let text = format!("version: 1\nname: shop\narchive:\n  to: {to}\nset:\n  - {node}\n");
        shop.configure(&text);
    };
    bucket.put("shop/a.jpg", "a.jpg");
    configure(&archives);
    let ran = shop.run(&["dump"]);
    assert!(ran.code == 2 && ran.stderr.contains("would lie among what is dumped"), "{}", ran.stderr);
    configure(&archives.replace(&bucket.url("shop"), &bucket.url("shop/archives")));
    shop.must(&["dump"]);
    let ran = shop.run(&["dump"]);
    assert!(ran.code == 0 && ran.stderr.contains("shop/archives` is left out"), "{}", ran.stderr);
    let ran = shop.run(&["restore", "latest", "--yes"]);
    assert!(ran.code == 2 && ran.stderr.contains("lies in what would be replaced"), "{}", ran.stderr);
    assert!(shop.run(&["check"]).stdout.contains("archives lie in what a restore replaces"));
    configure(&archives.replace(&bucket.url("shop"), &bucket.url("shops")));
    shop.must(&["dump"]);
    bucket.put("shop/extra.jpg", "extra");
    shop.must(&["restore", "latest", "--yes", "--extras", "remove"]);
    assert!(!bucket.keys("shop/").contains(&"shop/extra.jpg".to_owned()));
}
