//! `topology`: what runs, by name, and how each is drawn.

use std::io::Write;

use anyhow::{Context as _, Result, anyhow};
use millrace_streams::{Part, PartNode, Role, Topology};
use millrace_topologies::registry::{ENTRIES, Entry, VIEWS, select_from};
use serde_json::{Value, json};

use crate::config::{Format, Settings, TopologyCommand};

pub(super) fn print(
    command: TopologyCommand,
    settings: &Settings,
    out: &mut dyn Write,
) -> Result<()> {
    match command {
        TopologyCommand::List => {
            for entry in entries() {
                writeln!(out, "{:<16} {}", entry.name, entry.purpose)?;
            }
        }
        TopologyCommand::Describe { name, format } => {
            let entries = entries();
            let found = select_from(&entries, Some(&name)).map_err(|error| anyhow!(error))?;
            let entry = found.first().context("name a topology")?;
            let topology = (entry.define)(&settings.rules())?;
            match format {
                Format::Text => write!(out, "{}", topology.describe())?,
                Format::Mermaid => write!(out, "{}", topology.mermaid())?,
                Format::Json => writeln!(out, "{:#}", as_json(entry, &topology))?,
            }
        }
    }
    Ok(())
}

/// What the market runs, and what each instance holds to answer reads.
fn entries() -> Vec<Entry> {
    ENTRIES.iter().copied().chain([VIEWS]).collect()
}

fn as_json(entry: &Entry, topology: &Topology) -> Value {
    json!({
        "name": topology.name(),
        "purpose": entry.purpose,
        "sources": topology.source_topics(),
        "sinks": topology.sink_topics(),
        "durable_names": topology.durable_names(topology.name()),
        "subtopologies": topology.parts().iter().map(part).collect::<Vec<_>>(),
    })
}

fn part(part: &Part) -> Value {
    json!({
        "global": part.is_global,
        "nodes": part.nodes.iter().map(node).collect::<Vec<_>>(),
        "edges": part.nodes.iter().flat_map(edges).collect::<Vec<_>>(),
    })
}

fn node(node: &PartNode) -> Value {
    let (role, topic) = match &node.role {
        Role::Source(topic) => ("source", Some(topic)),
        Role::Processor => ("processor", None),
        Role::Sink(topic) => ("sink", Some(topic)),
    };
    json!({ "name": node.name, "role": role, "topic": topic, "stores": node.stores })
}

fn edges(node: &PartNode) -> impl Iterator<Item = Value> + '_ {
    let edge = |to| json!({ "from": node.name, "to": to });
    node.to.iter().map(edge)
}
