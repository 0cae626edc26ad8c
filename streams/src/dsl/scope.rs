//! The scope on which a topology is drawn.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use crate::catalog::{Store, Topic, is_durable_name};
use crate::dsl::KStream;
use crate::error::{ProcessError, TopologyError};
use crate::operators::merge::PassThrough;
use crate::topology::{Building, GlobalDefinition, Graph, Node, NodeId, NodeKind, StoreDefinition};

/// Where a topology is drawn: it makes sources, and collects what is drawn behind them.
///
/// What is wrong with the drawing is remembered and answered by [`crate::Topology::define`].
pub struct Scope {
    graph: RefCell<Graph>,
    error: RefCell<Option<TopologyError>>,
}

impl Scope {
    pub(crate) fn new() -> Self {
        Self {
            graph: RefCell::default(),
            error: RefCell::default(),
        }
    }

    pub(crate) fn finish(self) -> Result<Graph, TopologyError> {
        match self.error.into_inner() {
            Some(error) => Err(error),
            None => Ok(self.graph.into_inner()),
        }
    }

    /// Adds a node.
    pub(crate) fn add(
        &self,
        label: &'static str,
        kind: NodeKind,
        parents: &[NodeId],
        stores: &[usize],
        factory: impl Fn(&mut Building<'_>) -> Result<(), ProcessError> + Send + Sync + 'static,
    ) -> NodeId {
        self.graph.borrow_mut().add(Node {
            label,
            kind,
            parents: parents.to_vec(),
            stores: stores.to_vec(),
            factory: Arc::new(factory),
        })
    }

    /// Adds a node that forwards every record of its parents as it is.
    pub(crate) fn add_pass_through<K: 'static, V: 'static, P>(
        &self,
        label: &'static str,
        parents: &[NodeId],
    ) -> KStream<'_, K, V, P> {
        let node = self.add(label, NodeKind::Processor, parents, &[], |building| {
            let out = building.downstream::<K, V>();
            building.operator(PassThrough { out });
            Ok(())
        });
        self.handle(node)
    }

    pub(crate) fn handle<K, V, P>(&self, node: NodeId) -> KStream<'_, K, V, P> {
        KStream::new(self, node)
    }

    /// Adds a store for the operator being drawn; its name must be new.
    pub(crate) fn add_store<K: 'static, V: 'static>(&self, store: Store<K, V>) -> usize {
        let added = self
            .graph
            .borrow_mut()
            .add_store(StoreDefinition::of(store));
        self.or_remember(added)
    }

    /// The number of a store that may be shared: added if it is new.
    pub(crate) fn share_store<K: 'static, V: 'static>(&self, store: Store<K, V>) -> usize {
        let shared = self
            .graph
            .borrow_mut()
            .share_store(StoreDefinition::of(store));
        self.or_remember(shared)
    }

    /// The number of a store that was added before.
    pub(crate) fn store_index(&self, name: &str) -> usize {
        self.graph.borrow().store_index(name).unwrap_or_default()
    }

    /// Notes a topic that is read or written.
    pub(crate) fn add_topic<K, V>(&self, topic: Topic<K, V>) {
        self.graph.borrow_mut().add_topic(topic.spec());
    }

    pub(crate) fn add_global(&self, global: GlobalDefinition) {
        self.check_source(&global.topic);
        let added = self.graph.borrow_mut().add_global(global);
        self.or_remember(added);
    }

    /// Remembers an error if `name` may not name something durable.
    pub(crate) fn check_name(&self, what: &'static str, name: &str) {
        if !is_durable_name(name) {
            self.remember(TopologyError::BadName {
                what,
                name: name.into(),
            });
        }
    }

    /// Remembers an error if `topic` is read already, by a source or as a global table.
    pub(crate) fn check_source(&self, topic: &str) {
        if self.graph.borrow().reads(topic) {
            self.remember(TopologyError::DuplicateSource {
                topic: topic.into(),
            });
        }
    }

    // The number that stands in for the missing one is never used: `finish` answers the error.
    fn or_remember(&self, added: Result<usize, TopologyError>) -> usize {
        added.unwrap_or_else(|error| {
            self.remember(error);
            0
        })
    }

    fn remember(&self, error: TopologyError) {
        self.error.borrow_mut().get_or_insert(error);
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({} nodes)", self.graph.borrow().nodes().len())
    }
}
