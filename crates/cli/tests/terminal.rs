//! On a terminal: a restore asks, and bars and colour are used.

#![allow(clippy::unwrap_used, reason = "a surrounding that fails ends the test")]

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::OpenptFlags;
use support::Shop;

/// A terminal, with a command running in it.
struct Terminal {
    keys: File,
    screen: File,
    child: Child,
}

impl Terminal {
    fn run(shop: &Shop, arguments: &[&str]) -> Self {
        let keys = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        rustix::pty::grantpt(&keys).unwrap();
        rustix::pty::unlockpt(&keys).unwrap();
        let name = rustix::pty::ptsname(&keys, Vec::new()).unwrap();
        let open = || -> OwnedFd {
            File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap().into()
        };
        let mut command = shop.command(arguments);
        command.stdin(Stdio::from(open())).stdout(Stdio::from(open())).stderr(Stdio::from(open()));
        let child = command.spawn().unwrap();
        // Ours must be closed, lest the screen never ends.
        drop(command);
        Self { screen: keys.try_clone().unwrap().into(), keys: keys.into(), child }
    }

    /// Waits until that is on the screen.
    fn wait_for(&mut self, text: &str) {
        let mut shown = String::new();
        let mut buffer = [0; 4096];
        while !shown.contains(text) {
            let length = self.screen.read(&mut buffer).unwrap();
            shown += &String::from_utf8_lossy(&buffer[..length]);
        }
    }

    /// Types a line, and gives what was on the screen in the end, and the exit code.
    fn type_line(mut self, line: &str) -> (String, i32) {
        self.keys.write_all(line.as_bytes()).unwrap();
        self.keys.write_all(b"\n").unwrap();
        let mut shown = Vec::new();
        let mut buffer = [0; 4096];
        // Reading fails when the last one who holds the terminal has closed it.
        while let Ok(length @ 1..) = self.screen.read(&mut buffer) {
            shown.extend_from_slice(&buffer[..length]);
        }
        let code = self.child.wait().unwrap().code().unwrap();
        (String::from_utf8_lossy(&shown).into_owned(), code)
    }
}

#[test]
fn a_restore_asks_and_only_yes_is_yes() {
    let shop = Shop::new();
    shop.must(&["dump", "-o", "shop.zip"]);
    shop.break_it();
    let broken = shop.state();
    for answer in ["no", "y", "", "yess"] {
        let (screen, code) = Terminal::run(&shop, &["restore", "shop.zip"]).type_line(answer);
        assert!(code == 1 && screen.contains("nothing was changed"), "{screen}");
        assert_eq!(shop.state(), broken);
    }
    let (screen, code) = Terminal::run(&shop, &["restore", "shop.zip"]).type_line("yes");
    assert!(code == 0 && screen.contains("type `yes` to restore"), "{screen}");
    assert_eq!(shop.state(), "3 rows, files a.jpg b.jpg c.jpg");
}

#[test]
fn an_interrupt_is_an_answer_too() {
    let shop = Shop::new();
    shop.must(&["dump", "-o", "shop.zip"]);
    shop.break_it();
    let broken = shop.state();
    let mut terminal = Terminal::run(&shop, &["-q", "restore", "shop.zip"]);
    terminal.wait_for("type `yes` to restore: ");
    kill_process(Pid::from_child(&terminal.child), Signal::INT).unwrap();
    assert_eq!(terminal.child.wait().unwrap().code(), Some(130));
    assert_eq!(shop.state(), broken);
}

#[test]
fn an_archive_is_not_for_a_terminal() {
    let shop = Shop::new();
    let (screen, code) = Terminal::run(&shop, &["dump", "-o", "-"]).type_line("");
    assert!(code == 2 && screen.contains("an archive is not for a terminal"), "{screen}");
}

#[test]
fn colour_is_used_on_a_terminal_unless_it_is_unwanted() {
    let shop = Shop::new();
    let (screen, _) = Terminal::run(&shop, &["dump", "--only", "x"]).type_line("");
    assert!(screen.contains("\u{1b}[1m\u{1b}[31merror:"), "{screen:?}");
    let (screen, _) = Terminal::run(&shop, &["dump", "--only", "x", "--color", "never"]).type_line("");
    assert!(!screen.contains("\u{1b}["), "{screen:?}");
    let output = shop.command(&["dump", "--only", "x"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains('\u{1b}'));
    let output = shop.command(&["dump", "--only", "x", "--color", "always"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("\u{1b}[31m"));
}

#[test]
fn a_name_of_a_file_does_not_act_on_the_terminal() {
    let shop = Shop::new();
    let _socket = std::os::unix::net::UnixListener::bind(shop.path("uploads/\u{1b}[2Jx")).unwrap();
    let dump = shop.must(&["dump", "-o", "shop.zip"]);
    assert!(dump.stderr.contains("\\u{1b}[2Jx") && !dump.stderr.contains('\u{1b}'), "{}", dump.stderr);
    let inspect = shop.must(&["inspect", "shop.zip"]);
    assert!(inspect.stdout.contains("[2Jx") && !inspect.stdout.contains('\u{1b}'), "{}", inspect.stdout);
}

#[test]
fn no_color_is_respected() {
    let shop = Shop::new();
    let output = shop.command(&["check"]).env("NO_COLOR", "1").output().unwrap();
    assert!(output.status.success());
    let output =
        shop.command(&["dump", "--only", "x", "--color", "auto"]).env("NO_COLOR", "1").output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains('\u{1b}'));
}
