//! The three requests of membership: what the broker can do, who coordinates the group, and the
//! heartbeat of a Streams member (KIP-1071).

use std::io;

use super::brokers::address;
use super::wire::{Api, Connection, Decoder, Encoder};
use crate::log::{InternalTopic, SubtopologyMetadata, TaskId, TopologyMetadata};

/// Error codes of the broker.
pub(super) mod code {
    pub(in crate::log::kafka) const NONE: i16 = 0;
    pub(in crate::log::kafka) const REQUEST_TIMED_OUT: i16 = 7;
    pub(in crate::log::kafka) const COORDINATOR_LOADING: i16 = 14;
    pub(in crate::log::kafka) const COORDINATOR_NOT_AVAILABLE: i16 = 15;
    pub(in crate::log::kafka) const NOT_COORDINATOR: i16 = 16;
    pub(in crate::log::kafka) const UNKNOWN_MEMBER_ID: i16 = 25;
    pub(in crate::log::kafka) const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
    pub(in crate::log::kafka) const GROUP_AUTHORIZATION_FAILED: i16 = 30;
    pub(in crate::log::kafka) const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
    pub(in crate::log::kafka) const UNSUPPORTED_VERSION: i16 = 35;
    pub(in crate::log::kafka) const NOT_CONTROLLER: i16 = 41;
    pub(in crate::log::kafka) const INVALID_REQUEST: i16 = 42;
    pub(in crate::log::kafka) const GROUP_ID_NOT_FOUND: i16 = 69;
    pub(in crate::log::kafka) const GROUP_MAX_SIZE_REACHED: i16 = 81;
    pub(in crate::log::kafka) const FENCED_MEMBER_EPOCH: i16 = 110;
    pub(in crate::log::kafka) const UNRELEASED_INSTANCE_ID: i16 = 111;
    pub(in crate::log::kafka) const STREAMS_INVALID_TOPOLOGY: i16 = 130;
    pub(in crate::log::kafka) const STREAMS_INVALID_TOPOLOGY_EPOCH: i16 = 131;
    pub(in crate::log::kafka) const STREAMS_TOPOLOGY_FENCED: i16 = 132;
}

const API_VERSIONS: Api = Api {
    key: 18,
    version: 0,
    flexible: false,
};

const FIND_COORDINATOR: Api = Api {
    key: 10,
    version: 3,
    flexible: true,
};

const STREAMS_GROUP_HEARTBEAT: Api = Api {
    key: 88,
    version: 0,
    flexible: true,
};

/// True if the broker knows the Streams group protocol, and has it switched on.
pub(super) fn speaks_streams_groups(connection: &mut Connection) -> io::Result<bool> {
    Ok(knows_streams_groups(connection)? && accepts_streams_groups(connection)?)
}

