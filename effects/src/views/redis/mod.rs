//! Carts and stock levels in Redis: what others may read without asking the market.
//!
//! | key | hash of |
//! | --- | --- |
//! | `cart-lines:<cart>` | SKU -> the line, as JSON |
//! | `cart-totals:<cart>` | `subtotal`, `discount`, `tax`, `shipping`, `total` as JSON; `version`, `updated_at`, `user_id` |
//! | `stock:<SKU>` | `on_hand`, `reserved`, `available`, `version` |
//! | `view-position` | `<topic>/<partition>` -> the offset that the keys above have come to |
//!
//! A script applies a batch of records and moves the position in one step. A batch that comes twice,
//! or from two instances at once, changes nothing; one for which something before it is missing is
//! refused, and the follower begins again where Redis is. So a Redis that was emptied, restarted or
//! taken back to an older copy fills itself again.
//!
//! Nothing waits for Redis: the follower has a thread of its own and catches up when Redis is back,
//! and reads end after [`READ_TIMEOUT`]. A database of Redis belongs to one market.

mod follower;
mod shape;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use millrace_avro::catalog::{CARTS, STOCK_LEVELS};
use millrace_avro::events::carts::CartView;
use millrace_avro::keys::{CartId, Sku};
use millrace_streams::log::{Log, LogError, Offset};
use millrace_streams::serde::Resources;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands as _, Client, RedisError, Script};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::timeout;

pub use self::follower::Following;
use self::follower::{Follower, Projection};
pub use self::shape::CachedStock;
use self::shape::{Batch, cart_writes, lines_key, stock_key, stock_writes, totals_key};

/// How long a read may take.
pub const READ_TIMEOUT: Duration = Duration::from_millis(100);
/// How long Redis may take to apply a batch.
const APPLY_TIMEOUT: Duration = Duration::from_secs(2);
/// Where positions are kept.
const POSITIONS: &str = "view-position";
/// What is applied at once, or not at all.
const APPLY: &str = include_str!("apply.lua");

/// Why Redis has not answered. No caller depends on it: ask the market's own stores instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("redis: {0}")]
pub struct ViewError(String);

impl From<RedisError> for ViewError {
    fn from(error: RedisError) -> Self {
        Self(error.to_string())
    }
}

/// The views of one Redis. Clones share a connection, which is made at the first use and again
/// whenever it was lost.
#[derive(Clone)]
pub struct RedisViews {
    client: Client,
    connection: Arc<Mutex<Option<ConnectionManager>>>,
    apply: Arc<Script>,
}

impl RedisViews {
    /// The views at `url`: `redis://127.0.0.1:6379/0`. Does not connect yet.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn new(url: &str) -> Result<Self, ViewError> {
        Ok(Self {
            client: Client::open(url)?,
            connection: Arc::default(),
            apply: Arc::new(Script::new(APPLY)),
        })
    }

    /// A cart, its lines by SKU; `None` if it is empty, or not known here yet.
    ///
    /// # Errors
    /// When Redis does not answer within [`READ_TIMEOUT`].
    pub async fn cart(&self, cart: &CartId) -> Result<Option<CartView>, ViewError> {
        let mut both = redis::pipe();
        both.atomic()
            .hgetall(lines_key(cart))
            .hgetall(totals_key(cart));
        let read = async {
            let mut connection = self.connection().await?;
            Ok(both.query_async(&mut connection).await?)
        };
        let (lines, totals) = in_time(read).await?;
        Ok(shape::read_cart(cart, &lines, &totals))
    }

    /// The stock of a SKU; `None` if it is not known here yet.
    ///
    /// # Errors
    /// When Redis does not answer within [`READ_TIMEOUT`].
    pub async fn stock(&self, sku: &Sku) -> Result<Option<CachedStock>, ViewError> {
        let read = async {
            let mut connection = self.connection().await?;
            Ok(connection.hgetall(stock_key(sku)).await?)
        };
        let fields = in_time(read).await?;
        Ok(shape::read_stock(&fields))
    }

    /// Keeps Redis up to date with the snapshot topics, on a thread of its own.
    ///
    /// # Errors
    /// When a topic does not exist, a serde cannot be built, or there is no thread.
    pub fn follow(
        &self,
        log: &dyn Log,
        resources: &Resources,
        runtime: Handle,
    ) -> Result<Following, LogError> {
        let projections = vec![
            Projection::open(CARTS, resources, cart_writes)?,
            Projection::open(STOCK_LEVELS, resources, stock_writes)?,
        ];
        Follower::start(self.clone(), log, projections, runtime)
    }

    async fn connection(&self) -> Result<ConnectionManager, ViewError> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(APPLY_TIMEOUT)
            .set_response_timeout(APPLY_TIMEOUT);
        let made = ConnectionManager::new_with_config(self.client.clone(), config).await?;
        Ok(connection.insert(made).clone())
    }

    async fn positions(&self) -> Result<HashMap<String, Offset>, ViewError> {
        let mut connection = self.connection().await?;
        let positions: Result<HashMap<String, String>, _> = connection.hgetall(POSITIONS).await;
        // What is no map of offsets is none of ours; the script replaces it.
        let positions = match positions {
            Err(error) if error.code() == Some("WRONGTYPE") => HashMap::new(),
            positions => positions?,
        };
        let position = |(name, text): (String, String)| Some((name, text.parse().ok()?));
        Ok(positions.into_iter().filter_map(position).collect())
    }

    async fn apply(&self, batch: &Batch) -> Result<Offset, ViewError> {
        let mut script = self.apply.key(POSITIONS);
        script
            .arg(&batch.partition)
            .arg(batch.from)
            .arg(batch.to)
            .arg(i32::from(batch.begins));
        script.arg(&batch.records);
        let mut connection = self.connection().await?;
        Ok(script.invoke_async(&mut connection).await?)
    }

    async fn forget_position(&self, partition: &str) -> Result<(), ViewError> {
        let mut connection = self.connection().await?;
        Ok(connection.hdel(POSITIONS, partition).await?)
    }
}

impl fmt::Debug for RedisViews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisViews")
    }
}

async fn in_time<T>(read: impl Future<Output = Result<T, ViewError>>) -> Result<T, ViewError> {
    let late = |_| ViewError(format!("no answer within {READ_TIMEOUT:?}"));
    timeout(READ_TIMEOUT, read).await.map_err(late)?
}
