//! What goes on meanwhile: time, other threads, and processes with other rights.

/// Until what was written just now is older than a tick of the clock.
pub fn rest() {
    std::thread::sleep(std::time::Duration::from_millis(40));
}

/// Runs a test once more, in a process of its own, by `wrapper`. Answers `true` there.
pub fn in_child(test: &str, wrapper: &[&str]) -> bool {
    const MARK: &str = "DUMPRESTORE_TEST_CHILD";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let run = std::process::Command::new(wrapper[0])
        .args(&wrapper[1..])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(MARK, "1")
        .output()
        .unwrap_or_else(|error| panic!("`{}` is needed: {error}", wrapper[0]));
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{told}{}", String::from_utf8_lossy(&run.stderr));
    assert!(told.contains("1 passed"), "the child ran no test: {told}");
    false
}

/// For tests that mount something: a process with mounts of its own.
pub fn with_own_mounts(test: &str) -> bool {
    match rustix::process::geteuid().is_root() {
        true => in_child(test, &["unshare", "--mount", "--propagation", "private"]),
        false => in_child(test, &["unshare", "--map-root-user", "--mount", "--propagation", "private"]),
    }
}

/// For tests of what an ordinary user may not do.
pub fn as_ordinary_user(test: &str) -> bool {
    match rustix::process::geteuid().is_root() {
        true => {
            in_child(test, &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"])
        }
        false => true,
    }
}

pub fn shell(script: &str) {
    let status = std::process::Command::new("sh").args(["-ec", script]).status().unwrap();
    assert!(status.success(), "{script}");
}

/// Tells a busy thread to stop, also when the test fails: else the test would wait for it for ever.
pub struct StopAtEnd<'a>(pub &'a std::sync::atomic::AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Runs `job` over and over in a thread of its own, while `meanwhile` runs.
pub async fn while_busy(mut job: impl FnMut(u64) + Send, meanwhile: impl AsyncFnOnce()) {
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (stop, job) = (&stop, &mut job);
    std::thread::scope(|scope| {
        let busy = scope.spawn(move || {
            let mut turn = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                turn += 1;
                job(turn);
            }
        });
        let handle = tokio::runtime::Handle::current();
        let stopping = StopAtEnd(stop);
        tokio::task::block_in_place(|| handle.block_on(meanwhile()));
        drop(stopping);
        busy.join().unwrap();
    });
}
