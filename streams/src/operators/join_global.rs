//! `join_global` and `left_join_global` of a stream with a global table.

use std::sync::Arc;

use crate::dsl::{GlobalKTable, KStream, Keying};
use crate::error::ProcessResult;
use crate::global::GlobalLookup;
use crate::operators::{Downstream, Operator};
use crate::record::Record;
use crate::serde::Data;
use crate::task::TaskContext;
use crate::topology::NodeKind;

impl<'t, K: 'static, V: 'static, P: Keying> KStream<'t, K, V, P> {
    /// Joins each record with the global table's value under the key that `select` computes from
    /// the record; a record without such a value is dropped.
    ///
    /// Any stream may be joined, however it is keyed or partitioned: every instance holds the whole
    /// table. The look-up sees the table as it is when the record is processed. Creates nothing
    /// durable.
    pub fn join_global<GK: Data, T: Data, R: 'static>(
        self,
        table: GlobalKTable<'t, GK, T>,
        select: impl Fn(&K, &V) -> GK + Send + Sync + 'static,
        joiner: impl Fn(&V, &T) -> R + Send + Sync + 'static,
    ) -> KStream<'t, K, R, P> {
        let joiner = move |value: &V, found: Option<&T>| Some(joiner(value, found?));
        self.join_global_with("join-global", table, select, joiner)
    }

    /// As [`KStream::join_global`], but a record without a value in the table goes on with `None`.
    pub fn left_join_global<GK: Data, T: Data, R: 'static>(
        self,
        table: GlobalKTable<'t, GK, T>,
        select: impl Fn(&K, &V) -> GK + Send + Sync + 'static,
        joiner: impl Fn(&V, Option<&T>) -> R + Send + Sync + 'static,
    ) -> KStream<'t, K, R, P> {
        let joiner = move |value: &V, found: Option<&T>| Some(joiner(value, found));
        self.join_global_with("left-join-global", table, select, joiner)
    }

    fn join_global_with<GK: Data, T: Data, R: 'static>(
        self,
        label: &'static str,
        table: GlobalKTable<'t, GK, T>,
        select: impl Fn(&K, &V) -> GK + Send + Sync + 'static,
        joiner: impl Fn(&V, Option<&T>) -> Option<R> + Send + Sync + 'static,
    ) -> KStream<'t, K, R, P> {
        let (select, joiner) = (Arc::new(select), Arc::new(joiner));
        let parents = [self.node()];
        let node = self
            .scope()
            .add(label, NodeKind::Processor, &parents, &[], move |building| {
                let operator = JoinGlobal {
                    table: GlobalLookup::new(building.locator(), table.store)?,
                    select: select.clone(),
                    joiner: joiner.clone(),
                    out: building.downstream(),
                };
                building.operator::<K, V, _>(operator);
                Ok(())
            });
        self.scope().handle(node)
    }
}

struct JoinGlobal<S, F, GK: Data, T: Data, K, R> {
    table: GlobalLookup<GK, T>,
    select: Arc<S>,
    joiner: Arc<F>,
    out: Downstream<K, R>,
}

impl<S, F, GK, T, K, V, R> Operator<K, V> for JoinGlobal<S, F, GK, T, K, R>
where
    S: Fn(&K, &V) -> GK,
    F: Fn(&V, Option<&T>) -> Option<R>,
    GK: Data,
    T: Data,
{
    fn process(&mut self, cx: &mut TaskContext, record: Record<'_, K, V>) -> ProcessResult {
        let key = (self.select)(record.key, record.value);
        let found = self.table.get(cx, &key)?;
        match (self.joiner)(record.value, found.as_ref()) {
            Some(joined) => self.out.forward(cx, record.with_value(&joined)),
            None => Ok(()),
        }
    }
}
