//! Megabytes per second through encryption and back: `cargo bench -p dumprestore-store --bench encryption`.
//!
//! 512 MB to nowhere; then read back from memory by one thread, by two, and in 4 KiB at random places.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a program for the terminal")]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use dumprestore_archive::{self as archive, Output, RangeRead};
use dumprestore_store::{DecryptedRead, Encryption, Identities};

const BYTES: usize = 512 << 20;
const BLOCK: usize = 1 << 20;

#[derive(Clone)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Output for Memory {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }

    fn publish(self: Box<Self>) -> archive::Result<()> {
        Ok(())
    }

    fn abort(self: Box<Self>) {}
}

fn measure(what: &str, bytes: usize, work: impl FnOnce()) {
    let begun = Instant::now();
    work();
    println!("{what:<28} {:>6.0} MB/s", bytes as f64 / 1e6 / begun.elapsed().as_secs_f64());
}

fn main() {
    let to = Encryption::with_passphrase("measured", Some(10)).unwrap();
    let memory = Memory(Arc::new(Mutex::new(Vec::with_capacity(BYTES + (1 << 20)))));
    let block: Vec<u8> = (0..BLOCK).map(|at| (at * 31 % 251) as u8).collect();
    measure("encrypt", BYTES, || {
        let mut output = to.wrap(Box::new(memory.clone())).unwrap();
        (0..BYTES / BLOCK).for_each(|_| output.write_all(&block).unwrap());
        output.publish().unwrap();
    });
    let file = std::mem::take(&mut *memory.0.lock().unwrap());
    let opened =
        DecryptedRead::open(Arc::new(file), &Identities::none().and_passphrase("measured").unwrap()).unwrap();
    let read = |from: usize, to: usize| {
        let mut buffer = vec![0; 128 << 10];
        (from..to).step_by(buffer.len()).for_each(|at| opened.read_exact_at(&mut buffer, at as u64).unwrap());
    };
    measure("decrypt, one thread", BYTES, || read(0, BYTES));
    measure("decrypt, two threads", BYTES, || {
        std::thread::scope(|scope| {
            scope.spawn(|| read(0, BYTES / 2));
            scope.spawn(|| read(BYTES / 2, BYTES));
        });
    });
    let mut buffer = vec![0; 4096];
    measure("decrypt 4 KiB at random", 20_000 * 4096, || {
        for turn in 0..20_000u64 {
            let at = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (BYTES as u64 - 4096);
            opened.read_exact_at(&mut buffer, at).unwrap();
        }
    });
}
