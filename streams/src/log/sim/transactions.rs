//! The transaction coordinator of a simulated cluster: producers, epochs, pending offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::partition::ProducerKey;
use super::topics::Topics;
use crate::log::{CommittedOffset, TopicPartition};

/// The offsets of one group.
pub(super) type GroupOffsets = BTreeMap<TopicPartition, CommittedOffset>;

/// The producer's epoch is an old one: another incarnation, or the coordinator, has bumped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FencedEpoch;

/// Who writes under a transactional id, and its open transaction.
#[derive(Debug)]
struct Producer {
    transactional_id: String,
    epoch: i16,
    /// The incarnation of the seat that has initialised it last.
    incarnation: u64,
    timeout: Duration,
    open: Option<Transaction>,
    /// The transaction before, until its last marker is written.
    closing: Option<Closing>,
}

#[derive(Debug)]
struct Transaction {
    since: Duration,
    partitions: BTreeSet<TopicPartition>,
    offsets: BTreeMap<Arc<str>, GroupOffsets>,
}

/// A transaction whose end is decided, with the markers that are still under way: each arrives at
/// its own time, and shows the records of its partition, or the offsets of its group.
#[derive(Debug)]
struct Closing {
    key: ProducerKey,
    commit: bool,
    partitions: BTreeMap<TopicPartition, Duration>,
    offsets: BTreeMap<Arc<str>, (Duration, GroupOffsets)>,
}

impl Closing {
    fn is_over(&self) -> bool {
        self.partitions.is_empty() && self.offsets.is_empty()
    }
}

/// All producers, and all committed offsets.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    producers: BTreeMap<u64, Producer>,
    ids: BTreeMap<String, u64>,
    next_id: u64,
    offsets: BTreeMap<Arc<str>, GroupOffsets>,
}

impl Transactions {
    /// Initialises the producer of a transactional id for one incarnation of a seat: aborts what is
    /// open, and bumps the epoch, so that whatever is still under way is fenced.
    pub(super) fn init(
        &mut self,
        topics: &mut Topics,
        transactional_id: &str,
        incarnation: u64,
        timeout: Duration,
    ) -> ProducerKey {
        let id = match self.ids.get(transactional_id) {
            Some(id) => *id,
            None => self.register(transactional_id),
        };
        self.mark_all(topics, id);
        self.abort(topics, id);
        let id = self.rotate_if_exhausted(id);
        let epoch = self.producers.get_mut(&id).map_or(0, |producer| {
            producer.incarnation = incarnation;
            producer.timeout = timeout;
            producer.epoch
        });
        ProducerKey { id, epoch }
    }

    fn register(&mut self, transactional_id: &str) -> u64 {
        self.next_id += 1;
        let producer = Producer {
            transactional_id: transactional_id.to_owned(),
            epoch: -1,
            incarnation: 0,
            timeout: Duration::MAX,
            open: None,
            closing: None,
        };
        self.producers.insert(self.next_id, producer);
        self.ids.insert(transactional_id.to_owned(), self.next_id);
        self.next_id
    }

    // An epoch has 15 bits. The last one is never handed out: the id changes before.
    fn rotate_if_exhausted(&mut self, id: u64) -> u64 {
        let exhausted = self
            .producers
            .get(&id)
            .is_some_and(|producer| producer.epoch == i16::MAX);
        if !exhausted {
            return id;
        }
        let Some(old) = self.producers.remove(&id) else {
            return id;
        };
        let id = self.register(&old.transactional_id);
        self.bump_epoch(id);
        id
    }

    /// Aborts a producer's transaction and bumps its epoch.
    pub(super) fn abort(&mut self, topics: &mut Topics, id: u64) {
        self.bump_epoch(id);
        self.finish(id, false, || Duration::ZERO);
        self.mark_all(topics, id);
    }

    fn bump_epoch(&mut self, id: u64) {
        if let Some(producer) = self.producers.get_mut(&id) {
            producer.epoch = producer.epoch.saturating_add(1);
        }
    }