fn knows_streams_groups(connection: &mut Connection) -> io::Result<bool> {
    let answer = connection.call(API_VERSIONS, &Encoder::default())?;
    let mut answer = Decoder::new(&answer);
    let _error = answer.i16()?;
    for _ in 0..answer.i32()? {
        let (key, _min, _max) = (answer.i16()?, answer.i16()?, answer.i16()?);
        if key == STREAMS_GROUP_HEARTBEAT.key {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A broker tells that the protocol is switched off only when it is spoken to: somebody who is not
/// there says goodbye to a group that does not exist.
fn accepts_streams_groups(connection: &mut Connection) -> io::Result<bool> {
    let nobody = HeartbeatRequest {
        group: "millrace-probe",
        member: "millrace-probe",
        epoch: LEAVE_EPOCH,
        endpoint_epoch: -1,
        identity: None,
        topology: None,
        held: None,
    };
    let response = send_heartbeat(connection, &nobody.encode())?;
    Ok(response.error != code::UNSUPPORTED_VERSION)
}

/// The broker that keeps a group, or the error code.
pub(super) fn find_coordinator(
    connection: &mut Connection,
    group: &str,
) -> io::Result<Result<String, i16>> {
    const GROUP: i8 = 0;
    let mut body = Encoder::default();
    body.string(group);
    body.i8(GROUP);
    body.no_tags();
    let answer = connection.call(FIND_COORDINATOR, &body)?;
    let mut answer = Decoder::new(&answer);
    let _throttle = answer.i32()?;
    let error = answer.i16()?;
    let _message = answer.nullable_string()?;
    let _node = answer.i32()?;
    let (host, port) = (answer.string()?, answer.i32()?);
    Ok(if error == code::NONE {
        Ok(address(&host, port))
    } else {
        Err(error)
    })
}

/// The epoch that asks to join.
pub(super) const JOIN_EPOCH: i32 = 0;
/// The epoch that says goodbye.
pub(super) const LEAVE_EPOCH: i32 = -1;

/// The three lists of tasks that a member has or gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TaskLists {
    /// Tasks to run.
    pub(super) active: Vec<TaskId>,
    /// Tasks to keep a warm copy of.
    pub(super) standby: Vec<TaskId>,
    /// Tasks to warm up before they are moved.
    pub(super) warmup: Vec<TaskId>,
}

/// One heartbeat.
#[derive(Clone, Debug)]
pub(super) struct HeartbeatRequest<'a> {
    /// The group: the application's id.
    pub(super) group: &'a str,
    /// The member.
    pub(super) member: &'a str,
    /// Its epoch, [`JOIN_EPOCH`] or [`LEAVE_EPOCH`].
    pub(super) epoch: i32,
    /// The last map of endpoints that was received.
    pub(super) endpoint_epoch: i32,
    /// What the broker forgets between sessions: with a join, and after a lost connection.
    pub(super) identity: Option<Identity<'a>>,
    /// With a join only.
    pub(super) topology: Option<&'a TopologyMetadata>,
    /// The tasks that the member holds, if they changed since the last answer.
    pub(super) held: Option<&'a TaskLists>,
}

/// Who the member is.
#[derive(Clone, Debug)]
pub(super) struct Identity<'a> {
    /// How long the member may take to give a task up.
    pub(super) rebalance_timeout_ms: i32,
    /// The process that it runs in.
    pub(super) process_id: &'a str,
    /// Where its process answers queries.
    pub(super) endpoint: Option<(&'a str, u16)>,
}

/// The answer to a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HeartbeatResponse {
    /// An error code.
    pub(super) error: i16,
    /// What the broker says about it.
    pub(super) message: Option<String>,
    /// The member's epoch from now on.
    pub(super) epoch: i32,
    /// When to send the next.
    pub(super) interval_ms: i32,
    /// What keeps the group from an assignment: a code and its details.
    pub(super) statuses: Vec<(i8, String)>,
    /// The assignment, if it changed.
    pub(super) tasks: Option<TaskLists>,
    /// The epoch of the map of endpoints.
    pub(super) endpoint_epoch: i32,
}

impl HeartbeatRequest<'_> {
    /// The request's body.
    pub(super) fn encode(&self) -> Encoder {
        let mut body = Encoder::default();
        body.string(self.group);
        body.string(self.member);
        body.i32(self.epoch);
        body.i32(self.endpoint_epoch);
        body.nullable_string(None); // instance id
        body.nullable_string(None); // rack
        let identity = self.identity.as_ref();
        body.i32(identity.map_or(-1, |identity| identity.rebalance_timeout_ms));
        nullable(&mut body, self.topology, |body, topology| {
            encode_topology(body, topology);
        });
        self.encode_held(&mut body);
        body.nullable_string(identity.map(|identity| identity.process_id));
        let endpoint = identity.and_then(|identity| identity.endpoint);
        nullable(&mut body, endpoint, |body, (host, port)| {
            body.string(host);
            body.u16(port);
            body.no_tags();
        });
        // Client tags: none with a join, afterwards unchanged.
        if self.epoch == JOIN_EPOCH {
            body.array(&[], |_, _: &()| ());
        } else {
            body.null_array();
        }
        body.null_array(); // task offsets
        body.null_array(); // task end offsets
        body.i8(0); // no shutdown of the whole application
        body.no_tags();
        body
    }

    fn encode_held(&self, body: &mut Encoder) {
        let Some(held) = self.held else {
            (0..3).for_each(|_| body.null_array());
            return;
        };
        for tasks in [&held.active, &held.standby, &held.warmup] {
            body.array(&by_subtopology(tasks), |body, (subtopology, partitions)| {
                body.string(&subtopology.to_string());
                body.array(partitions, |body, partition| body.i32(*partition));
                body.no_tags();
            });
        }
    }
}

