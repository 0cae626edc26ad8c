//! What the API needs of the market: to give commands, and to see what became of them.
//!
//! | port | is | behind it |
//! | --- | --- | --- |
//! | [`Commands`] | append an event, durably | the log |
//! | [`Views`] | read what clients see, and wait for its changes | folds of the log |
//! | [`Gateways`] | understand a payment gateway's webhook | the effects |

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use futures::future::BoxFuture;
use millrace_avro::event::{EventId, Meta};
use millrace_avro::events::carts::{CartCommand, CartView};
use millrace_avro::events::common::{CommandReply, InvariantViolated};
use millrace_avro::events::inventory::{InventoryCommand, StockView};
use millrace_avro::events::orders::{OrderCommand, OrderView};
use millrace_avro::events::payments::{GatewayReported, PaymentCommand, PaymentView};
use millrace_avro::events::products::{CategoryCommand, CategoryView, ProductCommand, ProductView};
use millrace_avro::events::users::UserEvent;
use millrace_avro::keys::{
    CartId, CatalogueId, CategoryId, OrderId, PaymentId, ProductId, Sku, UserId,
};
use millrace_streams::Timestamp;
use millrace_streams::log::Position;
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// How often the views are looked at while they catch up.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// A command or an event of a client, with its key.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// To an order.
    Order(OrderId, OrderCommand),
    /// To a cart.
    Cart(CartId, CartCommand),
    /// To a product.
    Product(ProductId, ProductCommand),
    /// To the tree of categories.
    Category(CatalogueId, CategoryCommand),
    /// To the stock of a SKU.
    Inventory(Sku, InventoryCommand),
    /// To the payments of an order.
    Payment(OrderId, PaymentCommand),
    /// What a user has done.
    User(UserId, UserEvent),
}

impl Message {
    /// The view that shows what has become of it, where its version tells.
    pub fn view(&self) -> Option<ViewKey> {
        match self {
            Self::Order(id, _) => Some(ViewKey::Order(id.clone())),
            Self::Cart(id, _) => Some(ViewKey::Cart(id.clone())),
            // What is gone has no version.
            Self::Product(_, ProductCommand::Delete(_)) => None,
            Self::Product(id, _) => Some(ViewKey::Product(id.clone())),
            Self::Inventory(sku, _) => Some(ViewKey::Stock(sku.clone())),
            Self::Category(..) | Self::Payment(..) | Self::User(..) => None,
        }
    }
}

/// Why a port does not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// It may or may not have happened; repeating it with the same id is safe.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The message is larger than the log takes.
    #[error("the message is too large")]
    TooLarge,
    /// The message cannot be expressed: a mistake of ours.
    #[error("invalid message: {0}")]
    Invalid(String),
}

/// Gives commands.
pub trait Commands: Send + Sync + fmt::Debug {
    /// Appends `message`; the future ends when it is durable. A message with an id that was
    /// appended before changes nothing.
    fn append(
        &self,
        meta: Meta,
        message: Message,
    ) -> BoxFuture<'static, Result<Position, PortError>>;
}

/// Something that clients see, and that changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ViewKey {
    /// A product.
    Product(ProductId),
    /// A category.
    Category(CategoryId),
    /// A cart.
    Cart(CartId),
    /// An order.
    Order(OrderId),
    /// The stock of a SKU.
    Stock(Sku),
    /// A payment attempt.
    Payment(PaymentId),
}

/// A view, and the place in the log that it reflects.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen<V> {
    /// What clients see.
    pub view: Arc<V>,
    /// The place of its last change; what waits for changes can resume from it.
    pub at: Place,
}

/// A place in the topic of a view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// What the auditor has found, and what the rules have noted, as far as the log still tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audit {
    /// How many violations there were, by the number of the invariant.
    pub by_invariant: BTreeMap<i32, u64>,
    /// How often the rules did not act upon something, by the code of the entry.
    pub by_code: BTreeMap<String, u64>,
    /// The latest violations, the newest first; not all of them.
    pub latest: Vec<FoundViolation>,
}

/// A violation of an invariant.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundViolation {
    /// The id of the event that tells it.
    pub id: EventId,
    /// When it was found.
    pub at: Timestamp,
    /// What was found.
    pub found: InvariantViolated,
}

/// Reads what clients see: committed state only, as far as this instance has heard of it.
pub trait Views: Send + Sync + fmt::Debug {
    /// Whether everything that was committed before the start is seen.
    fn caught_up(&self) -> bool;

