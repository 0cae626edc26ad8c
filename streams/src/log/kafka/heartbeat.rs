//! The thread that keeps a member in its group, whatever its stream thread is waiting for.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::brokers::Brokers;
use super::membership::{Membership, Verdict};
use super::metadata::learn_brokers;
use super::requests::{HeartbeatResponse, code, find_coordinator, send_heartbeat};
use super::wire::{Connection, Encoder};
use crate::log::{Assignment, HeldTasks, LogError, Seat, TopicPartition};

/// How long a heartbeat may take. Shorter than any session, so that there is time for another.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// How soon to try again after a failure, and how long at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// A member's heartbeats; they end when this is dropped, without a goodbye.
#[derive(Debug)]
pub(super) struct Heartbeats {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    membership: Membership,
    phase: Phase,
    /// Counts the incarnations, so that an answer to an earlier one is told apart.
    incarnation: u64,
    /// When to send the next heartbeat.
    due: Instant,
    backoff: Duration,
}

#[derive(Debug)]
enum Phase {
    /// In the group, or about to be.
    Member,
    /// Out of it, until it joins again.
    Stopped(LogError),
    /// Saying goodbye.
    Leaving,
    /// The thread has ended, or is to end.
    Over,
}

/// A heartbeat on its way.
struct Beat {
    body: Encoder,
    held_version: u64,
    incarnation: u64,
    goodbye: bool,
}

impl Heartbeats {
    /// Joins the group in the background.
    pub(super) fn start(
        brokers: Arc<Brokers>,
        seat: Seat,
        rebalance_timeout: Duration,
    ) -> io::Result<Self> {
        let now = Instant::now();
        let name = format!("heartbeat-{}", seat.member_id);
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                membership: Membership::new(seat, rebalance_timeout, now),
                phase: Phase::Member,
                incarnation: 0,
                due: now,
                backoff: BACKOFF.0,
            }),
            changed: Condvar::new(),
        });
        let (theirs, mut link) = (Arc::clone(&shared), Link::new(brokers));
        thread::Builder::new().name(name).spawn(move || {
            while let Some(beat) = theirs.next_beat() {
                let answer = link.send(&theirs, &beat.body);
                theirs.settle(&beat, answer, &mut link);
            }
        })?;
        Ok(Self { shared })
    }

    /// The assignment, if it changed.
    pub(super) fn poll(&self) -> Result<Option<Assignment>, LogError> {
        let mut state = self.shared.state.lock();
        state.check()?;
        Ok(state.membership.take_news())
    }

    /// The error that has ended the membership.
    pub(super) fn check(&self) -> Result<(), LogError> {
        self.shared.state.lock().check()
    }

    /// Tells the group what this member holds.
    pub(super) fn confirm(&self, held: &HeldTasks) -> Result<(), LogError> {
        let mut state = self.shared.state.lock();
        state.check()?;
        if state.membership.hold(held) {
            state.due = Instant::now();
            self.shared.changed.notify_all();
        }
        Ok(())
    }

    /// The epoch to commit these partitions at; `None` if one of them is not this member's.
    pub(super) fn epoch_for<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Option<i32> {
        let membership = &self.shared.state.lock().membership;
        let mut partitions = partitions.into_iter();
        partitions
            .all(|partition| membership.may_commit(partition))
            .then(|| membership.epoch())
    }

    /// Notes that the broker does not know this member any more.
    pub(super) fn lose(&self, why: &str) {
        let mut state = self.shared.state.lock();
        if matches!(state.phase, Phase::Member) {
            state.incarnation += 1;
            state.phase = Phase::Stopped(LogError::MemberLost(why.to_owned()));
        }
    }

    /// Joins again, as a new member with the same id.
    pub(super) fn rejoin(&self) {
        let mut state = self.shared.state.lock();
        let now = Instant::now();
        state.membership.restart(now);
        state.incarnation += 1;
        state.phase = Phase::Member;
        state.due = now;
        self.shared.changed.notify_all();
    }

    /// Leaves the group; waits up to `wait` for the broker's word.
    pub(super) fn leave(&self, wait: Duration) -> Result<(), LogError> {
        let deadline = Instant::now() + wait;
        let mut state = self.shared.state.lock();
        if !matches!(state.phase, Phase::Member) {
            state.phase = Phase::Over;
            self.shared.changed.notify_all();
            return Ok(());
        }
        state.phase = Phase::Leaving;
        state.due = Instant::now();
        self.shared.changed.notify_all();
        while matches!(state.phase, Phase::Leaving) {
            if self
                .shared
                .changed
                .wait_until(&mut state, deadline)
                .timed_out()
            {
                state.phase = Phase::Over;
                let text = "the group's coordinator did not take the goodbye";
                return Err(LogError::Unavailable(text.into()));
            }
        }
        Ok(())
    }
}

