//! Connections to all that have keys: to one server, or to each primary of a cluster.

use dumprestore_driver::{Cancel, Error, Result};
use redis::Cmd;

use super::extras::command;
use super::line::{Line, integer, not_understood};
use crate::connect::{Cluster, Reply, Session, Target, slot};

/// One connection to each server that has keys.
pub(super) struct Lines {
    lines: Vec<Line>,
    /// Of a cluster: which of them has each slot.
    map: Vec<usize>,
    cluster: Option<Cluster>,
}

impl Lines {
    pub(super) fn single(line: Line) -> Self {
        Self { lines: vec![line], map: Vec::new(), cluster: None }
    }

    /// Connects to all primaries, which must agree who has what.
    ///
    /// # Errors
    /// If one can't be reached, or the cluster is not whole, or is being changed.
    pub(super) fn of_cluster(target: &Target, cancel: &Cancel) -> Result<Self> {
        let mut session = Session::open_for(target, cancel)?;
        let cluster = Cluster::agreed(&mut session, cancel)?;
        let lines = cluster.primaries.iter().map(|primary| Line::open(&primary.target, cancel));
        Ok(Self { lines: lines.collect::<Result<_>>()?, map: cluster.map(), cluster: Some(cluster) })
    }

    pub(super) fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Each of them.
    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut Line> {
        self.lines.iter_mut()
    }

    pub(super) fn into_lines(self) -> Vec<Line> {
        self.lines
    }

    /// Each of them, with the first slot of its server.
    pub(super) fn with_slots(&mut self) -> impl Iterator<Item = (u16, &mut Line)> {
        let primaries = self.cluster.as_ref().map(|cluster| cluster.primaries.as_slice()).unwrap_or_default();
        let first: Vec<u16> = primaries.iter().map(crate::connect::Primary::first).collect();
        first.into_iter().zip(self.lines.iter_mut())
    }

    pub(super) fn first(&mut self) -> Result<&mut Line> {
        self.at(0)
    }

    /// Which of them is for a key.
    pub(super) fn index_of(&self, key: &[u8]) -> usize {
        self.map.get(usize::from(slot(key))).copied().unwrap_or(0)
    }

    pub(super) fn at(&mut self, index: usize) -> Result<&mut Line> {
        self.lines.get_mut(index).ok_or_else(|| Error::defect("there is no connection for a key"))
    }

    /// The one for a key.
    pub(super) fn of(&mut self, key: &[u8]) -> Result<&mut Line> {
        self.at(self.index_of(key))
    }

    /// How many of these keys, of which no two are the same, a database has.
    ///
    /// # Errors
    /// If a server refuses, or a connection is lost.
    pub(super) fn count_existing<'k>(
        &mut self,
        index: u64,
        keys: impl Iterator<Item = &'k [u8]>,
    ) -> Result<u64> {
        self.all().try_for_each(|line| line.select(index))?;
        if self.cluster.is_none() {
            let mut exist = redis::cmd("EXISTS");
            for key in keys {
                exist.arg(key);
            }
            return integer(&self.first()?.ask(&exist)?).ok_or_else(not_understood);
        }
        // There one command has keys of one slot only.
        let exist: Vec<(&[u8], Cmd)> = keys.map(|key| (key, command("EXISTS", key))).collect();
        let there = self.ask_all(&exist)?;
        Ok(there.iter().filter(|there| **there == Reply::Integer(1)).count() as u64)
    }

    /// Asks many things at once, each of the server that has the key, in the database that was entered. Gives the answers
    /// in the same order.
    ///
    /// # Errors
    /// The first refusal, or if a connection is lost.
    pub(super) fn ask_all(&mut self, asked: &[(&[u8], Cmd)]) -> Result<Vec<Reply>> {
        let mut answers: Vec<Reply> = vec![Reply::Null; asked.len()];
        for index in 0..self.len() {
            let ours = asked.iter().enumerate().filter(|(_, (key, _))| self.index_of(key) == index);
            let (places, cmds): (Vec<usize>, Vec<Cmd>) = ours.map(|(at, (_, cmd))| (at, cmd.clone())).unzip();
            for (at, reply) in places.into_iter().zip(self.at(index)?.ask_all(&cmds)?) {
                if let Some(answer) = answers.get_mut(at) {
                    *answer = reply;
                }
            }
        }
        Ok(answers)
    }
}
