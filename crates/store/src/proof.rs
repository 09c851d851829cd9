//! Whether what goes through is the archive that its manifest describes.

use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use bytes::{Buf, Bytes};
use dumprestore_archive::Digest;
use dumprestore_driver::{Error, Result};
use sha2::{Digest as _, Sha256};

use crate::encryption::DecryptedRead;

/// Pieces that may wait to be decrypted.
const QUEUE: usize = 4;
/// Bytes of content that are decrypted at once.
const CONTENT: usize = 64 << 10;

/// Compares what comes before the manifest with the digest of it there, as its bytes go by. The rest was compared when the
/// archive was opened.
pub(crate) enum Proof {
    /// Nothing can be compared.
    None,
    Plain(Preceding),
    /// Bytes of an encrypted archive, which a thread decrypts.
    Sealed {
        pieces: Option<SyncSender<Bytes>>,
        thread: Option<JoinHandle<io::Result<Preceding>>>,
    },
}

/// What comes before the manifest.
pub(crate) struct Preceding {
    left: u64,
    hash: Sha256,
    wanted: Digest,
}

impl Preceding {
    pub(crate) fn new((bytes, digest): (u64, Digest)) -> Self {
        Self { left: bytes, hash: Sha256::new(), wanted: digest }
    }

    fn take(&mut self, bytes: &[u8]) {
        let taken = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        self.hash.update(&bytes[..taken]);
        self.left -= taken as u64;
    }

    fn proves(self) -> bool {
        let digest: [u8; 32] = self.hash.finalize().into();
        self.left == 0 && digest == self.wanted.0
    }
}

impl Proof {
    /// Of an archive whose bytes are those of its content.
    pub(crate) fn plain(preceding: (u64, Digest)) -> Self {
        Self::Plain(Preceding::new(preceding))
    }

    /// Of one that is encrypted, and was opened.
    ///
    /// # Errors
    /// If there can be no thread.
    pub(crate) fn sealed(content: Arc<DecryptedRead>, preceding: (u64, Digest)) -> Result<Self> {
        let (pieces, queue) = mpsc::sync_channel(QUEUE);
        let decrypt = move || {
            let copy = BufReader::with_capacity(CONTENT, Pieces { queue, rest: Bytes::new() });
            let mut content = content.of_copy(copy)?;
            let (mut preceding, mut buffer) = (Preceding::new(preceding), vec![0; CONTENT]);
            loop {
                match content.read(&mut buffer)? {
                    0 => return Ok(preceding),
                    read => preceding.take(&buffer[..read]),
                }
            }
        };
        let thread = thread::Builder::new().name("proof".into()).spawn(decrypt);
        let thread = thread.map_err(|error| Error::io("can't start a thread that decrypts", error))?;
        Ok(Self::Sealed { pieces: Some(pieces), thread: Some(thread) })
    }

    /// The next bytes.
    ///
    /// # Errors
    /// If it is known already that they are not what they should be.
    pub(crate) fn take(&mut self, bytes: &[u8], shown: &str) -> Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Plain(preceding) => {
                preceding.take(bytes);
                Ok(())
            }
            Self::Sealed { pieces, .. } => {
                let sent = pieces.as_ref().map(|pieces| pieces.send(Bytes::copy_from_slice(bytes)));
                if sent.is_some_and(|sent| sent.is_ok()) { Ok(()) } else { Err(damaged(shown)) }
            }
        }
    }

    /// All of them have gone by.
    ///
    /// # Errors
    /// If they were not what they should be.
    pub(crate) fn finish(self, shown: &str) -> Result<()> {
        let same = match self {
            Self::None => true,
            Self::Plain(preceding) => preceding.proves(),
            Self::Sealed { pieces, thread } => {
                drop(pieces);
                match thread.map(JoinHandle::join) {
                    Some(Ok(read)) => read.is_ok_and(Preceding::proves),
                    _ => return Err(Error::defect("the thread that decrypts panicked")),
                }
            }
        };
        if same { Ok(()) } else { Err(damaged(shown)) }
    }
}

fn damaged(shown: &str) -> Error {
    Error::archive("the archive is damaged: nothing was copied")
        .with_context("archive", shown)
        .with_hint("`verify` names the entry; another place may have a copy that is whole")
}

/// What was sent so far, as a reader.
struct Pieces {
    queue: Receiver<Bytes>,
    rest: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.queue.recv() {
                Ok(piece) => self.rest = piece,
                Err(_) => return Ok(0),
            }
        }
        let length = buffer.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
