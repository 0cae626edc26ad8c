//! The state that all handles of a simulated log share, and what happens in it on its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::digest::Digest;
use super::faults::{Fault, Faults};
use super::group::{Group, JoiningSeat};
use super::options::{SimCounters, SimOptions};
use super::partition::{ProducerKey, size_of};
use super::resolve::resolve;
use super::topics::Topics;
use super::transactions::{FencedEpoch, Transactions};
use crate::log::{
    Assignment, CommittedOffset, HeldTasks, LogError, Offset, RawRecord, Seat, TopicPartition,
};

/// A request to end a transaction that hangs in the network.
#[derive(Debug)]
struct LateEnd {
    /// It arrives with this call, or at this time: whichever comes first.
    due_call: u64,
    due_at: Duration,
    producer: ProducerKey,
}

/// Topics, transactions and groups.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) options: SimOptions,
    pub(super) faults: Faults,
    pub(super) topics: Topics,
    pub(super) transactions: Transactions,
    pub(super) counters: SimCounters,
    /// Virtual time since the cluster began.
    pub(super) now: Duration,
    groups: BTreeMap<Arc<str>, Group>,
    /// How many calls have come in: the clock of what hangs in the network.
    calls: u64,
    late: Vec<LateEnd>,
    incarnations: u64,
    /// The living incarnations of every member id.
    alive: BTreeMap<String, BTreeSet<u64>>,
}

impl Cluster {
    pub(super) fn new(seed: u64, options: SimOptions) -> Self {
        Self {
            faults: Faults::new(seed, options.faults.clone()),
            options,
            topics: Topics::default(),
            transactions: Transactions::default(),
            counters: SimCounters::default(),
            now: Duration::ZERO,
            groups: BTreeMap::new(),
            calls: 0,
            late: Vec::new(),
            incarnations: 0,
            alive: BTreeMap::new(),
        }
    }

    /// A call comes in: what was to arrive before it arrives.
    pub(super) fn enter(&mut self) {
        self.calls += 1;
        self.deliver_late();
    }

    /// Delivers what hung in the network until now.
    fn deliver_late(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let (calls, now) = (self.calls, self.now);
        let is_due = |end: &LateEnd| end.due_call <= calls || end.due_at <= now;
        let (due, late): (Vec<_>, Vec<_>) = self.late.drain(..).partition(is_due);
        self.late = late;
        for LateEnd { producer, .. } in due {
            match self.commit(producer) {
                Ok(()) => self.counters.late_ends_applied += 1,
                Err(FencedEpoch) => self.counters.late_ends_fenced += 1,
            }
        }
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.now = self.now.saturating_add(by);
        self.deliver_late();
        self.transactions.mark_due(&mut self.topics, self.now);
        let aborted = self.transactions.expire(&mut self.topics, self.now);
        self.counters.transactions_timed_out += aborted;
        for group in self.groups.values_mut() {
            let expired = group.expire(self.now, self.options.session_timeout);
            self.counters.sessions_expired += expired;
        }
    }

    /// Lets a request to commit hang in the network for a while.
    pub(super) fn commit_late(&mut self, producer: ProducerKey) {
        const CALLS_MAX: usize = 1_000;
        const MILLIS_MAX: usize = 20_000;
        let calls = 1 + self.faults.rng.below(CALLS_MAX) as u64;
        let millis = 1 + self.faults.rng.below(MILLIS_MAX) as u64;
        self.late.push(LateEnd {
            due_call: self.calls + calls,
            due_at: self.now.saturating_add(Duration::from_millis(millis)),
            producer,
        });
    }

    /// Commits the open transaction of a producer. It is decided then, though its markers may come
    /// late.
    pub(super) fn commit(&mut self, producer: ProducerKey) -> Result<(), FencedEpoch> {
        let (faults, now) = (&mut self.faults, self.now);
        let due = || now.saturating_add(marker_delay(faults));
        self.transactions.commit(producer, due)?;
        self.transactions.mark_due(&mut self.topics, now);
        Ok(())
    }

