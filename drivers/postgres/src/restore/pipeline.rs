//! Statements on one session, sent without waiting for the answer to the one before.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use dumprestore_driver::Result;

/// How many answers may be outstanding: enough to hide the way to the server and back.
const WINDOW: usize = 32;

type Pending<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// Statements whose answers are outstanding, in their order.
#[derive(Default)]
pub(crate) struct Pipeline<'a>(VecDeque<Pending<'a>>);

impl<'a> Pipeline<'a> {
    /// Sends a statement: polled once, a future of the client has handed it to its connection.
    ///
    /// # Errors
    /// That of a statement that was sent before.
    pub(crate) async fn send(
        &mut self,
        statement: impl Future<Output = Result<()>> + Send + 'a,
    ) -> Result<()> {
        let mut statement: Pending<'a> = Box::pin(statement);
        match std::future::poll_fn(|cx| Poll::Ready(statement.as_mut().poll(cx))).await {
            Poll::Ready(done) => done?,
            Poll::Pending => self.0.push_back(statement),
        }
        while self.0.len() > WINDOW {
            self.answer().await?;
        }
        Ok(())
    }

    /// Waits for all answers.
    ///
    /// # Errors
    /// The first of them that is one.
    pub(crate) async fn finish(mut self) -> Result<()> {
        while !self.0.is_empty() {
            self.answer().await?;
        }
        Ok(())
    }

    async fn answer(&mut self) -> Result<()> {
        match self.0.pop_front() {
            Some(first) => first.await,
            None => Ok(()),
        }
    }
}
