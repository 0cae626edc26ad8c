//! The built-in gateway: it decides by the payment method's token, and keeps a ledger of its own.
//!
//! | token | what happens |
//! | --- | --- |
//! | `pm_ok` | it charges |
//! | `pm_decline` | it declines |
//! | `pm_requires_action` | it waits for the customer; a webhook tells how that ended |
//! | `pm_slow` | it charges at once, and answers and tells after 3 s |
//! | `pm_drop_reply` | it charges, and the reply is lost |
//! | `pm_error_then_ok` | the first call fails and charges nothing, the next one charges |
//!
//! Any other token is declined. The ledger is a file outside of the market's state: it is what the
//! market's own books are checked against. A call is answered once its entry is durable, and each
//! entry is told by a webhook as well, which may come before the answer.

mod book;
mod courier;
mod journal;
mod shared;
mod tokens;

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use millrace_avro::keys::PaymentId;
use millrace_streams::{Clock, Timestamp};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::time::sleep;

use self::book::{Book, Decision, Verb};
pub use self::book::{Incident, LedgerItem};
use self::courier::Courier;
pub use self::courier::{Delivery, WebhookSink};
use self::journal::{Journal, Line};
pub use self::shared::SharedLedger;
use self::shared::Table;
use self::tokens::Behaviour;
pub use self::tokens::SLOW;
use super::webhook::{Notice, Secret};
use super::{Answer, Charge, FollowUp, Gateway, GatewayError};

/// How many tokens' first failures are remembered.
const FAILED_FIRST_MAX: usize = 100_000;

/// What the simulator may be told.
#[derive(Clone, Debug)]
pub struct SimulatorOptions {
    /// What webhooks are signed with.
    pub secret: Secret,
    /// After how long customers who have to act approve; `None` leaves it to
    /// [`Simulator::happen`].
    pub customers_approve_after: Option<Duration>,
}

/// The ledger, as `GET /simulator/ledger` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Every charge, oldest first.
    pub items: Vec<LedgerItem>,
}

/// The built-in gateway. Clones share it.
#[derive(Clone, Debug)]
pub struct Simulator {
    inner: Arc<Inner>,
}

/// Where the ledger lies.
enum Store {
    /// In a file of this instance.
    File(Journal),
    /// In a table that several instances share.
    Table(Table),
}

struct Inner {
    book: Mutex<Book>,
    /// Keys whose first call has failed, as their token wants.
    failed_first: Mutex<HashSet<String>>,
    store: Store,
    courier: Courier,
    /// The numbers of the entries whose webhooks are on their way.
    telling: Mutex<HashSet<u64>>,
    options: SimulatorOptions,
    clock: Arc<dyn Clock>,
    runtime: Handle,
}

impl Simulator {
    /// Opens the ledger at `path`, or makes it. Webhooks that nobody has taken are sent again; they
    /// run on `runtime`.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is damaged.
    pub fn open(
        path: &Path,
        options: SimulatorOptions,
        clock: Arc<dyn Clock>,
        runtime: Handle,
    ) -> io::Result<Self> {
        let (journal, lines) = Journal::open(path)?;
        let mut book = Book::default();
        let mut untold = Vec::new();
        let mut taken = BTreeSet::new();
        for line in lines {
            match line {
                Line::Delivered(n) => drop(taken.insert(n)),
                Line::Entry(entry) => {
                    let (n, charge) = (entry.n, entry.charge);
                    book.apply(entry);
                    untold.push((n, book.answer(charge)));
                }
            }
        }
        let courier = Courier::new(options.secret.clone(), Arc::clone(&clock));
        let waiting = book.waiting_for_customers();
        let inner = Arc::new(Inner {
            book: Mutex::new(book),
            failed_first: Mutex::default(),
            store: Store::File(journal),
            courier,
            telling: Mutex::default(),
            options,
            clock,
            runtime,
        });
        for (n, answer) in untold.into_iter().filter(|(n, _)| !taken.contains(n)) {
            if let Some((answer, _)) = answer {
                inner.tell(n, answer, Duration::ZERO);
            }
        }
        waiting
            .into_iter()
            .for_each(|(payment, _)| inner.let_approve(payment));
        Ok(Self { inner })
    }