/// Sends an encoded heartbeat, and waits for the answer.
pub(super) fn send_heartbeat(
    connection: &mut Connection,
    body: &Encoder,
) -> io::Result<HeartbeatResponse> {
    let answer = connection.call(STREAMS_GROUP_HEARTBEAT, body)?;
    decode_response(&mut Decoder::new(&answer))
}

/// A structure that may be missing: one byte tells.
fn nullable<T>(body: &mut Encoder, value: Option<T>, encode: impl FnOnce(&mut Encoder, T)) {
    match value {
        None => body.i8(-1),
        Some(value) => {
            body.i8(1);
            encode(body, value);
        }
    }
}

fn by_subtopology(tasks: &[TaskId]) -> Vec<(u32, Vec<i32>)> {
    let mut tasks = tasks.to_vec();
    tasks.sort_unstable();
    let groups = tasks.chunk_by(|a, b| a.subtopology == b.subtopology);
    groups
        .filter_map(|group| {
            let partitions = group.iter().map(|task| task.partition).collect();
            group.first().map(|task| (task.subtopology, partitions))
        })
        .collect()
}

fn encode_topology(body: &mut Encoder, topology: &TopologyMetadata) {
    let numbered: Vec<_> = topology.subtopologies.iter().enumerate().collect();
    body.i32(0); // the topology's epoch
    body.array(&numbered, |body, (index, subtopology)| {
        body.string(&index.to_string());
        encode_subtopology(body, subtopology);
    });
    body.no_tags();
}

fn encode_subtopology(body: &mut Encoder, subtopology: &SubtopologyMetadata) {
    body.array(&subtopology.sources, |body, name| body.string(name));
    body.array(&[], |_, _: &()| ()); // no patterns
    body.array(&subtopology.changelogs, |body, name| {
        encode_topic(body, name, None, &[("cleanup.policy", "compact")]);
    });
    body.array(&subtopology.repartition_sinks, |body, name| {
        body.string(name);
    });
    body.array(&subtopology.repartition_sources, |body, topic| {
        let InternalTopic { name, partitions } = topic;
        // Consumed records are deleted by the engine, never by age: a late task needs them.
        let configs = [("cleanup.policy", "delete"), ("retention.ms", "-1")];
        encode_topic(body, name, *partitions, &configs);
    });
    let groups: Vec<_> = subtopology
        .copartition_groups
        .iter()
        .map(|group| copartition_indexes(subtopology, group))
        .collect();
    body.array(&groups, |body, (sources, repartitions)| {
        body.array(sources, |body, index| body.i16(*index));
        body.array(&[], |_, _: &()| ());
        body.array(repartitions, |body, index| body.i16(*index));
        body.no_tags();
    });
    body.no_tags();
}

/// `partitions` of 0 follow from the sources, a replication factor of 0 is the broker's default.
fn encode_topic(body: &mut Encoder, name: &str, partitions: Option<i32>, configs: &[(&str, &str)]) {
    body.string(name);
    body.i32(partitions.unwrap_or(0));
    body.i16(0);
    body.array(configs, |body, (key, value)| {
        body.string(key);
        body.string(value);
        body.no_tags();
    });
    body.no_tags();
}

