//! What the auditor has found and the rules have noted, in memory: counts, and the latest.

use std::collections::{BTreeMap, VecDeque};

use millrace_avro::event::Event;
use millrace_avro::events::common::AuditEvent;
use parking_lot::RwLock;

use crate::ports::{Audit, FoundViolation};

/// How many violations are shown; all are counted, and all are in the log.
const LATEST_MAX: usize = 100;

/// The fold of the audit log.
#[derive(Debug, Default)]
pub struct AuditLog {
    folded: RwLock<Folded>,
}

#[derive(Debug, Default)]
struct Folded {
    by_invariant: BTreeMap<i32, u64>,
    by_code: BTreeMap<String, u64>,
    /// The newest last.
    latest: VecDeque<FoundViolation>,
}

impl AuditLog {
    /// Takes an entry in.
    pub fn apply(&self, entry: Event<AuditEvent>) {
        let mut folded = self.folded.write();
        match entry.body {
            AuditEvent::Noted(note) => *folded.by_code.entry(note.code).or_default() += 1,
            AuditEvent::InvariantViolated(found) => {
                let count = folded.by_invariant.entry(found.invariant).or_default();
                *count += 1;
                let invariant = found.invariant.to_string();
                let gauge = metrics::gauge!("audit_violations", "invariant" => invariant);
                gauge.set(*count as f64);
                if folded.latest.len() == LATEST_MAX {
                    folded.latest.pop_front();
                }
                folded.latest.push_back(FoundViolation {
                    id: entry.meta.id,
                    at: entry.meta.time,
                    found,
                });
            }
        }
    }

    /// What is known now, the latest first.
    pub fn shown(&self) -> Audit {
        let folded = self.folded.read();
        Audit {
            by_invariant: folded.by_invariant.clone(),
            by_code: folded.by_code.clone(),
            latest: folded.latest.iter().rev().cloned().collect(),
        }
    }
}
