//! A topology as data: its sub-topologies, their nodes, and what leads where.

use crate::topology::graph::{Graph, NodeId, NodeKind};
use crate::topology::{GlobalDefinition, Topology};

/// A sub-topology, or a global table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// True for a global table: every instance has it whole, and no task runs it.
    pub is_global: bool,
    /// What it is made of, in the order of the definition.
    pub nodes: Vec<PartNode>,
}

/// A node of a [`Part`]. Its name is made for the reader: nothing durable follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartNode {
    /// Its label and number.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// The names of the stores that it uses.
    pub stores: Vec<String>,
    /// The nodes that records come from.
    pub from: Vec<String>,
    /// The nodes that they go to.
    pub to: Vec<String>,
}

/// What a node does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads this topic; of a repartition topic, the name without the application.
    Source(String),
    /// Runs an operator.
    Processor,
    /// Writes this topic; as for a source.
    Sink(String),
}

impl Topology {
    /// The sub-topologies, in the order of their numbers, and then the global tables.
    pub fn parts(&self) -> Vec<Part> {
        let graph = self.graph();
        let subtopologies = self.subtopologies().iter().map(|part| Part {
            is_global: false,
            nodes: part
                .nodes
                .iter()
                .filter_map(|id| node(graph, *id))
                .collect(),
        });
        let globals = graph.globals().iter().enumerate();
        let globals = globals.map(|(number, global)| of_global(number, global));
        subtopologies.chain(globals).collect()
    }
}

fn node(graph: &Graph, id: NodeId) -> Option<PartNode> {
    let node = graph.node(id)?;
    let name = |id| graph.display_name(id);
    Some(PartNode {
        name: name(id),
        role: role(&node.kind),
        stores: graph.store_names(id).map(str::to_owned).collect(),
        from: node.parents.iter().copied().map(name).collect(),
        to: graph.children(id).map(name).collect(),
    })
}

fn role(kind: &NodeKind) -> Role {
    match kind {
        NodeKind::Source { topic } => Role::Source(topic.to_string()),
        NodeKind::RepartitionSource { name } => Role::Source(format!("{name}-repartition")),
        NodeKind::Sink { topic } => Role::Sink(topic.to_string()),
        NodeKind::RepartitionSink { name } => Role::Sink(format!("{name}-repartition")),
        NodeKind::Processor | NodeKind::GlobalLookup { .. } => Role::Processor,
    }
}

fn of_global(number: usize, global: &GlobalDefinition) -> Part {
    let (source, table) = (
        format!("global-source-{number}"),
        format!("global-table-{number}"),
    );
    let reads = PartNode {
        name: source.clone(),
        role: Role::Source(global.topic.to_string()),
        stores: Vec::new(),
        from: Vec::new(),
        to: vec![table.clone()],
    };
    let holds = PartNode {
        name: table,
        role: Role::Processor,
        stores: vec![global.store.name.to_string()],
        from: vec![source],
        to: Vec::new(),
    };
    Part {
        is_global: true,
        nodes: vec![reads, holds],
    }
}
