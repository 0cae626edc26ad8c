//! A topology as text, in the form that Kafka Streams' `Topology#describe` has.

use std::fmt::Write;

use crate::topology::graph::{Graph, NodeId, NodeKind};
use crate::topology::{GlobalDefinition, Subtopology, Topology};

impl Topology {
    /// The sub-topologies with their nodes, stores and topics, as Kafka Streams prints them.
    ///
    /// The names of nodes are made for the reader: nothing durable follows from them.
    pub fn describe(&self) -> String {
        let mut text = format!("Topology: {}\n", self.name());
        for (index, part) in self.subtopologies().iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "   Sub-topology: {index}");
            for id in &part.nodes {
                describe_node(&mut text, self.graph(), *id);
            }
        }
        for (number, global) in self.graph().globals().iter().enumerate() {
            let index = self.subtopologies().len() + number;
            let _ = writeln!(
                text,
                "   Sub-topology: {index} for global store (will not generate tasks)"
            );
            describe_global(&mut text, number, global);
        }
        text
    }

    /// The topology as a Mermaid flow chart.
    pub fn mermaid(&self) -> String {
        let mut text = String::from("flowchart TD\n");
        for (index, part) in self.subtopologies().iter().enumerate() {
            let _ = writeln!(text, "  subgraph sub{index}[\"sub-topology {index}\"]");
            for id in &part.nodes {
                let _ = writeln!(text, "    {}", mermaid_node(self.graph(), *id));
            }
            let _ = writeln!(text, "  end");
            mermaid_edges(&mut text, self.graph(), part);
        }
        for (number, global) in self.graph().globals().iter().enumerate() {
            mermaid_global(&mut text, number, global);
        }
        text
    }
}

fn describe_node(text: &mut String, graph: &Graph, id: NodeId) {
    let Some(node) = graph.node(id) else { return };
    let name = graph.display_name(id);
    let line = match &node.kind {
        NodeKind::Source { topic } => format!("Source: {name} (topics: [{topic}])"),
        NodeKind::RepartitionSource { name: topic } => {
            format!("Source: {name} (topics: [{topic}-repartition])")
        }
        NodeKind::Sink { topic } => format!("Sink: {name} (topic: {topic})"),
        NodeKind::RepartitionSink { name: topic } => {
            format!("Sink: {name} (topic: {topic}-repartition)")
        }
        NodeKind::Processor | NodeKind::GlobalLookup { .. } => {
            format!("Processor: {name} (stores: [{}])", store_names(graph, id))
        }
    };
    let _ = writeln!(text, "    {line}");
    if !matches!(
        node.kind,
        NodeKind::Sink { .. } | NodeKind::RepartitionSink { .. }
    ) {
        let _ = writeln!(text, "      --> {}", names(graph, graph.children(id)));
    }
    if !node.parents.is_empty() {
        let _ = writeln!(
            text,
            "      <-- {}",
            names(graph, node.parents.iter().copied())
        );
    }
}

fn describe_global(text: &mut String, number: usize, global: &GlobalDefinition) {
    let (topic, store) = (&global.topic, &global.store.name);
    let _ = writeln!(
        text,
        "    Source: global-source-{number} (topics: [{topic}])"
    );
    let _ = writeln!(text, "      --> global-table-{number}");
    let _ = writeln!(
        text,
        "    Processor: global-table-{number} (stores: [{store}])"
    );
    let _ = writeln!(text, "      --> none\n      <-- global-source-{number}");
}

fn store_names(graph: &Graph, id: NodeId) -> String {
    graph.store_names(id).collect::<Vec<_>>().join(", ")
}

fn names(graph: &Graph, ids: impl Iterator<Item = NodeId>) -> String {
    let names: Vec<String> = ids.map(|id| graph.display_name(id)).collect();
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}

fn mermaid_node(graph: &Graph, id: NodeId) -> String {
    let name = graph.display_name(id);
    match graph.node(id).map(|node| &node.kind) {
        Some(NodeKind::Source { topic } | NodeKind::Sink { topic }) => {
            format!("{name}[/\"{topic}\"/]")
        }
        Some(
            NodeKind::RepartitionSource { name: topic } | NodeKind::RepartitionSink { name: topic },
        ) => format!("{name}[/\"{topic}-repartition\"/]"),
        _ => format!("{name}(\"{name}\")"),
    }
}

fn mermaid_edges(text: &mut String, graph: &Graph, part: &Subtopology) {
    for id in &part.nodes {
        let Some(node) = graph.node(*id) else {
            continue;
        };
        for parent in &node.parents {
            let (from, to) = (graph.display_name(*parent), graph.display_name(*id));
            let _ = writeln!(text, "  {from} --> {to}");
        }
        for store in graph.store_names(*id) {
            let name = graph.display_name(*id);
            let _ = writeln!(text, "  {name} --- {store}[(\"{store}\")]");
        }
    }
}

fn mermaid_global(text: &mut String, number: usize, global: &GlobalDefinition) {
    let (topic, store) = (&global.topic, &global.store.name);
    let _ = writeln!(text, "  subgraph global{number}[\"global store {store}\"]");
    let _ = writeln!(text, "    global-source-{number}[/\"{topic}\"/]");
    let _ = writeln!(text, "    global-table-{number}(\"global-table-{number}\")");
    let _ = writeln!(text, "  end");
    let _ = writeln!(text, "  global-source-{number} --> global-table-{number}");
    let _ = writeln!(text, "  global-table-{number} --- {store}[(\"{store}\")]");
}
