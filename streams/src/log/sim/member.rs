//! The simulated log's members: one seat, one transaction at a time, cut off wherever a fault says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::cluster::{Cluster, fenced};
use super::faults::Fault;
use super::fetcher::{Fetcher, unavailable_if};
use super::partition::ProducerKey;
use super::transactions::FencedEpoch;
use crate::log::{
    Assignment, Bounds, CommitError, Committed, CommittedOffset, HeldTasks, Isolation, LogError,
    Member, Offset, OutputBatch, OutputRecord, RawRecord, RecordBatch, Seat, TopicPartition,
    TopicSlot,
};

/// What the member's transaction is up to.
#[derive(Debug)]
enum State {
    /// None is open.
    Idle,
    /// One is open.
    Open,
    /// It cannot go on: recover.
    Broken(CommitError),
    /// The seat is gone: rejoin.
    Lost(String),
}

/// Why a send cannot go on.
enum WriteError {
    /// The producer's epoch is an old one.
    Fenced(FencedEpoch),
    /// The topic does not take the record.
    Refused(LogError),
}

impl From<FencedEpoch> for WriteError {
    fn from(fenced: FencedEpoch) -> Self {
        Self::Fenced(fenced)
    }
}

impl From<LogError> for WriteError {
    fn from(error: LogError) -> Self {
        Self::Refused(error)
    }
}

#[derive(Debug)]
pub(super) struct SimMember {
    cluster: Arc<Mutex<Cluster>>,
    seat: Seat,
    incarnation: u64,
    producer: ProducerKey,
    state: State,
    fetcher: Fetcher,
    /// What the group has told last.
    assignment: Assignment,
    /// True if it has told anything yet.
    told: bool,
    /// What was confirmed since then; every heartbeat repeats it, so none of them matters. A member
    /// that was told nothing yet holds nothing.
    held: Option<HeldTasks>,
    /// The last offset per partition that the open transaction has written to.
    last_offsets: BTreeMap<(TopicSlot, i32), Offset>,
}

impl SimMember {
    pub(super) fn join(cluster: Arc<Mutex<Cluster>>, seat: Seat) -> Result<Self, LogError> {
        let (incarnation, producer) = {
            let mut cluster = cluster.lock();
            cluster.enter();
            cluster.join(&seat)?
        };
        Ok(Self {
            fetcher: Fetcher::new(Isolation::ReadCommitted, seat.fetch_bytes_max),
            cluster,
            seat,
            incarnation,
            producer,
            state: State::Idle,
            assignment: Assignment::default(),
            told: false,
            held: Some(HeldTasks::default()),
            last_offsets: BTreeMap::new(),
        })
    }

