//! What commands do wrong, and what becomes of it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a surrounding that fails ends the test")]

use std::path::Path;
use std::sync::Arc;

use dumprestore_command::CommandConfig;
use dumprestore_driver::{
    ArchivedNode, BuildContext, Driver, DriverConfig, Error, ErrorKind, NodePath, OldState, PartReader,
    Severity, StageContext,
};
use dumprestore_testkit::{Damage, Dumping, Faulty, Process, Restoring, Step, StoredNode, TempDir, soon};
use serde_json::{Value, json};

fn build(options: Value, base: &Path) -> Result<Arc<dyn Driver>, Error> {
    let config: CommandConfig =
        serde_json::from_value(options).map_err(|error| Error::config(error.to_string()))?;
    config.build(&BuildContext::new(NodePath::new("directory").unwrap(), base))
}

fn sh(script: &str) -> Value {
    json!(["sh", "-c", script])
}

struct Node {
    folder: TempDir,
    driver: Arc<dyn Driver>,
    faults: Arc<Faulty>,
}

impl Node {
    fn new(mut options: Value) -> Self {
        let folder = TempDir::new().unwrap();
        for (option, command) in [("dump", "cat data"), ("restore", "cat > data")] {
            if options.get(option).is_none() {
                options[option] = sh(command);
            }
        }
        let driver = build(options, folder.path()).unwrap();
        Self { folder, driver, faults: Arc::default() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    async fn dump(&self) -> Result<Arc<StoredNode>, Error> {
        let cx = dumprestore_driver::OpenContext::new("run", self.path("scratch"));
        let mut dumping = Dumping::open(&*self.driver, cx, self.path("archive"), self.faults.clone()).await?;
        let dumped = async {
            dumping.pin(dumprestore_driver::CutMode::Open).await?;
            dumping.stream(async || {}).await
        };
        let dumped = dumped.await;
        let (node, released) = dumping.release().await;
        dumped.and(released).map(|()| Arc::new(node))
    }

    async fn restore(&self, archived: &Arc<StoredNode>) -> Result<(), Error> {
        let cx = StageContext::new("run");
        let mut restoring =
            Restoring::stage(&*self.driver, archived.clone(), cx, self.faults.clone()).await?;
        restoring.go(Step::Finish, OldState::Drop).await.map(drop)
    }

    /// A dump of so many bytes.
    async fn archived(&self, size: usize) -> Arc<StoredNode> {
        std::fs::write(self.path("data"), vec![b'x'; size]).unwrap();
        let node = Node::new(json!({ "cwd": self.folder.path() }));
        let archived = node.dump().await.unwrap();
        std::fs::rename(node.path("archive"), self.path("archive")).unwrap();
        std::fs::remove_file(self.path("data")).unwrap();
        archived.moved(&self.path("archive"))
    }
}

fn is_alive(pid_file: &Path) -> bool {
    let pid = std::fs::read_to_string(pid_file).unwrap();
    // A zombie waits for init, and does nothing any more.
    std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_fails_after_good_looking_output_is_no_dump() {
    let node = Node::new(json!({ "dump": sh("echo all is well; echo 'lost the connection' >&2; exit 3") }));
    let error = node.dump().await.unwrap_err();
    insta::assert_snapshot!(error, @"the dump command failed (exit status: 3) (program: sh, it said: lost the connection)");
    assert_eq!(error.kind(), ErrorKind::Environment);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_is_killed_is_no_dump() {
    let node = Node::new(json!({ "dump": sh("echo half; kill -9 $$") }));
    insta::assert_snapshot!(node.dump().await.unwrap_err(), @"the dump command failed (signal: 9 (SIGKILL)) (program: sh)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_of_nothing_is_a_failure_unless_it_may_be_empty() {
    let node = Node::new(json!({ "dump": ["true"] }));
    let error = node.dump().await.unwrap_err();
    insta::assert_snapshot!(error, @"the dump command ended well, but wrote nothing (program: true)");
    assert!(error.hint().unwrap().contains("allow_empty"));
    let node = Node::new(json!({ "dump": ["true"], "allow_empty": true }));
    let archived = node.dump().await.unwrap();
    std::fs::write(node.path("data"), "old").unwrap();
    node.restore(&archived).await.unwrap();
    assert_eq!(std::fs::read(node.path("data")).unwrap(), b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dump_says_is_no_data_and_stands_in_the_ledger_without_secrets() {
    let node = Node::new(json!({
        "dump": sh("echo data; echo \"I am $USER_NAME, $SECRET, and one is $ONE\" >&2"),
        "env": { "SECRET": "s3cret", "USER_NAME": "s3cret-ary", "ONE": "1" },
    }));
    let archived = node.dump().await.unwrap();
    let ledger = archived.ledger();
    assert_eq!(ledger.len(), 1);
    assert!(!ledger[0].degrades);
    insta::assert_snapshot!(ledger[0].why, @"it said: I am ***, ***, and one is 1");
    let mut content = String::new();
    let name = dumprestore_driver::PartName::new("stream").unwrap();
    let mut part = dumprestore_driver::ArchivedNode::read(&*archived, &name).unwrap();
    std::io::Read::read_to_string(&mut part, &mut content).unwrap();
    assert_eq!(content, "data\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_in_what_a_command_was_told_is_not_told_on() {
    let node = Node::new(json!({
        "dump": sh("echo 'login with hunter22 failed; pg://a:p%40ss%2Fword@db/d is no better' >&2; exit 1"),
        "env": { "DSN": "host=db user=a password=hunter22", "DB_PASSWORD": "p@ss/word" },
    }));
    let error = node.dump().await.unwrap_err();
    insta::assert_snapshot!(error, @"the dump command failed (exit status: 1) (program: sh, it said: login with *** failed; pg://a:***@db/d is no better)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_of_words_neither_blocks_a_dump_nor_is_kept() {
    let node = Node::new(json!({
        "dump": sh("i=0; while [ $i -lt 20000 ]; do echo \"word $i of many, none of them of use\" >&2; i=$((i+1)); done; exit 1"),
    }));
    let text = node.dump().await.unwrap_err().to_string();
    assert!(text.ends_with("word 19999 of many, none of them of use)"), "{text}");
    assert!(text.len() < 4_000, "{} bytes", text.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_says_does_nothing_to_a_terminal() {
    let node = Node::new(json!({ "dump": sh("printf 'half\\r\\033[31mall\\007 red\\n' >&2; exit 1") }));
    insta::assert_snapshot!(node.dump().await.unwrap_err(), @"the dump command failed (exit status: 1) (program: sh, it said: half | [31mall red)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_sees_no_input() {
    let node = Node::new(json!({ "dump": sh("cat; echo end") }));
    node.dump().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_takes_too_long_is_stopped_with_all_that_it_started() {
    let script = "sleep 600 & echo $! > pid; echo something; wait";
    let node = Node::new(json!({ "dump": sh(script), "timeout": "300ms" }));
    let error = node.dump().await.unwrap_err();
    insta::assert_snapshot!(error, @"the dump command was stopped after 300ms (program: sh)");
    soon("the end of what the command started", || !is_alive(&node.path("pid")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_dump_stops_a_command_that_says_nothing() {
    let node = Node::new(json!({ "dump": sh("sleep 600 & echo $! > pid; wait") }));
    let cancel = node.faults.cancel();
    let pid = node.path("pid");
    let stopper = std::thread::spawn(move || {
        soon("the command", || std::fs::read(&pid).is_ok_and(|pid| !pid.is_empty()));
        cancel.cancel();
    });
    assert_eq!(node.dump().await.unwrap_err().kind(), ErrorKind::Cancelled);
    stopper.join().unwrap();
    soon("the end of what the command started", || !is_alive(&node.path("pid")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_will_not_stop_is_killed() {
    let node = Node::new(
        json!({ "dump": sh("trap '' TERM; echo $$ > pid; while true; do sleep 0.1; done"), "timeout": "200ms" }),
    );
    node.dump().await.unwrap_err();
    assert!(!is_alive(&node.path("pid")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_fails_is_a_failure_with_its_last_words() {
    let node =
        Node::new(json!({ "restore": sh("cat > /dev/null; echo started; echo 'no such role' >&2; exit 1") }));
    let archived = node.archived(1_000_000).await;
    let text = node.restore(&archived).await.unwrap_err().to_string();
    assert!(
        text.starts_with("the restore command failed (exit status: 1) (program: sh, it said: "),
        "{text}"
    );
    assert!(text.contains("no such role") && text.contains("started"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_does_not_read_all_is_a_failure_though_it_ends_well() {
    for (script, size) in
        [("true", 10), ("true", 5_000_000), ("head -c 5", 10_000), ("exec < /dev/null; sleep 0.1", 9)]
    {
        let node = Node::new(json!({ "restore": sh(script) }));
        let archived = node.archived(size).await;
        let error = node.restore(&archived).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("the restore command ended before it had read all of its input"),
            "{script}: {text}"
        );
        assert!(error.hint().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_of_damaged_content_never_sees_the_end_of_its_input() {
    for damage in [Damage::Halfway, Damage::AtTheEnd] {
        let node = Node::new(json!({ "restore": sh("cat > new && mv new data") }));
        let archived = node.archived(300_000).await;
        let name = archived.names().remove(0);
        let error = node.restore(&Arc::new(archived.with_damage(name, damage))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Archive, "{error:?}");
        assert!(!node.path("data").exists());
    }
}

/// Run by the test below, in a process of its own.
#[test]
fn a_restore_that_is_killed_with_us() {
    let Some(folder) = std::env::var_os("RESTORE_INTO") else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let folder = Path::new(&folder);
        let script = "head -c 100000 > new; echo half > marker; sleep 1; cat >> new; mv new data";
        let driver = build(json!({ "dump": ["true"], "restore": ["sh", "-c", script] }), folder).unwrap();
        let faults = Arc::new(Faulty::never());
        let archived = Arc::new(StoredNode::open(&folder.join("archive")).with_chunk(1_000));
        let mut restoring =
            Restoring::stage(&*driver, archived, StageContext::new("run"), faults).await.unwrap();
        let _ = restoring.go(Step::Load, OldState::Drop).await;
    });
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_command_dies_with_us() {
    let node = Node::new(json!({}));
    let archived = node.archived(60_000_000).await;
    archived.save();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_restore_that_is_killed_with_us"]).env("RESTORE_INTO", node.folder.path());
    let mut process = Process::start(&mut command);
    soon("half of the restore", || node.path("marker").exists());
    let id = process.id().cast_signed();
    let id = rustix::process::Pid::from_raw(id).unwrap();
    // It alone: the command is in a group of its own, as it is under any `kill -9`.
    rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
    process.wait();
    // For longer than the command would take.
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    assert!(!node.path("data").exists(), "half of a dump was made final");
}

/// A pipeline whose last program makes all that it was given final, a while after half of it has come.
const PIPELINE: &str =
    "cat | sh -c 'echo $$ > pid; head -c 1000 > new; echo > marker; cat >> new; mv new data'";

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_given_up_ends_all_programs_of_a_pipeline_before_their_input() {
    for _ in 0..10 {
        let node = Node::new(json!({ "restore": sh(PIPELINE) }));
        let archived = node.archived(5_000_000).await;
        let mut staging = node.driver.stage(archived.clone(), StageContext::new("run")).await.unwrap();
        staging.begin().await.unwrap();
        let part = ArchivedNode::parts(&*archived).next().unwrap();
        // More than is ever asked for: the restore waits for the command when it is given up.
        let mut endless = std::io::repeat(b'x');
        let mut endless = PartReader::new(&mut endless);
        let marker = async {
            while !node.path("marker").exists() {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            biased;
            () = marker => {}
            loaded = staging.load(&part, &mut endless) => panic!("{loaded:?}"),
        }
        soon("the end of the pipeline", || !is_alive(&node.path("pid")));
        assert!(!node.path("data").exists(), "half of a dump was made final");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_restore_ends_all_programs_of_a_pipeline_before_their_input() {
    let node = Node::new(json!({ "restore": sh(PIPELINE) }));
    let archived = node.archived(60_000_000).await;
    let archived = Arc::new(archived.with_chunk(1_000));
    let (cancel, marker) = (node.faults.cancel(), node.path("marker"));
    let stopper = std::thread::spawn(move || {
        soon("half of the restore", || marker.exists());
        cancel.cancel();
    });
    assert_eq!(node.restore(&archived).await.unwrap_err().kind(), ErrorKind::Cancelled);
    stopper.join().unwrap();
    soon("the end of the pipeline", || !is_alive(&node.path("pid")));
    assert!(!node.path("data").exists(), "half of a dump was made final");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_command_can_check_what_it_reads() {
    let script = "cat > new && test $(wc -c < new) = $DUMPRESTORE_SIZE && \
                  echo \"$DUMPRESTORE_SHA256  new\" | sha256sum -c && mv new data";
    let node = Node::new(json!({ "restore": sh(script) }));
    let archived = node.archived(100_000).await;
    node.restore(&archived).await.unwrap();
    assert_eq!(std::fs::metadata(node.path("data")).unwrap().len(), 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_frozen_is_thawed_whatever_happens() {
    for (dump, freeze) in
        [("cat data", "echo f >> log"), ("exit 1", "echo f >> log"), ("cat data", "echo f >> log; exit 1")]
    {
        let node = Node::new(json!({ "dump": sh(dump), "freeze": sh(freeze), "thaw": sh("echo t >> log") }));
        std::fs::write(node.path("data"), "x").unwrap();
        let _ = node.dump().await;
        assert_eq!(std::fs::read_to_string(node.path("log")).unwrap(), "f\nt\n", "{dump}, {freeze}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_dump_froze_is_thawed_as_often_as_asked() {
    let node = Node::new(json!({ "freeze": ["touch", "frozen"], "thaw": ["rm", "-f", "frozen"] }));
    std::fs::write(node.path("frozen"), "").unwrap();
    for _ in 0..2 {
        node.driver.thaw().await.unwrap();
        assert!(!node.path("frozen").exists());
    }
    Node::new(json!({})).driver.thaw().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thaw_that_fails_is_not_passed_over() {
    let node =
        Node::new(json!({ "dump": sh("echo x"), "freeze": ["true"], "thaw": sh("echo stuck; exit 1") }));
    let text = node.dump().await.unwrap_err().to_string();
    insta::assert_snapshot!(text, @"the thaw command failed (exit status: 1) (program: sh, it said: stuck)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_there_is_seen_beforehand() {
    let node = Node::new(json!({
        "dump": ["no-such-program-anywhere"], "restore": ["./not-there"], "freeze": ["./data"], "thaw": ["./folder/../."],
    }));
    std::fs::write(node.path("data"), "x").unwrap();
    std::fs::create_dir(node.path("folder")).unwrap();
    let problems = node.driver.inspect().await.unwrap().problems;
    let told: Vec<String> = problems.iter().map(|p| format!("{:?}: {}", p.severity, p.message)).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    NoDump: the dump command can't be run: there is no `no-such-program-anywhere` on `PATH`
    NoDump: the freeze command can't be run: `./data` is not executable
    NoDump: the thaw command can't be run: `./folder/../.` is not a file
    NoRestore: the restore command can't be run: `./not-there` is not there
    ");
    assert!(problems.iter().all(|problem| problem.hint.is_some()));
    let error = node.dump().await.unwrap_err();
    assert!(error.to_string().starts_with("the freeze command can't be run"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_there_is_seen_beforehand() {
    let node = Node::new(json!({ "cwd": "nowhere" }));
    let problems = node.driver.inspect().await.unwrap().problems;
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].severity, Severity::Error);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relative_program_starts_from_the_folder_that_it_runs_in() {
    let node = Node::new(json!({ "dump": ["./dump me"], "cwd": "tools" }));
    std::fs::create_dir(node.path("tools")).unwrap();
    std::fs::copy("/bin/echo", node.path("tools/dump me")).unwrap();
    assert!(node.driver.inspect().await.unwrap().problems.is_empty());
    node.dump().await.unwrap();
}

#[test]
fn commands_are_lists_and_nothing_is_split() {
    let refused = |options: Value| build(options, Path::new("/")).err().expect("refused").to_string();
    insta::assert_snapshot!(refused(json!({ "dump": "pg_dump shop", "restore": ["x"] })), @r#"
    a command is a list, not a text: no shell takes it apart
    hint: write `["pg_dump", "shop"]`, and `["sh", "-c", …]` where a shell is wanted
    "#);
    insta::assert_snapshot!(refused(json!({ "dump": [], "restore": ["x"] })), @"a command needs a program to run");
    insta::assert_snapshot!(refused(json!({ "dump": [""], "restore": ["x"] })), @"a command needs a program to run");
    insta::assert_snapshot!(refused(json!({ "dump": ["a\0b"], "restore": ["x"] })), @"an argument can't hold a zero byte");
    insta::assert_snapshot!(refused(json!({ "dump": ["x"] })), @"missing field `restore`");
    insta::assert_snapshot!(refused(json!({ "dump": ["x"], "restore": ["x"], "freeze": ["x"] })), @"`freeze` needs `thaw`");
    insta::assert_snapshot!(refused(json!({ "dump": ["x"], "restore": ["x"], "timeout": "soon" })), @r"
    `soon` is not a length of time
    hint: write `30s`, `5m` or `1h 30m`
    ");
    insta::assert_snapshot!(
        refused(json!({ "dump": ["x"], "restore": ["x"], "env": { "A=B": "x" } })),
        @"`A=B` is not the name of an environment variable (option: env)"
    );
}