    /// Refuses a producer whose epoch is an old one, and counts it. One that goes on has waited for
    /// the markers of its transaction before.
    pub(super) fn check_producer(&mut self, producer: ProducerKey) -> Result<(), FencedEpoch> {
        if self.transactions.is_current(producer) {
            self.transactions.mark_all(&mut self.topics, producer.id);
            return Ok(());
        }
        self.counters.producers_fenced += 1;
        Err(FencedEpoch)
    }

    /// Adds a partition to the open transaction of a producer.
    pub(super) fn add_partition(
        &mut self,
        producer: ProducerKey,
        partition: &TopicPartition,
    ) -> Result<(), FencedEpoch> {
        self.transactions
            .add_partition(producer, partition, self.now)
    }

    /// Aborts the open transaction of a producer and fences it, as after a timeout.
    pub(super) fn time_out(&mut self, producer: ProducerKey) {
        if self.transactions.is_current(producer) {
            self.transactions.abort(&mut self.topics, producer.id);
            self.counters.transactions_timed_out += 1;
        }
    }

    /// Appends a record; `producer` when it is part of a transaction.
    pub(super) fn append(
        &mut self,
        to: &TopicPartition,
        record: RawRecord<'_>,
        producer: Option<ProducerKey>,
    ) -> Result<Offset, LogError> {
        let (bytes, limit) = (size_of(&record), self.options.record_bytes_max);
        if bytes > limit {
            let topic = Arc::clone(&to.topic);
            return Err(LogError::RecordTooLarge {
                topic,
                bytes,
                limit,
            });
        }
        let partition = self.topics.partition_mut(to)?;
        let offset = partition.append(record, producer);
        Ok(offset)
    }

    /// Seats a member: a new incarnation, whose transactions fence those of the one before.
    pub(super) fn join(&mut self, seat: &Seat) -> Result<(u64, ProducerKey), LogError> {
        self.incarnations += 1;
        let incarnation = self.incarnations;
        let replicas = self.options.standby_replicas;
        let group = self
            .groups
            .entry(Arc::clone(&seat.application))
            .or_insert_with(|| Group::new(replicas));
        group
            .join(JoiningSeat {
                member_id: &seat.member_id,
                incarnation,
                process: &seat.process_id,
                topology: &seat.topology,
                now: self.now,
            })
            .map_err(LogError::Config)?;
        let alive = self.alive.entry(seat.member_id.clone()).or_default();
        alive.insert(incarnation);
        Ok((incarnation, self.init_producer(seat, incarnation)))
    }

    /// Aborts what the seat's producer has open, and fences what is under way.
    pub(super) fn init_producer(&mut self, seat: &Seat, incarnation: u64) -> ProducerKey {
        let id = transactional_id(seat);
        let timeout = seat.transaction_timeout;
        self.transactions
            .init(&mut self.topics, &id, incarnation, timeout)
    }

    pub(super) fn is_superseded(&self, seat: &Seat, incarnation: u64) -> bool {
        self.transactions
            .is_superseded(&transactional_id(seat), incarnation)
    }

    pub(super) fn is_alive(&self, seat: &Seat, incarnation: u64) -> bool {
        let alive = self.alive.get(&seat.member_id);
        alive.is_some_and(|alive| alive.contains(&incarnation))
    }

    pub(super) fn kill(&mut self, member_id: &str) {
        if self.alive.remove(member_id).is_some() {
            self.counters.members_killed += 1;
        }
    }

    /// True if the member has its seat in the group.
    pub(super) fn is_seated(&self, seat: &Seat, incarnation: u64) -> bool {
        let group = self.groups.get(&seat.application);
        group.is_some_and(|group| group.seats(&seat.member_id, incarnation))
    }

    /// A member's heartbeat. `None` when it brings no news.
    pub(super) fn heartbeat(
        &mut self,
        seat: &Seat,
        incarnation: u64,
        held: Option<&HeldTasks>,
    ) -> Result<Option<Assignment>, LogError> {
        let id = Some(seat.member_id.as_str());
        if !self.is_seated(seat, incarnation) {
            return self.unseated(seat, incarnation);
        }
        if self.faults.strikes(Fault::MemberRemoved, id) {
            self.remove_member(&seat.member_id);
            return self.unseated(seat, incarnation);
        }
        if self.faults.strikes(Fault::Rebalance, id) {
            self.rebalance(&seat.application);
        }
        if self.faults.strikes(Fault::HeartbeatLost, id) {
            return Ok(None);
        }
        let counted = self.count_tasks(&seat.application);
        let group = self.groups.get_mut(&seat.application);
        let answer = group.and_then(|group| group.heartbeat(&seat.member_id, held, self.now));
        counted.map(|()| answer)
    }

