//! Handles of streams.

use std::fmt;
use std::marker::PhantomData;

use crate::dsl::Scope;
use crate::operators::{Downstream, Operator};
use crate::topology::{NodeId, NodeKind};

/// A stream of records with keys `K` and values `V`.
///
/// Its operators stand in `operators/`, one file each. The handle is `Copy`: using it twice feeds
/// every record to both.
///
/// `P` tells whether a record lies in the partition that its key belongs to. Only then does the
/// stream have operators with state. [`KStream::select_key`] loses that, and
/// [`KStream::repartition`] restores it.
pub struct KStream<'t, K, V, P = Keyed> {
    scope: &'t Scope,
    node: NodeId,
    types: Types<K, V, P>,
}

/// Says which types a handle has, and holds none of them.
type Types<K, V, P> = PhantomData<fn() -> (K, V, P)>;

/// A stream whose records lie where their old keys belong: it has no operator with state until it
/// is repartitioned.
pub type RekeyedStream<'t, K, V> = KStream<'t, K, V, Rekeyed>;

/// Whether records lie where their keys belong: [`Keyed`] or [`Rekeyed`].
pub trait Keying: sealed::Sealed + 'static {}

/// Every record lies in the partition that its key belongs to.
#[derive(Debug)]
pub enum Keyed {}

/// The key was changed, the record has not moved.
#[derive(Debug)]
pub enum Rekeyed {}

/// What an operator with state needs: the records of one key are all in one partition, their own.
#[diagnostic::on_unimplemented(
    message = "the key of this stream was changed, so its records are not where their keys belong",
    label = "needs a stream that is partitioned by its key",
    note = "call `.repartition(\"a-name\")` first: it brings each record to the task of its key"
)]
pub trait Partitioned: Keying {}

impl Partitioned for Keyed {}

impl Keying for Keyed {}
impl Keying for Rekeyed {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Keyed {}
    impl Sealed for super::Rekeyed {}
}

impl<'t, K, V, P> KStream<'t, K, V, P> {
    pub(crate) fn new(scope: &'t Scope, node: NodeId) -> Self {
        Self {
            scope,
            node,
            types: PhantomData,
        }
    }

    pub(crate) fn scope(self) -> &'t Scope {
        self.scope
    }

    pub(crate) fn node(self) -> NodeId {
        self.node
    }

    /// Adds an operator without state behind this stream.
    pub(crate) fn then<K2, V2, P2, O>(
        self,
        label: &'static str,
        make: impl Fn(Downstream<K2, V2>) -> O + Send + Sync + 'static,
    ) -> KStream<'t, K2, V2, P2>
    where
        K: 'static,
        V: 'static,
        K2: 'static,
        V2: 'static,
        O: Operator<K, V> + 'static,
    {
        let parents = [self.node];
        let node = self
            .scope
            .add(label, NodeKind::Processor, &parents, &[], move |building| {
                let out = building.downstream();
                building.operator(make(out));
                Ok(())
            });
        KStream::new(self.scope, node)
    }
}

impl<K, V, P> Clone for KStream<'_, K, V, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V, P> Copy for KStream<'_, K, V, P> {}

impl<K, V, P> fmt::Debug for KStream<'_, K, V, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KStream({})", self.node.0)
    }
}
