//! What a server may have when it asks for a file: what it was offered, under the name that it was offered as, and
//! nothing else.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use mysql_async::{InfileData, LocalInfileError};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How many pieces may be on their way.
const PIECES: usize = 2;

/// What one connection offers.
#[derive(Clone, Default)]
pub(super) struct Offers(Arc<Mutex<Offer>>);

#[derive(Default)]
struct Offer {
    pending: Option<(String, Receiver<Bytes>)>,
}

impl Offers {
    /// From now on a file of that name may be asked for, once: what is sent is its content.
    pub(super) fn offer(&self, file: &str) -> Sender<Bytes> {
        let (sender, receiver) = channel(PIECES);
        self.lock().pending = Some((file.to_owned(), receiver));
        sender
    }

    /// Takes back what was not asked for. Whether it was asked for.
    pub(super) fn take_back(&self) -> bool {
        self.lock().pending.take().is_none()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Offer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of_name(&self, asked: &[u8]) -> Result<InfileData, LocalInfileError> {
        let mut offer = self.lock();
        match offer.pending.take() {
            Some((name, receiver)) if name.as_bytes() == asked => {
                let pieces = futures_util::stream::unfold(receiver, async |mut receiver| {
                    receiver.recv().await.map(|piece| (Ok(piece), receiver))
                });
                Ok(pieces.boxed())
            }
            _ => Err(LocalInfileError::other(io::Error::other("it was not offered"))),
        }
    }
}

impl mysql_async::prelude::GlobalHandler for Offers {
    fn handle(&self, file_name: &[u8]) -> BoxFuture<'static, Result<InfileData, LocalInfileError>> {
        let answer = self.of_name(file_name);
        Box::pin(async move { answer })
    }
}
