//! A process that holds a server, and ends it whatever becomes of the test.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Reads what to do from its input. When that ends, because whoever holds the other end has let go or is dead, the
/// server goes, and its folder with it. A server's children are killed along with it: a `kill -9` of the server alone
/// would leave some of them at work for a while.
const SCRIPT: &str = r#"
folder=$1; ending=$2; shift 2; pid=
family() { cat "/proc/$pid/task/$pid/children" 2>/dev/null; }
while read -r word; do
  case $word in
    start) "$@" >>"$folder/log" 2>&1 </dev/null & pid=$! ;;
    stop) kill -s "$ending" "$pid" 2>/dev/null; wait "$pid" ;;
    kill) others=$(family); kill -s KILL "$pid" $others 2>/dev/null; wait "$pid" 2>/dev/null ;;
    pid) echo "$pid" ;;
  esac
  echo done
done
if [ -n "$pid" ]; then
  others=$(family); kill -s KILL "$pid" $others 2>/dev/null; wait "$pid" 2>/dev/null
fi
tries=0
while ! rm -rf -- "$folder" 2>/dev/null && [ $tries -lt 50 ]; do tries=$((tries + 1)); sleep 0.1; done
"#;

/// Holds a server that lives in a folder.
pub struct Keeper {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Keeper {
    /// Takes over `folder`, which it will remove, and is ready to start `command`. `ending` is the signal that asks the
    /// server to stop, such as `INT`. Its output goes to a file `log` in the folder.
    pub fn new(folder: &Path, ending: &str, command: &[String]) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "keeper"])
            .arg(folder)
            .arg(ending)
            .args(command)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // An interrupt from the terminal is for the tests, and they tell the keeper by being gone.
            .process_group(0)
            .spawn()
            .expect("a shell");
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, orders, answers }
    }

    /// Starts the server. It is not ready yet.
    pub fn start(&mut self) {
        self.order("start");
    }

    /// Asks the server to stop, and waits for it.
    pub fn stop(&mut self) {
        self.order("stop");
    }

    /// `kill -9`, for the server and its children.
    pub fn kill(&mut self) {
        self.order("kill");
    }

    /// The number of the server's process.
    pub fn pid(&mut self) -> u32 {
        self.order("pid").trim().parse().expect("a server that was started")
    }

    fn order(&mut self, word: &str) -> String {
        let orders = self.orders.as_mut().expect("a keeper at work");
        writeln!(orders, "{word}").expect("a keeper that reads");
        let mut said = String::new();
        loop {
            let mut line = String::new();
            let read = self.answers.read_line(&mut line).expect("a keeper that answers");
            assert!(read > 0, "the keeper of a server died");
            if line.trim() == "done" {
                return said;
            }
            said.push_str(&line);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.orders = None;
        // Nothing can be done about it any more.
        let _ = self.child.wait();
    }
}