    /// Opens a ledger that other instances write too.
    ///
    /// # Errors
    /// When it does not answer, or is damaged.
    pub async fn open_shared(
        ledger: Arc<dyn SharedLedger>,
        options: SimulatorOptions,
        clock: Arc<dyn Clock>,
        runtime: Handle,
    ) -> Result<Self, GatewayError> {
        let inner = Arc::new(Inner {
            book: Mutex::default(),
            failed_first: Mutex::default(),
            store: Store::Table(Table::new(ledger)),
            courier: Courier::new(options.secret.clone(), Arc::clone(&clock)),
            telling: Mutex::default(),
            options,
            clock,
            runtime,
        });
        inner.catch_up().await?;
        inner.runtime.spawn(Inner::sweep(Arc::downgrade(&inner)));
        Ok(Self { inner })
    }

    /// Takes in what other instances have added to a shared ledger.
    ///
    /// # Errors
    /// When it does not answer, or is damaged.
    pub async fn catch_up(&self) -> Result<(), GatewayError> {
        self.inner.catch_up().await
    }

    /// Who takes the webhooks. Those that were due before are sent now.
    pub fn deliver_to(&self, sink: Arc<dyn WebhookSink>) {
        self.inner.courier.deliver_to(sink);
    }

    /// How webhooks are sent from now on.
    pub fn set_delivery(&self, delivery: Delivery) {
        self.inner.courier.set_delivery(delivery);
    }

    /// Every charge that was ever made.
    pub fn ledger(&self) -> Ledger {
        let items = self.inner.book.lock().items();
        Ledger { items }
    }

    /// Lets something happen to a payment without a call of the shop; its webhook follows. `None`
    /// if no charge of the payment is where that can happen.
    ///
    /// # Errors
    /// When the ledger takes no more.
    pub async fn happen(
        &self,
        payment: &PaymentId,
        incident: Incident,
    ) -> Result<Option<Answer>, GatewayError> {
        self.inner.happen(payment, incident).await
    }

    async fn authorize_now(&self, charge: Charge) -> Result<Answer, GatewayError> {
        let behaviour = Behaviour::of(&charge.method);
        let key = charge.idempotency_key.clone();
        if behaviour.fails_first && self.inner.fails_now(&key) {
            return Err(GatewayError::Unavailable("500".to_owned()));
        }
        let (answer, is_new) = self
            .inner
            .decide(behaviour.answers_after, |book, at| {
                book.authorize(&charge, at)
            })
            .await?;
        if is_new {
            sleep(behaviour.answers_after).await;
        }
        if is_new && behaviour.drops_reply {
            return Err(GatewayError::Unknown(
                "the connection was closed".to_owned(),
            ));
        }
        Ok(answer)
    }

    fn follow_up(
        &self,
        verb: Verb,
        asked: FollowUp,
    ) -> BoxFuture<'_, Result<Answer, GatewayError>> {
        async move {
            let decide = |book: &Book, at| book.follow_up(verb, &asked, at);
            Ok(self.inner.decide(Duration::ZERO, decide).await?.0)
        }
        .boxed()
    }
}

impl Gateway for Simulator {
    fn name(&self) -> &'static str {
        "simulator"
    }

    fn authorize(&self, charge: Charge) -> BoxFuture<'_, Result<Answer, GatewayError>> {
        self.authorize_now(charge).boxed()
    }

    fn capture(&self, follow_up: FollowUp) -> BoxFuture<'_, Result<Answer, GatewayError>> {
        self.follow_up(Verb::Capture, follow_up)
    }

    fn void(&self, follow_up: FollowUp) -> BoxFuture<'_, Result<Answer, GatewayError>> {
        self.follow_up(Verb::Void, follow_up)
    }

    fn refund(&self, follow_up: FollowUp) -> BoxFuture<'_, Result<Answer, GatewayError>> {
        self.follow_up(Verb::Refund, follow_up)
    }

    fn find(&self, idempotency_key: &str) -> BoxFuture<'_, Result<Option<Answer>, GatewayError>> {
        let key = idempotency_key.to_owned();
        async move {
            self.inner.catch_up().await?;
            let known = {
                let book = self.inner.book.lock();
                book.charge_of(&key).and_then(|charge| book.answer(charge))
            };
            let Some((answer, entry)) = known else {
                return Ok(None);
            };
            let durable = self.inner.durable(entry).await;
            durable.map_err(GatewayError::Unavailable)?;
            Ok(Some(answer))
        }
        .boxed()
    }
}

impl Inner {
    fn table(&self) -> Option<&Table> {
        match &self.store {
            Store::File(_) => None,
            Store::Table(table) => Some(table),
        }
    }

    /// Waits until entry number `n` is durable: those of a table are before anybody knows them.
    async fn durable(&self, n: u64) -> Result<(), String> {
        match &self.store {
            Store::File(journal) => journal.durable(n).await,
            Store::Table(_) => Ok(()),
        }
    }

