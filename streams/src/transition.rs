//! The pure state machine: a state per key, events that change it, deadlines that pass, effects.

use crate::serde::Data;
use crate::time::Timestamp;

/// A state machine without side effects, which [`crate::KStream::transition`] runs over one store.
///
/// It is total and pure: every pair of state and event has an answer, and the answer follows from
/// the arguments alone. So it can be tested without an engine, and a replay gives the same output.
pub trait Transition: Send + Sync + 'static {
    /// What the state belongs to.
    type Key: Data;
    /// The state of one key.
    type State: Data;
    /// What changes it.
    type Event: 'static;
    /// What follows from a change, for others to do or to know.
    type Effect: 'static;

    /// The step that `event` causes at time `at`; `state` is `None` before the key's first event.
    fn on_event(
        &self,
        key: &Self::Key,
        state: Option<Self::State>,
        event: &Self::Event,
        at: Timestamp,
    ) -> Step<Self::State, Self::Effect>;

    /// The step that the state's deadline causes; `at` is not before the deadline.
    fn on_deadline(
        &self,
        key: &Self::Key,
        state: Self::State,
        at: Timestamp,
    ) -> Step<Self::State, Self::Effect>;
}

/// What an event or a deadline leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<S, E> {
    /// The state from now on; `None` forgets the key.
    pub state: Option<S>,
    /// What follows, in order.
    pub effects: Vec<E>,
    /// When [`Transition::on_deadline`] is called unless another step comes first; `None` means
    /// that the state waits for nothing.
    pub deadline: Option<Timestamp>,
}
