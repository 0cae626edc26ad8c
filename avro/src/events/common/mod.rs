//! What every domain shares: replies to commands, entries of the audit log, the memory of duplicates.

mod recent;
mod rfc3339;

use serde::{Deserialize, Serialize};

use crate::keys::AggregateId;
use crate::{avro_record, events};

pub use recent::{Fingerprint, Recent};
pub use rfc3339::rfc3339;

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was carried out.
    Accepted,
    /// It had been carried out before, or asked for what already was so.
    Unchanged,
    /// It was not carried out; the code says why.
    Refused,
}

/// The one answer to a command of a client, which it waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandReply {
    /// The id of the command's event.
    pub command_id: String,
    /// The type of the command, as `order.placed`.
    pub command: String,
    /// The aggregate that decided.
    pub aggregate: AggregateId,
    /// What became of the command.
    pub outcome: Outcome,
    /// Why it was refused, for programs: `insufficient-stock`.
    pub code: Option<String>,
    /// Why it was refused, for people.
    pub detail: Option<String>,
    /// The commands that the aggregate would accept instead.
    pub allowed: Vec<String>,
    /// The aggregate's version after the command.
    pub version: i64,
}
avro_record!(
    CommandReply = "millrace.common.CommandReply",
    "common/CommandReply.avsc"
);

/// How much an entry of the audit log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is expected: a duplicate, a stale event.
    Info,
    /// It should not happen, and nothing was harmed.
    Warning,
    /// Somebody has to look.
    Alert,
}

/// Something that a rule did not act upon, or that somebody has to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// The aggregate that decided.
    pub aggregate: AggregateId,
    /// The kind of aggregate: `order`.
    pub kind: String,
    /// How much it matters.
    pub severity: Severity,
    /// What happened, for programs: `stale-event`.
    pub code: String,
    /// What happened, for people.
    pub detail: String,
    /// The id of the event that led to this entry.
    pub input_id: String,
    /// The type of that event.
    pub input_type: String,
}
avro_record!(
    AuditEntry = "millrace.common.AuditEntry",
    "common/AuditEntry.avsc"
);

/// The auditor has found facts that contradict an invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvariantViolated {
    /// The number of the invariant in the contract, from 1.
    pub invariant: i32,
    /// The order, or the SKU at a location.
    pub aggregate: AggregateId,
    /// The facts that contradict each other.
    pub detail: String,
}
avro_record!(
    InvariantViolated = "millrace.common.InvariantViolated",
    "common/InvariantViolated.avsc"
);

events! {
    /// Answers to commands.
    pub enum ReplyEvent {
        Replied(CommandReply) = "command.replied",
    }
}

events! {
    /// What the audit log holds.
    pub enum AuditEvent {
        Noted(AuditEntry) = "audit.noted",
        InvariantViolated(InvariantViolated) = "audit.invariant_violated",
    }
}
