//! An instance: one task's own operators, made from the graph.
//!
//! Nodes are made from the last to the first, so that a node's children exist when it is made and
//! it can own its edges. A record then runs depth first through plain calls, as in Kafka Streams.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use crate::catalog::{Store, changelog_topic, repartition_topic};
use crate::error::{ProcessError, ProcessResult, TopologyError};
use crate::log::{OutputBatch, RawRecord, TopicSlot};
use crate::operators::{Child, Downstream, Operator};
use crate::serde::{Data, Resources, Role, SerdeContext};
use crate::task::{PunctuationId, TaskContext};
use crate::time::Timestamp;
use crate::topology::graph::{Graph, NodeId, NodeKind};
use crate::topology::{StoreDefinition, Subtopology, Topology};

/// The beginning of a task's graph: bytes in, typed records on.
pub(crate) trait Source {
    /// Reads the record, tells the context that it begins, and hands it on.
    fn process(&mut self, cx: &mut TaskContext, record: RawRecord<'_>) -> ProcessResult;
}

/// What an operator does besides processing records.
pub(crate) trait Hooks {
    /// Called once, when the task's stores are restored and before its first record.
    fn init(&mut self, _cx: &mut TaskContext) -> ProcessResult {
        Ok(())
    }

    /// Called before each commit, parents before children: forwards what the store's buffer holds
    /// back (Kafka Streams' record cache).
    fn flush(&mut self, _cx: &mut TaskContext) -> ProcessResult {
        Ok(())
    }

    /// A punctuation that this operator has scheduled is due.
    fn punctuate(
        &mut self,
        _cx: &mut TaskContext,
        _id: PunctuationId,
        _at: Timestamp,
    ) -> ProcessResult {
        Ok(())
    }

    /// The wall clock has moved on to `at`.
    fn tick(&mut self, _cx: &mut TaskContext, _at: Timestamp) -> ProcessResult {
        Ok(())
    }
}

/// What is the same for all tasks of an application: names, partition counts, resources.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) application: Arc<str>,
    pub(crate) resources: Resources,
    /// The number of partitions of each topic that is written.
    pub(crate) partitions: HashMap<Arc<str>, i32>,
}

impl Places {
    /// Builds the serde of `T` for keys or values of `topic`.
    pub(crate) fn serde<T: Data>(
        &self,
        topic: &str,
        role: Role,
    ) -> Result<T::Serde, TopologyError> {
        let at = SerdeContext {
            topic,
            role,
            resources: &self.resources,
        };
        T::serde(&at).map_err(|source| TopologyError::Serde {
            topic: topic.into(),
            source,
        })
    }
}

/// One task's operators.
pub(crate) struct Instance {
    /// By the topic that each reads.
    pub(crate) sources: Vec<(Arc<str>, Box<dyn Source>)>,
    /// In topological order.
    pub(crate) hooks: Vec<Rc<RefCell<dyn Hooks>>>,
}

impl Instance {
    /// Makes the operators of one sub-topology for one task.
    pub(crate) fn build(
        topology: &Topology,
        part: &Subtopology,
        places: &Places,
        outputs: &mut OutputBatch,
    ) -> Result<Self, ProcessError> {
        let graph = topology.graph();
        let mut building = Building {
            locator: Locator {
                graph,
                part,
                places,
                node: NodeId(0),
            },
            outputs,
            waiting: HashMap::new(),
            sources: Vec::new(),
            hooks: Vec::new(),
        };
        for id in part.nodes.iter().rev() {
            let Some(node) = graph.node(*id) else {
                continue;
            };
            building.locator.node = *id;
            (node.factory)(&mut building)?;
        }
        building.sources.reverse();
        building.hooks.reverse();
        Ok(Self {
            sources: building.sources,
            hooks: building.hooks,
        })
    }
}

/// Finds what an operator of one node needs, by name.
#[derive(Clone, Copy)]
pub struct Locator<'a> {
    graph: &'a Graph,
    part: &'a Subtopology,
    pub(crate) places: &'a Places,
    /// The node being made.
    node: NodeId,
}

impl fmt::Debug for Locator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Locator({})", self.node.0)
    }
}

