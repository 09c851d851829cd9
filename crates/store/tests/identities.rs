//! Where keys come from, and the programs of others that have them: `age`, `age-keygen`, `ssh-keygen`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use dumprestore_archive::{Existing, FileOutput, RangeRead};
use dumprestore_driver::{BuildContext, Error, ErrorKind, NodePath};
use dumprestore_store::{DecryptedRead, Encryption, EncryptionOptions, Identities, IdentitySource};
use tempfile::TempDir;

const CONTENT: &[u8] = b"what the archive holds";

/// A folder with a key of age in `key.txt`, as `age-keygen` makes it.
struct Bench {
    folder: TempDir,
    public: String,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        run("age-keygen", &["-o", folder.path().join("key.txt").to_str().unwrap()], b"");
        let public = run("age-keygen", &["-y", folder.path().join("key.txt").to_str().unwrap()], b"");
        Self { public: String::from_utf8(public).unwrap().trim().to_owned(), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn key(&self) -> String {
        fs::read_to_string(self.path("key.txt")).unwrap()
    }

    /// What must be seen nowhere.
    fn secret(&self) -> String {
        self.key().lines().last().unwrap().to_owned()
    }

    fn encrypt(&self, name: &str, to: &Encryption, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        let mut output = to.wrap(Box::new(FileOutput::create(&path, Existing::Replace).unwrap())).unwrap();
        output.write_all(content).unwrap();
        output.publish().unwrap();
        path
    }

    fn options(&self, json: serde_json::Value) -> EncryptionOptions {
        serde_json::from_value(json).unwrap()
    }

    fn context(&self) -> BuildContext {
        BuildContext::new(NodePath::new("archive").unwrap(), self.folder.path())
    }

    fn identities(&self, json: serde_json::Value) -> Result<Identities, Error> {
        let variable = |name: &str| (name == "THE_KEY").then(|| self.key());
        self.options(json).identities(&self.context(), &variable)
    }
}

fn run(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let started = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child =
        started.unwrap_or_else(|error| panic!("{program}: {error}; run scripts/install-test-tools.sh"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn decrypt(path: &Path, with: &Identities) -> Result<Vec<u8>, Error> {
    let opened = DecryptedRead::open(Arc::new(File::open(path).unwrap()), with)?;
    let mut content = vec![0; usize::try_from(opened.size().unwrap()).unwrap()];
    opened.read_exact_at(&mut content, 0).unwrap();
    Ok(content)
}

fn file(path: impl Into<PathBuf>) -> Identities {
    Identities::from([IdentitySource::File(path.into())])
}

#[test]
fn the_program_age_decrypts_what_is_written_here_and_the_other_way_round() {
    let bench = Bench::new();
    let to = Encryption::to([&*bench.public]).unwrap();
    for size in [0, 1, 65_535, 65_536, 65_537, 131_072, 1_000_000] {
        let content: Vec<u8> = (0..size).map(|at: u32| (at % 251) as u8).collect();
        let ours = bench.encrypt("ours.age", &to, &content);
        let read = run("age", &["-d", "-i", &bench.name("key.txt"), ours.to_str().unwrap()], b"");
        assert!(read == content, "age reads {size} bytes of ours");
        fs::write(bench.path("theirs.age"), run("age", &["-r", &bench.public], &content)).unwrap();
        let read = decrypt(&bench.path("theirs.age"), &file(bench.path("key.txt"))).unwrap();
        assert!(read == content, "{size} bytes of age are read here");
    }
}

#[test]
fn ssh_keys_of_both_kinds_encrypt_and_decrypt_here_and_in_the_program_age() {
    let bench = Bench::new();
    for kind in ["ed25519", "rsa"] {
        let key = bench.name(kind);
        run("ssh-keygen", &["-q", "-t", kind, "-b", "2048", "-N", "", "-C", "me@host", "-f", &key], b"");
        let public = fs::read_to_string(format!("{key}.pub")).unwrap();
        let ours = bench.encrypt("ours.age", &Encryption::to([&*public]).unwrap(), CONTENT);
        assert_eq!(run("age", &["-d", "-i", &key, ours.to_str().unwrap()], b""), CONTENT);
        assert_eq!(decrypt(&ours, &file(&key)).unwrap(), CONTENT);
        fs::write(bench.path("theirs.age"), run("age", &["-R", &format!("{key}.pub")], CONTENT)).unwrap();
        assert_eq!(decrypt(&bench.path("theirs.age"), &file(&key)).unwrap(), CONTENT);
        let error = decrypt(&ours, &file(bench.path("key.txt"))).unwrap_err();
        assert!(error.to_string().contains(&format!("to 1 ssh-{kind} recipient")), "{error}");
        assert!(error.hint().unwrap().starts_with("give the private SSH key"));
    }
}

#[test]
fn a_protected_ssh_key_needs_its_passphrase() {
    let bench = Bench::new();
    let key = bench.name("locked");
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "open sesame", "-f", &key], b"");
    let public = fs::read_to_string(format!("{key}.pub")).unwrap();
    let ours = bench.encrypt("ours.age", &Encryption::to([&*public]).unwrap(), CONTENT);
    assert_eq!(decrypt(&ours, &file(&key).protected_by("open sesame").unwrap()).unwrap(), CONTENT);
    let error = decrypt(&ours, &file(&key).protected_by("open barley").unwrap()).unwrap_err();
    assert!(error.to_string().ends_with("is wrong"), "{error}");
    let error = decrypt(&ours, &file(&key)).unwrap_err();
    assert!(error.to_string().ends_with("is protected by a passphrase"), "{error}");
    assert!(error.hint().unwrap().contains("`archive.encryption.identity_passphrase`"));
}

#[test]
fn a_protected_identity_file_needs_its_passphrase_armored_or_not() {
    let bench = Bench::new();
    let archive = bench.encrypt("a.zip.age", &Encryption::to([&*bench.public]).unwrap(), CONTENT);
    let protect = Encryption::with_passphrase("open sesame", Some(10)).unwrap();
    let binary = bench.encrypt("key.age", &protect, bench.key().as_bytes());
    let armored = armor(&fs::read(&binary).unwrap());
    fs::write(bench.path("key.asc"), armored).unwrap();
    for name in ["key.age", "key.asc"] {
        let protected = file(bench.path(name));
        assert_eq!(
            decrypt(&archive, &protected.clone().protected_by("open sesame").unwrap()).unwrap(),
            CONTENT
        );
        for wrong in [protected.clone().protected_by("open barley").unwrap(), protected] {
            let error = decrypt(&archive, &wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(name), "{error}");
        }
    }
    let to_a_key =
        bench.encrypt("odd.age", &Encryption::to([&*bench.public]).unwrap(), bench.key().as_bytes());
    let error = decrypt(&archive, &file(to_a_key).protected_by("x").unwrap()).unwrap_err();
    assert!(error.to_string().ends_with("is encrypted, but not with a passphrase"), "{error}");
}

fn armor(bytes: &[u8]) -> Vec<u8> {
    let mut armored =
        age::armor::ArmoredWriter::wrap_output(Vec::new(), age::armor::Format::AsciiArmor).unwrap();
    armored.write_all(bytes).unwrap();
    armored.finish().unwrap()
}

#[test]
fn a_configuration_takes_identities_from_files_variables_and_commands() {
    let bench = Bench::new();
    fs::write(bench.path("who.txt"), format!("# the team\n\n{}\n", bench.public)).unwrap();
    let options = bench.options(serde_json::json!({ "recipients_files": ["who.txt"] }));
    let to = options.encryption(&bench.context()).unwrap().unwrap();
    assert_eq!(to.to_string(), "1 recipient");
    let archive = bench.encrypt("a.zip.age", &to, CONTENT);
    for source in [
        serde_json::json!({ "file": "key.txt" }),
        serde_json::json!({ "variable": "THE_KEY" }),
        serde_json::json!({ "command": ["cat", bench.name("key.txt")] }),
    ] {
        let identities = bench.identities(serde_json::json!({ "identities": [source] })).unwrap();
        assert_eq!(decrypt(&archive, &identities).unwrap(), CONTENT);
        assert!(!format!("{identities:?}").contains(&bench.secret()));
    }
    assert!(bench.options(serde_json::json!({})).encryption(&bench.context()).unwrap().is_none());
}

#[test]
fn what_gives_no_identity_is_told_without_what_it_gave() {
    let bench = Bench::new();
    let archive = bench.encrypt("a.zip.age", &Encryption::to([&*bench.public]).unwrap(), CONTENT);
    let half = bench.secret()[..40].to_owned();
    fs::write(bench.path("half.txt"), format!("{}\n{half}\n", bench.secret())).unwrap();
    fs::write(bench.path("empty.txt"), "# nothing\n").unwrap();
    fs::write(bench.path("huge.txt"), vec![b'\n'; 3 << 20]).unwrap();
    let script = format!("cat {}; exit 3", bench.name("key.txt"));
    for (source, told) in [
        (serde_json::json!({ "file": "half.txt" }), "line 2"),
        (serde_json::json!({ "file": "empty.txt" }), "holds no identity"),
        (serde_json::json!({ "file": "huge.txt" }), "is longer than a file with keys"),
        (serde_json::json!({ "file": "none.txt" }), "can't read the identity file"),
        (serde_json::json!({ "variable": "NO_SUCH" }), "the variable `NO_SUCH` is not set"),
        (serde_json::json!({ "command": ["sh", "-c", script] }), "exit status: 3"),
        (serde_json::json!({ "command": ["cat", "/dev/zero"] }), "is longer than a file with keys"),
        (serde_json::json!({ "command": [] }), "names no program"),
        (serde_json::json!({ "command": ["/nowhere/at-all"] }), "can't start `/nowhere/at-all`"),
    ] {
        let identities = bench.identities(serde_json::json!({ "identities": [source] })).unwrap();
        let error = decrypt(&archive, &identities).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert_eq!(error.kind(), ErrorKind::Config, "{shown}");
        assert!(shown.contains(told), "{told}: {shown}");
        assert!(!shown.contains(&half), "{shown}");
    }
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let bench = Bench::new();
    fs::write(bench.path("wrong.txt"), "# team\nage1nobody\n").unwrap();
    fs::write(bench.path("pass.txt"), "a phrase\n").unwrap();
    for (options, told) in [
        (serde_json::json!({ "recipients": [bench.public], "passphrase": "x" }), "not both"),
        (serde_json::json!({ "recipients": [bench.public], "work_factor": 12 }), "there is none"),
        (serde_json::json!({ "passphrase": "x", "work_factor": 40 }), "a work factor of 40 is not possible"),
        (serde_json::json!({ "passphrase": "" }), "the passphrase is empty"),
        (serde_json::json!({ "recipients_files": ["wrong.txt"] }), "line: 2"),
        (serde_json::json!({ "recipients_files": ["none.txt"] }), "can't read the file of recipients"),
    ] {
        let error = bench.options(options).encryption(&bench.context()).unwrap_err();
        assert!(error.to_string().contains(told), "{told}: {error}");
    }
    let error =
        serde_json::from_value::<EncryptionOptions>(serde_json::json!({ "recipient": "x" })).unwrap_err();
    assert!(error.to_string().contains("unknown field"));
    let options = serde_json::json!({ "passphrase": "file:pass.txt", "work_factor": 10 });
    let to = bench.options(options.clone()).encryption(&bench.context()).unwrap().unwrap();
    let archive = bench.encrypt("a.zip.age", &to, CONTENT);
    assert_eq!(decrypt(&archive, &bench.identities(options).unwrap()).unwrap(), CONTENT);
    assert_eq!(decrypt(&archive, &Identities::none().and_passphrase("a phrase").unwrap()).unwrap(), CONTENT);
}