impl Drop for Heartbeats {
    fn drop(&mut self) {
        self.shared.state.lock().phase = Phase::Over;
        self.shared.changed.notify_all();
    }
}

impl State {
    fn check(&self) -> Result<(), LogError> {
        match &self.phase {
            Phase::Stopped(error) => Err(error.clone()),
            Phase::Member | Phase::Leaving => Ok(()),
            Phase::Over => Err(LogError::MemberLost("it has left".into())),
        }
    }

    fn beat(&self) -> Beat {
        let goodbye = matches!(self.phase, Phase::Leaving);
        let (body, held_version) = if goodbye {
            (self.membership.goodbye(), 0)
        } else {
            self.membership.request()
        };
        Beat {
            body,
            held_version,
            incarnation: self.incarnation,
            goodbye,
        }
    }

    fn failed(&mut self, why: &io::Error) {
        tracing::debug!(group = self.membership.group(), %why, "a heartbeat got no answer");
        self.membership.unanswered();
        self.due = Instant::now() + self.backoff;
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
    }
}

impl Shared {
    /// Waits until a heartbeat is due. `None` when there will be no more.
    fn next_beat(&self) -> Option<Beat> {
        let mut state = self.state.lock();
        loop {
            match state.phase {
                Phase::Over => return None,
                Phase::Stopped(_) => self.changed.wait(&mut state),
                Phase::Member | Phase::Leaving => {
                    let due = state.due;
                    if due <= Instant::now() {
                        return Some(state.beat());
                    }
                    self.changed.wait_until(&mut state, due);
                }
            }
        }
    }

    fn settle(&self, beat: &Beat, answer: io::Result<HeartbeatResponse>, link: &mut Link) {
        let mut state = self.state.lock();
        if beat.incarnation != state.incarnation {
            return;
        }
        match answer {
            Err(error) => state.failed(&error),
            // Whatever the broker says to a goodbye, there is nothing left to leave; unless it is
            // not the one to say so.
            Ok(response) if beat.goodbye && !is_elsewhere(response.error) => {
                state.phase = Phase::Over;
            }
            Ok(response) => {
                state.backoff = BACKOFF.0;
                let now = Instant::now();
                match state.membership.answered(response, beat.held_version, now) {
                    // A goodbye does not wait for its turn.
                    Verdict::Continue(_) if matches!(state.phase, Phase::Leaving) => {
                        state.due = now;
                    }
                    Verdict::Continue(pause) => state.due = now + pause,
                    Verdict::FindCoordinator(pause) => {
                        link.forget();
                        state.due = now + pause;
                    }
                    Verdict::Stop(_) if matches!(state.phase, Phase::Leaving | Phase::Over) => {
                        state.phase = Phase::Over;
                    }
                    Verdict::Stop(error) => {
                        tracing::warn!(group = state.membership.group(), %error, "out of the group");
                        state.phase = Phase::Stopped(error);
                    }
                }
            }
        }
        self.changed.notify_all();
    }
}

fn is_elsewhere(error: i16) -> bool {
    matches!(
        error,
        code::COORDINATOR_LOADING | code::COORDINATOR_NOT_AVAILABLE | code::NOT_COORDINATOR
    )
}

/// The connection to the group's coordinator, made anew after every failure.
struct Link {
    brokers: Arc<Brokers>,
    connection: Option<Connection>,
}

impl Link {
    fn new(brokers: Arc<Brokers>) -> Self {
        Self {
            brokers,
            connection: None,
        }
    }

    fn forget(&mut self) {
        self.connection = None;
    }

    fn send(&mut self, shared: &Shared, body: &Encoder) -> io::Result<HeartbeatResponse> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let group = shared.state.lock().membership.group().to_owned();
                self.connect(&group)?
            }
        };
        let response = send_heartbeat(&mut connection, body)?;
        self.connection = Some(connection);
        Ok(response)
    }

    /// Any broker knows who the coordinator is, and who the other brokers are.
    fn connect(&self, group: &str) -> io::Result<Connection> {
        self.brokers.ask(|address| {
            let mut any = Connection::open(address, CALL_TIMEOUT)?;
            learn_brokers(&self.brokers, &mut any)?;
            coordinator_by(&mut any, group)
        })
    }
}

fn coordinator_by(any: &mut Connection, group: &str) -> io::Result<Connection> {
    match find_coordinator(any, group)? {
        Ok(coordinator) => Connection::open(&coordinator, CALL_TIMEOUT),
        Err(error) => {
            let text = format!("the group has no coordinator yet (code {error})");
            Err(io::Error::other(text))
        }
    }
}
