//! `topology`: what runs, by name, and how each is drawn.

use std::io::Write;

use anyhow::{Context as _, Result, anyhow};
use millrace_streams::Topology;
use millrace_topologies::registry::{ENTRIES, Entry, select};
use serde_json::{Value, json};

use crate::config::{Format, Settings, TopologyCommand};
use crate::serve::rules;

pub(super) fn print(
    command: TopologyCommand,
    settings: &Settings,
    out: &mut dyn Write,
) -> Result<()> {
    match command {
        TopologyCommand::List => {
            for entry in ENTRIES {
                writeln!(out, "{:<16} {}", entry.name, entry.purpose)?;
            }
        }
        TopologyCommand::Describe { name, format } => {
            let found = select(Some(&name)).map_err(|error| anyhow!(error))?;
            let entry = found.first().context("name a topology")?;
            let topology = (entry.define)(&rules(settings))?;
            match format {
                Format::Text => write!(out, "{}", topology.describe())?,
                Format::Mermaid => write!(out, "{}", topology.mermaid())?,
                Format::Json => writeln!(out, "{:#}", as_json(entry, &topology))?,
            }
        }
    }
    Ok(())
}

fn as_json(entry: &Entry, topology: &Topology) -> Value {
    json!({
        "name": topology.name(),
        "purpose": entry.purpose,
        "sources": topology.source_topics(),
        "sinks": topology.sink_topics(),
        "durable_names": topology.durable_names(topology.name()),
    })
}
