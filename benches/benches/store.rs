//! What a store costs: the write buffer alone; a read, a change and a write of one key among a
//! million, with the commit, the list of changes and the flush that belong to it; and a restart,
//! until no read goes to disk.

mod kit;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kit::CpuTime;
use millrace_state::{StateDir, StateOptions, Store, StoreId, StoreOptions};

/// With a key of 16 bytes, a record has 150.
const VALUE_BYTES: usize = 134;
/// Operations between two commits; one iteration of the harness.
const PER_COMMIT: u64 = 50_000;
/// What an idle stream thread warms in one round.
const PER_WARMING: usize = 2_048;

fn key(number: u64) -> [u8; 16] {
    let mut key = *b"customer00000000";
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Numbers below `end`, each equally likely, the same in every run.
fn numbers(end: u64) -> impl FnMut() -> u64 {
    let mut seed = 1_u64;
    move || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 24) % end
    }
}

fn open(dir: &StateDir, name: &str) -> Store {
    let options = StoreOptions {
        ordered: false,
        changelog: true,
    };
    dir.open_store(&StoreId::new("bench", "0_0", name), options)
        .unwrap()
}

fn buffer(criterion: &mut Criterion<CpuTime>) {
    let dir = StateDir::in_memory();
    let mut store = open(&dir, "buffer");
    let mut group = criterion.benchmark_group("write buffer");
    group.throughput(Throughput::Elements(PER_COMMIT));
    for (name, keys) in [("new keys", PER_COMMIT), ("1 000 keys again", 1_000)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                for number in 0..PER_COMMIT {
                    let value = [number as u8; VALUE_BYTES];
                    store.put(&key(number % keys), &value).unwrap();
                }
                store.discard();
            });
        });
    }
    group.finish();
}

/// A store of `keys` keys, in use.
struct InUse {
    store: Store,
    keys: u64,
    offset: i64,
    now: Duration,
}

impl InUse {
    fn load(dir: &StateDir, keys: u64) -> Self {
        let mut store = open(dir, "totals");
        for first in (0..keys).step_by(10_000) {
            let some: Vec<_> = (first..keys.min(first + 10_000)).map(key).collect();
            let records = some
                .iter()
                .map(|key| (&key[..], Some(&[0; VALUE_BYTES][..])));
            store.restore(records, 0).unwrap();
        }
        store.flush().unwrap();
        Self {
            store,
            keys,
            offset: 0,
            now: Duration::ZERO,
        }
    }

    /// What one commit interval does to the store.
    fn interval(&mut self, number: &mut impl FnMut() -> u64) {
        for _ in 0..PER_COMMIT {
            let key = key(number() % self.keys);
            let mut value = [0; VALUE_BYTES];
            let copy = |old: Option<&[u8]>| old.map(|old| value.copy_from_slice(old));
            self.store.get_with(&key, copy).unwrap();
            value[0] = value[0].wrapping_add(1);
            self.store.put(&key, &value).unwrap();
        }
        let changed = self.store.changes();
        self.offset += changed.filter(|change| change.new.is_some()).count() as i64;
        self.store.commit(Some(self.offset)).unwrap();
        self.now += Duration::from_millis(100);
        self.store.maybe_flush(self.now).unwrap();
    }
}

fn read_modify_write(criterion: &mut Criterion<CpuTime>) {
    let keys = if kit::is_test() { 10_000 } else { 1_000_000 };
    let temp = tempfile::tempdir().unwrap();
    let on_disk = StateDir::open(temp.path(), StateOptions::default()).unwrap();
    let mut group = criterion.benchmark_group("store read-modify-write");
    group.throughput(Throughput::Elements(PER_COMMIT));
    for (name, dir) in [("in memory", StateDir::in_memory()), ("on disk", on_disk)] {
        let (mut in_use, mut number) = (InUse::load(&dir, keys), numbers(keys));
        group.bench_function(BenchmarkId::new(name, keys), |b| {
            b.iter(|| in_use.interval(&mut number));
        });
    }
    group.finish();
}

fn restart(criterion: &mut Criterion<CpuTime>) {
    let keys = if kit::is_test() { 10_000 } else { 1_000_000 };
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::open(temp.path(), StateOptions::default()).unwrap();
    InUse::load(&dir, keys).store.close().unwrap();
    let mut group = criterion.benchmark_group("store restart");
    group.throughput(Throughput::Elements(keys));
    group.bench_function(BenchmarkId::new("open and warm", keys), |b| {
        b.iter(|| {
            let mut store = open(&dir, "totals");
            while !store.warm(PER_WARMING).unwrap() {}
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = kit::harness();
    targets = buffer, read_modify_write, restart
}
criterion_main!(benches);
