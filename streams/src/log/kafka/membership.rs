//! What a member of a Streams group says in its next heartbeat, and what an answer means. No IO:
//! `heartbeat` carries it to the broker and back.

use std::time::{Duration, Instant};

use super::requests::{
    HeartbeatRequest, HeartbeatResponse, Identity, JOIN_EPOCH, LEAVE_EPOCH, TaskLists, code,
};
use super::wire::Encoder;
use crate::log::{
    Assignment, HeldTasks, LogError, Seat, SubtopologyMetadata, TaskId, TopicPartition,
};

/// How soon to ask again while the group has nothing for this member yet.
const IMPATIENT: Duration = Duration::from_millis(200);
/// How long it goes on asking that often after it joined.
const IMPATIENT_FOR: Duration = Duration::from_secs(15);
/// How soon to ask again when the coordinator moves or loads.
const COORDINATOR_BACKOFF: Duration = Duration::from_millis(200);
/// Topics that were made a moment ago are not seen by every broker at once.
const SOURCE_TOPICS_GRACE: Duration = Duration::from_secs(3);
/// How long the coordinator may take to create internal topics.
const INTERNAL_TOPICS_GRACE: Duration = Duration::from_secs(60);

/// What to do about a topology that is not the group's.
const TOPOLOGY_ADVICE: &str = "take its topology back, or stop all its instances and delete the \
                               group, which forgets its offsets";

/// A member, seen from its own side.
#[derive(Debug)]
pub(super) struct Membership {
    seat: Seat,
    rebalance_timeout_ms: i32,
    epoch: i32,
    endpoint_epoch: i32,
    joined_at: Instant,
    /// What the group wants this member to have.
    target: TaskLists,
    /// What it has, as the stream thread said last.
    held: TaskLists,
    /// Counts the changes of `held`, so that an answer tells which of them the broker knows.
    held_version: u64,
    known_version: Option<u64>,
    /// The broker has to be told who this is, because it may have missed a heartbeat.
    introduce: bool,
    /// An assignment that the stream thread has not seen yet.
    news: Option<Assignment>,
    /// True if there was any yet.
    told: bool,
    /// A status that keeps the group from working, and since when.
    trouble: Option<(i8, Instant)>,
}

/// What to do after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send the next heartbeat after this time.
    Continue(Duration),
    /// Look for the coordinator, then go on after this time.
    FindCoordinator(Duration),
    /// Stop, with [`LogError::MemberLost`] or [`LogError::Config`].
    Stop(LogError),
}

impl Membership {
    /// A member that has not joined yet.
    pub(super) fn new(seat: Seat, rebalance_timeout: Duration, now: Instant) -> Self {
        Self {
            seat,
            rebalance_timeout_ms: i32::try_from(rebalance_timeout.as_millis()).unwrap_or(i32::MAX),
            epoch: JOIN_EPOCH,
            endpoint_epoch: -1,
            joined_at: now,
            target: TaskLists::default(),
            held: TaskLists::default(),
            held_version: 0,
            known_version: None,
            introduce: true,
            news: None,
            told: false,
            trouble: None,
        }
    }

    /// Forgets everything but who this is, and joins again.
    pub(super) fn restart(&mut self, now: Instant) {
        let timeout = Duration::from_millis(self.rebalance_timeout_ms.unsigned_abs().into());
        *self = Self::new(self.seat.clone(), timeout, now);
    }

    /// The group.
    pub(super) fn group(&self) -> &str {
        &self.seat.application
    }

    /// The epoch to commit at.
    pub(super) fn epoch(&self) -> i32 {
        self.epoch
    }

    /// True if this member has the task that reads `partition`, or had it and has not yet said that
    /// it is closed. The broker asks only whether the epoch is right.
    pub(super) fn may_commit(&self, partition: &TopicPartition) -> bool {
        let subtopologies = self.seat.topology.subtopologies.iter();
        (0..)
            .zip(subtopologies)
            .filter(|(_, subtopology)| reads(subtopology, &partition.topic))
            .any(|(index, _)| {
                let task = TaskId {
                    subtopology: index,
                    partition: partition.partition,
                };
                self.held.active.contains(&task) || self.target.active.contains(&task)
            })
    }

    /// The assignment, if it changed since the last call.
    pub(super) fn take_news(&mut self) -> Option<Assignment> {
        self.news.take()
    }

