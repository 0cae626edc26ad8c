//! A topology: the graph of sources, operators and sinks that an application runs.
//!
//! [`Topology::define`] collects the graph from the typed DSL and checks it once. What comes out is
//! immutable and shared: every task makes its own operators from it.

mod describe;
mod graph;
mod instance;
mod parts;
mod stores;
mod subtopology;

use std::fmt;
use std::sync::Arc;

pub(crate) use graph::{Graph, Node, NodeId, NodeKind};
pub(crate) use instance::{Building, Hooks, Instance, Locator, Places, Source};
pub use parts::{Part, PartNode, Role};
pub(crate) use stores::{GlobalDefinition, RecordCheck, StoreDefinition};
pub(crate) use subtopology::Subtopology;

use crate::catalog::{changelog_topic, dead_letter_topic, is_durable_name, repartition_topic};
use crate::dsl::Scope;
use crate::error::TopologyError;
use crate::log::{InternalTopic, SubtopologyMetadata, TopicSpec, TopologyMetadata};

/// A checked graph, ready to run.
#[derive(Clone)]
pub struct Topology {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    graph: Graph,
    subtopologies: Vec<Subtopology>,
}

impl Topology {
    /// Defines the topology `name`. The closure draws the graph on the scope; handles of streams
    /// and tables borrow it and cannot leave the closure.
    ///
    /// # Errors
    /// When the graph contradicts itself: see [`TopologyError`].
    pub fn define(name: &str, draw: impl FnOnce(&Scope)) -> Result<Self, TopologyError> {
        if !is_durable_name(name) {
            return Err(TopologyError::BadName {
                what: "topology",
                name: name.into(),
            });
        }
        let scope = Scope::new();
        draw(&scope);
        let graph = scope.finish()?;
        if graph.sources().next().is_none() && graph.globals().is_empty() {
            return Err(TopologyError::Empty { name: name.into() });
        }
        let subtopologies = subtopology::split(&graph);
        Ok(Self {
            inner: Arc::new(Inner {
                name: name.into(),
                graph,
                subtopologies,
            }),
        })
    }

    /// The topology's name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The topics that it reads and does not own, sorted.
    pub fn source_topics(&self) -> Vec<&str> {
        let mut topics: Vec<&str> = self.graph().external_sources().collect();
        topics.extend(self.graph().globals().iter().map(|global| &*global.topic));
        topics.sort_unstable();
        topics
    }

    /// The topics that it writes and does not own, sorted, each once.
    pub fn sink_topics(&self) -> Vec<&str> {
        let mut topics: Vec<&str> = self.graph().external_sinks().collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// The topics that it reads or writes and does not own, as the constants say that they are to be:
    /// what has to be created before it runs.
    pub fn topic_specs(&self) -> &[TopicSpec] {
        self.graph().topics()
    }

    /// The topics that its global tables show, each with the name of the table's store.
    pub fn global_tables(&self) -> Vec<(&str, &str)> {
        let globals = self.graph().globals().iter();
        globals
            .map(|global| (&*global.topic, &*global.store.name))
            .collect()
    }

    /// Every name under which the topology keeps data, for an application id: the golden file of
    /// durable names is made from it. Sorted.
    pub fn durable_names(&self, application: &str) -> Vec<String> {
        let graph = self.graph();
        let stores = graph
            .stores()
            .iter()
            .map(|store| format!("store {}", store.name));
        let changelogs = graph
            .stores()
            .iter()
            .map(|s| format!("topic {}", changelog_topic(application, &s.name)));
        let globals = graph
            .globals()
            .iter()
            .map(|global| format!("global {}", global.store.name));
        let repartitions = graph
            .repartitions()
            .map(|name| format!("topic {}", repartition_topic(application, name)));
        let dead_letters = format!("topic {}", dead_letter_topic(application));
        let mut names: Vec<String> = stores
            .chain(changelogs)
            .chain(globals)
            .chain(repartitions)
            .chain([dead_letters])
            .collect();
        names.sort();
        names
    }

    /// What the group needs to know about it.
    pub fn metadata(&self, application: &str) -> TopologyMetadata {
        let describe = |sub: &Subtopology| self.subtopology_metadata(application, sub);
        TopologyMetadata {
            subtopologies: self.subtopologies().iter().map(describe).collect(),
        }
    }

    fn subtopology_metadata(&self, application: &str, sub: &Subtopology) -> SubtopologyMetadata {
        let full = |name: &str| -> Arc<str> { repartition_topic(application, name).into() };
        let topic = |id: &NodeId| match &self.graph().node(*id)?.kind {
            NodeKind::Source { topic } => Some(topic.clone()),
            NodeKind::RepartitionSource { name } => Some(full(name)),
            _ => None,
        };
        let topics = |group: &Vec<NodeId>| group.iter().filter_map(topic).collect();
        SubtopologyMetadata {
            sources: sub.sources.clone(),
            repartition_sources: sub
                .repartition_sources
                .iter()
                .map(|name| InternalTopic {
                    name: full(name),
                    partitions: None,
                })
                .collect(),
            repartition_sinks: sub
                .repartition_sinks
                .iter()
                .map(|name| full(name))
                .collect(),
            changelogs: sub
                .stores
                .iter()
                .filter_map(|index| self.graph().stores().get(*index))
                .map(|store| changelog_topic(application, &store.name).into())
                .collect(),
            copartition_groups: sub.copartitioned.iter().map(topics).collect(),
        }
    }

    /// The stores of a sub-topology, by slot, with their changelogs.
    pub(crate) fn stores_of(
        &self,
        part: &Subtopology,
        application: &str,
    ) -> Vec<(&StoreDefinition, Arc<str>)> {
        let stores = part
            .stores
            .iter()
            .filter_map(|index| self.graph().stores().get(*index));
        stores
            .map(|store| (store, changelog_topic(application, &store.name).into()))
            .collect()
    }

    /// The topics that a sub-topology reads, repartition topics by their full names.
    pub(crate) fn source_topics_of(&self, part: &Subtopology, application: &str) -> Vec<Arc<str>> {
        let repartitions = part.repartition_sources.iter();
        let full = repartitions.map(|name| repartition_topic(application, name).into());
        part.sources.iter().cloned().chain(full).collect()
    }

    /// The topics that its sinks write, repartition topics by their full names.
    pub(crate) fn written_topics(&self, application: &str) -> Vec<Arc<str>> {
        let nodes = self.graph().nodes().iter();
        nodes
            .filter_map(|node| match &node.kind {
                NodeKind::Sink { topic } => Some(topic.clone()),
                NodeKind::RepartitionSink { name } => {
                    Some(repartition_topic(application, name).into())
                }
                _ => None,
            })
            .collect()
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.inner.graph
    }

    pub(crate) fn subtopologies(&self) -> &[Subtopology] {
        &self.inner.subtopologies
    }
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topology")
            .field("name", &self.inner.name)
            .finish_non_exhaustive()
    }
}
