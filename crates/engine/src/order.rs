//! The dump order: a stable topological sort, and the naming of cycles.
//!
//! Each node has two marks: where its section begins and where it ends, which is where the node itself is dumped. A
//! child's section lies within its parent's, so that whatever is declared for a node holds for all below it, and a
//! group needs no edge per member.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use dumprestore_driver::{Error, NodePath};

use crate::assemble::{Fault, Flat, Place};
use crate::links::{OrderReason, Tie};

/// Puts the enabled nodes with a driver into dump order.
pub(crate) fn dump_order(flats: &[Flat], ties: &[Tie]) -> Result<Vec<NodePath>, Box<Fault>> {
    let graph = Graph::new(flats, ties);
    let sorted = graph.sort();
    if sorted.len() < graph.ranks.len() {
        return Err(graph.cycle(flats, ties, &sorted));
    }
    let dumped = sorted.iter().filter_map(|mark| mark.end_of()).map(|at| &flats[at]);
    Ok(dumped.filter(|flat| flat.driver.is_some()).map(|flat| flat.path.clone()).collect())
}

/// The begin (even) or the end (odd) of a node's section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Mark(usize);

impl Mark {
    fn begin(node: usize) -> Self {
        Self(node * 2)
    }

    fn end(node: usize) -> Self {
        Self(node * 2 + 1)
    }

    fn node(self) -> usize {
        self.0 / 2
    }

    fn end_of(self) -> Option<usize> {
        (self.0 % 2 == 1).then(|| self.node())
    }
}

struct Graph {
    /// Which marks come after each mark, and by which tie if not by the tree.
    next: Vec<Vec<(Mark, Option<usize>)>>,
    /// Of marks that are ready, the one of the least rank comes next. Marks that dump nothing come at once, so
    /// that they hold up no node.
    ranks: Vec<usize>,
}

impl Graph {
    fn new(flats: &[Flat], ties: &[Tie]) -> Self {
        let mut next = vec![Vec::new(); flats.len() * 2];
        for (at, flat) in flats.iter().enumerate() {
            next[Mark::begin(at).0].push((Mark::end(at), None));
            if let Some(parent) = flat.parent {
                next[Mark::begin(parent).0].push((Mark::begin(at), None));
                next[Mark::end(at).0].push((Mark::end(parent), None));
            }
        }
        for (nth, tie) in ties.iter().enumerate() {
            // What lies within its own successor is before it in any case.
            if !is_within(flats, tie.first, tie.then) {
                next[Mark::end(tie.first).0].push((Mark::begin(tie.then), Some(nth)));
            }
        }
        Self { next, ranks: ranks(flats) }
    }

    /// All marks that can be put in order: not all, if there is a cycle.
    fn sort(&self) -> Vec<Mark> {
        let mut waiting = vec![0_usize; self.next.len()];
        self.next.iter().flatten().for_each(|(mark, _)| waiting[mark.0] += 1);
        let ready = |mark: usize| Reverse((self.ranks[mark], Mark(mark)));
        let mut heap: BinaryHeap<_> =
            (0..waiting.len()).filter(|&mark| waiting[mark] == 0).map(ready).collect();
        let mut sorted = Vec::with_capacity(waiting.len());
        while let Some(Reverse((_, mark))) = heap.pop() {
            sorted.push(mark);
            for &(after, _) in &self.next[mark.0] {
                waiting[after.0] -= 1;
                if waiting[after.0] == 0 {
                    heap.push(ready(after.0));
                }
            }
        }
        sorted
    }

    /// Names a cycle among what could not be sorted: the shortest one through the tie that is listed first.
    fn cycle(&self, flats: &[Flat], ties: &[Tie], sorted: &[Mark]) -> Box<Fault> {
        let mut open = vec![true; self.next.len()];
        sorted.iter().for_each(|mark| open[mark.0] = false);
        let cycle = ties.iter().enumerate().find_map(|(nth, tie)| {
            let (from, to) = (Mark::begin(tie.then), Mark::end(tie.first));
            let closed_by = self.next[to.0].contains(&(from, Some(nth)));
            closed_by.then(|| self.shortest_path(from, to, &open)).flatten().map(|path| (nth, path))
        });
        match cycle {
            Some((nth, path)) => named_cycle(flats, ties, nth, &path),
            None => Fault::new(Place::Set, Error::defect("the order has a cycle that can't be found")),
        }
    }

