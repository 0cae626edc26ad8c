//! A stream thread's transactions: one producer, and one path back from everything that is not a
//! clean success.
//!
//! A producer whose transaction ended in any other way is never used again, because the broker may
//! still act on a request of it that seems lost. It is destroyed, and one with the same
//! transactional id takes its place: that fences the old one's requests, ends its transaction, and
//! only then is anything read or written again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode;

use super::ffi::{GroupIdentity, NativeError, Producer};
use super::options::KafkaOptions;
use super::outbox::Outbox;
use super::watchdog::{Pending, Watchdog};
use crate::log::{CommitError, Committed, LogError, OutputBatch, Seat};

/// How much longer than its own time-out a call may take before it is given up.
const WATCHDOG_SLACK: Duration = Duration::from_secs(5);
/// How long an abort may hold up a goodbye.
const GOODBYE: Duration = Duration::from_secs(5);
/// Being fenced twice within this time means that somebody else has the same id.
const FENCE_MEMORY: Duration = Duration::from_secs(300);

/// The transactions of one member.
pub(super) struct Transactor {
    options: KafkaOptions,
    seat: Seat,
    stage: Stage,
    fenced_at: Option<Instant>,
    /// It was fenced twice in a short time.
    has_rival: bool,
}

enum Stage {
    /// The producer is being made, and fences its predecessor.
    Starting(Watchdog, Pending<Result<Arc<Producer>, NativeError>>),
    /// Between transactions, or in one.
    Ready(Active),
    /// Over; [`Transactor::recover`] makes a new producer.
    Broken(Cause),
}

/// Why a transaction was cut off, as far as it tells something about the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Another producer has taken the transactional id.
    Fenced,
    /// The group does not know the member.
    UnknownMember,
    /// Nothing of the kind.
    Other,
}

struct Active {
    // Its topic handles refer to the producer: fields are dropped in this order.
    outbox: Outbox,
    producer: Arc<Producer>,
    watchdog: Watchdog,
    /// When the open transaction began.
    open: Option<Instant>,
}

impl Transactor {
    /// Begins to make the producer. Does not block.
    pub(super) fn start(options: &KafkaOptions, seat: &Seat) -> Result<Self, LogError> {
        let mut this = Self {
            options: options.clone(),
            seat: seat.clone(),
            stage: Stage::Broken(Cause::Other),
            fenced_at: None,
            has_rival: false,
        };
        this.begin_start()?;
        Ok(this)
    }

    fn begin_start(&mut self) -> Result<(), LogError> {
        let name = format!("transactions-{}", self.seat.member_id);
        let watchdog = Watchdog::start(&name)
            .map_err(|error| LogError::Unavailable(format!("no thread: {error}")))?;
        let config = self.options.producer(&self.seat);
        let timeout = self.options.transaction_call_timeout;
        let pending = watchdog.begin(move || {
            let producer = Arc::new(Producer::start(&config)?);
            producer.init_transactions(timeout)?;
            Ok(producer)
        });
        self.stage = Stage::Starting(watchdog, pending);
        Ok(())
    }

    /// True when everything of the predecessor has ended, so that reading may begin. Does not
    /// block; a failed start is tried again.
    pub(super) fn poll_ready(&mut self) -> Result<bool, LogError> {
        let Stage::Starting(_, pending) = &self.stage else {
            return Ok(true);
        };
        let Some(result) = pending.poll().unwrap_or_else(|_| Some(Err(stuck()))) else {
            return Ok(false);
        };
        match self.started(result) {
            Err(LogError::Unavailable(why)) => {
                tracing::warn!(member = self.seat.member_id, why, "no transactions yet");
                Ok(false)
            }
            result => result.map(|()| true),
        }
    }

