//! Random operations against a plain model, over both disks, ordered and unordered.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use millrace_state::{
    Entry, Error, MemoryDisk, Range, StateDir, StateOptions, Store, StoreId, StoreOptions,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

type Bytes = Vec<u8>;
type Map = BTreeMap<Bytes, Bytes>;

/// Little memory, so that eviction is the rule; and every second call may flush.
const OPTIONS: StateOptions = StateOptions {
    memory_bytes_max: 3000,
    flush_interval: Duration::from_millis(2),
    flush_bytes: 400,
};

#[derive(Clone, Debug)]
enum Op {
    Put(Bytes, Bytes),
    Delete(Bytes),
    Get(Bytes),
    Range(Bytes, Bytes, bool),
    Prefix(Bytes),
    Changes,
    Commit,
    Discard,
    Restore(Vec<(Bytes, Option<Bytes>)>),
    MaybeFlush,
    Flush,
    Warm(usize),
    Crash,
    Close,
    Wipe,
}

fn key() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(prop::sample::select(vec![0u8, 1, 7, 254, 255]), 0..4)
}

fn value() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        4 => any::<u8>().prop_map(|byte| vec![byte; 40]),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (key(), value()).prop_map(|(key, value)| Op::Put(key, value)),
        5 => key().prop_map(Op::Delete),
        4 => key().prop_map(Op::Get),
        2 => (key(), key(), any::<bool>()).prop_map(|(a, b, reverse)| Op::Range(a, b, reverse)),
        1 => key().prop_map(Op::Prefix),
        2 => Just(Op::Changes),
        5 => Just(Op::Commit),
        1 => Just(Op::Discard),
        1 => prop::collection::vec((key(), prop::option::of(value())), 0..30).prop_map(Op::Restore),
        4 => Just(Op::MaybeFlush),
        1 => Just(Op::Flush),
        1 => (0..20usize).prop_map(Op::Warm),
        1 => Just(Op::Crash),
        1 => Just(Op::Close),
        1 => prop::bool::weighted(0.2).prop_map(|wipe| if wipe { Op::Wipe } else { Op::Discard }),
    ]
}

/// Where the state is kept.
enum Disk {
    Memory(MemoryDisk),
    Files(PathBuf),
}

impl Disk {
    fn open(&self) -> StateDir {
        match self {
            Self::Memory(disk) => StateDir::in_memory_shared(disk, OPTIONS),
            Self::Files(path) => StateDir::open(path, OPTIONS).unwrap(),
        }
    }
}

/// A committed or flushed state, with its offset.
#[derive(Clone, Default)]
struct State {
    map: Map,
    position: Option<i64>,
}

struct Run<'a> {
    disk: &'a Disk,
    options: StoreOptions,
    store: Option<Store>,
    buffer: Vec<(Bytes, Option<Bytes>)>,
    committed: State,
    flushed: State,
    offset: i64,
    now: Duration,
}

impl<'a> Run<'a> {
    fn new(disk: &'a Disk, ordered: bool) -> Self {
        let options = StoreOptions {
            ordered,
            changelog: true,
        };
        let mut run = Self {
            disk,
            options,
            store: None,
            buffer: Vec::new(),
            committed: State::default(),
            flushed: State::default(),
            offset: 0,
            now: Duration::ZERO,
        };
        run.reopen();
        run
    }

    fn reopen(&mut self) {
        self.store = None;
        let id = StoreId::new("app", "0_1", "store");
        self.store = Some(self.disk.open().open_store(&id, self.options).unwrap());
        self.committed = self.flushed.clone();
        self.buffer.clear();
    }

    fn store(&mut self) -> &mut Store {
        self.store.as_mut().unwrap()
    }

    fn write(&mut self, key: Bytes, value: Option<Bytes>) {
        match self
            .buffer
            .iter_mut()
            .find(|(buffered, _)| *buffered == key)
        {
            Some(change) => change.1 = value,
            None => self.buffer.push((key, value)),
        }
    }

    fn visible(&self) -> Map {
        let mut map = self.committed.map.clone();
        apply(&mut map, &self.buffer);
        map
    }

    fn step(&mut self, op: Op) -> Result<(), TestCaseError> {
        self.now += Duration::from_millis(1);
        match op {
            Op::Put(key, value) => {
                self.store().put(&key, &value).unwrap();
                self.write(key, Some(value));
            }
            Op::Delete(key) => {
                self.store().delete(&key).unwrap();
                self.write(key, None);
            }
            Op::Get(key) => self.check_get(&key)?,
            Op::Range(from, to, reverse) => self.check_range(&from, &to, reverse)?,
            Op::Prefix(prefix) => {
                let mut expected = self.visible();
                expected.retain(|key, _| key.starts_with(&prefix));
                prop_assert_eq!(collect(self.store().prefix(&prefix)), flat(&expected));
            }
            Op::Changes => self.check_changes()?,
            Op::Commit => self.commit(),
            Op::Discard => {
                self.store().discard();
                self.buffer.clear();
            }
            Op::Restore(records) => self.restore(&records),
            Op::MaybeFlush => {
                let now = self.now;
                if self.store().maybe_flush(now).unwrap() {
                    self.flushed = self.committed.clone();
                }
            }
            Op::Flush => {
                self.store().flush().unwrap();
                self.flushed = self.committed.clone();
            }
            Op::Warm(records_max) => {
                self.store().warm(records_max).unwrap();
            }
            Op::Crash => self.reopen(),
            Op::Close => {
                self.store.take().unwrap().close().unwrap();
                self.flushed = self.committed.clone();
                self.reopen();
            }
            Op::Wipe => {
                self.store().wipe().unwrap();
                self.committed = State::default();
                self.flushed = State::default();
                self.buffer.clear();
            }
        }
        let position = self.committed.position;
        prop_assert_eq!(self.store().position(), position);
        Ok(())
    }

