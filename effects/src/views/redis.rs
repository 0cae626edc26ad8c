//! Carts and stock levels in Redis: what others may read without asking the market.
//!
//! | key | hash of |
//! | --- | --- |
//! | `cart-lines:<cart>` | SKU -> the line, as JSON |
//! | `cart-totals:<cart>` | `subtotal`, `discount`, `tax`, `shipping`, `total` as JSON; `version` |
//! | `stock:<SKU>` | `on_hand`, `reserved`, `available`, `version` |
//! | `view-position` | `<topic>/<partition>` -> the offset that the keys above have come to |
//!
//! A script applies a batch of records and moves the position in one step. A batch that comes twice,
//! or from two instances at once, changes nothing; one for which something before it is missing is
//! refused, and the follower begins again where Redis is. So a Redis that was emptied, restarted or
//! taken back to an older copy fills itself again.
//!
//! Nothing waits for Redis: the follower has a thread of its own and catches up when Redis is back,
//! and reads end after [`READ_TIMEOUT`].

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use millrace_avro::catalog::{CARTS, STOCK_LEVELS};
use millrace_avro::events::carts::{CartItemView, CartView};
use millrace_avro::events::inventory::StockView;
use millrace_avro::keys::{CartId, Sku};
use millrace_avro::money::Money;
use millrace_streams::Topic;
use millrace_streams::log::{
    Isolation, Log, LogError, Offset, RawRecord, Reader, RecordBatch, TopicPartition,
};
use millrace_streams::serde::{Data, Resources, Role, Serde as _, SerdeContext, SerdeError};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands as _, Client, RedisError, Script};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How long a read may take.
pub const READ_TIMEOUT: Duration = Duration::from_millis(100);
/// How long Redis may take to apply a batch.
const APPLY_TIMEOUT: Duration = Duration::from_secs(2);
/// The records that one script applies: others wait for it.
const BATCH: usize = 256;
/// How long to wait when Redis or the log does not answer.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest wait for records.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// After so many fetches that brought nothing it is checked that Redis still has what it was given.
const IDLE_ROUNDS: u32 = 40;
/// Where positions are kept.
const POSITIONS: &str = "view-position";

/// Answers the offset that the view has come to; it is behind the batch unless that was refused.
///
/// KEYS: the positions. ARGV: the partition, the batch's first offset, the offset behind it, whether
/// the partition begins there, then each record as JSON `{o: offset, w: [{k: key, f: fields}]}`.
const APPLY: &str = r"
local from, to = tonumber(ARGV[2]), tonumber(ARGV[3])
local at = redis.pcall('HGET', KEYS[1], ARGV[1])
if type(at) == 'table' then
  redis.call('DEL', KEYS[1])
  at = false
end
at = at and tonumber(at)
if not at then
  if ARGV[4] ~= '1' then return -1 end
  at = from
end
if at < from or at >= to then return at end
for i = 5, #ARGV do
  local record = cjson.decode(ARGV[i])
  if record.o >= at then
    for _, write in ipairs(record.w) do
      redis.call('DEL', write.k)
      for j = 1, #write.f, 2 do
        redis.call('HSET', write.k, write.f[j], write.f[j + 1])
      end
    end
  end
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', to))
return to
";

/// Why Redis has not answered. No caller depends on it: ask the market's own stores instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("redis: {0}")]
pub struct ViewError(String);

impl From<RedisError> for ViewError {
    fn from(error: RedisError) -> Self {
        Self(error.to_string())
    }
}

/// A cart, as Redis has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedCart {
    /// The lines.
    pub lines: BTreeMap<Sku, CartItemView>,
    /// What is to be paid.
    pub total: Money,
    /// The sequence number of the last fact.
    pub version: i64,
}