impl<'a> Locator<'a> {
    /// The task's slot of a store that the node is connected to, and the changelog's name, for
    /// which its serdes are built.
    pub(crate) fn store<K: 'static, V: 'static>(
        &self,
        store: Store<K, V>,
    ) -> Result<(usize, String), TopologyError> {
        let index = self.graph.typed_store(&StoreDefinition::of(store))?;
        let mut mine = self.part.stores.iter();
        let slot = mine.position(|mine| *mine == index && self.uses(index));
        match slot {
            Some(slot) => Ok((
                slot,
                changelog_topic(&self.places.application, store.name()),
            )),
            None => Err(unconnected(store.name())),
        }
    }

    /// The number of a global table and its topic.
    pub(crate) fn global(&self, name: &str) -> Result<(usize, &'a Arc<str>), TopologyError> {
        let index = self.graph.global_index(name);
        let found = index.and_then(|index| Some((index, self.graph.globals().get(index)?)));
        let (index, global) = found.ok_or_else(|| unconnected(name))?;
        Ok((index, &global.topic))
    }

    fn uses(&self, store: usize) -> bool {
        self.graph
            .node(self.node)
            .is_some_and(|node| node.stores.contains(&store))
    }
}

fn unconnected(store: &str) -> TopologyError {
    TopologyError::UnconnectedStore {
        store: store.into(),
    }
}

/// An instance while it is made.
pub(crate) struct Building<'a> {
    locator: Locator<'a>,
    outputs: &'a mut OutputBatch,
    /// Operators that wait for their parents: boxed `Child<K, V>`.
    waiting: HashMap<NodeId, Vec<Box<dyn Any>>>,
    sources: Vec<(Arc<str>, Box<dyn Source>)>,
    hooks: Vec<Rc<RefCell<dyn Hooks>>>,
}

impl<'a> Building<'a> {
    pub(crate) fn locator(&self) -> Locator<'a> {
        self.locator
    }

    pub(crate) fn places(&self) -> &'a Places {
        self.locator.places
    }

    /// The edges from the node being made to its children.
    pub(crate) fn downstream<K: 'static, V: 'static>(&mut self) -> Downstream<K, V> {
        let waiting = self.waiting.remove(&self.locator.node).unwrap_or_default();
        // The DSL gives a child its parent's types, so no other type can come here.
        let typed = |child: Box<dyn Any>| child.downcast::<Child<K, V>>().ok().map(|child| *child);
        Downstream::new(waiting.into_iter().rev().filter_map(typed).collect())
    }

    /// Sets the operator of the node being made.
    pub(crate) fn operator<K, V, O>(&mut self, operator: O)
    where
        K: 'static,
        V: 'static,
        O: Operator<K, V> + 'static,
    {
        self.attach::<K, V>(&(Rc::new(RefCell::new(operator)) as Child<K, V>));
    }

    /// Sets the operator of the node being made, which also has hooks.
    pub(crate) fn stateful<K, V, O>(&mut self, operator: O)
    where
        K: 'static,
        V: 'static,
        O: Operator<K, V> + Hooks + 'static,
    {
        let operator = Rc::new(RefCell::new(operator));
        self.hooks.push(operator.clone());
        self.attach::<K, V>(&(operator as Child<K, V>));
    }

    fn attach<K: 'static, V: 'static>(&mut self, operator: &Child<K, V>) {
        let node = self.locator.graph.node(self.locator.node);
        for parent in node.map(|node| node.parents.as_slice()).unwrap_or_default() {
            self.waiting
                .entry(*parent)
                .or_default()
                .push(Box::new(operator.clone()));
        }
    }

    /// Sets the node being made as the source of its topic.
    pub(crate) fn source(&mut self, topic: Arc<str>, source: impl Source + 'static) {
        self.sources.push((topic, Box::new(source)));
    }

    /// The topic that the source node being made reads.
    pub(crate) fn source_topic(&self) -> Arc<str> {
        match self
            .locator
            .graph
            .node(self.locator.node)
            .map(|node| &node.kind)
        {
            Some(NodeKind::Source { topic }) => topic.clone(),
            Some(NodeKind::RepartitionSource { name }) => {
                repartition_topic(&self.places().application, name).into()
            }
            _ => Arc::from(""),
        }
    }

    /// The slot and the number of partitions of a topic that the node being made writes.
    pub(crate) fn sink(&mut self, topic: &str) -> Result<(TopicSlot, i32), TopologyError> {
        match self.places().partitions.get(topic) {
            Some(partitions) => Ok((self.outputs.slot(topic), *partitions)),
            None => Err(TopologyError::MissingTopic {
                topic: topic.into(),
            }),
        }
    }
}
