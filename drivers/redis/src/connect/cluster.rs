//! A cluster: which primaries share the slots, as its nodes tell.

use std::collections::BTreeMap;

use dumprestore_driver::{Cancel, Error, Result};
use redis::Value;

use super::place::{Address, Place};
use super::session::Session;
use super::slots::{SLOTS, slot};
use super::target::Target;

/// One of the servers that share the keys.
#[derive(Debug, Clone)]
pub(crate) struct Primary {
    /// What the cluster calls it.
    pub(crate) id: String,
    pub(crate) target: Target,
    /// Its slots: from the first to the last of each range, in order.
    pub(crate) ranges: Vec<(u16, u16)>,
    /// How often its slots were given to it: more with each failover and each slot that moves.
    epoch: u64,
}

impl Primary {
    /// Its first slot.
    pub(crate) fn first(&self) -> u16 {
        self.ranges.first().map_or(0, |(first, _)| *first)
    }

    /// Whether a key belongs to it.
    pub(crate) fn has(&self, key: &[u8]) -> bool {
        self.has_slot(slot(key))
    }

    fn has_slot(&self, slot: u16) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&slot))
    }
}

/// Two are the same if nothing has moved between.
impl PartialEq for Primary {
    fn eq(&self, other: &Self) -> bool {
        (&self.id, &self.ranges, self.epoch) == (&other.id, &other.ranges, other.epoch)
    }
}

/// All primaries, in the order of their first slots; every slot is one's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cluster {
    pub(crate) primaries: Vec<Primary>,
}

impl Cluster {
    /// Asks a node of it. `None`: it has no slots yet, and no keys.
    ///
    /// # Errors
    /// If slots are nobody's, or are being moved; or the login may not ask.
    pub(crate) fn of(session: &mut Session) -> Result<Option<Self>> {
        let listed: Vec<Value> = session.query(redis::cmd("CLUSTER").arg("SLOTS"))?;
        if listed.is_empty() {
            return Ok(None);
        }
        let told: Vec<u8> = session.query(redis::cmd("CLUSTER").arg("NODES"))?;
        let told = String::from_utf8_lossy(&told).into_owned();
        refuse_moves(&told)?;
        let epochs = epochs(&told);
        let mut primaries: BTreeMap<String, Primary> = BTreeMap::new();
        for range in &listed {
            let (first, last, id, address) = read_range(range, session.target()).ok_or_else(odd)?;
            let target = session.target().node(&address.host, address.port);
            let epoch = epochs.get(&id).copied().ok_or_else(unsettled)?;
            let fresh = Primary { id: id.clone(), target, ranges: Vec::new(), epoch };
            primaries.entry(id).or_insert(fresh).ranges.push((first, last));
        }
        let mut primaries: Vec<Primary> = primaries.into_values().collect();
        primaries.iter_mut().for_each(|primary| primary.ranges.sort_unstable());
        primaries.sort_by_key(Primary::first);
        let this = Self { primaries };
        match this.slot_in_dispute() {
            None => Ok(Some(this)),
            Some(slot) => Err(Error::environment("the cluster is not whole: a slot is not one primary's")
                .with_context("slot", slot)
                .with_hint("see `CLUSTER INFO`, and `redis-cli --cluster check`")),
        }
    }

    /// The same, with each primary asked as well: all tell the same, and are who they are said to be.
    ///
    /// # Errors
    /// The same, and if one of them can't be reached or tells otherwise; or if the node has no slots: it may have been
    /// taken out of its cluster, and what it has is not what the application has.
    pub(crate) fn agreed(session: &mut Session, cancel: &Cancel) -> Result<Self> {
        let this = Self::of(session)?.ok_or_else(|| {
            Error::environment("the server is a node of a cluster that has no slots").with_hint(
                "name another node of the cluster; or create it first: `redis-cli --cluster create`",
            )
        })?;
        this.agree(cancel)?;
        Ok(this)
    }

    /// Asks each primary whether it is still so.
    ///
    /// # Errors
    /// If one can't be reached, is another, or tells otherwise: a failover, or slots that move.
    pub(crate) fn agree(&self, cancel: &Cancel) -> Result<()> {
        for primary in &self.primaries {
            let mut session = Session::open_for(&primary.target, cancel).map_err(not_reached)?;
            let id: String = session.query(redis::cmd("CLUSTER").arg("MYID"))?;
            if id != primary.id || Self::of(&mut session)?.as_ref() != Some(self) {
                return Err(unsettled().with_context("node", &primary.target.place));
            }
        }
        Ok(())
    }

    /// A slot that is nobody's, or of several.
    fn slot_in_dispute(&self) -> Option<u16> {
        let ranges = self.primaries.iter().flat_map(|primary| primary.ranges.iter().copied());
        let mut ranges: Vec<(u16, u16)> = ranges.collect();
        ranges.sort_unstable();
        let mut next = 0;
        for (first, last) in ranges {
            if first != next || last < first {
                return Some(first.min(next));
            }
            next = last + 1;
        }
        (next != SLOTS).then_some(next)
    }

    /// Which of the primaries has each slot.
    pub(crate) fn map(&self) -> Vec<usize> {
        let mut map = vec![0; usize::from(SLOTS)];
        for (at, primary) in self.primaries.iter().enumerate() {
            for (first, last) in &primary.ranges {
                let slots = map.get_mut(usize::from(*first)..=usize::from(*last));
                slots.into_iter().for_each(|slots| slots.fill(at));
            }
        }
        map
    }

    /// What tells it from others, and from itself after anything has moved or a primary was replaced.
    pub(crate) fn name(&self) -> String {
        let ids: Vec<&str> = self.primaries.iter().map(|primary| primary.id.as_str()).collect();
        ids.join(",")
    }
}