/// The stock of a SKU, as Redis has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachedStock {
    /// What lies in all locations.
    pub on_hand: i64,
    /// What of it is reserved.
    pub reserved: i64,
    /// On hand less reserved.
    pub available: i64,
    /// The sequence number of the last fact.
    pub version: i64,
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

    /// A cart; `None` if it is empty, or not known here yet.
    ///
    /// # Errors
    /// When Redis does not answer within [`READ_TIMEOUT`].
    pub async fn cart(&self, cart: &CartId) -> Result<Option<CachedCart>, ViewError> {
        let mut both = redis::pipe();
        both.atomic()
            .hgetall(lines_key(cart))
            .hgetall(totals_key(cart));
        let read = async {
            let mut connection = self.connection().await?;
            Ok(both.query_async(&mut connection).await?)
        };
        let (lines, totals): (HashMap<String, String>, HashMap<String, String>) =
            in_time(read).await?;
        Ok(read_cart(&lines, &totals))
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
        let fields: HashMap<String, i64> = in_time(read).await?;
        let field = |name: &str| fields.get(name).copied();
        Ok(field("on_hand")
            .zip(field("reserved"))
            .zip(field("available"))
            .zip(field("version"))
            .map(|(((on_hand, reserved), available), version)| CachedStock {
                on_hand,
                reserved,
                available,
                version,
            }))
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
        let (stop, stopped) = channel();
        let mut follower = Follower {
            views: self.clone(),
            reader: log.reader(Isolation::ReadCommitted)?,
            partitions: partitions_of(log, &projections)?,
            projections,
            runtime,
            stopped,
            is_placed: false,
            idle_rounds: 0,
        };
        let thread = Builder::new()
            .name("redis-views".to_owned())
            .spawn(move || follower.run())
            .map_err(|error| LogError::Unavailable(format!("no thread: {error}")))?;
        Ok(Following {
            stop,
            thread: Some(thread),
        })
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

/// The follower's thread. Dropping it asks it to stop, and does not wait.
#[derive(Debug)]
pub struct Following {
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Following {
    /// Ends it; Redis keeps what it has come to.
    pub fn stop(mut self) {
        // It may have ended already.
        self.stop.send(()).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// One change of a key: what it is from now on.
#[derive(Debug, Serialize)]
struct Write {
    k: String,
    /// Names and values in turn; none to remove the key.
    f: Vec<String>,
}

/// A record's changes, as the script takes them.
#[derive(Serialize)]
struct Writes {
    o: Offset,
    w: Vec<Write>,
}

/// Records of one partition, as the script takes them.
struct Batch {
    partition: String,
    from: Offset,
    to: Offset,
    begins: bool,
    records: Vec<String>,
}

/// What a topic's records are in Redis.
struct Projection {
    topic: &'static str,
    project: Box<Project>,
}

type Project = dyn FnMut(&RawRecord<'_>) -> Result<Vec<Write>, SerdeError> + Send;

impl Projection {
    fn open<K: Data, V: Data>(
        topic: Topic<K, V>,
        resources: &Resources,
        writes: fn(&V) -> Vec<Write>,
    ) -> Result<Self, LogError> {
        let topic = topic.name();
        let at = SerdeContext {
            topic,
            role: Role::Value,
            resources,
        };
        let mut serde = V::serde(&at).map_err(|error| LogError::Config(error.to_string()))?;
        Ok(Self {
            topic,
            project: Box::new(move |record| {
                Ok(writes(&serde.deserialize(record.value, record.headers)?))
            }),
        })
    }
}

/// A partition that is followed.
struct Followed {
    partition: TopicPartition,
    projection: usize,
    /// The offset to read next.
    next: Offset,
    /// The first that exists.
    start: Offset,
}

struct Follower {
    views: RedisViews,
    reader: Box<dyn Reader>,
    projections: Vec<Projection>,
    partitions: Vec<Followed>,
    runtime: Handle,
    stopped: Receiver<()>,
    /// False until it is known where Redis is.
    is_placed: bool,
    /// Fetches in a row that brought nothing.
    idle_rounds: u32,
}

impl Follower {
    fn run(&mut self) {
        loop {
            let wait = match self.round() {
                Ok(()) => Duration::ZERO,
                Err(error) => {
                    tracing::warn!(%error, "the views in redis wait");
                    self.is_placed = false;
                    PAUSE
                }
            };
            if self.stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    fn round(&mut self) -> Result<(), FollowError> {
        if !self.is_placed {
            self.place()?;
        }
        let mut batches = Vec::new();
        self.reader.fetch(IDLE_WAIT, &mut batches)?;
        if batches.iter().all(RecordBatch::is_empty) {
            return self.rest();
        }
        self.idle_rounds = 0;
        for batch in &batches {
            if !self.take_in(batch)? {
                // The other batches are read again.
                self.is_placed = false;
                break;
            }
        }
        Ok(())
    }

    /// Looks now and then whether Redis was emptied.
    fn rest(&mut self) -> Result<(), FollowError> {
        self.idle_rounds += 1;
        if self.idle_rounds < IDLE_ROUNDS {
            return Ok(());
        }
        self.idle_rounds = 0;
        let known = self.runtime.block_on(self.views.positions())?;
        let has_all = |followed: &Followed| {
            let at = known.get(&name_of(&followed.partition));
            followed.next == followed.start || at.is_some_and(|at| *at >= followed.next)
        };
        self.is_placed = self.partitions.iter().all(has_all);
        Ok(())
    }

    /// Goes on where Redis is, or begins anew.
    fn place(&mut self) -> Result<(), FollowError> {
        let known = self.runtime.block_on(self.views.positions())?;
        let partitions: Vec<_> = self
            .partitions
            .iter()
            .map(|f| f.partition.clone())
            .collect();
        let bounds = self.reader.bounds(&partitions)?;
        for (followed, bounds) in self.partitions.iter_mut().zip(bounds) {
            let name = name_of(&followed.partition);
            let mut position = known.get(&name).copied();
            if position.is_some_and(|position| position > bounds.end) {
                // The log was made anew.
                self.runtime.block_on(self.views.forget_position(&name))?;
                position = None;
            }
            followed.start = bounds.start;
            followed.next = position.unwrap_or(bounds.start).max(bounds.start);
            if followed.next != position.unwrap_or(followed.next) {
                self.runtime.block_on(self.views.forget_position(&name))?;
            }
        }
        let followed = self.partitions.iter();
        let positions: Vec<_> = followed.map(|f| (f.partition.clone(), f.next)).collect();
        self.reader.assign(&positions)?;
        self.is_placed = true;
        Ok(())
    }

    /// Applies what was read. False if Redis is elsewhere.
    fn take_in(&mut self, read: &RecordBatch) -> Result<bool, FollowError> {
        let mut followed = self.partitions.iter_mut();
        let Some(followed) = followed.find(|f| f.partition == read.partition) else {
            return Ok(true);
        };
        let Some(projection) = self.projections.get_mut(followed.projection) else {
            return Ok(true);
        };
        let records: Vec<_> = read.iter().collect();
        for chunk in records.chunks(BATCH) {
            // Behind the last chunk there may be markers as well: they are told with the next one.
            let to = chunk
                .last()
                .map_or(followed.next, |record| record.offset + 1);
            let records = chunk.iter().map(|record| text_of(projection, record));
            let batch = Batch {
                partition: name_of(&followed.partition),
                from: followed.next,
                to,
                begins: followed.next == followed.start,
                records: records.collect::<Result<_, _>>()?,
            };
            let at = self.runtime.block_on(self.views.apply(&batch))?;
            if at < to {
                return Ok(false);
            }
            followed.next = to;
        }
        Ok(true)
    }
}

/// A record's writes, as JSON. A record that cannot be read is left out: its key keeps what it had.
fn text_of(projection: &mut Projection, record: &RawRecord<'_>) -> Result<String, FollowError> {
    let writes = match (projection.project)(record) {
        Ok(writes) => writes,
        Err(SerdeError::Unavailable { reason }) => return Err(FollowError(reason)),
        Err(error) => {
            let (topic, offset) = (projection.topic, record.offset);
            tracing::error!(topic, offset, %error, "a record is not shown in redis");
            metrics::counter!("view_skipped_total", "topic" => topic).increment(1);
            Vec::new()
        }
    };
    let writes = Writes {
        o: record.offset,
        w: writes,
    };
    serde_json::to_string(&writes).map_err(|error| FollowError(error.to_string()))
}

/// What passes by itself: Redis, the log or the registry does not answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct FollowError(String);

impl From<ViewError> for FollowError {
    fn from(error: ViewError) -> Self {
        Self(error.to_string())
    }
}

impl From<LogError> for FollowError {
    fn from(error: LogError) -> Self {
        Self(error.to_string())
    }
}

fn partitions_of(log: &dyn Log, projections: &[Projection]) -> Result<Vec<Followed>, LogError> {
    let topics = log.topics()?;
    let mut followed = Vec::new();
    for (projection, index) in projections.iter().zip(0..) {
        let info = topics
            .iter()
            .find(|info| &*info.name == projection.topic)
            .ok_or_else(|| {
                LogError::Config(format!(
                    "there is no topic `{}`: create it first",
                    projection.topic
                ))
            })?;
        followed.extend((0..info.partitions).map(|number| Followed {
            partition: TopicPartition::new(projection.topic, number),
            projection: index,
            next: 0,
            start: 0,
        }));
    }
    Ok(followed)
}

fn name_of(partition: &TopicPartition) -> String {
    format!("{}/{}", partition.topic, partition.partition)
}

fn lines_key(cart: &CartId) -> String {
    format!("cart-lines:{cart}")
}

fn totals_key(cart: &CartId) -> String {
    format!("cart-totals:{cart}")
}

fn stock_key(sku: &Sku) -> String {
    format!("stock:{sku}")
}

fn cart_writes(cart: &CartView) -> Vec<Write> {
    let mut lines = Vec::new();
    for item in &cart.items {
        lines.extend([item.sku.to_string(), json(item)]);
    }
    let mut totals = Vec::new();
    if !lines.is_empty() {
        let sums = [
            ("subtotal", cart.subtotal),
            ("discount", cart.discount),
            ("tax", cart.tax),
            ("shipping", cart.shipping),
            ("total", cart.total),
        ];
        totals.extend(
            sums.iter()
                .flat_map(|(name, sum)| [(*name).to_owned(), json(sum)]),
        );
        totals.extend(["version".to_owned(), cart.version.to_string()]);
    }
    vec![
        Write {
            k: lines_key(&cart.id),
            f: lines,
        },
        Write {
            k: totals_key(&cart.id),
            f: totals,
        },
    ]
}

fn stock_writes(stock: &StockView) -> Vec<Write> {
    let fields = [
        ("on_hand", stock.on_hand),
        ("reserved", stock.reserved),
        ("available", stock.available),
        ("version", stock.version),
    ];
    let fields = fields
        .iter()
        .flat_map(|(name, number)| [(*name).to_owned(), number.to_string()]);
    vec![Write {
        k: stock_key(&stock.sku),
        f: fields.collect(),
    }]
}

fn read_cart(
    lines: &HashMap<String, String>,
    totals: &HashMap<String, String>,
) -> Option<CachedCart> {
    let line = |(sku, text): (&String, &String)| {
        Some((Sku::new(sku).ok()?, serde_json::from_str(text).ok()?))
    };
    Some(CachedCart {
        lines: lines.iter().map(line).collect::<Option<_>>()?,
        total: serde_json::from_str(totals.get("total")?).ok()?,
        version: totals.get("version")?.parse().ok()?,
    })
}

/// Records of text and numbers always have a form in JSON.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