    /// Notes what the stream thread holds. True if the broker does not know it yet.
    pub(super) fn hold(&mut self, tasks: &HeldTasks) -> bool {
        let is_warmup = |task: &_| self.target.warmup.contains(task);
        let (warmup, standby) = tasks.standby.iter().copied().partition(is_warmup);
        let mut held = TaskLists {
            active: tasks.active.clone(),
            standby,
            warmup,
        };
        for list in [&mut held.active, &mut held.standby, &mut held.warmup] {
            list.sort_unstable();
        }
        if held != self.held {
            self.held = held;
            self.held_version += 1;
        }
        self.known_version != Some(self.held_version)
    }

    /// The next heartbeat, and the version of the held tasks that it tells.
    pub(super) fn request(&self) -> (Encoder, u64) {
        let joining = self.epoch == JOIN_EPOCH;
        let nothing = TaskLists::default();
        let tell_held = joining || self.introduce || self.known_version != Some(self.held_version);
        let request = HeartbeatRequest {
            group: &self.seat.application,
            member: &self.seat.member_id,
            epoch: self.epoch,
            endpoint_epoch: self.endpoint_epoch,
            identity: (joining || self.introduce).then(|| self.identity()),
            topology: joining.then_some(&*self.seat.topology),
            held: tell_held.then_some(if joining { &nothing } else { &self.held }),
        };
        (request.encode(), self.held_version)
    }

    /// The heartbeat that says goodbye.
    pub(super) fn goodbye(&self) -> Encoder {
        let request = HeartbeatRequest {
            group: &self.seat.application,
            member: &self.seat.member_id,
            epoch: LEAVE_EPOCH,
            endpoint_epoch: self.endpoint_epoch,
            identity: None,
            topology: None,
            held: None,
        };
        request.encode()
    }

    fn identity(&self) -> Identity<'_> {
        let endpoint = self.seat.endpoint.as_ref();
        Identity {
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            process_id: &self.seat.process_id,
            endpoint: endpoint.map(|(host, port)| (host.as_str(), *port)),
        }
    }

    /// Notes that a heartbeat got no answer: the broker may have missed what it told.
    pub(super) fn unanswered(&mut self) {
        self.introduce = true;
        self.known_version = None;
    }

    /// Takes in the answer to a heartbeat that told `held_version`.
    pub(super) fn answered(
        &mut self,
        response: HeartbeatResponse,
        held_version: u64,
        now: Instant,
    ) -> Verdict {
        if response.error != code::NONE {
            self.unanswered();
            return self.refused(&response);
        }
        // A join tells of no tasks, so it leaves the broker in the dark about later ones.
        let joined = self.epoch == JOIN_EPOCH;
        self.known_version = (!joined || self.held == TaskLists::default()).then_some(held_version);
        self.introduce = false;
        self.epoch = response.epoch;
        self.endpoint_epoch = response.endpoint_epoch;
        if let Some(tasks) = response.tasks {
            self.assigned(tasks);
        }
        if let Some(error) = self.judge(&response.statuses, now) {
            return Verdict::Stop(error);
        }
        // While the group is not ready, no task means nothing yet.
        if !self.told && self.trouble.is_none() {
            self.tell();
        }
        Verdict::Continue(self.pace(response.interval_ms, now))
    }

    fn assigned(&mut self, tasks: TaskLists) {
        if tasks == self.target {
            return;
        }
        self.target = tasks;
        self.tell();
    }

    fn tell(&mut self) {
        self.told = true;
        let mut standby = self.target.standby.clone();
        standby.extend(&self.target.warmup);
        standby.sort_unstable();
        self.news = Some(Assignment {
            epoch: self.epoch,
            active: self.target.active.clone(),
            standby,
        });
    }

    fn pace(&self, interval_ms: i32, now: Instant) -> Duration {
        let interval = Duration::from_millis(u64::try_from(interval_ms).unwrap_or(0));
        let interval = interval.max(Duration::from_millis(50));
        let idle = self.target == TaskLists::default();
        let young = now.duration_since(self.joined_at) < IMPATIENT_FOR;
        if self.known_version != Some(self.held_version) {
            return Duration::ZERO;
        }
        if self.trouble.is_some() || (idle && young) {
            return interval.min(IMPATIENT);
        }
        interval
    }

    /// Waits for trouble that passes by itself, and gives up on what does not.
    fn judge(&mut self, statuses: &[(i8, String)], now: Instant) -> Option<LogError> {
        let Some((status, detail)) = statuses.iter().max_by_key(|(status, _)| weight(*status))
        else {
            self.trouble = None;
            return None;
        };
        let since = match self.trouble {
            Some((known, since)) if known == *status => since,
            _ => {
                tracing::info!(
                    group = self.group(),
                    status,
                    detail,
                    "the group is not ready"
                );
                self.trouble = Some((*status, now));
                now
            }
        };
        let (grace, advice) = advice(*status)?;
        let over = now.duration_since(since) >= grace;
        over.then(|| LogError::Config(format!("{}: {advice}", detail.trim_end_matches('.'))))
    }

    fn refused(&mut self, response: &HeartbeatResponse) -> Verdict {
        let message = response.message.clone().unwrap_or_default();
        let message = message.trim_end_matches('.');
        let group = self.group();
        let config = |advice: &str| {
            let text = format!("the broker refuses `{group}`: {message}; {advice}");
            Verdict::Stop(LogError::Config(text))
        };
        match response.error {
            code::COORDINATOR_LOADING | code::COORDINATOR_NOT_AVAILABLE | code::NOT_COORDINATOR => {
                Verdict::FindCoordinator(COORDINATOR_BACKOFF)
            }
            code::UNKNOWN_MEMBER_ID | code::FENCED_MEMBER_EPOCH => {
                Verdict::Stop(LogError::MemberLost(message.to_owned()))
            }
            // The group was deleted under its members.
            code::GROUP_ID_NOT_FOUND if self.epoch != JOIN_EPOCH => {
                Verdict::Stop(LogError::MemberLost(message.to_owned()))
            }
            code::GROUP_ID_NOT_FOUND => config("choose another application id"),
            code::UNSUPPORTED_VERSION => config(
                "use Kafka 4.2 or newer, with `streams` among its \
                 `group.coordinator.rebalance.protocols`",
            ),
            code::TOPIC_AUTHORIZATION_FAILED
            | code::GROUP_AUTHORIZATION_FAILED
            | code::CLUSTER_AUTHORIZATION_FAILED => config("grant it the rights"),
            code::GROUP_MAX_SIZE_REACHED => config("raise `group.streams.max.size`"),
            code::STREAMS_INVALID_TOPOLOGY
            | code::STREAMS_INVALID_TOPOLOGY_EPOCH
            | code::STREAMS_TOPOLOGY_FENCED => config(TOPOLOGY_ADVICE),
            // As the broker puts it when the group has another topology.
            code::INVALID_REQUEST if self.epoch == JOIN_EPOCH => config(TOPOLOGY_ADVICE),
            code::UNRELEASED_INSTANCE_ID | code::INVALID_REQUEST => config("see the broker's log"),
            other => {
                tracing::warn!(group, code = other, message, "a heartbeat was refused");
                Verdict::FindCoordinator(Duration::from_secs(1))
            }
        }
    }
}

