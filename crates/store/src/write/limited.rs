//! An output that takes no more than it may have, and no faster.

use std::io;

use dumprestore_archive::{Output, Result};
use dumprestore_driver::Cancel;

use super::pace::Pace;
use super::too_large;

/// Bytes that are let go at once.
const PIECE: usize = 256 << 10;

/// Keeps to the limits of a set where an archive goes through one output, such as standard output.
pub(crate) struct Limited {
    output: Box<dyn Output>,
    pace: Option<Pace>,
    most: Option<u64>,
    written: u64,
    cancel: Cancel,
}

impl Limited {
    /// `bandwidth` in bytes per second, `most` in bytes.
    pub(crate) fn new(
        output: Box<dyn Output>,
        bandwidth: Option<u64>,
        most: Option<u64>,
        cancel: Cancel,
    ) -> Self {
        Self { output, pace: bandwidth.map(Pace::new), most, written: 0, cancel }
    }
}

impl Output for Limited {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        if let Some(most) = self.most.filter(|most| self.written > *most) {
            return Err(too_large(most).into());
        }
        let Some(pace) = &self.pace else { return self.output.write_all(bytes) };
        for piece in bytes.chunks(PIECE) {
            pace.wait(piece.len() as u64, &self.cancel)?;
            self.output.write_all(piece)?;
        }
        Ok(())
    }

    fn publish(self: Box<Self>) -> Result<()> {
        self.output.publish()
    }

    fn abort(self: Box<Self>) {
        self.output.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use dumprestore_archive::StreamOutput;

    use super::*;

    fn limited(bandwidth: Option<u64>, most: Option<u64>, cancel: &Cancel) -> Limited {
        Limited::new(Box::new(StreamOutput::new(io::sink())), bandwidth, most, cancel.clone())
    }

    #[test]
    fn what_goes_through_is_neither_more_nor_faster_than_it_may_be() {
        let mut output = limited(None, Some(10), &Cancel::default());
        output.write_all(&[0; 10]).unwrap();
        let error = output.write_all(&[0]).unwrap_err();
        assert!(error.to_string().contains("larger than the 10 bytes"), "{error}");
        let mut output = limited(Some(10 << 20), None, &Cancel::default());
        let begun = Instant::now();
        output.write_all(&vec![0; 3 << 20]).unwrap();
        assert!(begun.elapsed() > Duration::from_millis(200), "{:?}", begun.elapsed());
    }

    #[test]
    fn who_waits_for_the_line_can_be_stopped() {
        let cancel = Cancel::default();
        let mut output = limited(Some(1), None, &cancel);
        output.write_all(&[0; 1000]).unwrap();
        cancel.cancel();
        assert!(output.write_all(&[0]).is_err());
    }
}