    /// The cluster, if this incarnation's process is alive.
    fn enter(&self) -> Result<MutexGuard<'_, Cluster>, LogError> {
        let cluster = enter(&self.cluster);
        check_alive(&cluster, &self.seat, self.incarnation)?;
        Ok(cluster)
    }

    fn check_seat(&self) -> Result<(), LogError> {
        match &self.state {
            State::Lost(why) => Err(LogError::MemberLost(why.clone())),
            _ => Ok(()),
        }
    }

    fn lose(&mut self, why: &str) -> LogError {
        self.state = State::Lost(why.to_owned());
        LogError::MemberLost(why.to_owned())
    }

    fn heartbeat(&mut self) -> Result<Option<Assignment>, LogError> {
        self.check_seat()?;
        let mut cluster = self.enter()?;
        let answer = cluster.heartbeat(&self.seat, self.incarnation, self.held.as_ref());
        drop(cluster);
        if let Err(LogError::MemberLost(why)) = &answer {
            return Err(self.lose(why));
        }
        answer
    }

    /// Opens a transaction unless one is open; refuses when it cannot go on. The cluster learns of
    /// it with the first record or offset.
    fn begin(&mut self) -> Result<(), CommitError> {
        match &self.state {
            State::Open => return Ok(()),
            State::Idle => {}
            State::Broken(error) => return Err(error.clone()),
            State::Lost(why) => return Err(CommitError::Fenced(why.clone())),
        }
        self.state = State::Open;
        Ok(())
    }

    fn break_off(&mut self, error: CommitError) -> CommitError {
        if !matches!(self.state, State::Lost(_)) {
            self.state = State::Broken(error.clone());
        }
        error
    }

    /// Writes the first `count` records of `outputs`.
    fn write(&mut self, outputs: &OutputBatch, count: usize) -> Result<(), WriteError> {
        if count == 0 {
            return Ok(());
        }
        let mut cluster = self.cluster.lock();
        cluster.check_producer(self.producer)?;
        for record in outputs.iter().take(count) {
            let topic = outputs.topic_name(record.topic).cloned();
            let to = TopicPartition::new(topic.unwrap_or_default(), record.partition);
            let offset = cluster.append(&to, raw(&record), Some(self.producer))?;
            let slot = (record.topic, record.partition);
            if self.last_offsets.insert(slot, offset).is_none() {
                cluster.add_partition(self.producer, &to)?;
            }
        }
        Ok(())
    }

    /// The stages of a commit up to the end marker; each may be the last.
    fn end(&mut self, offsets: &[(TopicPartition, CommittedOffset)]) -> Result<(), CommitError> {
        let mut cluster = self.cluster.lock();
        let id = Some(self.seat.member_id.as_str());
        if cluster.faults.strikes(Fault::TransactionTimeout, id) {
            cluster.time_out(self.producer);
        }
        if cluster.faults.strikes(Fault::CutBeforeOffsets, id) {
            return Err(aborted(Fault::CutBeforeOffsets));
        }
        if !offsets.is_empty() {
            cluster
                .add_offsets(&self.seat, self.assignment.epoch, self.producer, offsets)
                .map_err(CommitError::Fenced)?;
        }
        if dies(&mut cluster, Fault::DiesBeforeEnd, &self.seat) {
            return Err(unknown(Fault::DiesBeforeEnd));
        }
        if cluster.faults.strikes(Fault::CutBeforeEnd, id) {
            return Err(aborted(Fault::CutBeforeEnd));
        }
        if cluster.faults.strikes(Fault::EndLost, id) {
            return Err(unknown(Fault::EndLost));
        }
        if cluster.faults.strikes(Fault::EndLate, id) {
            cluster.commit_late(self.producer);
            return Err(unknown(Fault::EndLate));
        }
        cluster
            .check_producer(self.producer)
            .and_then(|()| cluster.commit(self.producer))
            .map_err(|FencedEpoch| CommitError::Fenced(fenced(self.producer)))?;
        if dies(&mut cluster, Fault::DiesAfterEnd, &self.seat) {
            return Err(unknown(Fault::DiesAfterEnd));
        }
        if cluster.faults.strikes(Fault::EndReplyLost, id) {
            return Err(unknown(Fault::EndReplyLost));
        }
        Ok(())
    }
}

impl Member for SimMember {
    fn poll_assignment(&mut self) -> Result<Option<Assignment>, LogError> {
        let Some(answer) = self.heartbeat()? else {
            return Ok(None);
        };
        let before = std::mem::replace(&mut self.assignment, answer);
        let now = &self.assignment;
        let told = std::mem::replace(&mut self.told, true);
        if told && before.active == now.active && before.standby == now.standby {
            return Ok(None);
        }
        self.held = None;
        Ok(Some(now.clone()))
    }

    fn confirm(&mut self, held: &HeldTasks) -> Result<(), LogError> {
        self.check_seat()?;
        self.held = Some(held.clone());
        Ok(())
    }

    fn committed(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        let mut cluster = self.enter()?;
        let id = Some(self.seat.member_id.as_str());
        unavailable_if(&mut cluster, Fault::OffsetsUnavailable, id)?;
        let group = &self.seat.application;
        let read = |partition| {
            if cluster.transactions.is_pending(group, partition) {
                let text = format!("a commit of `{partition}` is pending");
                return Err(LogError::Unavailable(text));
            }
            Ok(cluster.transactions.committed(group, partition))
        };
        partitions.iter().map(read).collect()
    }