    /// Waits until everything of the predecessor has ended.
    pub(super) fn await_ready(&mut self) -> Result<(), LogError> {
        match &self.stage {
            Stage::Ready(_) => Ok(()),
            Stage::Broken(_) => Err(recover_first()),
            Stage::Starting(_, pending) => {
                let wait = self.options.transaction_call_timeout + WATCHDOG_SLACK;
                let result = pending.wait(wait).unwrap_or_else(|_| Err(stuck()));
                self.started(result)
            }
        }
    }

    fn started(&mut self, result: Result<Arc<Producer>, NativeError>) -> Result<(), LogError> {
        let stage = std::mem::replace(&mut self.stage, Stage::Broken(Cause::Other));
        let Stage::Starting(watchdog, _) = stage else {
            return Ok(());
        };
        match result.map_err(start_error) {
            Ok(producer) => {
                self.stage = Stage::Ready(Active {
                    outbox: Outbox::new(&producer),
                    producer,
                    watchdog,
                    open: None,
                });
                Ok(())
            }
            Err(LogError::Unavailable(why)) => {
                self.begin_start()?;
                Err(LogError::Unavailable(why))
            }
            Err(error) => Err(error),
        }
    }

    /// Adds records to the transaction; opens it if need be. Clears `outputs` whatever happens: a
    /// transaction that lacks some of them never commits.
    pub(super) fn send(&mut self, outputs: &mut OutputBatch) -> Result<(), LogError> {
        self.await_ready()?;
        let (limit, patience) = (
            self.options.record_bytes_max(),
            self.seat.transaction_timeout,
        );
        let active = self.active().ok_or_else(recover_first)?;
        let sent = match Outbox::check_sizes(outputs, limit) {
            Err(error) => Err((Cause::Other, error)),
            Ok(()) => active
                .send(outputs, patience)
                .map_err(|error| (cause_of(&error), send_error(&error))),
        };
        outputs.clear();
        sent.map_err(|(cause, error)| {
            self.fail(cause);
            error
        })
    }

    /// Cuts the transaction off, because the member may not commit it.
    pub(super) fn refuse(&mut self) {
        self.fail(Cause::Other);
    }

    /// What cut the last transaction off.
    pub(super) fn cause(&self) -> Cause {
        match self.stage {
            Stage::Broken(cause) => cause,
            _ => Cause::Other,
        }
    }

    /// Commits what was sent, and `offsets` in the name of `group`.
    pub(super) fn commit(
        &mut self,
        offsets: TopicPartitionList,
        group: GroupIdentity,
    ) -> Result<Committed, CommitError> {
        self.await_ready()
            .map_err(|error| CommitError::Aborted(error.to_string()))?;
        let timeout = self.options.transaction_call_timeout;
        let Some(active) = self.active() else {
            return Err(CommitError::Aborted(recover_first().to_string()));
        };
        let result = active.commit(offsets, group, timeout);
        result.map_err(|failure| {
            self.fail(failure.cause);
            failure.error
        })
    }

    fn active(&mut self) -> Option<&mut Active> {
        match &mut self.stage {
            Stage::Ready(active) => Some(active),
            _ => None,
        }
    }

    /// Gives the producer up. The coordinator reports a transaction that took too long as fenced
    /// too, which tells nothing about others.
    fn fail(&mut self, cause: Cause) {
        let opened = self.active().and_then(|active| active.open);
        let overdue = opened.is_some_and(|at| at.elapsed() >= self.seat.transaction_timeout);
        if cause != Cause::Fenced {
            self.stage = Stage::Broken(cause);
        } else if overdue {
            self.stage = Stage::Broken(Cause::Other);
        } else {
            let before = self.fenced_at.replace(Instant::now());
            self.has_rival = before.is_some_and(|at| at.elapsed() < FENCE_MEMORY);
            self.stage = Stage::Broken(Cause::Fenced);
        }
    }

