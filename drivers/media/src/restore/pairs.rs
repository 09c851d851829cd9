//! Two listings side by side: what is archived, and what is live.

use dumprestore_driver::Result;
use futures_util::stream::{BoxStream, try_unfold};
use futures_util::{Stream, StreamExt, TryStreamExt};

use super::archived::Wanted;
use super::live::Live;

/// What both have under one key.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) wanted: Option<Wanted>,
    pub(super) live: Option<Live>,
    /// How many lines the archive's listing has had so far, this one included.
    pub(super) lines: u64,
    /// How many live objects that the archive does not have there were since the last line, this one included.
    pub(super) extras: u64,
}

struct Merge {
    wanted: BoxStream<'static, Result<Wanted>>,
    live: BoxStream<'static, Result<Live>>,
    /// What each has next; `None` at its end.
    ahead: Option<(Option<Wanted>, Option<Live>)>,
    lines: u64,
    extras: u64,
}

/// All keys of either, in order.
pub(super) fn pairs(
    wanted: BoxStream<'static, Result<Wanted>>,
    live: BoxStream<'static, Result<Live>>,
) -> impl Stream<Item = Result<Pair>> + Send + 'static {
    let merge = Merge { wanted, live, ahead: None, lines: 0, extras: 0 };
    try_unfold(merge, async |mut merge| Ok(merge.next().await?.map(|pair| (pair, merge)))).boxed()
}

impl Merge {
    async fn next(&mut self) -> Result<Option<Pair>> {
        let (wanted, live) = match self.ahead.take() {
            Some(ahead) => ahead,
            None => (self.wanted.try_next().await?, self.live.try_next().await?),
        };
        let order = match (&wanted, &live) {
            (None, None) => {
                self.ahead = Some((None, None));
                return Ok(None);
            }
            (Some(wanted), Some(live)) => wanted.line.key.as_bytes().cmp(live.key.as_bytes()),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
        };
        let (wanted, live, later) = match order {
            std::cmp::Ordering::Less => (wanted, None, (self.wanted.try_next().await?, live)),
            std::cmp::Ordering::Greater => (None, live, (wanted, self.live.try_next().await?)),
            std::cmp::Ordering::Equal => {
                let later = (self.wanted.try_next().await?, self.live.try_next().await?);
                (wanted, live, later)
            }
        };
        self.ahead = Some(later);
        Ok(Some(self.pair(wanted, live)))
    }

    fn pair(&mut self, wanted: Option<Wanted>, live: Option<Live>) -> Pair {
        match &wanted {
            Some(wanted) => (self.lines, self.extras) = (wanted.number, 0),
            None => self.extras += 1,
        }
        let key = match (&wanted, &live) {
            (Some(wanted), _) => wanted.line.key.clone(),
            (None, Some(live)) => live.key.clone(),
            (None, None) => String::new(),
        };
        Pair { key, wanted, live, lines: self.lines, extras: self.extras }
    }
}
