//! What a command says for people: the last of it, without secrets.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use dumprestore_driver::{Blotter, Revealed};
use tokio::io::{AsyncRead, AsyncReadExt};

/// So much of what a command says is kept: the end.
const MOST_KEPT: usize = 64 * 1024;
/// So many lines of it stand in an error.
const LINES_TOLD: usize = 10;
/// And so many characters of each.
const LINE_TOLD: usize = 300;

/// The end of what was said so far. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Said(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    bytes: VecDeque<u8>,
    dropped: u64,
}

impl Said {
    /// Listens to a stream, to its end.
    pub(crate) async fn listen(self, mut stream: impl AsyncRead + Unpin) {
        let mut buffer = vec![0; 8 * 1024];
        // An error here only means that less can be told about a failure.
        while let Ok(read) = stream.read(&mut buffer).await {
            if read == 0 {
                return;
            }
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(&buffer[..read]);
        }
    }

    /// All that was kept, without secrets.
    pub(crate) fn text(&self, secrets: &[(String, Revealed)]) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.bytes.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        // The first line may have lost its beginning, and with it a secret may have lost its own.
        let whole =
            if kept.dropped == 0 { &text } else { text.split_once('\n').map_or("", |(_, rest)| rest) };
        // Twice: what is taken out may have stood in the middle of a secret.
        let blotter = Blotter::new(secrets.iter().map(|(_, value)| value.expose()));
        let told = blotter.blot_out(&harmless(&blotter.blot_out(whole.trim_end())));
        if kept.dropped == 0 { told } else { format!("… {told}") }
    }

    /// The last lines, without secrets, on one line.
    pub(crate) fn last_lines(&self, secrets: &[(String, Revealed)]) -> String {
        let text = self.text(secrets);
        let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(LINES_TOLD)..];
        let told: Vec<String> = last.iter().map(|line| line.chars().take(LINE_TOLD).collect()).collect();
        told.join(" | ")
    }
}

impl Kept {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        let over = self.bytes.len().saturating_sub(MOST_KEPT);
        self.bytes.drain(..over);
        self.dropped += over as u64;
    }
}

/// Without what moves cursors, changes colours or rings bells on the terminal of whoever reads it.
fn harmless(text: &str) -> String {
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    lines.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}
