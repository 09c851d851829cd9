//! The order in which nodes are dumped, checked against a slow and simple way to find it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod fixture;

use std::collections::BTreeSet;

use dumprestore::{BackupSet, Error, NodeBuilder, OrderReason, SetBuilder};
use fixture::{Declared, paths};
use proptest::prelude::*;

/// A set to be: nodes with their parents (of a lower number), and ties between any two of them.
#[derive(Debug, Clone)]
struct Shape {
    parents: Vec<Option<usize>>,
    drivers: Vec<bool>,
    ties: Vec<(usize, usize, OrderReason)>,
}

impl Shape {
    fn path(&self, at: usize) -> String {
        match self.parents[at] {
            Some(parent) => format!("{}.n{at}", self.path(parent)),
            None => format!("n{at}"),
        }
    }

    fn is_within(&self, inner: usize, outer: usize) -> bool {
        inner == outer || self.parents[inner].is_some_and(|parent| self.is_within(parent, outer))
    }

    fn children(&self, at: Option<usize>) -> impl Iterator<Item = usize> + '_ {
        (0..self.parents.len()).filter(move |&child| self.parents[child] == at)
    }

    fn has_driver(&self, at: usize) -> bool {
        self.drivers[at] || self.children(Some(at)).next().is_none()
    }

    fn node(&self, at: usize) -> NodeBuilder {
        let mut node = NodeBuilder::new(format!("n{at}"));
        if self.has_driver(at) {
            node = node.driver(Declared::pinned());
        }
        for child in self.children(Some(at)) {
            node = node.child(self.node(child));
        }
        for &(first, then, why) in &self.ties {
            node = match why {
                OrderReason::After if then == at => node.after(self.path(first)),
                OrderReason::Refers if first == at => node.refers_to_unchecked(self.path(then)),
                _ => node,
            };
        }
        node
    }

    fn build(&self) -> Result<BackupSet, Error> {
        let set = self.children(None).fold(set(), |set, at| set.node(self.node(at)));
        set.build()
    }

    /// Nodes with a driver, as listed: children before their parent.
    fn listed(&self, below: Option<usize>) -> Vec<usize> {
        let each = |at| {
            let own = self.has_driver(at).then_some(at);
            self.listed(Some(at)).into_iter().chain(own).collect::<Vec<_>>()
        };
        self.children(below).flat_map(each).collect()
    }

    /// All pairs of which the first must come before the second; `None` if a tie contradicts itself.
    fn pairs(&self) -> Option<BTreeSet<(usize, usize)>> {
        let all = self.listed(None);
        let mut pairs = BTreeSet::new();
        for &inner in &all {
            pairs.extend(
                all.iter()
                    .filter(|&&outer| inner != outer && self.is_within(inner, outer))
                    .map(|&o| (inner, o)),
            );
        }
        for &(first, then, _) in &self.ties {
            if self.is_within(then, first) {
                return None;
            }
            if self.is_within(first, then) {
                continue;
            }
            for &a in all.iter().filter(|&&at| self.is_within(at, first)) {
                pairs.extend(all.iter().filter(|&&at| self.is_within(at, then)).map(|&b| (a, b)));
            }
        }
        Some(pairs)
    }

    /// By the definition: of the nodes whose predecessors are all done, the one that is listed first.
    fn order(&self) -> Option<Vec<String>> {
        let (pairs, mut left) = (self.pairs()?, self.listed(None));
        let mut order = Vec::new();
        while !left.is_empty() {
            let ready =
                left.iter().position(|&at| !left.iter().any(|&other| pairs.contains(&(other, at))))?;
            order.push(self.path(left.remove(ready)));
        }
        Some(order)
    }
}

fn set() -> SetBuilder {
    BackupSet::builder("test").base("/srv")
}