    /// True if another incarnation of the seat has taken the transactional id over.
    pub(super) fn is_superseded(&self, transactional_id: &str, incarnation: u64) -> bool {
        self.ids
            .get(transactional_id)
            .and_then(|id| self.producers.get(id))
            .is_some_and(|producer| producer.incarnation != incarnation)
    }

    fn current(&mut self, key: ProducerKey) -> Result<&mut Producer, FencedEpoch> {
        self.producers
            .get_mut(&key.id)
            .filter(|producer| producer.epoch == key.epoch)
            .ok_or(FencedEpoch)
    }

    /// True if no newer epoch fences this producer.
    pub(super) fn is_current(&self, key: ProducerKey) -> bool {
        let producer = self.producers.get(&key.id);
        producer.is_some_and(|producer| producer.epoch == key.epoch)
    }

    /// The producer's open transaction. It opens with what is added first: a transaction of nothing
    /// is none.
    fn opened(&mut self, key: ProducerKey, now: Duration) -> Result<&mut Transaction, FencedEpoch> {
        let producer = self.current(key)?;
        Ok(producer.open.get_or_insert_with(|| Transaction {
            since: now,
            partitions: BTreeSet::new(),
            offsets: BTreeMap::new(),
        }))
    }

    /// Adds a partition to the open transaction.
    pub(super) fn add_partition(
        &mut self,
        key: ProducerKey,
        partition: &TopicPartition,
        now: Duration,
    ) -> Result<(), FencedEpoch> {
        let open = self.opened(key, now)?;
        open.partitions.insert(partition.clone());
        Ok(())
    }

    /// Adds offsets to the open transaction: pending until its end.
    pub(super) fn add_offsets(
        &mut self,
        key: ProducerKey,
        group: &Arc<str>,
        offsets: &[(TopicPartition, CommittedOffset)],
        now: Duration,
    ) -> Result<(), FencedEpoch> {
        let open = self.opened(key, now)?;
        let pending = open.offsets.entry(Arc::clone(group)).or_default();
        pending.extend(offsets.iter().cloned());
        Ok(())
    }

    /// Decides that the open transaction is committed; `due` says when each marker arrives.
    pub(super) fn commit(
        &mut self,
        key: ProducerKey,
        due: impl FnMut() -> Duration,
    ) -> Result<(), FencedEpoch> {
        self.current(key)?;
        self.finish(key.id, true, due);
        Ok(())
    }

    fn finish(&mut self, id: u64, commit: bool, mut due: impl FnMut() -> Duration) {
        let Some(producer) = self.producers.get_mut(&id) else {
            return;
        };
        let Some(open) = producer.open.take() else {
            return;
        };
        let key = ProducerKey {
            id,
            epoch: producer.epoch,
        };
        let partitions = open.partitions.into_iter();
        let offsets = open.offsets.into_iter();
        producer.closing = Some(Closing {
            key,
            commit,
            partitions: partitions.map(|partition| (partition, due())).collect(),
            offsets: offsets.map(|(group, of)| (group, (due(), of))).collect(),
        });
    }

    /// Writes the markers that arrive by `now`.
    pub(super) fn mark_due(&mut self, topics: &mut Topics, now: Duration) {
        for producer in self.producers.values_mut() {
            mark(producer, topics, &mut self.offsets, now);
        }
    }

    /// Writes all markers of a producer's last transaction.
    pub(super) fn mark_all(&mut self, topics: &mut Topics, id: u64) {
        if let Some(producer) = self.producers.get_mut(&id) {
            mark(producer, topics, &mut self.offsets, Duration::MAX);
        }
    }

