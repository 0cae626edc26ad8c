//! `process`: runs a processor of one's own.

use std::marker::PhantomData;

use crate::catalog::Store;
use crate::dsl::{KStream, Keying, RekeyedStream, Scope};
use crate::error::{ProcessError, ProcessResult};
use crate::operators::{Downstream, Operator};
use crate::processor::{InitContext, Processor, ProcessorContext, Punctuation};
use crate::record::Record;
use crate::serde::Data;
use crate::store::KeyValueStore;
use crate::task::{PunctuationId, TaskContext};
use crate::time::Timestamp;
use crate::topology::{Hooks, Locator, NodeKind};

/// The stores that a processor is connected to: a [`Store`], a tuple of them, or `()` for none.
pub trait ConnectedStores: sealed::Connect {}

impl<S: sealed::Connect> ConnectedStores for S {}

impl<'t, K: 'static, V: 'static, P: Keying> KStream<'t, K, V, P> {
    /// Runs a processor of one's own on the stream: see [`Processor`]. The supplier makes the
    /// processor of each task, from handles on the connected stores.
    ///
    /// Creates each connected store that is not there yet, with its changelog
    /// `<application>-<store>-changelog`; operators that connect the same store share it, and run in
    /// the same task. What the processor forwards may have any key, so the result is a
    /// [`RekeyedStream`].
    ///
    /// ```
    /// # use millrace_streams::{
    /// #     KeyValueStore, ProcessResult, Processor, ProcessorContext, Record, Store, Timestamp,
    /// #     Topic, Topology, TopologyTestDriver,
    /// # };
    /// const VISITS: Topic<String, String> = Topic::new("visits");
    /// const FIRST_VISITS: Topic<String, String> = Topic::new("first-visits");
    /// const SEEN: Store<String, String> = Store::new("seen");
    ///
    /// /// Passes the first record of each key on.
    /// struct First(KeyValueStore<String, String>);
    ///
    /// impl Processor<String, String, String, String> for First {
    ///     fn process(
    ///         &mut self,
    ///         cx: &mut ProcessorContext<'_, String, String>,
    ///         record: Record<'_, String, String>,
    ///     ) -> ProcessResult {
    ///         if self.0.get(cx, record.key)?.is_some() {
    ///             return Ok(());
    ///         }
    ///         self.0.put(cx, record.key, record.value)?;
    ///         cx.forward(record)
    ///     }
    /// }
    ///
    /// let topology = Topology::define("first-visits", |t| {
    ///     t.stream(VISITS).process(SEEN, First).to(FIRST_VISITS);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// for page in ["/", "/cart"] {
    ///     driver.input(VISITS).pipe(&"ann".to_owned(), &page.to_owned(), Timestamp::from_millis(0))?;
    /// }
    /// assert_eq!(driver.output(FIRST_VISITS).read_values()?, ["/"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn process<S, R, K2, V2>(
        self,
        stores: S,
        supplier: impl Fn(S::Handles) -> R + Send + Sync + 'static,
    ) -> RekeyedStream<'t, K2, V2>
    where
        S: ConnectedStores,
        R: Processor<K, V, K2, V2>,
        K2: 'static,
        V2: 'static,
    {
        let scope = self.scope();
        let mut slots = Vec::new();
        stores.connect(scope, &mut slots);
        let node = scope.add(
            "process",
            NodeKind::Processor,
            &[self.node()],
            &slots,
            move |building| {
                let operator = Process {
                    processor: supplier(stores.handles(building.locator())?),
                    out: building.downstream(),
                    input: PhantomData,
                };
                building.stateful::<K, V, _>(operator);
                Ok(())
            },
        );
        scope.handle(node)
    }
}

struct Process<R, K, V, K2, V2> {
    processor: R,
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
        // What is written before the first record of all has a time as well.
        cx.begin_tick(cx.stream_time().max(Timestamp::from_millis(0)));
        self.processor.init(&mut InitContext::new(cx))
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

pub(crate) mod sealed {
    use super::{Locator, ProcessError, Scope};

    pub trait Connect: Copy + Send + Sync + 'static {
        /// A handle on each store.
        type Handles;

        /// Adds the stores that are not there yet, and their numbers to `slots`.
        #[doc(hidden)]
        fn connect(self, scope: &Scope, slots: &mut Vec<usize>);

        #[doc(hidden)]
        fn handles(self, locator: Locator<'_>) -> Result<Self::Handles, ProcessError>;
    }
}

impl sealed::Connect for () {
    type Handles = ();

    fn connect(self, _: &Scope, _: &mut Vec<usize>) {}

    fn handles(self, _: Locator<'_>) -> Result<(), ProcessError> {
        Ok(())
    }
}

impl<K: Data, V: Data> sealed::Connect for Store<K, V> {
    type Handles = KeyValueStore<K, V>;

    fn connect(self, scope: &Scope, slots: &mut Vec<usize>) {
        slots.push(scope.share_store(self));
    }

    fn handles(self, locator: Locator<'_>) -> Result<KeyValueStore<K, V>, ProcessError> {
        KeyValueStore::new(locator, self)
    }
}

macro_rules! connect_tuple {
    ($($store:ident)+) => {
        impl<$($store: sealed::Connect),+> sealed::Connect for ($($store,)+) {
            type Handles = ($($store::Handles,)+);

            #[expect(non_snake_case, reason = "each value is named as its type")]
            fn connect(self, scope: &Scope, slots: &mut Vec<usize>) {
                let ($($store,)+) = self;
                $($store.connect(scope, slots);)+
            }

            #[expect(non_snake_case, reason = "each value is named as its type")]
            fn handles(self, locator: Locator<'_>) -> Result<Self::Handles, ProcessError> {
                let ($($store,)+) = self;
                Ok(($($store.handles(locator)?,)+))
            }
        }
    };
}

connect_tuple!(A B);
connect_tuple!(A B C);
connect_tuple!(A B C D);
connect_tuple!(A B C D E);
connect_tuple!(A B C D E F);