    /// Makes a new producer with the same transactional id; when it is ready, whatever the old one
    /// had open has ended without effect, or had taken effect before.
    ///
    /// A fenced producer is not replaced: that would fence the one that has taken its place, which
    /// may be this member's next incarnation, and has ended the transaction already.
    pub(super) fn recover(&mut self) -> Result<(), LogError> {
        if self.cause() == Cause::Fenced {
            return Err(self.fenced());
        }
        // The old one first: two of them would fence each other.
        self.stage = Stage::Broken(Cause::Other);
        self.begin_start()?;
        self.await_ready()
    }

    /// The first time the member is lost, and may join again. The second time it has come to blows
    /// with somebody who does the same.
    fn fenced(&self) -> LogError {
        let (member, application) = (&self.seat.member_id, &self.seat.application);
        if self.has_rival {
            return LogError::Config(format!(
                "another process runs as member `{member}` of `{application}`: stop one of them, \
                 or give each a state directory of its own"
            ));
        }
        LogError::MemberLost(format!(
            "a newer producer runs as member `{member}` of `{application}`"
        ))
    }

    /// Begins again as a new member would: without blocking, and with a new producer if the old one
    /// is in the middle of something.
    pub(super) fn restart(&mut self) -> Result<(), LogError> {
        let clean = matches!(&self.stage, Stage::Ready(active) if active.open.is_none());
        if clean || matches!(self.stage, Stage::Starting(..)) {
            return Ok(());
        }
        self.stage = Stage::Broken(Cause::Other);
        self.begin_start()
    }

    /// Ends an open transaction, so that no reader has to wait for its time-out.
    pub(super) fn close(&mut self) {
        let stage = std::mem::replace(&mut self.stage, Stage::Broken(Cause::Other));
        if let Stage::Ready(active) = stage
            && active.open.is_some()
        {
            let producer = Arc::clone(&active.producer);
            let aborted = active.watchdog.run(GOODBYE + WATCHDOG_SLACK, move || {
                producer.abort_transaction(GOODBYE)
            });
            tracing::debug!(?aborted, "aborted a transaction to leave");
        }
    }
}

impl Active {
    fn open(&mut self) -> Result<(), NativeError> {
        if self.open.is_none() {
            self.producer.begin_transaction()?;
            self.open = Some(Instant::now());
        }
        Ok(())
    }

    fn send(&mut self, outputs: &OutputBatch, patience: Duration) -> Result<(), NativeError> {
        self.open()?;
        if let Some(failure) = self.producer.failure() {
            return Err(failure);
        }
        self.outbox.send(outputs, patience)
    }

    fn commit(
        &mut self,
        offsets: TopicPartitionList,
        group: GroupIdentity,
        timeout: Duration,
    ) -> Result<Committed, Failure> {
        if self.open.is_none() && offsets.count() == 0 {
            return Ok(Committed::default());
        }
        self.open().map_err(Failure::before_the_end)?;
        let step = Arc::new(Step::default());
        let (theirs, producer) = (Arc::clone(&step), Arc::clone(&self.producer));
        // Three calls, each within its time-out.
        let within = timeout * 3 + WATCHDOG_SLACK;
        let calls = move || commit_calls(&producer, &offsets, &group, timeout, &theirs);
        match self.watchdog.run(within, calls) {
            Ok(result) => result?,
            Err(_) => return Err(step.give_up()),
        }
        self.open = None;
        Ok(self.outbox.take_committed())
    }
}

/// The calls of a commit, in order. Before the last of them nothing can have taken effect.
fn commit_calls(
    producer: &Producer,
    offsets: &TopicPartitionList,
    group: &GroupIdentity,
    timeout: Duration,
    step: &Step,
) -> Result<(), Failure> {
    if offsets.count() > 0 {
        producer
            .send_offsets(offsets, group, timeout)
            .map_err(Failure::before_the_end)?;
    }
    producer.flush(timeout).map_err(Failure::before_the_end)?;
    if let Some(failure) = producer.failure() {
        return Err(Failure::before_the_end(failure));
    }
    if !step.enter_end() {
        return Err(Failure::before_the_end(stuck()));
    }
    producer
        .commit_transaction(timeout)
        .map_err(Failure::at_the_end)
}

