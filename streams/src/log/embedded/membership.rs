//! Joining and leaving: where groups meet the topics that their topologies need.

use super::group::{Group, Ticket};
use super::shared::Shared;
use super::tasks::plan;
use super::topics;
use crate::log::{Assignment, LogError, Seat};

/// Takes a seat. A member with the same id loses its own, and whatever it is writing has ended
/// when this answers.
pub(super) fn join(shared: &Shared, seat: &Seat) -> Result<Ticket, LogError> {
    shared.check()?;
    let (ticket, replaces) = shared.groups.lock().join(seat)?;
    if replaces {
        shared.wait_for_pending()?;
    }
    Ok(ticket)
}

/// Gives a seat up.
pub(super) fn leave(shared: &Shared, ticket: &Ticket) {
    shared.groups.lock().leave(ticket);
}

/// The assignment, if it changed. The first to ask creates the application's internal topics.
pub(super) fn poll(shared: &Shared, ticket: &Ticket) -> Result<Option<Assignment>, LogError> {
    let mut groups = shared.groups.lock();
    let group = groups.group_of(ticket)?;
    if group.needs_plan() {
        make_plan(shared, group)?;
    }
    group.poll(ticket.key)
}

fn make_plan(shared: &Shared, group: &mut Group) -> Result<(), LogError> {
    let plan = {
        let state = shared.state.read();
        plan(&group.topology, |name| {
            let (_, topic) = state.topic(name)?;
            i32::try_from(topic.partitions.len()).ok()
        })?
    };
    topics::create(shared, &plan.topics)?;
    group.set_plan(plan);
    Ok(())
}
