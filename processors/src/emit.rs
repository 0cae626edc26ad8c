//! How a rule names what it causes: ids, sequence numbers, correlation.

use millrace_avro::event::{Event, EventId, EventSet, Meta};
use millrace_avro::events::common::{
    AuditEntry, AuditEvent, CommandReply, Outcome, ReplyEvent, Severity,
};
use millrace_avro::events::orders::Origin;
use millrace_avro::keys::AggregateId;
use millrace_streams::Timestamp;

/// The metadata of everything that one step causes.
///
/// Ids are derived from the cause and from the place within the step, so that a step that is
/// repeated gives its effects the ids they had before.
#[derive(Debug)]
pub struct Emitter {
    cause: Meta,
    cause_type: String,
    source: &'static str,
    at: Timestamp,
    emitted: u32,
}

impl Emitter {
    /// Names what the event `cause` of type `cause_type` causes.
    pub fn of(cause: &Meta, cause_type: &str, source: &'static str, at: Timestamp) -> Self {
        Self {
            cause: cause.clone(),
            cause_type: cause_type.to_owned(),
            source,
            at,
            emitted: 0,
        }
    }

    /// Names what the passing of a deadline causes, when the aggregate `key` has last told fact
    /// number `seq`. Names follow from when the step was `due`, whenever it is taken.
    pub fn of_deadline(
        key: &str,
        seq: i64,
        origin: &Origin,
        source: &'static str,
        due: Option<Timestamp>,
        at: Timestamp,
    ) -> Self {
        let due = due.unwrap_or(at);
        let passed = format!("{source}/{key}/{seq}/{due}");
        let id = EventId::derive(&EventId::new(passed), "deadline", 0);
        let mut cause = Meta::new(id, source, at);
        cause.correlation_id = EventId::new(origin.correlation_id.as_str());
        cause.traceparent = origin.traceparent.as_deref().map(Into::into);
        cause.actor = origin.actor.as_deref().map(Into::into);
        Self::of(&cause, "deadline", source, at)
    }

    /// The time of the step.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The id of the event that causes it all.
    pub fn cause_id(&self) -> &str {
        self.cause.id.as_str()
    }

    /// On whose behalf.
    pub fn actor(&self) -> &str {
        self.cause.actor.as_deref().unwrap_or("system")
    }

    /// What later deadlines inherit from this step.
    pub fn origin(&self) -> Origin {
        Origin {
            correlation_id: self.cause.correlation_id.as_str().to_owned(),
            traceparent: self.cause.traceparent.as_deref().map(str::to_owned),
            actor: self.cause.actor.as_deref().map(str::to_owned),
        }
    }

    /// An event without a place in a sequence: a command, a reply.
    pub fn event<E: EventSet>(&mut self, body: impl Into<E>) -> Event<E> {
        let body = body.into();
        let (name, index) = (body.type_name(), self.emitted);
        self.emitted += 1;
        let meta = self.cause.derive(name, index, self.source, self.at);
        Event { meta, body }
    }

    /// A fact: the next of its aggregate, whose last one has the number `seq`.
    pub fn fact<E: EventSet>(&mut self, seq: &mut i64, body: impl Into<E>) -> Event<E> {
        *seq += 1;
        let mut event = self.event(body);
        event.meta.seq = u64::try_from(*seq).unwrap_or(0);
        event
    }

    /// The answer to the command that causes this step.
    pub fn reply(
        &mut self,
        aggregate: AggregateId,
        version: i64,
        verdict: &Verdict,
    ) -> Event<ReplyEvent> {
        let (outcome, refusal) = match verdict {
            Verdict::Accepted => (Outcome::Accepted, None),
            Verdict::Unchanged => (Outcome::Unchanged, None),
            Verdict::Refused(refusal) => (Outcome::Refused, Some(refusal)),
        };
        let reply = CommandReply {
            command_id: self.cause_id().to_owned(),
            command: self.cause_type.clone(),
            aggregate,
            outcome,
            code: refusal.map(|refusal| refusal.code.to_owned()),
            detail: refusal.map(|refusal| refusal.detail.clone()),
            allowed: refusal.map_or_else(Vec::new, |refusal| refusal.allowed.clone()),
            version,
        };
        self.event(reply)
    }

    /// An entry of the audit log about the event that causes this step.
    pub fn audit(&mut self, aggregate: AggregateId, kind: &str, note: Note) -> Event<AuditEvent> {
        let entry = AuditEntry {
            aggregate,
            kind: kind.to_owned(),
            severity: note.severity,
            code: note.code.to_owned(),
            detail: note.detail,
            input_id: self.cause_id().to_owned(),
            input_type: self.cause_type.clone(),
        };
        self.event(entry)
    }
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was carried out.
    Accepted,
    /// What it asks for was so already.
    Unchanged,
    /// It was not carried out.
    Refused(Refusal),
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub detail: String,
    /// The commands that would be accepted instead.
    pub allowed: Vec<String>,
}

impl Refusal {
    /// A refusal with its reason.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            allowed: Vec::new(),
        }
    }
}

/// What the audit log is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How much it matters.
    pub severity: Severity,
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub detail: String,
}

impl Note {
    /// Something expected: a duplicate, a stale event.
    pub fn info(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Severity::Info, code, detail)
    }

    /// Something that should not happen, and that harmed nothing.
    pub fn warning(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, detail)
    }

    /// Something that somebody has to look at.
    pub fn alert(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Severity::Alert, code, detail)
    }

    fn new(severity: Severity, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            severity,
            code,
            detail: detail.into(),
        }
    }
}
