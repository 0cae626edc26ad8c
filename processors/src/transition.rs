//! The shape of a rule: an event or a deadline goes in, a new state and effects come out.

use millrace_streams::Timestamp;

/// A pure rule over one aggregate.
///
/// It is total and deterministic: it reads no clock and no random source, and answers the same
/// for the same arguments. Whoever runs it keeps the state, delivers the deadline, and carries
/// out the effects.
pub trait Transition: Send + Sync + 'static {
    /// What identifies an aggregate.
    type Key;
    /// What is remembered of it.
    type State;
    /// What it hears.
    type Event;
    /// What is to be done.
    type Effect;

    /// Takes in an event that happened, or arrived, `at` this time.
    fn on_event(
        &self,
        key: &Self::Key,
        state: Option<Self::State>,
        event: &Self::Event,
        at: Timestamp,
    ) -> Step<Self::State, Self::Effect>;

    /// Takes in that the deadline of the last step has passed.
    fn on_deadline(
        &self,
        key: &Self::Key,
        state: Self::State,
        at: Timestamp,
    ) -> Step<Self::State, Self::Effect>;
}

/// What a rule has decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Step<S, E> {
    /// The state from now on; `None` removes it.
    pub state: Option<S>,
    /// What is to be done, in this order.
    pub effects: Vec<E>,
    /// When the rule wants to be asked again; it replaces the deadline of the last step.
    pub deadline: Option<Timestamp>,
}