    // The group tells a removed member; it does not tell an older incarnation, whose heartbeats
    // look like those of the new one. That one learns it from its transactions.
    fn unseated(&self, seat: &Seat, incarnation: u64) -> Result<Option<Assignment>, LogError> {
        if self.is_superseded(seat, incarnation) {
            return Ok(None);
        }
        let id = &seat.member_id;
        Err(LogError::MemberLost(format!("unknown member `{id}`")))
    }

    fn count_tasks(&mut self, application: &Arc<str>) -> Result<(), LogError> {
        let Some(group) = self.groups.get_mut(application) else {
            return Ok(());
        };
        if !group.needs_counting(self.topics.version()) {
            return Ok(());
        }
        let topics = &mut self.topics;
        let resolved = resolve(&group.topology(), |name| topics.partitions_of(name));
        let resolved = resolved.map_err(LogError::Config)?;
        for topic in &resolved.internal {
            topics.create(topic)?;
        }
        group.count(&resolved, topics.version());
        Ok(())
    }

    pub(super) fn remove_member(&mut self, member_id: &str) -> bool {
        let mut removed = false;
        for group in self.groups.values_mut() {
            removed |= group.remove(member_id);
        }
        removed
    }

    pub(super) fn leave(&mut self, seat: &Seat) {
        if let Some(group) = self.groups.get_mut(&seat.application) {
            group.remove(&seat.member_id);
        }
    }

    pub(super) fn rebalance(&mut self, application: &str) {
        if let Some(group) = self.groups.get_mut(application) {
            group.shuffle(&mut self.faults.rng);
        }
    }

    pub(super) fn members(&self, application: &str) -> Vec<String> {
        let group = self.groups.get(application);
        let ids = group.into_iter().flat_map(Group::member_ids);
        ids.cloned().collect()
    }

    /// Adds offsets to the open transaction, if the member may commit them.
    pub(super) fn add_offsets(
        &mut self,
        seat: &Seat,
        epoch: i32,
        producer: ProducerKey,
        offsets: &[(TopicPartition, CommittedOffset)],
    ) -> Result<(), String> {
        self.transactions.mark_all(&mut self.topics, producer.id);
        let partitions = offsets.iter().map(|(partition, _)| partition);
        let group = self
            .groups
            .get(&seat.application)
            .ok_or_else(|| "no such group".to_owned())?;
        group
            .check_commit(&seat.member_id, epoch, partitions)
            .inspect_err(|_| self.counters.offset_commits_refused += 1)?;
        self.transactions
            .add_offsets(producer, &seat.application, offsets, self.now)
            .map_err(|FencedEpoch| fenced(producer))
    }

    pub(super) fn digest(&self) -> u64 {
        let mut digest = Digest::new();
        for (name, topic) in self.topics.iter() {
            digest.bytes(name.as_bytes());
            for partition in &topic.partitions {
                partition.digest(&mut digest);
            }
        }
        for (group, offsets) in self.transactions.offsets() {
            digest.bytes(group.as_bytes());
            for (partition, committed) in offsets {
                digest.bytes(partition.topic.as_bytes());
                digest.number(i64::from(partition.partition));
                digest.number(committed.offset);
                digest.bytes(committed.metadata.as_bytes());
            }
        }
        digest.finish()
    }
}

pub(super) fn fenced(producer: ProducerKey) -> String {
    let ProducerKey { id, epoch } = producer;
    format!("epoch {epoch} of producer {id} is an old one")
}

/// How long a marker is under way.
fn marker_delay(faults: &mut Faults) -> Duration {
    const MILLIS_MAX: usize = 3_000;
    if !faults.strikes(Fault::MarkerLate, None) {
        return Duration::ZERO;
    }
    Duration::from_millis(1 + faults.rng.below(MILLIS_MAX) as u64)
}

fn transactional_id(seat: &Seat) -> String {
    format!("{}-{}", seat.application, seat.member_id)
}
