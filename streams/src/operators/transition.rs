//! `transition`: runs a pure state machine over one store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::catalog::Store;
use crate::dsl::{KStream, Partitioned};
use crate::error::ProcessResult;
use crate::headers::Headers;
use crate::operators::{Downstream, Operator};
use crate::record::Record;
use crate::store::KeyValueStore;
use crate::task::TaskContext;
use crate::time::Timestamp;
use crate::topology::{Hooks, NodeKind};
use crate::transition::{Step, Transition};

impl<'t, K, V: 'static, P> KStream<'t, K, V, P> {
    /// Runs a [`Transition`] over the stream: the state of each key stands in `states`, its running
    /// deadline in `deadlines`, and what comes out are the effects of each step, in order, under the
    /// key, with the timestamp and headers of the event.
    ///
    /// Creates both stores and their changelogs `<application>-<store>-changelog`. Deadlines follow
    /// the wall clock: they are looked at with every tick, and fire in the order of their times. The
    /// effects of a deadline carry the time of the tick and no headers.
    ///
    /// An outage counts against nobody: an event that has waited in its topic happens when the task
    /// hears it, and where deadlines have passed while the task was down, none fires in its first
    /// five seconds, in which the answers that were waited for may be heard.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millrace_streams::{
    /// #     Step, Store, Timestamp, Topic, Topology, TopologyTestDriver, Transition,
    /// # };
    /// const KNOCKS: Topic<String, String> = Topic::new("knocks");
    /// const DOOR: Topic<String, String> = Topic::new("door");
    /// const OPEN: Store<String, String> = Store::new("open-doors");
    /// const OPEN_UNTIL: Store<String, i64> = Store::new("open-doors-deadlines");
    ///
    /// /// Opens a door for who knocks, and closes it ten seconds after the last.
    /// struct Doorman;
    ///
    /// impl Transition for Doorman {
    ///     type Key = String;
    ///     type State = String;
    ///     type Event = String;
    ///     type Effect = String;
    ///
    ///     fn on_event(
    ///         &self,
    ///         _: &String,
    ///         state: Option<String>,
    ///         who: &String,
    ///         at: Timestamp,
    ///     ) -> Step<String, String> {
    ///         let effects = if state.is_none() { vec![format!("open for {who}")] } else { vec![] };
    ///         let deadline = Some(at + Duration::from_secs(10));
    ///         Step { state: Some(who.clone()), effects, deadline }
    ///     }
    ///
    ///     fn on_deadline(&self, _: &String, who: String, _: Timestamp) -> Step<String, String> {
    ///         Step { state: None, effects: vec![format!("close behind {who}")], deadline: None }
    ///     }
    /// }
    ///
    /// let topology = Topology::define("doors", |t| {
    ///     t.stream(KNOCKS).transition(OPEN, OPEN_UNTIL, Doorman).to(DOOR);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// for who in ["ann", "bob"] {
    ///     let at = Timestamp::from_millis(0);
    ///     driver.input(KNOCKS).pipe(&"front".to_owned(), &who.to_owned(), at)?;
    /// }
    /// driver.advance_wall_clock(Duration::from_secs(10))?;
    /// assert_eq!(driver.output(DOOR).read_values()?, ["open for ann", "close behind bob"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn transition<T>(
        self,
        states: Store<K, T::State>,
        deadlines: Store<K, i64>,
        transition: T,
    ) -> KStream<'t, K, T::Effect>
    where
        P: Partitioned,
        T: Transition<Key = K, Event = V>,
        K: crate::serde::Data + Clone + Ord,
    {
        let transition = Arc::new(transition);
        let scope = self.scope();
        let slots = [scope.add_store(states), scope.add_store(deadlines)];
        let parents = [self.node()];
        let node = scope.add(
            "transition",
            NodeKind::Processor,
            &parents,
            &slots,
            move |building| {
                let operator = TransitionOperator {
                    transition: transition.clone(),
                    states: KeyValueStore::new(building.locator(), states)?,
                    deadlines: KeyValueStore::new(building.locator(), deadlines)?,
                    due: BTreeSet::new(),
                    quiet_until: Timestamp::from_millis(0),
                    out: building.downstream(),
                };
                building.stateful::<K, V, _>(operator);
                Ok(())
            },
        );
        scope.handle(node)
    }
}

