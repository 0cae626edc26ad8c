//! A ledger that several instances share: entries in a table of a database, each under its number.
//!
//! An instance decides by its own book, which it brings up to date first, and adds the entry under
//! the next number. When another instance was faster, the number is taken: it reads on, and decides
//! anew. So all books are made of the same entries in the same order, and a call that was answered
//! by one instance is known to all.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use millrace_avro::keys::PaymentId;
use millrace_streams::Timestamp;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::book::{Book, Decision, Entry};
use super::{Incident, Inner};
use crate::gateway::GatewayError;

/// How often an instance looks for what another has left undone: a webhook that nobody has taken, a
/// customer who waits. What is found twice is done, so it is at most this long under way.
const SWEEP: Duration = Duration::from_secs(3);

/// Keeps the entries of a ledger for all instances. An entry is text.
pub trait SharedLedger: Send + Sync + 'static {
    /// Adds entry number `n`, durably; false if that number is taken.
    fn add(&self, n: u64, entry: String) -> BoxFuture<'_, Result<bool, String>>;

    /// The entries after number `n`, by number.
    fn after(&self, n: u64) -> BoxFuture<'_, Result<Vec<String>, String>>;

    /// Notes that the webhook about entry number `n` was taken.
    fn set_told(&self, n: u64) -> BoxFuture<'_, Result<(), String>>;

    /// The numbers of the entries whose webhooks nobody has taken.
    fn untold(&self) -> BoxFuture<'_, Result<Vec<u64>, String>>;
}

/// The table, and whose turn it is.
pub(super) struct Table {
    ledger: Arc<dyn SharedLedger>,
    /// One decision of this instance at a time, so that it does not race with itself.
    turn: Mutex<()>,
}

impl Table {
    pub(super) fn new(ledger: Arc<dyn SharedLedger>) -> Self {
        Self {
            ledger,
            turn: Mutex::new(()),
        }
    }

    pub(super) async fn set_told(&self, n: u64) {
        if let Err(error) = self.ledger.set_told(n).await {
            tracing::debug!(n, error, "a webhook is sent once more");
        }
    }

    async fn add(&self, entry: &Entry) -> Result<bool, GatewayError> {
        let text = serde_json::to_string(entry);
        let text = text.map_err(|error| GatewayError::Refused(error.to_string()))?;
        let added = self.ledger.add(entry.n, text).await;
        added.map_err(GatewayError::Unknown)
    }

    async fn after(&self, n: u64) -> Result<Vec<Entry>, GatewayError> {
        let texts = self
            .ledger
            .after(n)
            .await
            .map_err(GatewayError::Unavailable)?;
        let entries = texts.iter().map(|text| serde_json::from_str(text));
        let entries = entries.collect::<Result<_, _>>();
        entries
            .map_err(|error| GatewayError::Unavailable(format!("the ledger is damaged: {error}")))
    }
}

impl Inner {
    /// Takes in what other instances have added.
    pub(super) async fn catch_up(&self) -> Result<(), GatewayError> {
        let Some(table) = self.table() else {
            return Ok(());
        };
        let known = self.book.lock().entries();
        let entries = table.after(known).await?;
        let mut book = self.book.lock();
        for entry in entries {
            // Somebody else may have caught up meanwhile.
            if entry.n == book.entries() + 1 {
                book.apply(entry);
            }
        }
        Ok(())
    }

    /// Decides until the decision stands; answers the charge, and whether anything was written.
    pub(super) async fn decide_with_others(
        &self,
        table: &Table,
        decide: impl Fn(&Book, Timestamp) -> Result<Decision, GatewayError>,
    ) -> Result<(u64, bool), GatewayError> {
        let _turn = table.turn.lock().await;
        loop {
            self.catch_up().await?;
            let decision = decide(&self.book.lock(), self.clock.now())?;
            let entry = match decision {
                Decision::Known(charge) => return Ok((charge, false)),
                Decision::Write(entry) => entry,
            };
            if table.add(&entry).await? {
                let charge = entry.charge;
                self.take_in(entry);
                return Ok((charge, true));
            }
        }
    }

    fn take_in(&self, entry: Entry) {
        let mut book = self.book.lock();
        if entry.n == book.entries() + 1 {
            book.apply(entry);
        }
    }

    /// Does what an instance that is gone has left undone; ends with the simulator.
    pub(super) async fn sweep(inner: std::sync::Weak<Self>) {
        let mut before = Undone::default();
        while let Some(inner) = inner.upgrade() {
            match inner.undone().await {
                Ok(now) => {
                    inner.finish(&now.both(&before)).await;
                    before = now;
                }
                Err(error) => tracing::warn!(%error, "the ledger is not swept"),
            }
            drop(inner);
            sleep(SWEEP).await;
        }
    }

    async fn undone(&self) -> Result<Undone, GatewayError> {
        let Some(table) = self.table() else {
            return Ok(Undone::default());
        };
        self.catch_up().await?;
        let untold = table.ledger.untold().await;
        Ok(Undone {
            untold: untold
                .map_err(GatewayError::Unavailable)?
                .into_iter()
                .collect(),
            waiting: self.late_customers(),
        })
    }