    fn commit(&mut self) {
        self.offset += self.buffer.len() as i64 + 1;
        let offset = self.offset;
        self.store().commit(Some(offset)).unwrap();
        apply(&mut self.committed.map, &self.buffer);
        self.buffer.clear();
        self.committed.position = Some(offset);
    }

    fn restore(&mut self, records: &[(Bytes, Option<Bytes>)]) {
        self.offset += records.len() as i64;
        let offset = self.offset;
        let borrowed = records
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_deref()));
        let restored = self.store().restore(borrowed, offset).unwrap();
        assert_eq!(restored, records.len() as u64);
        apply(&mut self.committed.map, records);
        self.committed.position = Some(offset);
    }

    fn check_get(&mut self, key: &[u8]) -> Result<(), TestCaseError> {
        let expected = self.visible().remove(key);
        let committed = self.committed.map.get(key).cloned();
        let store = self.store();
        let found = store.get(key).unwrap();
        prop_assert_eq!(found.as_deref(), expected.as_deref());
        let copied = store
            .get_with(key, |value| value.map(<[u8]>::to_vec))
            .unwrap();
        prop_assert_eq!(copied, expected);
        let read = store.reader().get(key).unwrap();
        prop_assert_eq!(read.as_deref(), committed.as_deref());
        Ok(())
    }

    fn check_range(&mut self, from: &[u8], to: &[u8], reverse: bool) -> Result<(), TestCaseError> {
        let inside = |map: Map| {
            let mut flat = flat(&map);
            flat.retain(|(key, _)| from <= key.as_slice() && key.as_slice() < to);
            if reverse {
                flat.reverse();
            }
            flat
        };
        let (visible, committed) = (inside(self.visible()), inside(self.committed.map.clone()));
        let store = self.store();
        let reader = store.reader();
        let (own, read) = if reverse {
            (
                store.reverse_range(from..to),
                reader.reverse_range(from..to),
            )
        } else {
            (store.range(from..to), reader.range(from..to))
        };
        prop_assert_eq!(collect(own), visible);
        prop_assert_eq!(collect(read), committed);
        Ok(())
    }

    fn check_changes(&mut self) -> Result<(), TestCaseError> {
        let old = |key: &Bytes| self.committed.map.get(key).cloned();
        let changes = self.buffer.iter();
        let expected: Vec<_> = changes
            .map(|(key, new)| (key.clone(), old(key), new.clone()))
            .collect();
        let found: Vec<_> = self
            .store()
            .changes()
            .map(|change| {
                let old = change.old().unwrap().map(|old| old.to_vec());
                (change.key.to_vec(), old, change.new.map(<[u8]>::to_vec))
            })
            .collect();
        prop_assert_eq!(found, expected);
        Ok(())
    }

    fn check_all(&mut self) -> Result<(), TestCaseError> {
        let (visible, committed) = (flat(&self.visible()), flat(&self.committed.map));
        let store = self.store();
        prop_assert_eq!(collect(store.reader().all()), committed);
        prop_assert_eq!(collect(store.all()), visible.clone());
        let mut descending = collect(store.reverse_range::<[u8]>(..));
        descending.reverse();
        prop_assert_eq!(descending, visible);
        self.check_changes()
    }
}

fn apply(map: &mut Map, changes: &[(Bytes, Option<Bytes>)]) {
    for (key, value) in changes {
        match value {
            Some(value) => map.insert(key.clone(), value.clone()),
            None => map.remove(key),
        };
    }
}

fn flat(map: &Map) -> Vec<(Bytes, Bytes)> {
    map.iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn collect(range: Range<'_>) -> Vec<(Bytes, Bytes)> {
    let pair = |entry: Result<Entry, Error>| {
        let entry = entry.unwrap();
        (entry.key().to_vec(), entry.value().to_vec())
    };
    range.map(pair).collect()
}

fn check(disk: &Disk, ordered: bool, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let mut run = Run::new(disk, ordered);
    for op in ops {
        run.step(op)?;
    }
    run.check_all()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_store_in_memory_behaves_as_the_model(
        ordered in any::<bool>(),
        ops in prop::collection::vec(op(), 1..200),
    ) {
        check(&Disk::Memory(MemoryDisk::new()), ordered, ops)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_store_on_disk_behaves_as_the_model(
        ordered in any::<bool>(),
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let path = tempfile::tempdir().unwrap();
        check(&Disk::Files(path.path().join("state")), ordered, ops)?;
    }
}