fn shapes(ties: std::ops::Range<usize>) -> impl Strategy<Value = Shape> {
    (1_usize..12).prop_flat_map(move |nodes| {
        let parents = (0..nodes)
            .map(|at| {
                prop_oneof![Just(None), (0..at.max(1)).prop_map(move |parent| (at > 0).then_some(parent))]
            })
            .collect::<Vec<_>>();
        let why = prop_oneof![Just(OrderReason::After), Just(OrderReason::Refers)];
        let ties = prop::collection::vec((0..nodes, 0..nodes, why), ties.clone());
        (parents, prop::collection::vec(any::<bool>(), nodes), ties).prop_map(
            |(parents, drivers, mut ties)| {
                ties.retain(|(first, then, _)| first != then);
                Shape { parents, drivers, ties }
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_is_the_one_that_its_definition_gives_and_a_restore_its_reverse(shape in shapes(0..9)) {
        match (shape.build(), shape.order()) {
            (Ok(set), Some(expected)) => {
                prop_assert_eq!(paths(set.dump_order()), expected);
                let mut reverse = set.restore_order();
                reverse.reverse();
                prop_assert_eq!(reverse, set.dump_order());
            }
            (Err(error), None) => is_a_true_cycle(&shape, &error)?,
            (Ok(set), None) => prop_assert!(false, "a cycle was not found: {:?}", set.dump_order()),
            (Err(error), Some(order)) => prop_assert!(false, "{order:?} was refused: {error}"),
        }
    }

    #[test]
    fn without_ties_the_order_is_the_listed_one(shape in shapes(0..1)) {
        let listed: Vec<String> = shape.listed(None).into_iter().map(|at| shape.path(at)).collect();
        let set = shape.build().unwrap();
        prop_assert_eq!(paths(set.dump_order()), listed);
    }
}

/// Each step of the cycle that is named is declared, or a matter of the tree; and the steps form a ring.
fn is_a_true_cycle(shape: &Shape, error: &Error) -> Result<(), TestCaseError> {
    let mut lines = error.message().lines();
    let names =
        lines.next().and_then(|line| line.strip_prefix("the order has a cycle: ")).unwrap_or_default();
    let names: Vec<&str> = names.split(" -> ").collect();
    let steps: Vec<&str> = lines.collect();
    prop_assert_eq!(names.len(), steps.len() + 1, "{}", error);
    prop_assert_eq!(names.first(), names.last(), "{}", error);
    prop_assert!(steps.iter().any(|step| !step.contains("children") && !step.contains("holds")), "{}", error);
    for (pair, step) in names.windows(2).zip(steps) {
        let (first, then) = (pair[0], pair[1]);
        let tied = |why| {
            shape.ties.iter().any(|&(a, b, w)| w == why && shape.path(a) == first && shape.path(b) == then)
        };
        let below = |inner: &str, outer: &str| inner.starts_with(&format!("{outer}."));
        prop_assert!(step.contains(first) && step.contains(then), "{}", error);
        let true_step = if step.contains("`after` it") {
            tied(OrderReason::After)
        } else if step.contains("refers to it") {
            tied(OrderReason::Refers)
        } else if step.contains("children come before their parent") {
            below(first, then)
        } else {
            step.contains("holds for all below it") && below(then, first)
        };
        prop_assert!(true_step, "{}: {}", step, error);
    }
    Ok(())
}

fn leaf(name: &str) -> NodeBuilder {
    NodeBuilder::new(name).driver(Declared::pinned())
}

#[test]
fn what_holds_for_a_group_holds_for_all_in_it() {
    let built = set()
        .node(NodeBuilder::new("late").after("early").child(leaf("a")).child(leaf("b")))
        .node(leaf("free"))
        .node(NodeBuilder::new("early").child(leaf("c")).child(leaf("d")))
        .build()
        .unwrap();
    assert_eq!(paths(built.dump_order()), ["free", "early.c", "early.d", "late.a", "late.b"]);
}

#[test]
fn a_cycle_through_a_child_tells_why_each_comes_before_the_next() {
    let built = set().node(leaf("db").refers_to_unchecked("uploads").child(leaf("uploads"))).build();
    assert_eq!(
        built.unwrap_err().to_string(),
        "the order has a cycle: db -> db.uploads -> db\n  \
         `db` before `db.uploads`: `db` refers to it\n  \
         `db.uploads` before `db`: children come before their parent"
    );
}

#[test]
fn references_with_keys_order_as_well() {
    let built =
        set().node(leaf("uploads")).node(leaf("db").refers_to("uploads", "SELECT a", None)).build().unwrap();
    assert_eq!(paths(built.dump_order()), ["db", "uploads"]);
}

#[test]
fn an_error_in_a_set_from_code_names_the_node() {
    let built = set().node(leaf("db").after("nobody")).build();
    assert_eq!(built.unwrap_err().to_string(), "db: there is no node `nobody`");
    let built = set()
        .node(leaf("db").refers_to("log", "SELECT a", None))
        .node(leaf("log").driver(Declared::streamed("tail")));
    assert!(built.build().unwrap_err().to_string().starts_with("db: a reference with `keys`"));
}

#[test]
fn a_large_set_is_ordered_at_once() {
    let nodes = 3000;
    let built = (0..nodes).rev().fold(set(), |set, at| {
        let node = leaf(&format!("n{at}"));
        set.node(if at > 0 { node.after(format!("n{}", at - 1)) } else { node })
    });
    let built = built.build().unwrap();
    assert_eq!(built.dump_order().len(), nodes);
    assert_eq!(built.dump_order()[0].as_str(), "n0");
}
