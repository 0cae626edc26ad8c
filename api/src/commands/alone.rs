//! A member that holds every task of a group: for work on an application that does not run.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use millrace_streams::log::{
    HeldTasks, Log, Member, OffsetReset, Seat, TopicInfo, TopologyMetadata,
};

/// The pause between two looks at the assignment.
const PAUSE: Duration = Duration::from_millis(20);
/// How often to look before the tasks are held to be somebody else's: 30 seconds.
const LOOKS_MAX: u32 = 1_500;

/// Joins the group of `application` and waits until every one of its tasks is held here.
///
/// # Errors
/// When others keep some of them, so the application runs elsewhere.
pub(super) fn join(
    log: &dyn Log,
    application: &str,
    topology: TopologyMetadata,
) -> Result<Box<dyn Member>> {
    let wanted = tasks(&topology, &log.topics()?);
    let mut member = log.join(seat(application, topology))?;
    let mut held = 0;
    for _ in 0..LOOKS_MAX {
        if let Some(assignment) = member.poll_assignment()? {
            held = assignment.active.len();
            member.confirm(&HeldTasks {
                active: assignment.active,
                standby: assignment.standby,
            })?;
        }
        if held == wanted {
            return Ok(member);
        }
        thread::park_timeout(PAUSE);
    }
    member.leave()?;
    bail!("only {held} of {wanted} tasks of `{application}` are free; stop what runs it first")
}

fn seat(application: &str, topology: TopologyMetadata) -> Seat {
    // The same for every run, so that a run fences what an interrupted one has left open.
    let process = format!("{application}-tools");
    Seat {
        application: application.into(),
        member_id: format!("{process}-0"),
        process_id: process,
        endpoint: None,
        topology: Arc::new(topology),
        offset_reset: OffsetReset::Earliest,
        fetch_bytes_max: 8 << 20,
        transaction_timeout: Duration::from_secs(60),
    }
}

/// How many tasks there are: a sub-topology has as many as its widest source has partitions.
fn tasks(topology: &TopologyMetadata, topics: &[TopicInfo]) -> usize {
    let width = |name: &Arc<str>| {
        let found = topics.iter().find(|info| info.name == *name);
        found.map_or(0, |info| usize::try_from(info.partitions).unwrap_or(0))
    };
    let widest = topology.subtopologies.iter().map(|part| {
        let repartitions = part.repartition_sources.iter().map(|topic| &topic.name);
        part.sources
            .iter()
            .chain(repartitions)
            .map(width)
            .max()
            .unwrap_or(0)
    });
    widest.sum()
}