    /// Decides, writes the decision down, and answers once that is durable; also whether anything
    /// was written.
    async fn decide(
        self: &Arc<Self>,
        told_after: Duration,
        decide: impl Fn(&Book, Timestamp) -> Result<Decision, GatewayError> + Send,
    ) -> Result<(Answer, bool), GatewayError> {
        let (charge, is_new) = match &self.store {
            Store::File(journal) => self.decide_alone(journal, decide)?,
            Store::Table(table) => self.decide_with_others(table, decide).await?,
        };
        let unknown = || GatewayError::Refused("there is no such charge".to_owned());
        let (answer, entry) = self.book.lock().answer(charge).ok_or_else(unknown)?;
        if is_new {
            self.follow(entry, answer.clone(), told_after);
        }
        // It stands in the queue: whether it reaches the file is not known if that fails.
        self.durable(entry).await.map_err(GatewayError::Unknown)?;
        Ok((answer, is_new))
    }

    /// Queues the entry that is decided on and applies it; the lock keeps both in one order.
    fn decide_alone(
        &self,
        journal: &Journal,
        decide: impl Fn(&Book, Timestamp) -> Result<Decision, GatewayError>,
    ) -> Result<(u64, bool), GatewayError> {
        let mut book = self.book.lock();
        let entry = match decide(&book, self.clock.now())? {
            Decision::Known(charge) => return Ok((charge, false)),
            Decision::Write(entry) => entry,
        };
        let charge = entry.charge;
        let queued = journal.append(Line::Entry(entry.clone()));
        queued.map_err(GatewayError::Unavailable)?;
        book.apply(entry);
        Ok((charge, true))
    }

    async fn happen(
        self: &Arc<Self>,
        payment: &PaymentId,
        incident: Incident,
    ) -> Result<Option<Answer>, GatewayError> {
        let decide = |book: &Book, at| {
            let entry = book.incident(payment, incident, at);
            entry.map(Decision::Write).ok_or_else(nothing_to_happen_to)
        };
        match self.decide(Duration::ZERO, decide).await {
            Ok((answer, _)) => Ok(Some(answer)),
            Err(error) if error == nothing_to_happen_to() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What follows from an entry, whether or not somebody waits for the answer.
    fn follow(self: &Arc<Self>, n: u64, answer: Answer, told_after: Duration) {
        use millrace_avro::events::payments::GatewayFactKind::RequiresAction;
        if answer
            .facts
            .last()
            .is_some_and(|fact| fact.kind == RequiresAction)
        {
            self.let_approve(answer.payment_id.clone());
        }
        self.tell(n, answer, told_after);
    }

    /// Tells entry number `n` by a webhook, once it is durable: a gateway that is slow to answer is
    /// as slow to tell. What is on its way is not sent again.
    fn tell(self: &Arc<Self>, n: u64, answer: Answer, after: Duration) {
        if !self.telling.lock().insert(n) {
            return;
        }
        let inner = Arc::clone(self);
        self.runtime.spawn(async move {
            sleep(after).await;
            inner.tell_now(n, answer).await;
            inner.telling.lock().remove(&n);
        });
    }

    async fn tell_now(&self, n: u64, answer: Answer) {
        if self.durable(n).await.is_err() {
            return;
        }
        let id = format!("evt_{n}");
        if self.courier.send(n, &Notice { id, answer }).await {
            // If that is lost, it is sent once more.
            match &self.store {
                Store::File(journal) => drop(journal.append(Line::Delivered(n))),
                Store::Table(table) => table.set_told(n).await,
            }
        }
    }

    fn let_approve(self: &Arc<Self>, payment: PaymentId) {
        let Some(after) = self.options.customers_approve_after else {
            return;
        };
        let inner = Arc::clone(self);
        self.runtime.spawn(async move {
            sleep(after).await;
            if let Err(error) = inner.happen(&payment, Incident::CustomerApproves).await {
                tracing::warn!(%payment, %error, "a customer could not approve");
            }
        });
    }

    /// True for the first call with a key.
    fn fails_now(&self, key: &str) -> bool {
        if self.book.lock().charge_of(key).is_some() {
            return false;
        }
        let mut failed = self.failed_first.lock();
        if failed.len() >= FAILED_FIRST_MAX {
            failed.clear();
        }
        !failed.remove(key) && failed.insert(key.to_owned())
    }
}

fn nothing_to_happen_to() -> GatewayError {
    GatewayError::Refused("no charge of the payment is where that can happen".to_owned())
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("entries", &self.book.lock().entries())
            .field("courier", &self.courier)
            .finish_non_exhaustive()
    }
}
