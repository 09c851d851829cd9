//! Whether the programs of hooks are there is known before a run.

#![allow(clippy::unwrap_used, reason = "what fails ends the test")]

mod vault;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use dumprestore::driver::Revealed;
use dumprestore::{BackupSet, Hook, HookPoint, Hooks, NodeBuilder, OnError, Severity};

#[test]
fn programs_are_looked_for_as_a_run_does() {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for (name, mode) in [("bin/tool", 0o755), ("migrate", 0o755), ("notes", 0o644)] {
        std::fs::write(folder.path().join(name), "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(folder.path().join(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    let hooks = Hooks::new()
        .with(HookPoint::BeforeDump, Hook::new(["tool", "--fast"]))
        .with(HookPoint::BeforeDump, Hook::new(["./migrate"]))
        .with(HookPoint::PreSwap, Hook::new(["./notes"]))
        .with(HookPoint::Always, Hook::new(["migrate"]).with_on_error(OnError::Continue));
    let own = Hook::new(["./gone"]);
    let set = BackupSet::builder("shop")
        .base(folder.path())
        .hooks(hooks)
        .node(
            NodeBuilder::new("db")
                .driver(vault::driver("hooks"))
                .hooks(Hooks::new().with(HookPoint::AfterDump, own)),
        )
        .build()
        .unwrap();
    let path = BTreeMap::from([("PATH".to_owned(), format!("/nowhere:{}", bin.display()))]);
    let problems = set.hook_problems(&path);
    let told: Vec<_> = problems.iter().map(|found| (found.hook, found.problem.severity)).collect();
    assert_eq!(
        told,
        [
            (HookPoint::PreSwap, Severity::NoRestore),
            (HookPoint::Always, Severity::Warning),
            (HookPoint::AfterDump, Severity::NoDump),
        ]
    );
    assert!(problems.iter().all(|found| found.problem.hint.is_some()));
    assert_eq!(problems[2].node.as_ref().unwrap().as_str(), "db");
    assert_eq!(set.hook_problems(&BTreeMap::<String, String>::new()).len(), 4);
}

#[test]
fn a_path_that_a_hook_is_given_counts() {
    let folder = tempfile::tempdir().unwrap();
    let tool = folder.path().join("tool");
    std::fs::write(&tool, "").unwrap();
    std::fs::set_permissions(&tool, PermissionsExt::from_mode(0o700)).unwrap();
    let cx = dumprestore::driver::BuildContext::new(dumprestore::NodePath::new("x").unwrap(), "/");
    let value: Revealed =
        dumprestore::driver::Secret::new(folder.path().to_str().unwrap()).reveal(&cx).unwrap();
    let hook = Hook::new(["tool"]).with_env("PATH", value);
    let set = BackupSet::builder("shop")
        .base("/")
        .hooks(Hooks::new().with(HookPoint::OnSuccess, hook))
        .node(NodeBuilder::new("db").driver(vault::driver("hooks")))
        .build()
        .unwrap();
    assert_eq!(set.hook_problems(&BTreeMap::<String, String>::new()), []);
}
