//! The log on a Kafka cluster, version 4.2 or newer: librdkafka moves the data, and membership
//! speaks Kafka's own Streams group protocol (KIP-1071).
//!
//! | file | holds |
//! | --- | --- |
//! | `ffi` | librdkafka's own calls, behind safe types |
//! | `wire`, `requests`, `metadata` | the few requests of membership, on a connection of their own |
//! | `brokers` | where to send them |
//! | `membership`, `heartbeat` | what a member says and understands; the thread that says it |
//! | `group_settings` | what the group is told about itself |
//! | `transaction`, `outbox`, `watchdog` | exactly once: the producer, and the one way back |
//! | `fetcher`, `sorter` | reading assigned partitions into batches |
//! | `inquiry`, `questions` | offsets and ends of partitions; the same without waiting |
//! | `member`, `reader`, `writer`, `admin` | the port |
//!
//! The broker creates changelog and repartition topics, places tasks and standbys, and refuses
//! commits of members that it has removed. A member keeps its id over restarts, so that it gets its
//! tasks back at once; its transactional id is made of it, so that it fences its former self.
//!
//! ```no_run
//! use millrace_streams::log::Log;
//! use millrace_streams::log::kafka::{KafkaLog, KafkaOptions};
//!
//! let log = KafkaLog::connect(KafkaOptions::new("127.0.0.1:9092"))?;
//! for topic in log.topics()? {
//!     println!("{} {}", topic.name, topic.partitions);
//! }
//! # Ok::<(), millrace_streams::log::LogError>(())
//! ```

#![expect(
    clippy::disallowed_methods,
    reason = "the network's time-outs and its threads are this log's own; no record sees them"
)]

mod admin;
mod brokers;
mod context;
mod failure;
mod fetcher;
mod ffi;
mod group_settings;
mod heartbeat;
mod inquiry;
mod lists;
mod member;
mod membership;
mod metadata;
mod options;
mod outbox;
mod purge;
mod questions;
mod reader;
mod requests;
mod sorter;
mod transaction;
mod watchdog;
mod wire;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use options::KafkaOptions;

use self::admin::Admin;
use self::brokers::Brokers;
use self::member::{KafkaMember, committed_offsets};
use self::metadata::topic_ids;
use self::reader::KafkaReader;
use self::requests::speaks_streams_groups;
use self::wire::Connection;
use self::writer::KafkaWriter;
use crate::log::{
    CommittedOffset, Isolation, Log, LogError, Member, Reader, Seat, TopicInfo, TopicPartition,
    TopicSpec, Writer,
};

/// How long each broker that is named may take to say what it can do.
const HELLO: Duration = Duration::from_secs(5);

/// [`Log`] on a Kafka cluster.
pub struct KafkaLog {
    options: KafkaOptions,
    brokers: Arc<Brokers>,
    admin: Admin,
}

impl KafkaLog {
    /// Connects to a cluster, and makes sure that it can carry Streams groups.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when no broker answers, [`LogError::Config`] when the cluster is
    /// too old or an option cannot be honoured.
    pub fn connect(options: KafkaOptions) -> Result<Self, LogError> {
        options.check()?;
        let brokers = Arc::new(Brokers::new(&options.bootstrap));
        check_cluster(&options.bootstrap, &brokers)?;
        let admin = Admin::open(&options)?;
        Ok(Self {
            options,
            brokers,
            admin,
        })
    }
}

impl fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaLog")
            .field("bootstrap", &self.options.bootstrap)
            .finish_non_exhaustive()
    }
}

impl Log for KafkaLog {
    fn create_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        self.admin.create(topics)
    }

    fn delete_topics(&self, topics: &[&str]) -> Result<(), LogError> {
        self.admin.delete(topics)
    }

    fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        let ids = topic_ids(&self.brokers, self.options.request_timeout)?;
        let mut topics = self.admin.topics()?;
        for topic in &mut topics {
            topic.id = ids.get(&*topic.name).copied();
        }
        Ok(topics)
    }

    fn join(&self, seat: Seat) -> Result<Box<dyn Member>, LogError> {
        group_settings::apply(&self.options, &self.brokers, &seat.application)?;
        Ok(Box::new(KafkaMember::join(
            &self.options,
            &self.brokers,
            &seat,
        )?))
    }

    fn reader(&self, isolation: Isolation) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(KafkaReader::open(&self.options, isolation)?))
    }

    fn writer(&self, name: &str) -> Result<Arc<dyn Writer>, LogError> {
        Ok(Arc::new(KafkaWriter::open(&self.options, name)?))
    }

    fn committed(
        &self,
        application: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        committed_offsets(&self.options, application, partitions)
    }
}

/// Asks the first broker that answers.
fn check_cluster(bootstrap: &str, brokers: &Brokers) -> Result<(), LogError> {
    let asked = brokers.ask(|address| {
        let mut connection = Connection::open(address, HELLO)?;
        Ok((address.to_owned(), speaks_streams_groups(&mut connection)?))
    });
    match asked {
        Ok((_, true)) => Ok(()),
        Ok((address, false)) => Err(LogError::Config(format!(
            "the broker at `{address}` does not know the Streams group protocol: use Kafka 4.2 or \
             newer, with `streams` among its `group.coordinator.rebalance.protocols`"
        ))),
        Err(failure) => Err(LogError::Unavailable(format!(
            "no broker answers at `{bootstrap}` ({failure}): start Kafka there, or name another \
             address"
        ))),
    }
}