    /// Payments whose customers should have approved by now.
    fn late_customers(&self) -> BTreeSet<PaymentId> {
        let Some(after) = self.options.customers_approve_after else {
            return BTreeSet::new();
        };
        let now = self.clock.now();
        let is_late = |since| Timestamp::from_millis(since) + after <= now;
        let waiting = self.book.lock().waiting_for_customers();
        let late = waiting.into_iter().filter(|(_, since)| is_late(*since));
        late.map(|(payment, _)| payment).collect()
    }

    async fn finish(self: &Arc<Self>, undone: &Undone) {
        for n in &undone.untold {
            let answer = self.book.lock().answer_of_entry(*n);
            if let Some(answer) = answer {
                self.tell(*n, answer, Duration::ZERO);
            }
        }
        for payment in &undone.waiting {
            if let Err(error) = self.happen(payment, Incident::CustomerApproves).await {
                tracing::warn!(%payment, %error, "a customer could not approve");
            }
        }
    }
}

/// What is still to be done about a ledger.
#[derive(Debug, Default)]
struct Undone {
    untold: BTreeSet<u64>,
    waiting: BTreeSet<PaymentId>,
}

impl Undone {
    /// What was still to be done before, too.
    fn both(&self, before: &Self) -> Self {
        Self {
            untold: self.untold.intersection(&before.untold).copied().collect(),
            waiting: self
                .waiting
                .intersection(&before.waiting)
                .cloned()
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt as _;
    use millrace_avro::events::orders::CaptureMode;
    use millrace_avro::events::payments::AttemptStatus;
    use millrace_avro::keys::OrderId;
    use millrace_avro::money::{Currency, Money};
    use millrace_streams::SystemClock;
    use tokio::runtime::Handle;

    use super::super::{Simulator, SimulatorOptions, WebhookSink};
    use super::*;
    use crate::gateway::webhook::Secret;
    use crate::gateway::{Charge, Gateway as _};

    /// A table in memory, of which no entry is ever told.
    #[derive(Default)]
    struct Entries(Mutex<Vec<String>>);

    impl SharedLedger for Entries {
        fn add(&self, n: u64, entry: String) -> BoxFuture<'_, Result<bool, String>> {
            async move {
                let mut entries = self.0.lock().await;
                let is_next = entries.len() as u64 + 1 == n;
                entries.extend(is_next.then_some(entry));
                Ok(is_next)
            }
            .boxed()
        }

        fn after(&self, n: u64) -> BoxFuture<'_, Result<Vec<String>, String>> {
            let skipped = usize::try_from(n).unwrap();
            async move { Ok(self.0.lock().await.iter().skip(skipped).cloned().collect()) }.boxed()
        }

        fn set_told(&self, _n: u64) -> BoxFuture<'_, Result<(), String>> {
            async { Ok(()) }.boxed()
        }

        fn untold(&self) -> BoxFuture<'_, Result<Vec<u64>, String>> {
            async move { Ok((1..=self.0.lock().await.len() as u64).collect()) }.boxed()
        }
    }

    /// Counts what it is given, and takes nothing.
    #[derive(Default)]
    struct Stuck(AtomicUsize);

    impl WebhookSink for Stuck {
        fn deliver(&self, _: Vec<u8>, _: String) -> BoxFuture<'_, Result<(), String>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            pending().boxed()
        }
    }

    async fn open(customers_approve_after: Option<Duration>) -> Simulator {
        let options = SimulatorOptions {
            secret: Secret::new("whsec"),
            customers_approve_after,
        };
        let (ledger, clock) = (Arc::<Entries>::default(), Arc::<SystemClock>::default());
        let opened = Simulator::open_shared(ledger, options, clock, Handle::current()).await;
        opened.unwrap()
    }

    async fn charge(simulator: &Simulator, method: &str) {
        let charge = Charge {
            order_id: OrderId::new("o1").unwrap(),
            payment_id: PaymentId::new("p1").unwrap(),
            idempotency_key: "p1".to_owned(),
            amount: Money::new(1_999, Currency::EUR),
            method: method.to_owned(),
            capture: CaptureMode::Automatic,
        };
        simulator.authorize(charge).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_webhook_on_its_way_is_not_sent_again_by_the_sweep() {
        let simulator = open(None).await;
        let sink = Arc::new(Stuck::default());
        simulator.deliver_to(sink.clone());
        charge(&simulator, "pm_ok").await;
        sleep(20 * SWEEP).await;
        assert_eq!(sink.0.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_customer_takes_as_long_as_customers_are_told_to() {
        let after = 20 * SWEEP;
        let simulator = open(Some(after)).await;
        charge(&simulator, "pm_requires_action").await;
        let status = || simulator.ledger().items[0].status;
        sleep(after - SWEEP).await;
        assert_eq!(status(), AttemptStatus::RequiresAction);
        sleep(2 * SWEEP).await;
        assert_eq!(status(), AttemptStatus::Captured);
    }
}
