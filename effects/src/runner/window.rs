//! The events of one partition that are under way: what may run, and how far all is done.
//!
//! Events enter in offset order and leave in offset order, when they and all before them are done.
//! Of the events with one key only the first that is not done may run.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use millrace_streams::Timestamp;
use millrace_streams::headers::HeaderList;
use millrace_streams::log::{Offset, RawRecord};

/// An event, as its bytes.
#[derive(Clone, Debug)]
pub(super) struct RawEvent {
    pub(super) offset: Offset,
    pub(super) timestamp: Timestamp,
    pub(super) headers: HeaderList,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
}

impl From<RawRecord<'_>> for RawEvent {
    fn from(record: RawRecord<'_>) -> Self {
        Self {
            offset: record.offset,
            timestamp: record.timestamp,
            headers: record.headers.into(),
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
        }
    }
}

/// The events of one partition between the committed position and the fetched one, and of each
/// that is done, what came of it: an `R`.
#[derive(Debug)]
pub(super) struct Window<R> {
    entries: VecDeque<Entry<R>>,
    /// The offset to fetch next.
    position: Offset,
    /// By key: the offsets that wait for the one that runs. An event without a key waits for none.
    lanes: HashMap<Vec<u8>, VecDeque<Offset>>,
    /// What may be started, in offset order as far as keys allow.
    ready: VecDeque<Offset>,
    running: usize,
}

#[derive(Debug)]
struct Entry<R> {
    event: Arc<RawEvent>,
    done: Option<R>,
}

impl<R> Window<R> {
    /// An empty window that begins at `position`.
    pub(super) fn new(position: Offset) -> Self {
        Self {
            entries: VecDeque::new(),
            position,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            running: 0,
        }
    }

    /// The offset to fetch next.
    pub(super) const fn position(&self) -> Offset {
        self.position
    }

    /// Goes on at `position`; what lies between was no event, or is gone.
    pub(super) fn skip_to(&mut self, position: Offset) {
        self.position = self.position.max(position);
    }

    /// The number of events that wait, run, or wait to be committed.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// True while a call runs.
    pub(super) const fn is_running(&self) -> bool {
        self.running > 0
    }

    /// Takes an event in. One that is in already, or was, is ignored.
    pub(super) fn push(&mut self, event: RawEvent) {
        if event.offset < self.position {
            return;
        }
        self.position = event.offset + 1;
        if self.is_first_of_key(&event) {
            self.ready.push_back(event.offset);
        }
        let event = Arc::new(event);
        self.entries.push_back(Entry { event, done: None });
    }

    /// Books the event's place in its key's lane; true if nothing is before it.
    fn is_first_of_key(&mut self, event: &RawEvent) -> bool {
        let Some(key) = &event.key else { return true };
        if let Some(waiting) = self.lanes.get_mut(key) {
            waiting.push_back(event.offset);
            return false;
        }
        self.lanes.insert(key.clone(), VecDeque::new());
        true
    }

    /// The next event that may run; it counts as running from now on.
    pub(super) fn start(&mut self) -> Option<Arc<RawEvent>> {
        let offset = self.ready.pop_front()?;
        let index = self.index_of(offset)?;
        self.running += 1;
        Some(Arc::clone(&self.entries.get(index)?.event))
    }

    /// Gives a started event back: it may run again.
    pub(super) fn put_back(&mut self, offset: Offset) {
        self.running = self.running.saturating_sub(1);
        self.ready.push_front(offset);
    }

    /// A started event is done. One that is not in the window is ignored.
    pub(super) fn finish(&mut self, offset: Offset, result: R) {
        let Some(index) = self.index_of(offset) else {
            return;
        };
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        if entry.done.replace(result).is_some() {
            return;
        }
        self.running = self.running.saturating_sub(1);
        let Some(key) = &entry.event.key else { return };
        let Some(waiting) = self.lanes.get_mut(key) else {
            return;
        };
        match waiting.pop_front() {
            Some(next) => self.ready.push_back(next),
            None => drop(self.lanes.remove(key)),
        }
    }

