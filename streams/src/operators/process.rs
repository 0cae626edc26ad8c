//! `process`: runs a processor of one's own.

use std::marker::PhantomData;
use std::time::Duration;

use crate::catalog::Store;
use crate::dsl::{KStream, Keying, RekeyedStream};
use crate::error::ProcessResult;
use crate::operators::{Downstream, Operator};
use crate::processor::{InitContext, Processor, ProcessorContext, Punctuation};
use crate::record::Record;
use crate::task::{PunctuationId, PunctuationKind, TaskContext};
use crate::time::Timestamp;
use crate::topology::{Hooks, NodeKind};

/// A store that a processor uses: [`Store::connect`] makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreConnection {
    name: &'static str,
}

impl<K, V> Store<K, V> {
    /// Connects the store to a processor.
    pub const fn connect(self) -> StoreConnection {
        StoreConnection { name: self.name() }
    }
}

impl<'t, K: 'static, V: 'static, P: Keying> KStream<'t, K, V, P> {
    /// Runs the processor `R` on the stream: see [`Processor`].
    ///
    /// Creates each connected store that is not there yet, with its changelog
    /// `<application>-<store>-changelog`; operators that connect the same store share it, and run in
    /// the same task. What the processor forwards may have any key, so the result is a
    /// [`RekeyedStream`].
    pub fn process<R, K2, V2>(
        self,
        stores: impl IntoIterator<Item = StoreConnection>,
    ) -> RekeyedStream<'t, K2, V2>
    where
        R: Processor<K, V, K2, V2>,
        K2: 'static,
        V2: 'static,
    {
        let scope = self.scope();
        let slots: Vec<usize> = stores
            .into_iter()
            .map(|store| scope.share_store(store.name))
            .collect();
        let parents = [self.node()];
        let node = scope.add(
            "process",
            NodeKind::Processor,
            &parents,
            &slots,
            |building| {
                let mut schedules = Vec::new();
                let mut cx = InitContext {
                    locator: building.locator(),
                    schedules: &mut schedules,
                };
                let processor = R::init(&mut cx)?;
                let out = building.downstream();
                let input = PhantomData;
                building.stateful::<K, V, _>(Process {
                    processor,
                    schedules,
                    out,
                    input,
                });
                Ok(())
            },
        );
        scope.handle(node)
    }
}

struct Process<R, K, V, K2, V2> {
    processor: R,
    schedules: Vec<(PunctuationKind, Duration)>,
    out: Downstream<K2, V2>,
    input: PhantomData<fn(K, V)>,
}

impl<R, K, V, K2, V2> Operator<K, V> for Process<R, K, V, K2, V2>
where
    R: Processor<K, V, K2, V2>,
{
    fn process(&mut self, cx: &mut TaskContext, record: Record<'_, K, V>) -> ProcessResult {
        let mut cx = ProcessorContext {
            task: cx,
            out: &self.out,
        };
        self.processor.process(&mut cx, record)
    }
}

impl<R, K, V, K2, V2> Hooks for Process<R, K, V, K2, V2>
where
    R: Processor<K, V, K2, V2>,
{
    fn init(&mut self, cx: &mut TaskContext) -> ProcessResult {
        for (index, (kind, interval)) in self.schedules.iter().enumerate() {
            cx.schedule(PunctuationId::new(index), *kind, *interval);
        }
        Ok(())
    }

    fn punctuate(
        &mut self,
        cx: &mut TaskContext,
        id: PunctuationId,
        at: Timestamp,
    ) -> ProcessResult {
        let mut cx = ProcessorContext {
            task: cx,
            out: &self.out,
        };
        self.processor.punctuate(&mut cx, Punctuation { id, at })
    }
}