/// The places of a group's topics among the sources, and among the repartition sources.
fn copartition_indexes(
    subtopology: &SubtopologyMetadata,
    group: &[std::sync::Arc<str>],
) -> (Vec<i16>, Vec<i16>) {
    let place = |index: usize| i16::try_from(index).unwrap_or(i16::MAX);
    let sources = subtopology.sources.iter().enumerate();
    let repartitions = subtopology.repartition_sources.iter().enumerate();
    (
        sources
            .filter(|(_, name)| group.contains(name))
            .map(|(i, _)| place(i))
            .collect(),
        repartitions
            .filter(|(_, topic)| group.contains(&topic.name))
            .map(|(i, _)| place(i))
            .collect(),
    )
}

fn decode_response(answer: &mut Decoder<'_>) -> io::Result<HeartbeatResponse> {
    let _throttle = answer.i32()?;
    let error = answer.i16()?;
    let message = answer.nullable_string()?;
    let _member = answer.string()?;
    let epoch = answer.i32()?;
    let interval_ms = answer.i32()?;
    let _acceptable_lag = answer.i32()?;
    let _offset_interval = answer.i32()?;
    let statuses = answer.array(|answer| {
        let status = (answer.i8()?, answer.string()?);
        answer.skip_tags()?;
        Ok(status)
    })?;
    let tasks = decode_tasks(answer)?;
    // The map of endpoints follows; it is read by whoever routes queries.
    let endpoint_epoch = answer.i32()?;
    Ok(HeartbeatResponse {
        error,
        message,
        epoch,
        interval_ms,
        statuses,
        tasks,
        endpoint_epoch,
    })
}

/// The three lists come together or not at all.
fn decode_tasks(answer: &mut Decoder<'_>) -> io::Result<Option<TaskLists>> {
    let active = decode_task_list(answer)?;
    let standby = decode_task_list(answer)?;
    let warmup = decode_task_list(answer)?;
    if active.is_none() && standby.is_none() && warmup.is_none() {
        return Ok(None);
    }
    Ok(Some(TaskLists {
        active: active.unwrap_or_default(),
        standby: standby.unwrap_or_default(),
        warmup: warmup.unwrap_or_default(),
    }))
}

fn decode_task_list(answer: &mut Decoder<'_>) -> io::Result<Option<Vec<TaskId>>> {
    let groups = answer.nullable_array(|answer| {
        let subtopology = answer.string()?;
        let partitions = answer.array(Decoder::i32)?;
        answer.skip_tags()?;
        let subtopology = subtopology.parse().map_err(|_| foreign(&subtopology))?;
        Ok(partitions.into_iter().map(move |partition| TaskId {
            subtopology,
            partition,
        }))
    })?;
    Ok(groups.map(|groups| {
        let mut tasks: Vec<_> = groups.into_iter().flatten().collect();
        tasks.sort_unstable();
        tasks
    }))
}

fn foreign(subtopology: &str) -> io::Error {
    let text = format!("sub-topology `{subtopology}` is of another application");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn copartition_groups_are_places() {
        let subtopology = SubtopologyMetadata {
            sources: vec![Arc::from("a"), Arc::from("b")],
            repartition_sources: vec![InternalTopic {
                name: Arc::from("r"),
                partitions: None,
            }],
            ..SubtopologyMetadata::default()
        };
        let group = [Arc::from("b"), Arc::from("r")];
        assert_eq!(
            copartition_indexes(&subtopology, &group),
            (vec![1], vec![0])
        );
    }

    #[test]
    fn tasks_are_sent_grouped_by_subtopology() {
        let task = |subtopology, partition| TaskId {
            subtopology,
            partition,
        };
        assert_eq!(
            by_subtopology(&[task(1, 0), task(0, 2), task(0, 1)]),
            vec![(0, vec![1, 2]), (1, vec![0])]
        );
    }
}
