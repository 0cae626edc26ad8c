//! Commands on a log.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::{self, BoxFuture};
use millrace_avro::catalog::{
    CART_COMMANDS, CATEGORY_COMMANDS, INVENTORY_COMMANDS, ORDER_COMMANDS, PAYMENT_COMMANDS,
    PRODUCT_COMMANDS, USER_EVENTS,
};
use millrace_avro::event::{Event, EventSet, Meta};
use millrace_avro::events::carts::CartCommand;
use millrace_avro::events::inventory::InventoryCommand;
use millrace_avro::events::orders::OrderCommand;
use millrace_avro::events::payments::PaymentCommand;
use millrace_avro::events::products::{CategoryCommand, ProductCommand};
use millrace_avro::events::users::UserEvent;
use millrace_avro::keys::{CartId, CatalogueId, OrderId, ProductId, Sku, UserId};
use millrace_streams::RecordCodec;
use millrace_streams::log::{LogError, NewRecord, Position, Writer};
use millrace_streams::serde::{Data, Resources, SerdeError};
use parking_lot::Mutex;

use crate::ports::{Commands, Message, PortError};

type Codec<K, E> = Mutex<RecordCodec<K, Event<E>>>;

/// Appends commands to a log.
#[derive(Debug)]
pub struct LogCommands {
    writer: Arc<dyn Writer>,
    orders: Codec<OrderId, OrderCommand>,
    carts: Codec<CartId, CartCommand>,
    products: Codec<ProductId, ProductCommand>,
    categories: Codec<CatalogueId, CategoryCommand>,
    inventory: Codec<Sku, InventoryCommand>,
    payments: Codec<OrderId, PaymentCommand>,
    users: Codec<UserId, UserEvent>,
}

impl LogCommands {
    /// Commands that `writer` appends.
    ///
    /// # Errors
    /// When the schema registry refuses a schema, or does not answer.
    pub fn new(writer: Arc<dyn Writer>, resources: &Resources) -> Result<Self, SerdeError> {
        Ok(Self {
            writer,
            orders: Mutex::new(RecordCodec::new(ORDER_COMMANDS, resources)?),
            carts: Mutex::new(RecordCodec::new(CART_COMMANDS, resources)?),
            products: Mutex::new(RecordCodec::new(PRODUCT_COMMANDS, resources)?),
            categories: Mutex::new(RecordCodec::new(CATEGORY_COMMANDS, resources)?),
            inventory: Mutex::new(RecordCodec::new(INVENTORY_COMMANDS, resources)?),
            payments: Mutex::new(RecordCodec::new(PAYMENT_COMMANDS, resources)?),
            users: Mutex::new(RecordCodec::new(USER_EVENTS, resources)?),
        })
    }

    fn record(&self, meta: Meta, message: Message) -> Result<NewRecord, SerdeError> {
        match message {
            Message::Order(key, body) => encode(&self.orders, &key, meta, body),
            Message::Cart(key, body) => encode(&self.carts, &key, meta, body),
            Message::Product(key, body) => encode(&self.products, &key, meta, body),
            Message::Category(key, body) => encode(&self.categories, &key, meta, body),
            Message::Inventory(key, body) => encode(&self.inventory, &key, meta, body),
            Message::Payment(key, body) => encode(&self.payments, &key, meta, body),
            Message::User(key, body) => encode(&self.users, &key, meta, body),
        }
    }
}

fn encode<K: Data, E: EventSet>(
    codec: &Codec<K, E>,
    key: &K,
    meta: Meta,
    body: E,
) -> Result<NewRecord, SerdeError> {
    let time = meta.time;
    codec.lock().encode(key, &Event { meta, body }, time)
}

impl Commands for LogCommands {
    fn append(
        &self,
        meta: Meta,
        message: Message,
    ) -> BoxFuture<'static, Result<Position, PortError>> {
        match self.record(meta, message) {
            Ok(record) => self
                .writer
                .append(record)
                .map(|result| result.map_err(log_error))
                .boxed(),
            Err(SerdeError::Unavailable { reason }) => {
                future::ready(Err(PortError::Unavailable(reason))).boxed()
            }
            Err(error) => future::ready(Err(PortError::Invalid(error.to_string()))).boxed(),
        }
    }
}

fn log_error(error: LogError) -> PortError {
    match error {
        LogError::RecordTooLarge { .. } => PortError::TooLarge,
        error => PortError::Unavailable(error.to_string()),
    }
}