/// How long deadlines wait for events after an outage that was longer than this.
const GRACE: Duration = Duration::from_secs(5);

struct TransitionOperator<T: Transition> {
    transition: Arc<T>,
    states: KeyValueStore<T::Key, T::State>,
    deadlines: KeyValueStore<T::Key, i64>,
    /// The running deadlines in the order of their times: the store `deadlines`, turned around.
    due: BTreeSet<(Timestamp, T::Key)>,
    /// Before this time no deadline fires.
    quiet_until: Timestamp,
    out: Downstream<T::Key, T::Effect>,
}

impl<T: Transition<Key: Clone + Ord>> TransitionOperator<T> {
    #[expect(clippy::needless_pass_by_value, reason = "a step is taken once")]
    fn take(
        &mut self,
        cx: &mut TaskContext,
        key: &T::Key,
        step: Step<T::State, T::Effect>,
        headers: Headers<'_>,
    ) -> ProcessResult {
        let timestamp = cx.timestamp();
        match &step.state {
            Some(state) => self.states.put(cx, key, state)?,
            None => self.states.delete(cx, key)?,
        }
        self.set_deadline(cx, key, step.deadline)?;
        for effect in &step.effects {
            self.out.forward(
                cx,
                Record {
                    key,
                    value: effect,
                    timestamp,
                    headers,
                },
            )?;
        }
        Ok(())
    }

    fn set_deadline(
        &mut self,
        cx: &mut TaskContext,
        key: &T::Key,
        deadline: Option<Timestamp>,
    ) -> ProcessResult {
        let running = self.deadlines.get(cx, key)?.map(Timestamp::from_millis);
        if running == deadline {
            return Ok(());
        }
        if let Some(running) = running {
            self.due.remove(&(running, key.clone()));
        }
        match deadline {
            Some(deadline) => {
                self.due.insert((deadline, key.clone()));
                self.deadlines.put(cx, key, &deadline.as_millis())
            }
            None => self.deadlines.delete(cx, key),
        }
    }

    /// The first deadline that has passed.
    fn next_due(&self, at: Timestamp) -> Option<T::Key> {
        let (deadline, key) = self.due.first()?;
        (*deadline <= at && self.quiet_until <= at).then(|| key.clone())
    }
}

impl<T: Transition<Key: Clone + Ord>> Operator<T::Key, T::Event> for TransitionOperator<T> {
    fn process(
        &mut self,
        cx: &mut TaskContext,
        record: Record<'_, T::Key, T::Event>,
    ) -> ProcessResult {
        let state = self.states.get(cx, record.key)?;
        let at = record.timestamp.max(cx.wall_clock());
        let step = self
            .transition
            .on_event(record.key, state, record.value, at);
        self.take(cx, record.key, step, record.headers)
    }
}

impl<T: Transition<Key: Clone + Ord>> Hooks for TransitionOperator<T> {
    fn init(&mut self, cx: &mut TaskContext) -> ProcessResult {
        let running = self.deadlines.all(cx)?;
        self.due = running
            .into_iter()
            .map(|(key, deadline)| (Timestamp::from_millis(deadline), key))
            .collect();
        let now = cx.wall_clock();
        let was_down = self.due.first().is_some_and(|(due, _)| *due + GRACE < now);
        self.quiet_until = if was_down { now + GRACE } else { now };
        Ok(())
    }

