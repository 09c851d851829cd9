//! An output that encrypts what goes through it.

use std::io::{self, Write};

use age::stream::StreamWriter;
use dumprestore_archive::{self as archive, Output};
use dumprestore_driver::Result;

use super::Encryption;

/// Encrypts what is written to it, and hands it on in chunks of 64 KiB. Holds one chunk in memory.
pub struct EncryptedOutput(StreamWriter<Onward>);

impl std::fmt::Debug for EncryptedOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EncryptedOutput(..)")
    }
}

impl EncryptedOutput {
    /// Writes the header, with the key of this file for each recipient.
    ///
    /// # Errors
    /// If `output` can't be written to, which is aborted then.
    pub fn new(output: Box<dyn Output>, encryption: &Encryption) -> Result<Self> {
        encryption.begin(Onward(Some(output))).map(Self)
    }
}

impl Output for EncryptedOutput {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(&mut self.0, bytes)
    }

    fn publish(self: Box<Self>) -> archive::Result<()> {
        // The last chunk says that it is the last: without it nobody takes the file for whole.
        let mut onward = self.0.finish().map_err(archive::Error::from)?;
        match onward.0.take() {
            Some(output) => output.publish(),
            None => Ok(()),
        }
    }

    fn abort(self: Box<Self>) {}
}

/// What age writes to. Aborts the output unless that was taken out.
struct Onward(Option<Box<dyn Output>>);

impl Write for Onward {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            Some(output) => output.write_all(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Onward {
    fn drop(&mut self) {
        if let Some(output) = self.0.take() {
            output.abort();
        }
    }
}
