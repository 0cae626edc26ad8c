//! The thread that folds views from a log: it reads the snapshots of every aggregate, and the
//! answers to commands.
//!
//! Snapshots are compacted, so the fold begins at their first record with each start. Of answers
//! only new ones matter. A record that cannot be read is counted and skipped: the next one of its
//! key repairs the view.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use millrace_avro::catalog::{
    AUDIT_EVENTS, CARTS, CATEGORIES, COMMAND_REPLIES, ORDERS, PAYMENTS, PRODUCTS, STOCK_LEVELS,
};
use millrace_avro::event::Event;
use millrace_avro::events::common::ReplyEvent;
use millrace_streams::log::{
    Isolation, Log, LogError, Offset, RawRecord, Reader, RecordBatch, TopicPartition,
};
use millrace_streams::serde::{Data, Resources, SerdeError};
use millrace_streams::{RecordCodec, Topic};
use tracing::{error, warn};

use super::memory::{Change, MemoryViews};
use crate::ports::Place;

/// How long one fetch waits: what closing the thread may take.
const MAX_WAIT: Duration = Duration::from_millis(200);
/// The pause after the log did not answer.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

type Apply = Box<dyn FnMut(&MemoryViews, RawRecord<'_>, Place) -> Result<(), SerdeError> + Send>;

/// The thread that folds views; dropping it ends the thread.
#[derive(Debug)]
pub struct LogViews {
    views: Arc<MemoryViews>,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LogViews {
    /// Begins to fold.
    ///
    /// # Errors
    /// When the log or the schema registry does not answer.
    pub fn start(log: Arc<dyn Log>, resources: &Resources) -> anyhow::Result<Self> {
        let (views, closing) = (
            Arc::new(MemoryViews::new()),
            Arc::new(AtomicBool::new(false)),
        );
        let mut fold = Fold {
            appliers: appliers(resources)?,
            views: views.clone(),
            closing: closing.clone(),
            log,
        };
        let thread = thread::Builder::new()
            .name("views".to_owned())
            .spawn(move || fold.run())
            .context("no thread for views")?;
        Ok(Self {
            views,
            closing,
            thread: Some(thread),
        })
    }

    /// False when the thread has ended by itself, which only a panic brings about.
    pub fn is_running(&self) -> bool {
        let thread = self.thread.as_ref();
        thread.is_some_and(|thread| !thread.is_finished())
    }

    /// The views.
    pub fn views(&self) -> Arc<MemoryViews> {
        self.views.clone()
    }
}

impl Drop for LogViews {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Release);
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            error!("the thread of the views has panicked");
        }
    }
}

fn appliers(resources: &Resources) -> Result<HashMap<&'static str, Apply>, SerdeError> {
    Ok(HashMap::from([
        applier(ORDERS, resources, |views, key, view, at| {
            views.apply(Change::Order(key, view), at);
        })?,
        applier(PAYMENTS, resources, |views, key, view, at| {
            views.apply(Change::Payment(key, view), at);
        })?,
        applier(CARTS, resources, |views, key, view, at| {
            views.apply(Change::Cart(key, view), at);
        })?,
        applier(PRODUCTS, resources, |views, key, view, at| {
            views.apply(Change::Product(key, view), at);
        })?,
        applier(CATEGORIES, resources, |views, key, view, at| {
            views.apply(Change::Category(key, view), at);
        })?,
        applier(STOCK_LEVELS, resources, |views, key, view, at| {
            views.apply(Change::Stock(key, view), at);
        })?,
        applier(AUDIT_EVENTS, resources, |views, _, entry, _| {
            views.audit.apply(entry);
        })?,
        applier(
            COMMAND_REPLIES,
            resources,
            |views, _, event: Event<ReplyEvent>, _| {
                let ReplyEvent::Replied(reply) = event.body;
                views.answer(reply);
            },
        )?,
    ]))
}

fn applier<K: Data, V: Data>(
    topic: Topic<K, V>,
    resources: &Resources,
    mut apply: impl FnMut(&MemoryViews, K, V, Place) + Send + 'static,
) -> Result<(&'static str, Apply), SerdeError> {
    let mut codec = RecordCodec::new(topic, resources)?;
    let run = move |views: &MemoryViews, record: RawRecord<'_>, at: Place| {
        let (key, value) = codec.decode(record.key, record.value, record.headers)?;
        apply(views, key, value, at);
        Ok(())
    };
    Ok((topic.name(), Box::new(run)))
}

struct Fold {
    log: Arc<dyn Log>,
    appliers: HashMap<&'static str, Apply>,
    views: Arc<MemoryViews>,
    closing: Arc<AtomicBool>,
}

impl Fold {
    fn run(&mut self) {
        // Where to go on after the log was away: what was applied is not read again.
        let mut positions = HashMap::new();
        while !self.closing.load(Ordering::Acquire) {
            if let Err(error) = self.read(&mut positions) {
                warn!(%error, "views stand still; the log is asked again");
                thread::park_timeout(RETRY_PAUSE);
            }
        }
    }

    fn read(&mut self, positions: &mut HashMap<TopicPartition, Offset>) -> Result<(), LogError> {
        let mut reader = self.log.reader(Isolation::ReadCommitted)?;
        let mut behind = self.assign(reader.as_mut(), positions)?;
        let mut batches = Vec::new();
        loop {
            if behind.is_empty() {
                self.views.set_caught_up();
            }
            if self.closing.load(Ordering::Acquire) {
                return Ok(());
            }
            reader.fetch(MAX_WAIT, &mut batches)?;
            for batch in batches.drain(..) {
                self.apply(&batch);
                let end = behind.get(&batch.partition);
                if batch.at_end || end.is_some_and(|end| batch.position >= *end) {
                    behind.remove(&batch.partition);
                }
                positions.insert(batch.partition, batch.position);
            }
        }
    }

    /// Assigns every partition, and answers the ends of those that have something to read.
    fn assign(
        &self,
        reader: &mut dyn Reader,
        positions: &HashMap<TopicPartition, Offset>,
    ) -> Result<HashMap<TopicPartition, Offset>, LogError> {
        let topics = self.log.topics()?;
        let ours = topics
            .iter()
            .filter(|info| self.appliers.contains_key(&*info.name));
        let partitions: Vec<_> = ours
            .flat_map(|info| (0..info.partitions).map(|p| TopicPartition::new(&*info.name, p)))
            .collect();
        let bounds = reader.bounds(&partitions)?;
        let mut begin = Vec::with_capacity(partitions.len());
        let mut behind = HashMap::new();
        for (partition, bounds) in partitions.into_iter().zip(bounds) {
            let is_reply = *partition.topic == *COMMAND_REPLIES.name();
            let first = if is_reply { bounds.end } else { bounds.start };
            let position = positions
                .get(&partition)
                .copied()
                .unwrap_or(first)
                .max(bounds.start);
            if position < bounds.end {
                behind.insert(partition.clone(), bounds.end);
            }
            begin.push((partition, position));
        }
        reader.assign(&begin)?;
        Ok(behind)
    }

    fn apply(&mut self, batch: &RecordBatch) {
        let Some(apply) = self.appliers.get_mut(&*batch.partition.topic) else {
            return;
        };
        for record in batch.iter() {
            let at = Place {
                partition: batch.partition.partition,
                offset: record.offset,
            };
            if let Err(error) = apply(&self.views, record, at) {
                let topic = batch.partition.topic.to_string();
                warn!(topic, ?at, %error, "record skipped by the views");
                metrics::counter!("view_records_skipped_total", "topic" => topic).increment(1);
            }
        }
    }
}
