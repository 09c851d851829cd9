//! What will be dumped and restored, in which order, as people and programs want to read it.

use std::fmt::{self, Display, Write};

use dumprestore_driver::NodePath;
use serde::Serialize;

use crate::{BackupSet, OrderEdge, OrderReason};

/// The order of a set: an own copy, for printing. `Display` is the text for people, [`Serialize`] the JSON for
/// programs, [`mermaid`](Self::mermaid) a picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OrderPlan {
    /// Grows when something in here changes its meaning.
    pub schema_version: u32,
    /// The name of the set.
    pub set: String,
    /// The nodes in dump order.
    pub dump: Vec<OrderedNode>,
    /// Their paths in restore order: exactly the reverse.
    pub restore: Vec<NodePath>,
    /// Who refers to whom.
    pub references: Vec<PlannedReference>,
    /// What else was declared: the first is dumped before the second.
    pub after: Vec<(NodePath, NodePath)>,
    /// What is worth a word.
    pub notes: Vec<String>,
}

/// A node in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OrderedNode {
    /// The node.
    pub node: NodePath,
    /// Its driver.
    pub driver: String,
    /// Where its data lives, without secrets.
    pub target: String,
}

/// A declared reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlannedReference {
    /// The referrer.
    pub from: NodePath,
    /// The referent.
    pub to: NodePath,
    /// Whether the cut certifies that nothing dangles. If not, it only orders.
    pub certified: bool,
}

impl BackupSet {
    /// The order in which the set is dumped and restored.
    pub fn order_plan(&self) -> OrderPlan {
        let node = |path: &NodePath| {
            let driver = self.node(path)?.driver()?;
            Some(OrderedNode {
                node: path.clone(),
                driver: driver.kind().to_owned(),
                target: driver.target(),
            })
        };
        let certified = self.edges().iter().map(|edge| (&edge.from, &edge.to, true));
        let refers = |edge: &&OrderEdge| edge.why == OrderReason::Refers;
        let uncertified =
            self.order_edges().iter().filter(refers).map(|edge| (&edge.first, &edge.then, false));
        let after = self.order_edges().iter().filter(|edge| edge.why == OrderReason::After);
        OrderPlan {
            schema_version: 1,
            set: self.name().to_owned(),
            dump: self.dump_order().iter().filter_map(node).collect(),
            restore: self.restore_order(),
            references: certified
                .chain(uncertified)
                .map(|(from, to, certified)| PlannedReference {
                    from: from.clone(),
                    to: to.clone(),
                    certified,
                })
                .collect(),
            after: after.map(|edge| (edge.first.clone(), edge.then.clone())).collect(),
            notes: self.notes().to_vec(),
        }
    }
}

impl Display for OrderPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "dump order of `{}`", self.set)?;
        let width =
            |text: fn(&OrderedNode) -> &str| self.dump.iter().map(|node| text(node).len()).max().unwrap_or(0);
        let (names, kinds) = (width(|node| node.node.as_str()), width(|node| &node.driver));
        for (at, node) in self.dump.iter().enumerate() {
            writeln!(
                f,
                "{:4}. {:names$}  {:kinds$}  {}",
                at + 1,
                node.node.as_str(),
                node.driver,
                node.target
            )?;
        }
        writeln!(f, "restore order")?;
        for (at, node) in self.restore.iter().enumerate() {
            writeln!(f, "{:4}. {node}", at + 1)?;
        }
        if !self.references.is_empty() {
            writeln!(f, "references")?;
        }
        for PlannedReference { from, to, certified } in &self.references {
            let how = if *certified { "certified at the cut" } else { "not certified: no `keys`" };
            writeln!(f, "      {from} -> {to}  {how}")?;
        }
        for (first, then) in &self.after {
            writeln!(f, "      {then} after {first}")?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

impl OrderPlan {
    /// A Mermaid flow chart: the dump order, its reverse, and between the dumped nodes what was declared. Thick edges
    /// are certified.
    pub fn mermaid(&self) -> String {
        let mut chart = "flowchart TB\n".to_owned();
        let dumped: Vec<&NodePath> = self.dump.iter().map(|node| &node.node).collect();
        let restored: Vec<&NodePath> = self.restore.iter().collect();
        self.chain(&mut chart, "dump", &dumped);
        self.chain(&mut chart, "restore", &restored);
        for PlannedReference { from, to, certified } in &self.references {
            let arrow = if *certified { "== certified ==>" } else { "-. not certified .->" };
            join(&mut chart, &dumped, from, arrow, to);
        }
        for (first, then) in &self.after {
            join(&mut chart, &dumped, first, "-. before .->", then);
        }
        chart
    }

    fn chain(&self, chart: &mut String, name: &str, nodes: &[&NodePath]) {
        let driver = |path: &NodePath| {
            self.dump.iter().find(|node| node.node == *path).map_or("", |node| &node.driver)
        };
        let _ = writeln!(chart, "  subgraph {name}");
        for (at, path) in nodes.iter().enumerate() {
            let number = at + 1;
            let _ = writeln!(chart, "    {name}{number}[\"{number}. {path}<br/>{}\"]", driver(path));
            if at > 0 {
                let _ = writeln!(chart, "    {name}{at} --> {name}{number}");
            }
        }
        chart.push_str("  end\n");
    }
}

/// An edge between groups is one between all in them.
fn join(chart: &mut String, dumped: &[&NodePath], first: &NodePath, arrow: &str, then: &NodePath) {
    let numbers = |group: &NodePath| {
        let within = dumped.iter().enumerate().filter(|(_, path)| path.is_within(group));
        within.map(|(at, _)| at + 1).collect::<Vec<_>>()
    };
    for from in numbers(first) {
        for to in numbers(then) {
            if from != to {
                let _ = writeln!(chart, "  dump{from} {arrow} dump{to}");
            }
        }
    }
}
