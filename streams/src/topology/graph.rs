//! The graph as it is drawn: nodes in the order of their definition, stores, global tables.

use std::sync::Arc;

use crate::error::{ProcessError, TopologyError};
use crate::log::TopicSpec;
use crate::topology::instance::Building;

/// A node's number. A node's parents have smaller numbers than the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) usize);

/// Makes a node's operator for one task, and attaches it to its parents.
pub(crate) type Factory = Arc<dyn Fn(&mut Building<'_>) -> Result<(), ProcessError> + Send + Sync>;

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NodeKind {
    /// Reads a topic of the log.
    Source { topic: Arc<str> },
    /// Reads the repartition topic of this short name.
    RepartitionSource { name: Arc<str> },
    /// Processes records.
    Processor,
    /// Writes a topic of the log.
    Sink { topic: Arc<str> },
    /// Writes the repartition topic of this short name.
    RepartitionSink { name: Arc<str> },
}

/// One node.
#[derive(Clone)]
pub(crate) struct Node {
    /// What kind of operator it is, in one word: `filter`, `aggregate`.
    pub(crate) label: &'static str,
    pub(crate) kind: NodeKind,
    pub(crate) parents: Vec<NodeId>,
    /// The stores that it uses, by their number.
    pub(crate) stores: Vec<usize>,
    pub(crate) factory: Factory,
}

/// A store of the topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreDefinition {
    pub(crate) name: Arc<str>,
}

/// A table that every instance holds whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GlobalDefinition {
    pub(crate) topic: Arc<str>,
    pub(crate) store: Arc<str>,
}

/// The graph.
#[derive(Clone, Default)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    stores: Vec<StoreDefinition>,
    globals: Vec<GlobalDefinition>,
    /// The topics that it does not own, as its constants have them, each once.
    topics: Vec<TopicSpec>,
}

impl Graph {
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0)
    }

    /// The number of the next node.
    pub(crate) fn next_id(&self) -> NodeId {
        NodeId(self.nodes.len())
    }

    pub(crate) fn add(&mut self, node: Node) -> NodeId {
        let id = self.next_id();
        self.nodes.push(node);
        id
    }

    pub(crate) fn stores(&self) -> &[StoreDefinition] {
        &self.stores
    }

    /// Adds a store that belongs to the operator being defined.
    pub(crate) fn add_store(&mut self, name: &str) -> Result<usize, TopologyError> {
        if self.store_index(name).is_some() || self.global_index(name).is_some() {
            return Err(TopologyError::DuplicateName {
                what: "store",
                name: name.into(),
            });
        }
        self.stores.push(StoreDefinition { name: name.into() });
        Ok(self.stores.len() - 1)
    }

    pub(crate) fn store_index(&self, name: &str) -> Option<usize> {
        self.stores.iter().position(|store| &*store.name == name)
    }

    pub(crate) fn topics(&self) -> &[TopicSpec] {
        &self.topics
    }

    /// Notes how a topic is to be that it reads or writes.
    pub(crate) fn add_topic(&mut self, spec: TopicSpec) {
        if self.topics.iter().all(|known| known.name != spec.name) {
            self.topics.push(spec);
        }
    }

    pub(crate) fn globals(&self) -> &[GlobalDefinition] {
        &self.globals
    }

    pub(crate) fn add_global(&mut self, topic: &str, store: &str) -> Result<usize, TopologyError> {
        if self.store_index(store).is_some() || self.global_index(store).is_some() {
            return Err(TopologyError::DuplicateName {
                what: "store",
                name: store.into(),
            });
        }
        self.globals.push(GlobalDefinition {
            topic: topic.into(),
            store: store.into(),
        });
        Ok(self.globals.len() - 1)
    }

    fn global_index(&self, store: &str) -> Option<usize> {
        self.globals
            .iter()
            .position(|global| &*global.store == store)
    }

    /// Topics and repartition names of all source nodes.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter_map(|node| match &node.kind {
            NodeKind::Source { topic } => Some(&**topic),
            NodeKind::RepartitionSource { name } => Some(&**name),
            _ => None,
        })
    }

    pub(crate) fn external_sources(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter_map(|node| match &node.kind {
            NodeKind::Source { topic } => Some(&**topic),
            _ => None,
        })
    }

    pub(crate) fn external_sinks(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter_map(|node| match &node.kind {
            NodeKind::Sink { topic } => Some(&**topic),
            _ => None,
        })
    }

    pub(crate) fn repartitions(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter_map(|node| match &node.kind {
            NodeKind::RepartitionSource { name } => Some(&**name),
            _ => None,
        })
    }

    /// The name under which a node is shown: its label and its number. Display only; nothing
    /// durable follows from it.
    pub(crate) fn display_name(&self, id: NodeId) -> String {
        let label = self.node(id).map_or("node", |node| node.label);
        format!("{label}-{}", id.0)
    }

    /// The nodes that have `id` as a parent, in the order of their definition.
    pub(crate) fn children(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes
            .iter()
            .enumerate()
            .filter(move |(_, node)| node.parents.contains(&id))
            .map(|(index, _)| NodeId(index))
    }
}
