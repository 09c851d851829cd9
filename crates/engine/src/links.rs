//! Declared links between nodes: resolved to nodes, and checked against what both ends can do.

use dumprestore_driver::{Driver, Edge, Error, NodePath, Result, View};
use serde::Serialize;

use crate::assemble::{Fault, Flat, Place};
use crate::builder::Reference;
use crate::names::{find, listed};

/// A declared edge that decides the order and nothing else: `first` is dumped before `then`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OrderEdge {
    /// Dumped first.
    pub first: NodePath,
    /// Dumped after it.
    pub then: NodePath,
    /// Why.
    pub why: OrderReason,
}

/// Why one node is dumped before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OrderReason {
    /// The second is declared `after:` the first.
    After,
    /// The first refers to the second, without `keys:` that could be certified.
    Refers,
}

/// Everything under `first` before everything under `then`. Indexes of the draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tie {
    pub(crate) first: usize,
    pub(crate) then: usize,
    pub(crate) why: OrderReason,
    pub(crate) place: Place,
}

#[derive(Default)]
pub(crate) struct Links {
    pub(crate) ties: Vec<Tie>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) order_edges: Vec<OrderEdge>,
    pub(crate) notes: Vec<String>,
}

pub(crate) fn resolve_links(flats: &[Flat]) -> Result<Links, Box<Fault>> {
    let paths: Vec<&NodePath> = flats.iter().map(|flat| &flat.path).collect();
    let mut links = Links::default();
    for (at, flat) in flats.iter().enumerate().filter(|(_, flat)| flat.enabled) {
        for (nth, name) in flat.after.iter().enumerate() {
            let place = Place::After(at, nth);
            let other =
                resolve(name, at, flats, &paths).map_err(|error| Fault::on(place, &flat.path, error))?;
            links.add_order(flats, other, at, OrderReason::After, place);
        }
        for (nth, reference) in flat.references.iter().enumerate() {
            links.add_reference(flats, &paths, at, nth, reference)?;
        }
    }
    Ok(links)
}

fn resolve(name: &str, at: usize, flats: &[Flat], paths: &[&NodePath]) -> Result<usize> {
    let found = find(name, Some(&flats[at].path), paths)?;
    match paths.iter().position(|path| *path == found) {
        Some(other) if other == at => Err(Error::config("a node can't be linked to itself")
            .with_hint("what a node refers to in itself is always dumped with it")),
        Some(other) => Ok(other),
        None => Err(Error::defect(format!("`{found}` was found and is not there"))),
    }
}

impl Links {
    fn add_order(&mut self, flats: &[Flat], first: usize, then: usize, why: OrderReason, place: Place) {
        let off = [first, then].into_iter().find(|&at| !flats[at].enabled);
        match off {
            Some(off) => self.note_disabled(&flats[first].path, &flats[then].path, &flats[off].path, why),
            None => {
                self.ties.push(Tie { first, then, why, place });
                let (first, then) = (flats[first].path.clone(), flats[then].path.clone());
                self.order_edges.push(OrderEdge { first, then, why });
            }
        }
    }

    fn note_disabled(&mut self, first: &NodePath, then: &NodePath, off: &NodePath, why: OrderReason) {
        self.notes.push(match why {
            OrderReason::After => format!("`{then}` is declared after `{off}`, which is not enabled"),
            OrderReason::Refers => {
                format!("`{first}` refers to `{off}`, which is not enabled: nothing is certified")
            }
        });
    }

    fn add_reference(
        &mut self,
        flats: &[Flat],
        paths: &[&NodePath],
        at: usize,
        nth: usize,
        reference: &Reference,
    ) -> Result<(), Box<Fault>> {
        let path = &flats[at].path;
        let place = Place::Reference(at, nth);
        let other =
            resolve(&reference.to, at, flats, paths).map_err(|error| Fault::on(place, path, error))?;
        let Some(keys) = &reference.keys else {
            if reference.within.is_some() {
                let error = Error::config("`in` says what the `keys` are, and there are none")
                    .with_hint("add `keys`, or remove `in`");
                return Err(Fault::on(Place::Within(at, nth), path, error));
            }
            self.add_order(flats, at, other, OrderReason::Refers, place);
            return Ok(());
        };
        if !flats[other].enabled {
            self.note_disabled(path, &flats[other].path, &flats[other].path, OrderReason::Refers);
            return Ok(());
        }
        check_certified(flats, at, other, nth, keys, reference.within.as_deref())?;
        self.ties.push(Tie { first: at, then: other, why: OrderReason::Refers, place });
        let within = reference.within.clone();
        self.edges.push(Edge {
            from: path.clone(),
            to: flats[other].path.clone(),
            keys: keys.clone(),
            within,
        });
        Ok(())
    }
}

/// Refuses `keys:` between nodes that can't have them certified.
fn check_certified(
    flats: &[Flat],
    at: usize,
    other: usize,
    nth: usize,
    keys: &serde_json::Value,
    within: Option<&str>,
) -> Result<(), Box<Fault>> {
    let (from, to) = (&flats[at], &flats[other]);
    let fault = |place, error| Fault::on(place, &from.path, error);
    let referrer = with_driver(from, flats).map_err(|error| fault(Place::Keys(at, nth), error))?;
    let referent = with_driver(to, flats).map_err(|error| fault(Place::Reference(at, nth), error))?;
    for (end, driver, linked, lack) in [
        (from, referrer, referrer.capabilities().linked.referrer, "which can't tell what it refers to"),
        (to, referent, referent.capabilities().linked.referent, "in which no key can be looked up"),
    ] {
        if !linked || driver.capabilities().view == View::Streamed {
            let error = Error::config(format!(
                "a reference with `keys` from `{}` to `{}` can't be certified: `{}` is a `{}` node, {}",
                from.path,
                to.path,
                end.path,
                driver.kind(),
                if linked { "which is read while it changes" } else { lack },
            ))
            .with_hint("remove `keys`: the reference then orders only");
            return Err(fault(Place::Keys(at, nth), error));
        }
    }
    referrer.check_keys(keys).map_err(|error| fault(Place::Keys(at, nth), error))?;
    let place = if within.is_some() { Place::Within(at, nth) } else { Place::Reference(at, nth) };
    referent.check_within(within).map_err(|error| fault(place, error))
}

fn with_driver<'a>(node: &'a Flat, flats: &[Flat]) -> Result<&'a dyn Driver> {
    if let Some(driver) = &node.driver {
        return Ok(&**driver);
    }
    let below = flats.iter().filter(|flat| flat.driver.is_some() && flat.path.is_within(&node.path));
    Err(Error::config(format!("`{}` has no driver, and so no keys", node.path))
        .with_hint(format!("name a node below it: {}", listed(below.map(|flat| &flat.path)))))
}