    /// The ties on the shortest path between two marks, each with the mark it was reached at.
    fn shortest_path(&self, from: Mark, to: Mark, open: &[bool]) -> Option<Vec<usize>> {
        if !open[from.0] || !open[to.0] {
            return None;
        }
        let mut came: Vec<Option<(Mark, Option<usize>)>> = vec![None; self.next.len()];
        let mut queue = VecDeque::from([from]);
        while let Some(mark) = queue.pop_front() {
            if mark == to {
                let back =
                    std::iter::successors(came[to.0], |(mark, _)| came[mark.0].filter(|_| *mark != from));
                let mut ties: Vec<usize> = back.filter_map(|(_, tie)| tie).collect();
                ties.reverse();
                return Some(ties);
            }
            for &(after, tie) in &self.next[mark.0] {
                if open[after.0] && after != from && came[after.0].is_none() {
                    came[after.0] = Some((mark, tie));
                    queue.push_back(after);
                }
            }
        }
        None
    }
}

fn is_within(flats: &[Flat], inner: usize, outer: usize) -> bool {
    std::iter::successors(Some(inner), |&at| flats[at].parent).any(|at| at == outer)
}

/// Ranks of all marks: nodes with a driver by listed order, children before their parent; all other marks first.
fn ranks(flats: &[Flat]) -> Vec<usize> {
    let mut ranks = vec![0; flats.len() * 2];
    let mut rank = 1;
    let mut open: Vec<usize> = Vec::new();
    let mut close = |at: usize, rank: &mut usize| {
        if flats[at].driver.is_some() {
            ranks[Mark::end(at).0] = *rank;
            *rank += 1;
        }
    };
    for (at, flat) in flats.iter().enumerate() {
        while open.last().copied() != flat.parent {
            match open.pop() {
                Some(done) => close(done, &mut rank),
                None => break,
            }
        }
        open.push(at);
    }
    while let Some(done) = open.pop() {
        close(done, &mut rank);
    }
    ranks
}

/// Words for the cycle that tie `nth` closes, with `path` being the ties that lead from its end to its beginning.
fn named_cycle(flats: &[Flat], ties: &[Tie], nth: usize, path: &[usize]) -> Box<Fault> {
    let name = |at: usize| flats[at].path.as_str();
    let round: Vec<&Tie> = std::iter::once(nth).chain(path.iter().copied()).map(|tie| &ties[tie]).collect();
    let mut names = vec![name(round[0].first)];
    let mut steps = Vec::new();
    for (at, tie) in round.iter().enumerate() {
        names.push(name(tie.then));
        steps.push(reason(name(tie.first), name(tie.then), tie.why));
        let onward = round[(at + 1) % round.len()].first;
        if onward != tie.then {
            steps.push(family_reason(flats, tie.then, onward));
            names.push(name(onward));
        }
    }
    let error =
        Error::config(format!("the order has a cycle: {}\n  {}", names.join(" -> "), steps.join("\n  ")))
            .with_hint("remove one of these, or let it order nothing");
    Fault::new(round[0].place, error)
}

fn reason(first: &str, then: &str, why: OrderReason) -> String {
    match why {
        OrderReason::After => format!("`{first}` before `{then}`: `{then}` is declared `after` it"),
        OrderReason::Refers => format!("`{first}` before `{then}`: `{first}` refers to it"),
    }
}

/// Two nodes of which one lies within the other.
fn family_reason(flats: &[Flat], first: usize, then: usize) -> String {
    let (a, b) = (&flats[first].path, &flats[then].path);
    if is_within(flats, first, then) {
        format!("`{a}` before `{b}`: children come before their parent")
    } else {
        format!("`{b}` with `{a}`: what holds for a node holds for all below it")
    }
}