    /// The events that are done, with all before them, from the first on.
    pub(super) fn done(&self) -> impl Iterator<Item = (&RawEvent, &R)> {
        let entries = self.entries.iter();
        entries.map_while(|entry| Some((&*entry.event, entry.done.as_ref()?)))
    }

    /// The offset behind what is done: what a commit may say.
    pub(super) fn done_until(&self) -> Offset {
        let first = self.entries.iter().find(|entry| entry.done.is_none());
        first.map_or(self.position, |entry| entry.event.offset)
    }

    /// Forgets the events before `offset`: they are committed.
    pub(super) fn committed(&mut self, offset: Offset) {
        while let Some(entry) = self.entries.front() {
            if entry.event.offset >= offset || entry.done.is_none() {
                break;
            }
            self.entries.pop_front();
        }
    }

    fn index_of(&self, offset: Offset) -> Option<usize> {
        self.entries
            .binary_search_by_key(&offset, |entry| entry.event.offset)
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(offset: Offset, key: &str) -> RawEvent {
        RawEvent {
            offset,
            timestamp: Timestamp::from_millis(0),
            headers: HeaderList::new(),
            key: (!key.is_empty()).then(|| key.as_bytes().to_vec()),
            value: None,
        }
    }

    fn window(events: &[(Offset, &str)]) -> Window<&'static str> {
        let mut window = Window::new(0);
        for (offset, key) in events {
            window.push(event(*offset, key));
        }
        window
    }

    fn started(window: &mut Window<&'static str>) -> Vec<Offset> {
        std::iter::from_fn(|| window.start())
            .map(|event| event.offset)
            .collect()
    }

    #[test]
    fn events_of_one_key_run_one_after_the_other_and_others_side_by_side() {
        let mut window = window(&[(0, "a"), (1, "a"), (2, "b"), (3, "a")]);
        assert_eq!(started(&mut window), [0, 2]);
        window.finish(2, "");
        assert!(started(&mut window).is_empty());
        window.finish(0, "");
        assert_eq!(started(&mut window), [1]);
        window.finish(1, "");
        assert_eq!(started(&mut window), [3]);
        window.finish(3, "");
        window.push(event(4, "a"));
        assert_eq!(started(&mut window), [4]);
    }

    #[test]
    fn events_without_a_key_wait_for_none() {
        assert_eq!(started(&mut window(&[(0, ""), (1, "")])), [0, 1]);
    }

    #[test]
    fn what_is_done_out_of_turn_waits_for_all_before_it() {
        let mut window = window(&[(0, "a"), (2, "b"), (5, "c")]);
        started(&mut window);
        window.finish(5, "third");
        window.finish(0, "first");
        assert_eq!(window.done_until(), 2);
        assert_eq!(
            window.done().map(|(_, result)| *result).collect::<Vec<_>>(),
            ["first"]
        );
        window.committed(2);
        window.finish(2, "second");
        assert_eq!(
            window.done().map(|(_, r)| *r).collect::<Vec<_>>(),
            ["second", "third"]
        );
        assert_eq!(window.done_until(), 6);
        window.skip_to(9);
        assert_eq!(window.done_until(), 9);
        window.committed(9);
        assert_eq!((window.len(), window.is_running()), (0, false));
    }

    #[test]
    fn an_event_that_comes_again_is_ignored() {
        let mut window = window(&[(0, "a"), (1, "b")]);
        window.push(event(0, "a"));
        window.push(event(1, "b"));
        assert_eq!(started(&mut window), [0, 1]);
        assert_eq!(window.len(), 2);
    }

    #[test]
    fn an_event_that_is_put_back_runs_again_before_the_others_of_its_key() {
        let mut window = window(&[(0, "a"), (1, "a")]);
        assert_eq!(started(&mut window), [0]);
        window.put_back(0);
        assert_eq!(started(&mut window), [0]);
    }
}
