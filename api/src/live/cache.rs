//! The cache that instances share: carts and stock levels in Redis, behind the views in memory.
//!
//! Memory is in front. Redis is asked only while memory still catches up, as after a start, and what
//! it says counts only where it is newer. So it can be away, emptied or wrong without an answer being
//! so. After a read that failed it is left alone for a while.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use millrace_avro::events::carts::CartView;
use millrace_avro::keys::{CartId, Sku};
use millrace_effects::views::redis::{CachedStock, Following, RedisViews, ViewError};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::ground::Ground;

/// How long Redis is left alone after a read that failed.
const REST: Duration = Duration::from_secs(1);

/// The shared cache; nothing where none is configured.
#[derive(Clone, Default)]
pub struct Cache {
    redis: Option<RedisViews>,
    rests_until: Arc<Mutex<Option<Instant>>>,
}

impl Cache {
    /// The cache at the URL of a Redis, which need not answer yet.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn open(url: Option<&str>) -> Result<Self> {
        let redis = url.map(RedisViews::new).transpose();
        Ok(Self {
            redis: redis.context("configuration: `redis`")?,
            rests_until: Arc::default(),
        })
    }

    /// Begins to keep the cache up to date with the log; `None` where there is no cache.
    ///
    /// # Errors
    /// When the log or the schema registry does not answer.
    pub fn follow(&self, ground: &Ground, runtime: Handle) -> Result<Option<Following>> {
        let follow = |redis: &RedisViews| redis.follow(&*ground.log, &ground.resources, runtime);
        let following = self.redis.as_ref().map(follow).transpose();
        following.context("views in Redis")
    }

    /// Whether there is a cache that instances share.
    pub fn is_shared(&self) -> bool {
        self.redis.is_some()
    }

    /// A cart with lines, if it is known here.
    pub async fn cart(&self, id: &CartId) -> Option<CartView> {
        let redis = self.awake()?;
        self.heard(redis.cart(id).await)
    }

    /// The stock of a SKU, if it is known here.
    pub async fn stock(&self, sku: &Sku) -> Option<CachedStock> {
        let redis = self.awake()?;
        self.heard(redis.stock(sku).await)
    }

    fn awake(&self) -> Option<&RedisViews> {
        let rests = self
            .rests_until
            .lock()
            .is_some_and(|until| Instant::now() < until);
        self.redis.as_ref().filter(|_| !rests)
    }

    fn heard<T>(&self, read: Result<Option<T>, ViewError>) -> Option<T> {
        read.unwrap_or_else(|error| {
            tracing::debug!(%error, "the cache is left alone");
            metrics::counter!("cache_reads_failed_total").increment(1);
            *self.rests_until.lock() = Some(Instant::now() + REST);
            None
        })
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redis = self.redis.is_some();
        f.debug_struct("Cache").field("redis", &redis).finish()
    }
}