fn odd() -> Error {
    Error::environment("the server's answer to `CLUSTER SLOTS` is not understood")
        .with_hint("each node must know the address of each other one")
}

/// It is not what it was.
fn unsettled() -> Error {
    Error::environment(
        "the cluster has changed meanwhile, or its nodes don't agree: slots or primaries are others",
    )
    .with_hint("a failover, or slots that move: run it again once `redis-cli --cluster check` finds nothing")
}

/// The address is not of the configuration: whoever reads the error knows nothing of it.
fn not_reached(error: Error) -> Error {
    const TOLD: &str = "it is the address of a primary as the cluster tells it, which must be reached from here, with the login and \
                        the TLS of `url`: see `cluster-announce-ip`, `cluster-announce-port` and `cluster-announce-hostname`";
    let hint = error.hint().map_or_else(|| TOLD.to_owned(), |hint| format!("{hint}; {TOLD}"));
    error.with_hint(hint)
}

/// A node tells of its own slots that they are on their way.
fn refuse_moves(told: &str) -> Result<()> {
    match told.lines().any(|line| line.split_whitespace().skip(8).any(|slots| slots.starts_with('['))) {
        false => Ok(()),
        true => Err(Error::environment("slots of the cluster are being moved, and keys with them")
            .with_hint("run it again when that is over: see `redis-cli --cluster check`")),
    }
}

fn epochs(told: &str) -> BTreeMap<String, u64> {
    let epoch = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.nth(5)?.parse().ok()?))
    };
    told.lines().filter_map(epoch).collect()
}

/// `[first, last, [host, port, id, …], …]`. Where none is told, it is the one that was asked.
fn read_range(range: &Value, asked: &Target) -> Option<(u16, u16, String, Address)> {
    let Value::Array(range) = range else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(node), ..] = range.as_slice() else { return None };
    let [host, Value::Int(port), Value::BulkString(id), ..] = node.as_slice() else { return None };
    let host = match host {
        Value::BulkString(host) if !host.is_empty() && host != b"?" => {
            String::from_utf8(host.clone()).ok()?
        }
        // It goes by a name, and has none.
        Value::BulkString(host) if host == b"?" && ip_of(node).is_some() => ip_of(node)?,
        _ => match &asked.place {
            Place::Tcp(address) => address.host.clone(),
            _ => return None,
        },
    };
    let address = Address { host, port: u16::try_from(*port).ok()? };
    let slot = |number: &i64| u16::try_from(*number).ok().filter(|slot| *slot < SLOTS);
    Some((slot(first)?, slot(last)?, String::from_utf8(id.clone()).ok()?, address))
}

/// What else is told of a node: names, and values after them.
fn ip_of(node: &[Value]) -> Option<String> {
    let Some(Value::Array(more)) = node.get(3) else { return None };
    more.chunks_exact(2).find_map(|pair| match pair {
        [Value::BulkString(name), Value::BulkString(value)] if name == b"ip" => {
            String::from_utf8(value.clone()).ok()
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_a_name_is_reached_by_its_address_and_one_without_that_where_it_was_asked() {
        let target =
            Target::new("redis://entry:7000", Default::default(), std::path::Path::new("/")).unwrap();
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let told = |host: Value, more: Vec<Value>| {
            let node = vec![host, Value::Int(7001), text("id"), Value::Array(more)];
            let range = Value::Array(vec![Value::Int(0), Value::Int(9), Value::Array(node)]);
            read_range(&range, &target).unwrap().3.to_string()
        };
        let ip = || vec![text("ip"), text("10.0.0.7")];
        assert_eq!(told(text("?"), ip()), "10.0.0.7:7001");
        assert_eq!(told(text("?"), vec![]), "entry:7001");
        assert_eq!(told(Value::Nil, ip()), "entry:7001");
        assert_eq!(told(text("cache-1"), ip()), "cache-1:7001");
    }

    #[test]
    fn every_slot_is_of_one_primary() {
        let cluster = |all: &[&[(u16, u16)]]| {
            let target = Target::new("redis://h", Default::default(), std::path::Path::new("/")).unwrap();
            let primary = |ranges: &&[(u16, u16)]| Primary {
                id: String::new(),
                target: target.clone(),
                ranges: ranges.to_vec(),
                epoch: 1,
            };
            Cluster { primaries: all.iter().map(primary).collect() }
        };
        let whole = cluster(&[&[(0, 9), (20, 16_383)], &[(10, 19)]]);
        assert_eq!(whole.slot_in_dispute(), None);
        let map = whole.map();
        assert_eq!((map[9], map[10], map[19], map[20], map[16_383], map.len()), (0, 1, 1, 0, 0, 16_384));
        for (wrong, slot) in [
            (cluster(&[&[(0, 9)], &[(11, 16_383)]]), 10),
            (cluster(&[&[(0, 9)], &[(9, 16_383)]]), 9),
            (cluster(&[&[(1, 16_383)]]), 0),
            (cluster(&[&[(0, 16_000)]]), 16_001),
            (cluster(&[]), 0),
        ] {
            assert_eq!(wrong.slot_in_dispute(), Some(slot));
        }
    }

    #[test]
    fn slots_on_their_way_are_seen_in_what_a_node_tells_of_itself() {
        let told = "07c3 127.0.0.1:30004@31004,host slave e7d1 0 1426238317239 4 connected\n\
                    e7d1 127.0.0.1:30001@31001 myself,master - 0 0 17 connected 0-5460";
        assert_eq!(epochs(told), BTreeMap::from([("07c3".to_owned(), 4), ("e7d1".to_owned(), 17)]));
        assert!(refuse_moves(told).is_ok());
        assert!(refuse_moves(&format!("{told} [93->-292f]")).is_err());
    }
}
