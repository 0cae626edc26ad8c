//! Sub-topologies: the parts of a graph that hang together without a repartition topic.
//!
//! Nodes belong together when one is the other's parent, or when they use the same store. A
//! repartition topic cuts: its sink ends one part and its source begins another. Parts are numbered
//! in the order of their first node, as Kafka Streams numbers them.

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
    parts.into_iter().map(|(_, part)| part).collect()
}

fn add_node(graph: &Graph, part: &mut Subtopology, id: NodeId) {
    part.nodes.push(id);
    let Some(node) = graph.node(id) else { return };
    match &node.kind {
        NodeKind::Source { topic } => part.sources.push(topic.clone()),
        NodeKind::RepartitionSource { name } => part.repartition_sources.push(name.clone()),
        NodeKind::RepartitionSink { name } => part.repartition_sinks.push(name.clone()),
        NodeKind::Processor | NodeKind::Sink { .. } => {}
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
