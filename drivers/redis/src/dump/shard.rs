//! What is dumped: one server, or each primary of a cluster.

use dumprestore_driver::{Cancel, Error, OpenContext, Part, PartName, Result};

use super::neighbours::Neighbour;
use super::told::PART;
use crate::config::{Mode, Setup};
use crate::connect::{Cluster, Primary, Server, Session};

/// A server that is read into a part of its own.
pub(super) struct Shard {
    pub(super) part: String,
    /// The target is this server.
    pub(super) setup: Setup,
    /// Of a cluster: which of its primaries.
    pub(super) primary: Option<Primary>,
    /// Whether it is read after others, for whom it waits.
    pub(super) waits: bool,
    /// Not in `mode: scan`.
    pub(super) neighbour: Option<Neighbour>,
}

impl Shard {
    pub(super) fn part(&self) -> Result<Part> {
        Ok(Part::new(PartName::new(self.part.as_str())?))
    }

    /// Refuses a key that another primary has: it is there twice, or not at all.
    pub(super) fn check(&self, key: &[u8]) -> Result<()> {
        match &self.primary {
            Some(primary) if !primary.has(key) => {
                Err(Error::environment("a primary of the cluster sends a key of another one")
                    .with_context("key", key.escape_ascii())
                    .with_context("server", &self.setup.target.place)
                    .with_hint("slots move: run it again when `redis-cli --cluster check` finds nothing"))
            }
            _ => Ok(()),
        }
    }
}

/// All that is dumped.
pub(super) struct Layout {
    pub(super) cluster: Option<Cluster>,
    pub(super) shards: Vec<Shard>,
}

impl Layout {
    /// Asks who has the keys.
    ///
    /// # Errors
    /// If a server can't be reached, or a cluster is not whole, or is being changed.
    pub(super) fn of(setup: &Setup, cx: &OpenContext) -> Result<Self> {
        let mut session = Session::open_for(&setup.target, &cx.cancel)?;
        let server = Server::of(&mut session)?;
        let cluster = match server.cluster {
            true => Some(Cluster::agreed(&mut session, &cx.cancel)?),
            false => None,
        };
        let enter = |server: &Server| {
            let pins = setup.mode == Mode::Replication;
            pins.then(|| Neighbour::enter(&cx.run, &server.run_id))
        };
        let Some(cluster) = cluster else {
            let neighbour = enter(&server);
            let part = PART.to_owned();
            let shard = Shard { part, setup: setup.clone(), primary: None, waits: false, neighbour };
            return Ok(Self { cluster: None, shards: vec![shard] });
        };
        let mut shards = Vec::new();
        for primary in &cluster.primaries {
            let setup = Setup { target: primary.target.clone(), ..setup.clone() };
            let server = Server::of(&mut Session::open_for(&setup.target, &cx.cancel)?)?;
            shards.push(Shard {
                part: format!("{:05}.rdb", primary.first()),
                setup,
                primary: Some(primary.clone()),
                waits: cluster.primaries.len() > 1,
                neighbour: enter(&server),
            });
        }
        Ok(Self { cluster: Some(cluster), shards })
    }

    /// Whether the primaries are still who they were, with the same slots.
    ///
    /// # Errors
    /// If they are not.
    pub(super) fn agree(&self, cancel: &Cancel) -> Result<()> {
        self.cluster.as_ref().map_or(Ok(()), |cluster| cluster.agree(cancel))
    }
}