    fn bounds(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Bounds>, LogError> {
        let mut cluster = self.enter()?;
        let id = Some(self.seat.member_id.as_str());
        self.fetcher.bounds(&mut cluster, id, partitions)
    }

    fn assign(&mut self, partitions: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        let cluster = enter(&self.cluster);
        check_alive(&cluster, &self.seat, self.incarnation)?;
        self.fetcher.assign(&cluster, partitions)
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.fetcher.set_paused(partitions, true)
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.fetcher.set_paused(partitions, false)
    }

    fn fetch(&mut self, _max_wait: Duration, into: &mut Vec<RecordBatch>) -> Result<(), LogError> {
        let mut cluster = enter(&self.cluster);
        check_alive(&cluster, &self.seat, self.incarnation)?;
        let id = Some(self.seat.member_id.as_str());
        self.fetcher.fetch(&mut cluster, id, into)
    }

    fn recycle(&mut self, batch: RecordBatch) {
        self.fetcher.recycle(batch);
    }

    fn send(&mut self, outputs: &mut OutputBatch) -> Result<(), LogError> {
        let sent = self.send_all(outputs);
        outputs.clear();
        sent
    }

    fn commit(
        &mut self,
        offsets: &[(TopicPartition, CommittedOffset)],
    ) -> Result<Committed, CommitError> {
        if let Err(dead) = self.enter().map(drop) {
            return Err(CommitError::Aborted(dead.to_string()));
        }
        self.begin().map_err(|error| self.break_off(error))?;
        self.end(offsets).map_err(|error| self.break_off(error))?;
        self.state = State::Idle;
        let last = std::mem::take(&mut self.last_offsets).into_iter();
        let last_offsets = last.map(|((slot, partition), offset)| (slot, partition, offset));
        Ok(Committed {
            last_offsets: last_offsets.collect(),
        })
    }

    // Without a seat too: a transaction that nobody ends would hold back readers until it times out.
    fn recover(&mut self) -> Result<(), LogError> {
        let mut cluster = enter(&self.cluster);
        check_alive(&cluster, &self.seat, self.incarnation)?;
        let id = Some(self.seat.member_id.as_str());
        unavailable_if(&mut cluster, Fault::RecoverUnavailable, id)?;
        if cluster.is_superseded(&self.seat, self.incarnation) {
            drop(cluster);
            return Err(self.lose("another incarnation has taken the seat"));
        }
        self.producer = cluster.init_producer(&self.seat, self.incarnation);
        self.last_offsets.clear();
        if !matches!(self.state, State::Lost(_)) {
            self.state = State::Broken(aborted(Fault::RecoverReplyLost));
        }
        unavailable_if(&mut cluster, Fault::RecoverReplyLost, id)?;
        let seated = cluster.is_seated(&self.seat, self.incarnation);
        drop(cluster);
        if !seated {
            return Err(self.lose("the group has removed this member"));
        }
        self.state = State::Idle;
        Ok(())
    }

    fn rejoin(&mut self) -> Result<(), LogError> {
        let mut cluster = enter(&self.cluster);
        check_alive(&cluster, &self.seat, self.incarnation)?;
        let id = Some(self.seat.member_id.as_str());
        unavailable_if(&mut cluster, Fault::RejoinUnavailable, id)?;
        if cluster.is_superseded(&self.seat, self.incarnation) {
            let id = &self.seat.member_id;
            return Err(LogError::Config(format!(
                "another process runs as member `{id}`: stop one of them"
            )));
        }
        let (incarnation, producer) = cluster.join(&self.seat)?;
        drop(cluster);
        self.start_over(incarnation, producer);
        Ok(())
    }

    fn leave(&mut self) -> Result<(), LogError> {
        let mut cluster = enter(&self.cluster);
        check_alive(&cluster, &self.seat, self.incarnation)?;
        let id = Some(self.seat.member_id.as_str());
        unavailable_if(&mut cluster, Fault::LeaveUnavailable, id)?;
        if !cluster.is_superseded(&self.seat, self.incarnation) {
            cluster.init_producer(&self.seat, self.incarnation);
            cluster.leave(&self.seat);
        }
        drop(cluster);
        self.state = State::Lost("this member has left".to_owned());
        Ok(())
    }
}

impl SimMember {
    fn send_all(&mut self, outputs: &OutputBatch) -> Result<(), LogError> {
        drop(self.enter()?);
        self.begin().map_err(|error| cannot_send(&error))?;
        self.survive(Fault::DiesBeforeSend)?;
        let cut = self.cut(outputs.len());
        let count = cut.map_or(outputs.len(), |(_, count)| count);
        self.write(outputs, count)
            .map_err(|error| self.break_off_send(error))?;
        self.survive(Fault::DiesAfterSend)?;
        let Some((fault, _)) = cut else {
            return Ok(());
        };
        self.state = State::Broken(aborted(fault));
        match fault {
            Fault::SendCutOff => Err(LogError::Unavailable(format!("injected {fault:?}"))),
            _ => Ok(()),
        }
    }