    /// A product, for sale or not.
    fn product(&self, id: &ProductId) -> Option<Seen<ProductView>>;
    /// The product that `sku` is a variant of.
    fn product_of(&self, sku: &Sku) -> Option<Seen<ProductView>>;
    /// Every product, by id.
    fn products(&self) -> Vec<Arc<ProductView>>;
    /// A category.
    fn category(&self, id: &CategoryId) -> Option<Seen<CategoryView>>;
    /// Every category, by id.
    fn categories(&self) -> Vec<Arc<CategoryView>>;
    /// A cart.
    fn cart(&self, id: &CartId) -> Option<Seen<CartView>>;
    /// An order.
    fn order(&self, id: &OrderId) -> Option<Seen<OrderView>>;
    /// At most `limit` orders of `user`, or of everybody, newest first, that are older than `before`:
    /// the time of creation, and the id among equals.
    fn orders_of(
        &self,
        user: Option<&UserId>,
        before: Option<&(String, OrderId)>,
        limit: usize,
    ) -> Vec<Arc<OrderView>>;
    /// The order of `user`, or of anybody, that is `steps` newer than the one at `place`, if there
    /// are so many.
    fn newer_order(
        &self,
        user: Option<&UserId>,
        place: &(String, OrderId),
        steps: usize,
    ) -> Option<(String, OrderId)>;
    /// The stock of a SKU.
    fn stock(&self, sku: &Sku) -> Option<Seen<StockView>>;
    /// A payment attempt.
    fn payment(&self, id: &PaymentId) -> Option<Seen<PaymentView>>;
    /// What the auditor has found.
    fn audit(&self) -> Audit;

    /// Whether the answer to `command` is known, and the view `key` as new as it says.
    fn shows(&self, command: &EventId, key: &ViewKey) -> bool;

    /// Wakes after `key` has changed, and now and then for nothing. To miss nothing: watch, read,
    /// then wait.
    fn watch(&self, key: &ViewKey) -> watch::Receiver<u64>;

    /// The answer to the command `id`, from the moment of this call: ask before you append.
    fn reply(&self, id: &EventId) -> Reply;
}

/// An answer to come. Dropping it ends the wait.
pub struct Reply {
    answer: oneshot::Receiver<CommandReply>,
    forget: Option<Box<dyn FnOnce() + Send>>,
}

impl Reply {
    /// The answer that `answer` brings; `forget` is called when nobody waits any more.
    pub fn new(
        answer: oneshot::Receiver<CommandReply>,
        forget: impl FnOnce() + Send + 'static,
    ) -> Self {
        Self {
            answer,
            forget: Some(Box::new(forget)),
        }
    }

    /// Waits for the answer, at most for `limit`.
    pub async fn within(mut self, limit: Duration) -> Option<CommandReply> {
        tokio::time::timeout(limit, &mut self.answer)
            .await
            .ok()?
            .ok()
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        // Closed first, so that `forget` can tell this wait from a later one.
        self.answer.close();
        if let Some(forget) = self.forget.take() {
            forget();
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}

/// Waits until `look` finds something, looking again after each change of `key`; `None` when
/// `limit` is over.
pub async fn wait_for<T>(
    views: &dyn Views,
    key: &ViewKey,
    limit: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Option<T> {
    let mut changes = views.watch(key);
    let deadline = deadline(limit);
    loop {
        changes.mark_unchanged();
        if let Some(found) = look() {
            return Some(found);
        }
        let changed = tokio::time::timeout_at(deadline, changes.changed()).await;
        if !matches!(changed, Ok(Ok(()))) {
            return look();
        }
    }
}

/// The moment `limit` from now.
fn deadline(limit: Duration) -> Instant {
    Instant::now() + limit
}

/// Why a webhook is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// There is no such gateway.
    #[error("there is no such gateway")]
    UnknownGateway,
    /// The body was not signed by the gateway, or too long ago.
    #[error("the signature is not valid")]
    Signature,
    /// The body cannot be understood.
    #[error("{0}")]
    Malformed(String),
}

/// Understands the webhooks of payment gateways.
pub trait Gateways: Send + Sync + fmt::Debug {
    /// What `gateway` reports; `None` for what is of no interest. `headers` has the signature.
    ///
    /// # Errors
    /// See [`WebhookError`].
    fn webhook(
        &self,
        gateway: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Option<Webhook>, WebhookError>;
}

/// What a webhook says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The gateway's id of this notice: the same when it is sent again.
    pub id: String,
    /// What has happened.
    pub report: GatewayReported,
}