    fn tick(&mut self, cx: &mut TaskContext, at: Timestamp) -> ProcessResult {
        while let Some(key) = self.next_due(at) {
            let step = match self.states.get(cx, &key)? {
                Some(state) => self.transition.on_deadline(&key, state, at),
                None => Step {
                    state: None,
                    effects: Vec::new(),
                    deadline: None,
                },
            };
            // A step that keeps a deadline in the past would be taken again for ever: it waits for
            // the next tick instead.
            let deadline = step
                .deadline
                .map(|next| next.max(at + Duration::from_millis(1)));
            self.take(cx, &key, Step { deadline, ..step }, Headers::EMPTY)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::log::Isolation;
    use crate::log::sim::SimOptions;
    use crate::serde::Resources;
    use crate::{
        RecordCodec, Simulation, StreamsConfig, Topic, Topology, TopologyError, TopologyTestDriver,
    };

    type Result = std::result::Result<(), Box<dyn Error>>;

    const MINUTE: Duration = Duration::from_secs(60);
    const EVENTS: Topic<u32, String> = Topic::new("events").partitions(1);
    const TOLD: Topic<u32, String> = Topic::new("told").partitions(1);
    const STATES: Store<u32, String> = Store::new("states");
    const DEADLINES: Store<u32, i64> = Store::new("deadlines");

    /// Waits a minute for `paid`, and gives up.
    struct Wait;

    impl Transition for Wait {
        type Key = u32;
        type State = String;
        type Event = String;
        type Effect = String;

        fn on_event(
            &self,
            _key: &u32,
            _state: Option<String>,
            event: &String,
            at: Timestamp,
        ) -> Step<String, String> {
            Step {
                state: Some(event.clone()),
                effects: vec![event.clone()],
                deadline: (event == "placed").then(|| at + MINUTE),
            }
        }

        fn on_deadline(&self, _key: &u32, _state: String, _at: Timestamp) -> Step<String, String> {
            Step {
                state: None,
                effects: vec!["given up".to_owned()],
                deadline: None,
            }
        }
    }

    fn topology() -> std::result::Result<Topology, TopologyError> {
        Topology::define("wait", |t| {
            t.stream(EVENTS)
                .transition(STATES, DEADLINES, Wait)
                .to(TOLD);
        })
    }

    #[test]
    fn an_event_that_has_waited_in_its_topic_has_its_whole_time() -> Result {
        let mut driver = TopologyTestDriver::new(&topology()?)?;
        driver.advance_wall_clock(10 * MINUTE)?;
        let appended = Timestamp::from_millis(0);
        driver
            .input(EVENTS)
            .pipe(&1, &"placed".to_owned(), appended)?;
        driver.advance_wall_clock(MINUTE - Duration::from_millis(1))?;
        assert_eq!(driver.output(TOLD).read_values()?, ["placed"]);
        driver.advance_wall_clock(Duration::from_millis(1))?;
        assert_eq!(driver.output(TOLD).read_values()?, ["given up"]);
        Ok(())
    }

    #[test]
    fn a_deadline_that_passed_while_the_task_was_down_waits_for_what_was_said_meanwhile() -> Result
    {
        let mut simulation = Simulation::new(1, SimOptions::default());
        simulation.create_topics(&[EVENTS.spec(), TOLD.spec()])?;
        simulation.add_application(&topology()?, StreamsConfig::default());
        simulation.start_instances(1)?;
        let mut codec = RecordCodec::new(EVENTS, &Resources::new())?;
        let mut say = |simulation: &mut Simulation, key: u32, event: &str| -> Result {
            let at = simulation.now();
            simulation.append(&codec.encode(&key, &event.to_owned(), at)?)?;
            Ok(())
        };
        say(&mut simulation, 1, "placed")?;
        say(&mut simulation, 2, "placed")?;
        simulation.settle()?;
        simulation.crash(0);
        simulation.advance(60 * MINUTE);
        say(&mut simulation, 1, "paid")?;
        simulation.settle()?;
        simulation.advance(GRACE);
        simulation.settle()?;

        let mut told = RecordCodec::new(TOLD, &Resources::new())?;
        let records = simulation.log().dump(TOLD.name(), Isolation::ReadCommitted);
        let told: std::result::Result<Vec<(u32, String)>, _> = records
            .iter()
            .map(|r| told.decode(r.key.as_deref(), r.value.as_deref(), r.headers.view()))
            .collect();
        let expected = [(1, "placed"), (2, "placed"), (1, "paid"), (2, "given up")];
        assert_eq!(told?, expected.map(|(key, text)| (key, text.to_owned())));
        Ok(())
    }
}