/// Who of the two decides the end: the thread that ends the transaction, or the one that gives up
/// waiting for it.
#[derive(Default)]
struct Step(AtomicU8);

impl Step {
    const BEFORE_THE_END: u8 = 0;
    const AT_THE_END: u8 = 1;
    const GIVEN_UP: u8 = 2;

    fn enter_end(&self) -> bool {
        self.leave_beginning(Self::AT_THE_END)
    }

    fn give_up(&self) -> Failure {
        if self.leave_beginning(Self::GIVEN_UP) {
            Failure::before_the_end(stuck())
        } else {
            Failure::at_the_end(stuck())
        }
    }

    fn leave_beginning(&self, to: u8) -> bool {
        let swapped = self.0.compare_exchange(
            Self::BEFORE_THE_END,
            to,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        swapped.is_ok()
    }
}

/// Why a commit is no clean success.
struct Failure {
    error: CommitError,
    cause: Cause,
}

impl Failure {
    /// The broker was not yet asked to end the transaction.
    fn before_the_end(error: NativeError) -> Self {
        let cause = cause_of(&error);
        let kind = if cause == Cause::Fenced || is_refused_member(error.code) {
            CommitError::Fenced
        } else {
            CommitError::Aborted
        };
        Self {
            error: kind(error.text),
            cause,
        }
    }

    /// The broker was asked, perhaps more than once: even a refusal may be the answer to the
    /// second time, after the first took effect. Only an error of the transaction itself is clear.
    fn at_the_end(error: NativeError) -> Self {
        let cause = cause_of(&error);
        let kind = if error.abortable && cause == Cause::Other {
            CommitError::Aborted
        } else {
            CommitError::Unknown
        };
        Self {
            error: kind(error.text),
            cause,
        }
    }
}

/// The group does not accept this member's epoch for these partitions.
fn is_refused_member(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::FencedInstanceId
            | RDKafkaErrorCode::FencedMemberEpoch
            | RDKafkaErrorCode::StaleMemberEpoch
    )
}

fn cause_of(error: &NativeError) -> Cause {
    match error.code {
        RDKafkaErrorCode::Fenced
        | RDKafkaErrorCode::ProducerFenced
        | RDKafkaErrorCode::InvalidProducerEpoch
        | RDKafkaErrorCode::InvalidProducerIdMapping => Cause::Fenced,
        RDKafkaErrorCode::UnknownMemberId => Cause::UnknownMember,
        _ => Cause::Other,
    }
}

fn stuck() -> NativeError {
    NativeError::timed_out("the coordinator does not answer")
}

fn recover_first() -> LogError {
    LogError::Unavailable("the transaction was cut off; recover first".into())
}

fn start_error(error: NativeError) -> LogError {
    match error.code {
        RDKafkaErrorCode::InvalidArgument
        | RDKafkaErrorCode::InvalidTransactionTimeout
        | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed => LogError::Config(error.text),
        _ => LogError::Unavailable(error.text),
    }
}

fn send_error(error: &NativeError) -> LogError {
    match error.code {
        RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownPartition
        | RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::TopicAuthorizationFailed => {
            LogError::Config(format!("cannot write: {}", error.text))
        }
        _ => LogError::Unavailable(error.text.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn giving_up_before_the_end_keeps_the_end_from_happening() {
        let step = Step::default();
        assert!(matches!(step.give_up().error, CommitError::Aborted(_)));
        assert!(!step.enter_end());
    }

    #[test]
    fn giving_up_at_the_end_leaves_the_outcome_unknown() {
        let step = Step::default();
        assert!(step.enter_end());
        assert!(matches!(step.give_up().error, CommitError::Unknown(_)));
    }
}