    /// An error if `fault` kills this member's process now.
    fn survive(&self, fault: Fault) -> Result<(), LogError> {
        if dies(&mut self.cluster.lock(), fault, &self.seat) {
            return Err(LogError::Unavailable(format!("injected {fault:?}")));
        }
        Ok(())
    }

    /// Whether this send is cut off, by which fault, and after how many records.
    fn cut(&self, records: usize) -> Option<(Fault, usize)> {
        let mut cluster = self.cluster.lock();
        let id = Some(self.seat.member_id.as_str());
        let mut faults = [Fault::SendCutOff, Fault::SendLost].into_iter();
        let fault = faults.find(|fault| cluster.faults.strikes(*fault, id))?;
        Some((fault, cluster.faults.rng.below(records + 1)))
    }

    fn break_off_send(&mut self, error: WriteError) -> LogError {
        match error {
            WriteError::Fenced(FencedEpoch) => {
                let error = CommitError::Fenced(fenced(self.producer));
                cannot_send(&self.break_off(error))
            }
            WriteError::Refused(error) => {
                self.break_off(CommitError::Aborted(error.to_string()));
                error
            }
        }
    }

    fn start_over(&mut self, incarnation: u64, producer: ProducerKey) {
        self.incarnation = incarnation;
        self.producer = producer;
        self.state = State::Idle;
        self.assignment = Assignment::default();
        self.told = false;
        self.held = Some(HeldTasks::default());
        self.last_offsets.clear();
    }
}

fn enter(cluster: &Mutex<Cluster>) -> MutexGuard<'_, Cluster> {
    let mut cluster = cluster.lock();
    cluster.enter();
    cluster
}

fn check_alive(cluster: &Cluster, seat: &Seat, incarnation: u64) -> Result<(), LogError> {
    if cluster.is_alive(seat, incarnation) {
        return Ok(());
    }
    let id = &seat.member_id;
    Err(LogError::Unavailable(format!("member `{id}` was killed")))
}

/// True if `fault` kills the process of this seat now.
fn dies(cluster: &mut Cluster, fault: Fault, seat: &Seat) -> bool {
    let dies = cluster.faults.strikes(fault, Some(&seat.member_id));
    if dies {
        cluster.kill(&seat.member_id);
    }
    dies
}

fn cannot_send(error: &CommitError) -> LogError {
    LogError::Unavailable(error.to_string())
}

fn aborted(fault: Fault) -> CommitError {
    CommitError::Aborted(format!("injected {fault:?}"))
}

fn unknown(fault: Fault) -> CommitError {
    CommitError::Unknown(format!("injected {fault:?}"))
}

fn raw<'a>(record: &OutputRecord<'a>) -> RawRecord<'a> {
    RawRecord {
        offset: 0,
        timestamp: record.timestamp,
        headers: record.headers,
        key: record.key,
        value: record.value,
    }
}
