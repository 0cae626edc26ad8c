//! Punctuations: what an operator has scheduled, by stream time or by wall clock.

use std::time::Duration;

use crate::time::Timestamp;

/// What moves a punctuation on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PunctuationKind {
    /// The timestamps of the records.
    StreamTime,
    /// The wall clock, as ticks deliver it.
    WallClock,
}

/// One of a processor's punctuations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PunctuationId(usize);

impl PunctuationId {
    pub(crate) fn new(index: usize) -> Self {
        Self(index)
    }
}

/// A punctuation that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// The number of the operator's hooks.
    pub(crate) hook: usize,
    pub(crate) id: PunctuationId,
}

/// The schedules of one kind, of all operators of a task.
///
/// A task has a handful of them, so the next is found by looking at all. Punctuations that are due
/// together run in the order of their times, then in the order in which they were scheduled.
#[derive(Debug, Default)]
pub(crate) struct PunctuationQueue {
    schedules: Vec<Schedule>,
}

#[derive(Debug)]
struct Schedule {
    due: Due,
    interval: Duration,
    next: Timestamp,
}

impl PunctuationQueue {
    /// Schedules `due` every `interval`, for the first time at `first`.
    pub(crate) fn schedule(&mut self, due: Due, interval: Duration, first: Timestamp) {
        let interval = interval.max(Duration::from_millis(1));
        self.schedules.push(Schedule {
            due,
            interval,
            next: first,
        });
    }

    /// Takes the next punctuation that is due at `now`. It is scheduled again for the first
    /// multiple of its interval after `now`: missed ones are skipped, as in Kafka Streams.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Option<Due> {
        let schedule = self
            .schedules
            .iter_mut()
            .min_by_key(|schedule| schedule.next)?;
        if schedule.next > now {
            return None;
        }
        let interval = i64::try_from(schedule.interval.as_millis())
            .unwrap_or(i64::MAX)
            .max(1);
        let missed = now.as_millis().saturating_sub(schedule.next.as_millis()) / interval;
        let ahead = interval.saturating_mul(missed.saturating_add(1));
        schedule.next = Timestamp::from_millis(schedule.next.as_millis().saturating_add(ahead));
        Some(schedule.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: Due = Due {
        hook: 0,
        id: PunctuationId(0),
    };

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn missed_punctuations_are_skipped_and_the_rhythm_stays() {
        let mut queue = PunctuationQueue::default();
        queue.schedule(DUE, Duration::from_millis(100), at(0));
        assert_eq!(queue.take_due(at(0)), Some(DUE));
        assert_eq!(queue.take_due(at(50)), None);
        assert_eq!(queue.take_due(at(350)), Some(DUE));
        assert_eq!(queue.take_due(at(350)), None);
        assert_eq!(queue.take_due(at(399)), None);
        assert_eq!(queue.take_due(at(400)), Some(DUE));
    }

    #[test]
    fn due_together_they_run_in_the_order_of_their_times() {
        let mut queue = PunctuationQueue::default();
        let late = Due {
            hook: 1,
            id: PunctuationId(0),
        };
        queue.schedule(late, Duration::from_millis(100), at(20));
        queue.schedule(DUE, Duration::from_millis(100), at(10));
        assert_eq!(queue.take_due(at(30)), Some(DUE));
        assert_eq!(queue.take_due(at(30)), Some(late));
    }
}
