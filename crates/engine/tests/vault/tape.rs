//! A box of the vault that is written as one stream, and never undone.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use dumprestore::driver::{
    Driver, Error, OneStream, OneStreamDriver, PartReader, PartWriter, Result, async_trait,
};

use super::{fill, held};

/// How well tapes run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Running {
    Well,
    Slowly,
    Not,
}

/// How well all tapes run just now.
pub fn tapes() -> MutexGuard<'static, Running> {
    static TAPES: Mutex<Running> = Mutex::new(Running::Well);
    TAPES.lock().unwrap()
}

/// Its driver.
pub fn tape(name: &'static str) -> Arc<dyn Driver> {
    OneStreamDriver::boxed(Tape(name)).unwrap()
}

struct Tape(&'static str);

#[async_trait]
impl OneStream for Tape {
    const KIND: &'static str = "tape";

    fn target(&self) -> String {
        self.0.to_owned()
    }

    async fn dump(&self, out: &mut PartWriter<'_>) -> Result<()> {
        let written = std::io::Write::write_all(out, held(self.0).as_bytes());
        written.map_err(|error| Error::io("can't write the tape", error))
    }

    async fn restore(&self, from: &mut PartReader<'_>) -> Result<()> {
        let running = *tapes();
        match running {
            Running::Well => {}
            Running::Slowly => tokio::time::sleep(Duration::from_millis(300)).await,
            Running::Not => return Err(Error::environment("the tape is jammed")),
        }
        let mut text = String::new();
        let read = std::io::Read::read_to_string(from, &mut text);
        read.map_err(|error| Error::io("can't read the tape", error))?;
        let (name, value) = text.split_once('=').unwrap();
        fill(self.0, &[(name, value)]);
        Ok(())
    }
}
