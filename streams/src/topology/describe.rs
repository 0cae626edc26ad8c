//! A topology as text, in the form that Kafka Streams' `Topology#describe` has, and as a chart.

use std::fmt::Write;

use crate::topology::Topology;
use crate::topology::parts::{Part, PartNode, Role};

impl Topology {
    /// The sub-topologies with their nodes, stores and topics, in the form in which Kafka Streams prints
    /// a named topology, so that its viewers read it. A node that looks up a global table shows its
    /// store, and nodes stand in the order of their definition.
    ///
    /// The names of nodes are made for the reader: nothing durable follows from them.
    pub fn describe(&self) -> String {
        let mut text = format!("Topology: {}:\n ", self.name());
        for (index, part) in self.parts().iter().enumerate() {
            let remark = match part.is_global {
                true => " for global store (will not generate tasks)",
                false => "",
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  Sub-topology: {index}{remark}");
            for node in &part.nodes {
                describe_node(&mut text, node);
            }
            text.push('\n');
        }
        text
    }

    /// The topology as a Mermaid flow chart.
    pub fn mermaid(&self) -> String {
        let mut text = String::from("flowchart TD\n");
        let parts = self.parts();
        let (globals, tasks): (Vec<_>, Vec<_>) = parts.iter().partition(|part| part.is_global);
        for (index, part) in tasks.into_iter().enumerate() {
            let title = format!("sub{index}[\"sub-topology {index}\"]");
            mermaid_part(&mut text, &title, part);
        }
        for (number, part) in globals.into_iter().enumerate() {
            let stores = part.nodes.iter().flat_map(|node| &node.stores);
            let store = stores.map(String::as_str).collect::<String>();
            let title = format!("global{number}[\"global store {store}\"]");
            mermaid_part(&mut text, &title, part);
        }
        text
    }
}

fn describe_node(text: &mut String, node: &PartNode) {
    let name = &node.name;
    let line = match &node.role {
        Role::Source(topic) => format!("Source: {name} (topics: [{topic}])"),
        Role::Sink(topic) => format!("Sink: {name} (topic: {topic})"),
        Role::Processor => format!("Processor: {name} (stores: [{}])", node.stores.join(", ")),
    };
    let _ = writeln!(text, "    {line}");
    if !matches!(node.role, Role::Sink(_)) {
        let _ = writeln!(text, "      --> {}", names(&node.to));
    }
    if !node.from.is_empty() {
        let _ = writeln!(text, "      <-- {}", names(&node.from));
    }
}

fn names(names: &[String]) -> String {
    match names {
        [] => "none".into(),
        names => names.join(", "),
    }
}

fn mermaid_part(text: &mut String, title: &str, part: &Part) {
    let _ = writeln!(text, "  subgraph {title}");
    for node in &part.nodes {
        let _ = writeln!(text, "    {}", mermaid_node(node));
    }
    let _ = writeln!(text, "  end");
    for node in &part.nodes {
        mermaid_edges(text, node);
    }
}

fn mermaid_node(node: &PartNode) -> String {
    let name = &node.name;
    match &node.role {
        Role::Source(topic) | Role::Sink(topic) => format!("{name}[/\"{topic}\"/]"),
        Role::Processor => format!("{name}(\"{name}\")"),
    }
}

fn mermaid_edges(text: &mut String, node: &PartNode) {
    let name = &node.name;
    for from in &node.from {
        let _ = writeln!(text, "  {from} --> {name}");
    }
    for store in &node.stores {
        let _ = writeln!(text, "  {name} --- {store}[(\"{store}\")]");
    }
}
