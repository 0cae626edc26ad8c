//! The thread that keeps Redis up to date: it reads the snapshot topics, and begins again wherever
//! Redis turns out to be.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use millrace_streams::log::{
    Isolation, Log, LogError, Offset, RawRecord, Reader, RecordBatch, TopicPartition,
};
use millrace_streams::serde::{Data, Resources, SerdeError};
use millrace_streams::{RecordCodec, Topic};
use tokio::runtime::Handle;

use super::shape::{Batch, Write, Writes, json};
use super::{RedisViews, ViewError};

/// The records that one script applies: others wait for it.
const BATCH: usize = 256;
/// How long to wait when Redis or the log does not answer.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest wait for records.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// After so many fetches that brought nothing it is checked that Redis still has what it was given.
const IDLE_ROUNDS: u32 = 20;

/// The follower's thread. Dropping it asks it to stop, and does not wait.
#[derive(Debug)]
pub struct Following {
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Following {
    /// False when it has ended by itself, which only a panic brings about.
    pub fn is_running(&self) -> bool {
        let thread = self.thread.as_ref();
        thread.is_some_and(|thread| !thread.is_finished())
    }

    /// Ends it; Redis keeps what it has come to.
    pub fn stop(mut self) {
        // It may have ended already.
        self.stop.send(()).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// What a topic's records are in Redis.
pub(super) struct Projection {
    topic: &'static str,
    project: Box<Project>,
}

type Project = dyn FnMut(&RawRecord<'_>) -> Result<Vec<Write>, SerdeError> + Send;

impl Projection {
    pub(super) fn open<K: Data, V: Data>(
        topic: Topic<K, V>,
        resources: &Resources,
        writes: fn(&K, &V) -> Vec<Write>,
    ) -> Result<Self, LogError> {
        let codec = RecordCodec::new(topic, resources);
        let mut codec = codec.map_err(|error| LogError::Config(error.to_string()))?;
        Ok(Self {
            topic: topic.name(),
            project: Box::new(move |record| {
                let (key, value) = codec.decode(record.key, record.value, record.headers)?;
                Ok(writes(&key, &value))
            }),
        })
    }

    /// A record's writes, as JSON. A record that cannot be read is left out: its key keeps what it
    /// had.
    fn text_of(&mut self, record: &RawRecord<'_>) -> Result<String, FollowError> {
        let w = match (self.project)(record) {
            Ok(writes) => writes,
            Err(SerdeError::Unavailable { reason }) => return Err(FollowError(reason)),
            Err(error) => {
                let (topic, offset) = (self.topic, record.offset);
                tracing::error!(topic, offset, %error, "a record is not shown in redis");
                metrics::counter!("view_skipped_total", "topic" => topic).increment(1);
                Vec::new()
            }
        };
        Ok(json(&Writes {
            o: record.offset,
            w,
        }))
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

pub(super) struct Follower {
    views: RedisViews,
    reader: Box<dyn Reader>,
    projections: Vec<Projection>,
    partitions: Vec<Followed>,
    runtime: Handle,
    stopped: Receiver<()>,
    /// False until it is known where Redis is.
    is_placed: bool,
    /// Whether the last round went wrong: told once, not with each attempt.
    waits: bool,
    /// Fetches in a row that brought nothing.
    idle_rounds: u32,
}

impl Follower {
    /// Starts the thread.
    pub(super) fn start(
        views: RedisViews,
        log: &dyn Log,
        projections: Vec<Projection>,
        runtime: Handle,
    ) -> Result<Following, LogError> {
        let (stop, stopped) = channel();
        let mut follower = Self {
            views,
            reader: log.reader(Isolation::ReadCommitted)?,
            partitions: partitions_of(log, &projections)?,
            projections,
            runtime,
            stopped,
            is_placed: false,
            waits: false,
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

    fn run(&mut self) {
        loop {
            let went = self.round();
            self.tell(went.as_ref().err());
            let wait = match went {
                Ok(()) => Duration::ZERO,
                Err(_) => PAUSE,
            };
            if self.stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    fn tell(&mut self, error: Option<&FollowError>) {
        metrics::gauge!("redis_views_up").set(if error.is_some() { 0.0 } else { 1.0 });
        match error {
            Some(error) if !self.waits => tracing::warn!(%error, "the views in redis wait"),
            None if self.waits => tracing::info!("the views in redis go on"),
            _ => {}
        }
        self.waits = error.is_some();
        self.is_placed &= error.is_none();
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
        let followed = self.partitions.iter();
        let partitions: Vec<_> = followed.map(|f| f.partition.clone()).collect();
        let bounds = self.reader.bounds(&partitions)?;
        for (followed, bounds) in self.partitions.iter_mut().zip(bounds) {
            let name = name_of(&followed.partition);
            // Beyond the end: the log was made anew.
            let position = known.get(&name).copied();
            let position =
                position.filter(|position| (bounds.start..=bounds.end).contains(position));
            if position.is_none() && known.contains_key(&name) {
                self.runtime.block_on(self.views.forget_position(&name))?;
            }
            followed.start = bounds.start;
            followed.next = position.unwrap_or(bounds.start);
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
            let records = chunk.iter().map(|record| projection.text_of(record));
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
            let topic = projection.topic;
            metrics::counter!("redis_views_applied_total", "topic" => topic)
                .increment(chunk.len() as u64);
        }
        Ok(true)
    }
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
