//! The latest answers to commands, whoever has given them: whether a view shows what a command did.

use std::collections::{HashMap, VecDeque};

use millrace_avro::event::EventId;
use millrace_avro::events::common::{CommandReply, Outcome};

/// How many answers are remembered. A read that comes later waits for the usual time.
const REPLIES_MAX: usize = 10_000;

/// The latest answers, by command.
#[derive(Debug, Default)]
pub(super) struct Replies {
    versions: HashMap<EventId, i64>,
    order: VecDeque<EventId>,
}

impl Replies {
    pub(super) fn remember(&mut self, id: EventId, reply: &CommandReply) {
        let changes = reply.outcome != Outcome::Refused;
        let version = if changes { reply.version } else { 0 };
        if self.versions.insert(id.clone(), version).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > REPLIES_MAX {
            let oldest = self.order.pop_front();
            oldest.and_then(|oldest| self.versions.remove(&oldest));
        }
    }

    /// The version that a view must have to show what the command did; 0 if it did nothing.
    pub(super) fn version(&self, id: &EventId) -> Option<i64> {
        self.versions.get(id).copied()
    }
}

#[cfg(test)]
mod tests {
    use millrace_avro::keys::AggregateId;

    use super::*;

    fn reply(outcome: Outcome) -> CommandReply {
        CommandReply {
            command_id: "c".to_owned(),
            command: "order.placed".to_owned(),
            aggregate: AggregateId::new("o").unwrap(),
            outcome,
            code: None,
            detail: None,
            allowed: Vec::new(),
            version: 7,
        }
    }

    #[test]
    fn the_latest_answers_are_remembered_and_the_oldest_forgotten() {
        let mut replies = Replies::default();
        let id = |n: usize| EventId::new(n.to_string());
        replies.remember(id(0), &reply(Outcome::Accepted));
        replies.remember(id(1), &reply(Outcome::Refused));
        assert_eq!(replies.version(&id(0)), Some(7));
        assert_eq!(replies.version(&id(1)), Some(0));
        for n in 0..=REPLIES_MAX {
            replies.remember(id(n), &reply(Outcome::Accepted));
        }
        assert_eq!(replies.version(&id(0)), None);
        assert_eq!(replies.version(&id(REPLIES_MAX)), Some(7));
    }
}
