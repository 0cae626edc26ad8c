//! Deletes what was consumed of repartition topics, which nobody but their application reads.

use std::collections::BTreeMap;
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::context::Quiet;
use super::lists::list_at;
use super::options::KafkaOptions;
use crate::log::{CommittedOffset, Offset, Seat, TopicPartition};

/// The repartition topics that a member reads, and how far they are used up.
///
/// A deletion is asked for and not waited for: one that fails is made good by the next.
pub(super) struct Purge {
    options: KafkaOptions,
    seat: Seat,
    /// Committed since the last deletion was asked for.
    consumed: BTreeMap<TopicPartition, Offset>,
    last: Instant,
    /// Connected when there is something to delete.
    client: Option<AdminClient<Quiet>>,
    pending: Option<BoxFuture<'static, KafkaResult<TopicPartitionList>>>,
}

impl Purge {
    /// Nothing is consumed yet.
    pub(super) fn new(options: &KafkaOptions, seat: &Seat) -> Self {
        Self {
            options: options.clone(),
            seat: seat.clone(),
            consumed: BTreeMap::new(),
            last: Instant::now(),
            client: None,
            pending: None,
        }
    }

    /// Notes offsets that are committed, and deletes what lies before them when it is time.
    pub(super) fn committed(&mut self, offsets: &[(TopicPartition, CommittedOffset)]) {
        for (partition, committed) in offsets {
            if is_repartition(&self.seat, partition) {
                self.consumed.insert(partition.clone(), committed.offset);
            }
        }
        let due = self.last.elapsed() >= self.options.repartition_purge_interval;
        if self.consumed.is_empty() || !due || self.is_pending() {
            return;
        }
        self.last = Instant::now();
        if let Err(error) = self.delete() {
            tracing::warn!(%error, "consumed records of repartition topics stay");
        }
    }

    /// True while the last deletion is under way.
    fn is_pending(&mut self) -> bool {
        let Some(pending) = &mut self.pending else {
            return false;
        };
        let Some(result) = pending.now_or_never() else {
            return true;
        };
        self.pending = None;
        let refused = |list: TopicPartitionList| {
            let mut errors = list.elements().into_iter().map(|one| one.error());
            errors.find_map(Result::err).map_or(Ok(()), Err)
        };
        if let Err(error) = result.and_then(refused) {
            tracing::warn!(%error, "consumed records of repartition topics stay");
        }
        false
    }

    fn delete(&mut self) -> KafkaResult<()> {
        let consumed = std::mem::take(&mut self.consumed);
        let at = consumed.iter();
        let list = list_at(at.map(|(partition, offset)| (partition, KafkaOffset::Offset(*offset))));
        let options = AdminOptions::new().request_timeout(Some(self.options.request_timeout));
        let client = match &self.client {
            Some(client) => client,
            None => {
                let client = self.options.admin().create_with_context(Quiet)?;
                self.client.insert(client)
            }
        };
        self.pending = Some(client.delete_records(&list, &options).boxed());
        Ok(())
    }
}

fn is_repartition(seat: &Seat, partition: &TopicPartition) -> bool {
    let mut subtopologies = seat.topology.subtopologies.iter();
    subtopologies.any(|one| {
        let mut sources = one.repartition_sources.iter();
        sources.any(|topic| topic.name == partition.topic)
    })
}
