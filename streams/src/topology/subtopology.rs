//! Sub-topologies: the parts of a graph that hang together without a repartition topic.
//!
//! Nodes belong together when one is the other's parent, or when they use the same store. A
//! repartition topic cuts: its sink ends one part and its source begins another. Parts are numbered
//! in the order of their first node, as Kafka Streams numbers them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::topology::graph::{Graph, NodeId, NodeKind};

/// One part of the graph; its tasks run apart from those of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subtopology {
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) sources: Vec<Arc<str>>,
    /// Short names.
    pub(crate) repartition_sources: Vec<Arc<str>>,
    /// Short names.
    pub(crate) repartition_sinks: Vec<Arc<str>>,
    /// Numbers of the stores that its nodes use.
    pub(crate) stores: Vec<usize>,
    /// Sources whose records meet in a store: they must have equally many partitions, or a key
    /// would be in two tasks. Streams that only run together, as in a merge, may differ.
    pub(crate) copartitioned: Vec<Vec<NodeId>>,
}

/// Splits the graph.
pub(crate) fn split(graph: &Graph) -> Vec<Subtopology> {
    let mut groups = Groups::new(graph.nodes().len());
    let mut owner_of_store: Vec<Option<usize>> = vec![None; graph.stores().len()];
    for (index, node) in graph.nodes().iter().enumerate() {
        for parent in &node.parents {
            groups.join(index, parent.0);
        }
        for store in &node.stores {
            match owner_of_store.get_mut(*store) {
                Some(Some(owner)) => groups.join(index, *owner),
                Some(empty) => *empty = Some(index),
                None => {}
            }
        }
    }
    let mut parts: Vec<(usize, Subtopology)> = Vec::new();
    for index in 0..graph.nodes().len() {
        let root = groups.root(index);
        let part = match parts.iter().position(|(known, _)| *known == root) {
            Some(part) => part,
            None => {
                parts.push((root, Subtopology::default()));
                parts.len() - 1
            }
        };
        if let Some((_, part)) = parts.get_mut(part) {
            add_node(graph, part, NodeId(index));
        }
    }
    let mut parts: Vec<Subtopology> = parts.into_iter().map(|(_, part)| part).collect();
    for part in &mut parts {
        part.copartitioned = copartitioned(graph, part);
    }
    parts
}

/// The groups of a part's sources that reach the same store.
fn copartitioned(graph: &Graph, part: &Subtopology) -> Vec<Vec<NodeId>> {
    let mut groups = Groups::new(graph.nodes().len());
    let mut first_source_of: Vec<Option<usize>> = vec![None; graph.stores().len()];
    for id in &part.nodes {
        let stores = graph.node(*id).map(|node| node.stores.as_slice());
        for store in stores.unwrap_or_default() {
            let Some(first) = first_source_of.get_mut(*store) else {
                continue;
            };
            for source in sources_above(graph, *id) {
                groups.join(source, *first.get_or_insert(source));
            }
        }
    }
    let is_source = |id: &&NodeId| graph.node(**id).is_some_and(|node| node.parents.is_empty());
    let mut found: BTreeMap<usize, Vec<NodeId>> = BTreeMap::new();
    for source in part.nodes.iter().filter(is_source) {
        found
            .entry(groups.root(source.0))
            .or_default()
            .push(*source);
    }
    found
        .into_values()
        .filter(|group| group.len() > 1)
        .collect()
}

/// The sources from which records come to a node.
fn sources_above(graph: &Graph, id: NodeId) -> BTreeSet<usize> {
    let (mut sources, mut seen, mut open) = (BTreeSet::new(), BTreeSet::new(), vec![id]);
    while let Some(id) = open.pop() {
        let Some(node) = graph.node(id).filter(|_| seen.insert(id)) else {
            continue;
        };
        if node.parents.is_empty() {
            sources.insert(id.0);
        }
        open.extend_from_slice(&node.parents);
    }
    sources
}

fn add_node(graph: &Graph, part: &mut Subtopology, id: NodeId) {
    part.nodes.push(id);
    let Some(node) = graph.node(id) else { return };
    match &node.kind {
        NodeKind::Source { topic } => part.sources.push(topic.clone()),
        NodeKind::RepartitionSource { name } => part.repartition_sources.push(name.clone()),
        NodeKind::RepartitionSink { name } => part.repartition_sinks.push(name.clone()),
        NodeKind::Processor | NodeKind::GlobalLookup { .. } | NodeKind::Sink { .. } => {}
    }
    for store in &node.stores {
        if !part.stores.contains(store) {
            part.stores.push(*store);
        }
    }
}

/// Disjoint sets; the smallest member is the root.
struct Groups {
    parent: Vec<usize>,
}

impl Groups {
    fn new(len: usize) -> Self {
        Self {
            parent: (0..len).collect(),
        }
    }

    fn root(&self, mut index: usize) -> usize {
        while let Some(parent) = self.parent.get(index).filter(|parent| **parent != index) {
            index = *parent;
        }
        index
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if let Some(parent) = self.parent.get_mut(a.max(b)) {
            *parent = a.min(b);
        }
    }
}