fn reads(subtopology: &SubtopologyMetadata, topic: &str) -> bool {
    let mut repartitions = subtopology.repartition_sources.iter();
    subtopology.sources.iter().any(|name| **name == *topic)
        || repartitions.any(|source| *source.name == *topic)
}

/// Statuses of a group, as the heartbeat's answer numbers them.
mod status {
    pub(super) const MISSING_SOURCE_TOPICS: i8 = 1;
    pub(super) const INCORRECTLY_PARTITIONED: i8 = 2;
    pub(super) const MISSING_INTERNAL_TOPICS: i8 = 3;
    pub(super) const SHUTDOWN_APPLICATION: i8 = 4;
}

/// What is worst is told first.
fn weight(status: i8) -> u8 {
    match status {
        status::SHUTDOWN_APPLICATION => 4,
        status::MISSING_SOURCE_TOPICS => 3,
        status::INCORRECTLY_PARTITIONED => 2,
        status::MISSING_INTERNAL_TOPICS => 1,
        _ => 0,
    }
}

/// How long a status may last, and what to do then. `None`: as long as it takes.
fn advice(status: i8) -> Option<(Duration, &'static str)> {
    match status {
        status::MISSING_SOURCE_TOPICS => {
            Some((SOURCE_TOPICS_GRACE, "create them, then start again"))
        }
        status::INCORRECTLY_PARTITIONED => Some((
            SOURCE_TOPICS_GRACE,
            "give topics that are joined equally many partitions",
        )),
        status::MISSING_INTERNAL_TOPICS => Some((
            INTERNAL_TOPICS_GRACE,
            "the broker could not create them; see its log",
        )),
        status::SHUTDOWN_APPLICATION => Some((
            Duration::ZERO,
            "another instance has stopped the whole application",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::log::{OffsetReset, TopologyMetadata};

    fn member(now: Instant) -> Membership {
        let seat = Seat {
            application: Arc::from("app"),
            process_id: "p".into(),
            member_id: "m".into(),
            endpoint: None,
            topology: Arc::new(TopologyMetadata::default()),
            offset_reset: OffsetReset::Earliest,
            fetch_bytes_max: 1 << 20,
            transaction_timeout: Duration::from_secs(10),
        };
        Membership::new(seat, Duration::from_secs(60), now)
    }

    fn tasks(partitions: &[i32]) -> Vec<TaskId> {
        let task = |partition: &i32| TaskId {
            subtopology: 0,
            partition: *partition,
        };
        partitions.iter().map(task).collect()
    }

    fn answer(epoch: i32, active: Option<&[i32]>) -> HeartbeatResponse {
        HeartbeatResponse {
            epoch,
            interval_ms: 1_000,
            tasks: active.map(|active| TaskLists {
                active: tasks(active),
                ..TaskLists::default()
            }),
            ..HeartbeatResponse::default()
        }
    }

    fn held(active: &[i32]) -> HeldTasks {
        HeldTasks {
            active: tasks(active),
            standby: Vec::new(),
        }
    }

    #[test]
    fn an_assignment_is_told_once() {
        let now = Instant::now();
        let mut member = member(now);
        member.answered(answer(1, Some(&[0, 1])), 0, now);
        assert_eq!(
            member.take_news().map(|news| news.active),
            Some(tasks(&[0, 1]))
        );
        member.answered(answer(1, Some(&[0, 1])), 0, now);
        assert_eq!(member.take_news(), None);
    }

    #[test]
    fn a_member_without_tasks_is_told_so_once_the_group_is_ready() {
        let now = Instant::now();
        let mut member = member(now);
        let delayed = HeartbeatResponse {
            statuses: vec![(5, "The assignment is delayed.".into())],
            ..answer(1, Some(&[]))
        };
        member.answered(delayed, 0, now);
        assert_eq!(member.take_news(), None);
        member.answered(answer(2, None), 0, now);
        assert_eq!(member.take_news().map(|news| news.active), Some(Vec::new()));
        member.answered(answer(2, None), 0, now);
        assert_eq!(member.take_news(), None);
    }

    #[test]
    fn held_tasks_are_told_until_the_broker_knows_them() {
        let now = Instant::now();
        let mut member = member(now);
        member.answered(answer(1, Some(&[0])), 0, now);
        assert!(member.hold(&held(&[0])));
        let (_, version) = member.request();
        member.unanswered();
        assert!(member.hold(&held(&[0])), "the first heartbeat was lost");
        member.answered(answer(2, None), version, now);
        assert!(!member.hold(&held(&[0])));
    }

    #[test]
    fn a_change_during_a_heartbeat_is_told_at_once_in_the_next() {
        let now = Instant::now();
        let mut member = member(now);
        member.answered(answer(1, Some(&[0, 1])), 0, now);
        member.hold(&held(&[0, 1]));
        let (_, version) = member.request();
        member.hold(&held(&[0]));
        let verdict = member.answered(answer(1, None), version, now);
        assert_eq!(verdict, Verdict::Continue(Duration::ZERO));
    }

    #[test]
    fn missing_source_topics_are_an_error_when_they_stay_missing() {
        let now = Instant::now();
        let mut member = member(now);
        let missing = || HeartbeatResponse {
            statuses: vec![(1, "Source topics orders are missing.".into())],
            ..answer(1, None)
        };
        let verdict = member.answered(missing(), 0, now);
        assert!(matches!(verdict, Verdict::Continue(_)));
        let verdict = member.answered(missing(), 0, now + SOURCE_TOPICS_GRACE);
        let text = "Source topics orders are missing: create them, then start again";
        assert_eq!(verdict, Verdict::Stop(LogError::Config(text.into())));
    }

    #[test]
    fn an_unknown_member_is_lost_and_a_moved_coordinator_is_not() {
        let now = Instant::now();
        let mut member = member(now);
        member.answered(answer(1, Some(&[0])), 0, now);
        let refusal = |error| HeartbeatResponse {
            error,
            ..HeartbeatResponse::default()
        };
        let verdict = member.answered(refusal(code::NOT_COORDINATOR), 0, now);
        assert!(matches!(verdict, Verdict::FindCoordinator(_)));
        let verdict = member.answered(refusal(code::UNKNOWN_MEMBER_ID), 0, now);
        assert!(matches!(verdict, Verdict::Stop(LogError::MemberLost(_))));
    }
}
