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

use super::failure::{Cause, Failure, cause_of, send_error, start_error};
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
            let was_late = self.is_overdue();
            self.fail(failure.cause);
            match failure.error {
                CommitError::Fenced(why) if was_late && failure.cause == Cause::Fenced => {
                    let limit = self.seat.transaction_timeout;
                    CommitError::Aborted(format!("it was open for longer than {limit:?}: {why}"))
                }
                error => error,
            }
        })
    }

    fn active(&mut self) -> Option<&mut Active> {
        match &mut self.stage {
            Stage::Ready(active) => Some(active),
            _ => None,
        }
    }

    /// True if the coordinator may have aborted the open transaction as one that took too long. It
    /// reports that as fenced too, which tells nothing about others then.
    fn is_overdue(&self) -> bool {
        let Stage::Ready(active) = &self.stage else {
            return false;
        };
        let limit = self.seat.transaction_timeout;
        active.open.is_some_and(|at| at.elapsed() >= limit)
    }

    /// Gives the producer up.
    fn fail(&mut self, cause: Cause) {
        if cause != Cause::Fenced {
            self.stage = Stage::Broken(cause);
        } else if self.is_overdue() {
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
        if matches!(self.stage, Stage::Starting(..)) {
            // It has not begun anything yet.
            return self.await_ready();
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
        let within = (timeout * 2).max(timeout + WATCHDOG_SLACK);
        let time = Allowance::new(within - WATCHDOG_SLACK, timeout);
        let calls = move || commit_calls(&producer, &offsets, &group, time, &theirs);
        match self.watchdog.run(within, calls) {
            Ok(result) => result?,
            Err(_) => return Err(step.give_up()),
        }
        self.open = None;
        Ok(self.outbox.take_committed())
    }
}

/// The time that several calls have between them, and the most that each of them may take.
#[derive(Clone, Copy)]
struct Allowance {
    until: Instant,
    each: Duration,
}

impl Allowance {
    fn new(in_all: Duration, each: Duration) -> Self {
        let until = Instant::now() + in_all;
        Self { until, each }
    }

    /// What the next call may take.
    fn left(self) -> Duration {
        let left = self.until.saturating_duration_since(Instant::now());
        left.min(self.each)
    }
}

/// The calls of a commit, in order. Before the last of them nothing can have taken effect.
fn commit_calls(
    producer: &Producer,
    offsets: &TopicPartitionList,
    group: &GroupIdentity,
    time: Allowance,
    step: &Step,
) -> Result<(), Failure> {
    if offsets.count() > 0 {
        producer
            .send_offsets(offsets, group, time.left())
            .map_err(Failure::before_the_end)?;
    }
    producer
        .flush(time.left())
        .map_err(Failure::before_the_end)?;
    if let Some(failure) = producer.failure() {
        return Err(Failure::before_the_end(failure));
    }
    if !step.enter_end() {
        return Err(Failure::before_the_end(stuck()));
    }
    producer
        .commit_transaction(time.left())
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

fn stuck() -> NativeError {
    NativeError::timed_out("the coordinator does not answer")
}

fn recover_first() -> LogError {
    LogError::Unavailable("the transaction was cut off; recover first".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{OffsetReset, TopologyMetadata};

    fn seat() -> Seat {
        Seat {
            application: "app".into(),
            process_id: "p".into(),
            member_id: "m".into(),
            endpoint: None,
            topology: Arc::new(TopologyMetadata::default()),
            offset_reset: OffsetReset::Earliest,
            fetch_bytes_max: 1 << 20,
            transaction_timeout: Duration::from_secs(10),
        }
    }

    #[test]
    fn a_recovery_waits_for_a_start_that_is_under_way_and_begins_no_second() {
        let mut options = KafkaOptions::new("127.0.0.1:1");
        options.transaction_call_timeout = Duration::from_millis(10);
        let mut transactor = Transactor::start(&options, &seat()).expect("a thread");
        let watchdog = Watchdog::start("test").expect("a thread");
        let first = watchdog.begin(|| Err(NativeError::timed_out("the first start")));
        transactor.stage = Stage::Starting(watchdog, first);
        let answer = transactor.recover();
        let told = LogError::Unavailable("the first start".into());
        assert_eq!(answer, Err(told));
    }

    #[test]
    fn the_calls_of_a_commit_share_their_time() {
        let time = Allowance::new(Duration::from_secs(25), Duration::from_secs(15));
        assert_eq!(time.left(), Duration::from_secs(15));
        let spent = Allowance::new(Duration::ZERO, Duration::from_secs(15));
        assert_eq!(spent.left(), Duration::ZERO);
    }

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