    /// Aborts the transactions that have been open for longer than their timeout; how many.
    pub(super) fn expire(&mut self, topics: &mut Topics, now: Duration) -> u64 {
        let is_over = |producer: &Producer| {
            let open = producer.open.as_ref();
            open.is_some_and(|open| now.saturating_sub(open.since) > producer.timeout)
        };
        let over = self.producers.iter().filter(|(_, p)| is_over(p));
        let over: Vec<u64> = over.map(|(id, _)| *id).collect();
        for id in &over {
            self.abort(topics, *id);
        }
        over.len() as u64
    }

    /// The transactional ids with a transaction that is open, or not closed everywhere.
    pub(super) fn open(&self) -> Vec<String> {
        let is_open = |p: &&Producer| p.open.is_some() || p.closing.is_some();
        let open = self.producers.values().filter(is_open);
        open.map(|p| p.transactional_id.clone()).collect()
    }

    /// True if a transaction that is not closed holds an offset of this group and partition.
    pub(super) fn is_pending(&self, group: &str, partition: &TopicPartition) -> bool {
        let open = |p: &Producer| {
            let offsets = p.open.as_ref().and_then(|open| open.offsets.get(group));
            offsets.is_some_and(|offsets| offsets.contains_key(partition))
        };
        let closing = |p: &Producer| {
            let closing = p.closing.as_ref();
            let offsets = closing.and_then(|closing| closing.offsets.get(group));
            offsets.is_some_and(|(_, offsets)| offsets.contains_key(partition))
        };
        self.producers.values().any(|p| open(p) || closing(p))
    }

    pub(super) fn committed(
        &self,
        group: &str,
        partition: &TopicPartition,
    ) -> Option<CommittedOffset> {
        self.offsets.get(group)?.get(partition).cloned()
    }

    pub(super) const fn offsets(&self) -> &BTreeMap<Arc<str>, GroupOffsets> {
        &self.offsets
    }

    /// Forgets the offsets of a deleted topic.
    pub(super) fn forget_topic(&mut self, topic: &str) {
        for offsets in self.offsets.values_mut() {
            offsets.retain(|partition, _| &*partition.topic != topic);
        }
    }
}

/// Writes the markers of a producer's closing transaction that arrive by `now`.
fn mark(
    producer: &mut Producer,
    topics: &mut Topics,
    committed: &mut BTreeMap<Arc<str>, GroupOffsets>,
    now: Duration,
) {
    let Some(closing) = &mut producer.closing else {
        return;
    };
    let due = closing.partitions.extract_if(.., |_, due| *due <= now);
    for (partition, _) in due {
        if let Ok(partition) = topics.partition_mut(&partition) {
            partition.mark(closing.key, closing.commit);
        }
    }
    let due = closing.offsets.extract_if(.., |_, (due, _)| *due <= now);
    for (group, (_, offsets)) in due {
        if closing.commit {
            committed.entry(group).or_default().extend(offsets);
        }
    }
    if closing.is_over() {
        producer.closing = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    #[test]
    fn an_exhausted_epoch_changes_the_producer_id() {
        let (mut transactions, mut topics) = (Transactions::default(), Topics::default());
        let first = transactions.init(&mut topics, "t", 1, TIMEOUT);
        let mut last = first;
        for _ in 0..=i16::MAX {
            last = transactions.init(&mut topics, "t", 1, TIMEOUT);
        }
        assert_ne!(last.id, first.id);
        assert!(!transactions.is_current(first));
        assert!(transactions.is_current(last));
    }

    #[test]
    fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced() {
        let (mut transactions, mut topics) = (Transactions::default(), Topics::default());
        let key = transactions.init(&mut topics, "t", 1, TIMEOUT);
        let input = TopicPartition::new("t", 0);
        transactions
            .add_partition(key, &input, Duration::ZERO)
            .expect("current");
        assert_eq!(transactions.expire(&mut topics, TIMEOUT), 0);
        assert_eq!(transactions.expire(&mut topics, TIMEOUT * 2), 1);
        let late = transactions.commit(key, || Duration::ZERO);
        assert_eq!(late, Err(FencedEpoch));
        assert!(transactions.open().is_empty());
    }
}
