//! Archives for others, what changed between them, and a bucket for them: `rewrap`, `diff`, `terraform`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a surrounding that fails ends the test")]

mod support;

use std::process::Command;

use dumprestore_testkit::{Mishap, Requests, S3Kind, S3Server, Trouble};
use support::{CONFIG, Shop};

/// Makes a key, as people do, and gives its public half.
fn key(shop: &Shop, name: &str) -> String {
    let path = shop.path(name);
    let made = Command::new("age-keygen").arg("-o").arg(&path).output();
    made.unwrap_or_else(|error| panic!("age-keygen: {error}; run scripts/install-test-tools.sh"));
    let public = Command::new("age-keygen").arg("-y").arg(&path).output().unwrap();
    String::from_utf8(public.stdout).unwrap().trim().to_owned()
}

#[test]
fn an_archive_is_rewrapped_beside_the_old_one_which_goes_only_when_asked() {
    let shop = Shop::new();
    let (first, second) = (key(&shop, "first.txt"), key(&shop, "second.txt"));
    shop.must(&["dump", "-q", "-o", "shop.zip"]);
    let plain = std::fs::read(shop.path("shop.zip")).unwrap();
    let ran = shop.run(&["rewrap", "shop.zip", "--to", &first]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.trim().ends_with("shop.zip.age") && shop.path("shop.zip").exists(), "{}", ran.stdout);
    let refused = shop.run(&["verify", "shop.zip.age"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("encrypted to 1 X25519 recipient"), "{}", refused.stderr);
    shop.must(&["verify", "shop.zip.age", "--identity", "first.txt"]);
    shop.must(&["rewrap", "shop.zip.age", "--to", &second, "--identity", "first.txt", "--remove-old"]);
    assert!(!shop.path("shop.zip.age").exists());
    assert_eq!(shop.run(&["verify", "shop-2.zip.age", "--identity", "first.txt"]).code, 2);
    shop.must(&["rewrap", "shop-2.zip.age", "--decrypt", "-o", "again.zip", "--identity", "second.txt"]);
    assert!(std::fs::read(shop.path("again.zip")).unwrap() == plain);
    let taken = shop.run(&["rewrap", "shop.zip", "--to", &first, "-o", "again.zip", "--remove-old"]);
    assert_ne!(taken.code, 0);
    assert!(taken.stderr.contains("exists") && shop.path("shop.zip").exists(), "{}", taken.stderr);
    assert!(std::fs::read(shop.path("again.zip")).unwrap() == plain);
}

#[test]
fn a_damaged_archive_is_not_rewrapped_nor_removed() {
    let shop = Shop::new();
    let public = key(&shop, "key.txt");
    shop.must(&["dump", "-q", "-o", "shop.zip"]);
    let mut bytes = std::fs::read(shop.path("shop.zip")).unwrap();
    bytes[200] ^= 1;
    std::fs::write(shop.path("shop.zip"), bytes).unwrap();
    let ran = shop.run(&["rewrap", "shop.zip", "--to", &public, "--remove-old"]);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert!(shop.path("shop.zip").exists() && !shop.path("shop.zip.age").exists());
    let nobody = shop.run(&["rewrap", "shop.zip"]);
    assert_eq!(nobody.code, 2);
    assert!(nobody.stderr.contains("name recipients with `--to`"), "{}", nobody.stderr);
}

#[test]
fn what_changed_is_told_of_two_archives_and_of_the_live_data() {
    let shop = Shop::new();
    shop.must(&["dump", "-q", "-o", "old.zip"]);
    let same = shop.run(&["diff", "old.zip", "old.zip"]);
    assert!(same.stdout.contains("the parts of all nodes are the same"), "{}", same.stdout);
    std::fs::write(shop.path("uploads/new.jpg"), "new").unwrap();
    std::fs::remove_file(shop.path("uploads/b.jpg")).unwrap();
    let live = shop.run(&["diff", "old.zip"]);
    assert_eq!(live.code, 0, "{}", live.stderr);
    assert!(
        live.stdout.contains("uploads  1 in the archive only, 1 only live, 0 different"),
        "{}",
        live.stdout
    );
    assert!(live.stdout.contains("+ new.jpg"), "{}", live.stdout);
    shop.run(&["dump", "-q", "-o", "new.zip"]);
    let ran = shop.run(&["diff", "old.zip", "new.zip"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for line in ["+ files/new.jpg", "- files/b.jpg", "~ tree.jsonl"] {
        assert!(ran.stdout.contains(line), "{line}: {}", ran.stdout);
    }
    assert!(!ran.stdout.contains("files/a.jpg"), "{}", ran.stdout);
    let one = shop.run(&["diff", "old.zip", "new.zip", "--most", "1"]);
    assert!(one.stdout.contains("and 2 more: `--most` names them"), "{}", one.stdout);
    let json = shop.run(&["diff", "old.zip", "new.zip", "--json"]);
    let result: serde_json::Value = serde_json::from_str(json.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(result["report"]["same"], false);
    let uploads = &result["report"]["changes"]["nodes"];
    let uploads = uploads.as_array().unwrap().iter().find(|node| node["node"] == "uploads").unwrap();
    assert_eq!((&uploads["parts"]["added"], &uploads["parts"]["removed"]), (&1.into(), &1.into()));
}

#[test]
fn terraform_takes_the_bucket_of_the_configuration_or_one_that_is_named() {
    let shop = Shop::new();
    let nowhere = shop.run(&["terraform"]);
    assert_eq!(nowhere.code, 2);
    assert!(nowhere.stderr.contains("--cloud aws --bucket NAME"), "{}", nowhere.stderr);
    let named = shop.run(&[
        "terraform",
        "--cloud",
        "aws",
        "--bucket",
        "b-1",
        "--region",
        "eu-west-1",
        "--lock-days",
        "3",
    ]);
    assert_eq!(named.code, 0, "{}", named.stderr);
    assert!(
        named.stdout.contains("bucket              = \"b-1\"")
            && named.stdout.contains("mode = \"GOVERNANCE\"")
    );
    let to = "archive: { to: { url: \"s3://shop-backups/daily\", region: eu-central-1 } }";
    shop.configure(&CONFIG.replace("archive: { to: backups }", to));
    let ran = shop.run(&["terraform"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("${aws_s3_bucket.archives.arn}/daily/*"), "{}", ran.stdout);
    assert!(ran.stdout.contains("region = \"eu-central-1\""));
}

#[test]
fn an_archive_in_a_bucket_is_rewrapped_there() {
    let server = S3Server::shared(S3Kind::Moto);
    let bucket = server.create_bucket();
    let shop = Shop::new();
    let (first, second) = (key(&shop, "first.txt"), key(&shop, "second.txt"));
    let configure = |recipient: &str| {
        let archive = format!(
            "archive:\n  to: {{ url: '{}', endpoint: '{}', access_key_id: '{}', secret_access_key: '{}' }}\n  \
             encryption: {{ recipients: [{recipient}], identities: [{{ file: first.txt }}, {{ file: second.txt }}] }}\n",
            bucket.url("shop"),
            server.endpoint(),
            server.access_key(),
            server.secret_key(),
        );
        shop.configure(&CONFIG.replace("archive: { to: backups }\n", &archive));
    };
    configure(&first);
    shop.must(&["dump", "-q"]);
    let old = bucket.keys("");
    let new = old[0].replace(".zip.age", "-2.zip.age");
    assert!(old.len() == 1 && new != old[0], "{old:?}");
    configure(&second);
    let before = shop.files(".");
    let ran = shop.must(&["rewrap", "latest", "--remove-old"]);
    assert_eq!(ran.stdout.trim(), bucket.url(&new));
    assert_eq!(bucket.keys(""), std::slice::from_ref(&new));
    assert!(bucket.uploads("").is_empty());
    assert_eq!(shop.files("."), before, "nothing was left on disk");
    shop.must(&["verify", "latest"]);
    std::fs::write(shop.path("copy.age"), bucket.get(&new).unwrap()).unwrap();
    let opens = |key: &str| {
        let ran = Command::new("age").current_dir(&shop.folder).args(["-d", "-i", key, "copy.age"]).output();
        ran.unwrap().status.success()
    };
    assert!(opens("second.txt") && !opens("first.txt"));
}

#[test]
fn what_a_run_is_given_to_decrypt_with_does_not_stand_in_for_what_the_configuration_says() {
    let shop = Shop::new();
    let public = key(&shop, "key.txt");
    let archive = format!(
        "archive:\n  to: backups\n  encryption: {{ recipients: [{public}], identities: [{{ file: key.txt }}] }}\n"
    );
    shop.configure(&CONFIG.replace("archive: { to: backups }\n", &archive));
    shop.must(&["dump", "-q"]);
    let output = shop.command(&["verify", "latest"]).env("DUMPRESTORE_PASSPHRASE", "another").output();
    let ran = shop.ran(&["verify", "latest"], &output.unwrap());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    std::fs::remove_file(shop.path("key.txt")).unwrap();
    let copied = shop.must(&["push", &shop.files("backups")[0], "--to", "elsewhere", "--json"]);
    assert!(copied.stdout.contains("its content is not checked"), "{}", copied.stdout);
    let events = copied.json();
    let copying: Vec<_> = events.iter().filter(|event| event["event"] == "copying").collect();
    assert!(
        !copying.is_empty() && copying.iter().all(|event| event["total"].as_u64() > Some(0)),
        "{events:?}"
    );
    assert_eq!(copying.last().unwrap()["done"], copying.last().unwrap()["total"]);
    assert_eq!(shop.files("elsewhere"), shop.files("backups"));
}

#[test]
fn limits_hold_wherever_an_archive_goes() {
    let shop = Shop::new();
    shop.configure(&CONFIG.replace("{ to: backups }", "{ to: backups, max_size: 1KiB, bandwidth: 1GiB/s }"));
    for to in [&["dump"][..], &["dump", "-o", "-"], &["dump", "-o", "a.zip"]] {
        let ran = shop.run(to);
        assert!(ran.code == 1 && ran.stderr.contains("larger than the 1024 bytes"), "{to:?}: {}", ran.stderr);
    }
    assert!(!shop.path("a.zip").exists() && shop.files("backups").is_empty());
}

#[test]
fn no_restore_goes_on_when_no_copy_of_its_safety_dump_could_be_checked() {
    let server = S3Server::shared(S3Kind::Moto);
    let (bucket, trouble) = (server.create_bucket(), Trouble::before(&server.address()));
    let shop = Shop::new();
    shop.must(&["dump", "-q", "-o", "shop.zip"]);
    let archive = format!(
        "archive:\n  to: {{ url: '{}', endpoint: '{}', access_key_id: '{}', secret_access_key: '{}', retries: 1 }}\n",
        bucket.url("shop"),
        trouble.endpoint(),
        server.access_key(),
        server.secret_key(),
    );
    shop.configure(&CONFIG.replace("archive: { to: backups }\n", &archive));
    shop.break_it();
    let state = shop.state();
    trouble.make(Requests::all().method("GET"), Mishap::Status(403));
    let ran = shop.run(&["restore", "shop.zip", "--yes", "--safety-dump"]);
    assert!(ran.code == 1 && ran.stderr.contains("no copy of the safety dump"), "{}", ran.stderr);
    assert_eq!(shop.state(), state);
    trouble.clear();
    shop.must(&["restore", "shop.zip", "--yes", "--safety-dump"]);
    assert_ne!(shop.state(), state);
}
