//! What a store costs: read-modify-write of a million keys of 150 bytes, against a bare hash map.
//!
//! ```text
//! cargo run --release -p millrace-state --example throughput
//! ```

#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::time::{Duration, Instant};

use hashbrown::HashMap;
use millrace_state::{Error, StateDir, StateOptions, Store, StoreId, StoreOptions};

const KEYS: u64 = 1_000_000;
const OPERATIONS: u64 = 5_000_000;
const VALUE_BYTES: usize = 134;
const PER_COMMIT: u64 = 50_000;

/// One of the measurements.
type Case = fn() -> Result<(), Error>;

fn main() -> Result<(), Error> {
    let which = std::env::args().nth(1).unwrap_or_else(|| "all".to_owned());
    let cases: [(&str, Case); 5] = [
        ("map", bare_map),
        ("memory", || {
            read_modify_write(&StateDir::in_memory(), "in memory", false)
        }),
        ("disk", || on_disk(4 << 30, false)),
        ("ordered", || on_disk(4 << 30, true)),
        ("small", || on_disk(64 << 20, false)),
    ];
    for (_, case) in cases
        .iter()
        .filter(|(name, _)| which == "all" || which == *name)
    {
        case()?;
    }
    Ok(())
}

/// A key of 16 bytes, each equally likely.
fn key(seed: &mut u64) -> [u8; 16] {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    key_of((*seed >> 24) % KEYS)
}

fn key_of(number: u64) -> [u8; 16] {
    let mut key = *b"customer00000000";
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

fn bump(value: &mut [u8]) {
    value[0] = value[0].wrapping_add(1);
}

fn bare_map() -> Result<(), Error> {
    let mut map: HashMap<Box<[u8]>, Box<[u8]>, foldhash::fast::FixedState> = HashMap::default();
    for number in 0..KEYS {
        map.insert(key_of(number).into(), vec![0; VALUE_BYTES].into());
    }
    let (before, mut seed) = (Clocks::now(), 1);
    for _ in 0..OPERATIONS {
        let key = key(&mut seed);
        let mut value = [0; VALUE_BYTES];
        if let Some(old) = map.get(key.as_slice()) {
            value.copy_from_slice(old);
        }
        bump(&mut value);
        map.insert(key.as_slice().into(), value.as_slice().into());
    }
    before.report("bare hash map", OPERATIONS);
    Ok(())
}

fn on_disk(memory_bytes_max: u64, ordered: bool) -> Result<(), Error> {
    let path = std::env::temp_dir().join(format!("millrace-throughput-{}", std::process::id()));
    let options = StateOptions {
        memory_bytes_max,
        ..StateOptions::default()
    };
    let dir = StateDir::open(&path, options.clone())?;
    let kind = if ordered { "ordered" } else { "unordered" };
    let name = format!("on disk, {kind}, {} MiB", memory_bytes_max >> 20);
    read_modify_write(&dir, &name, ordered)?;
    drop(dir);
    let before = Clocks::now();
    let mut store = StateDir::open(&path, options)?.open_store(&id(), store_options(ordered))?;
    let first = store.get(&key_of(7))?;
    before.report(
        &format!(
            "  reopen and read one key ({} bytes)",
            first.map_or(0, |v| v.len())
        ),
        1,
    );
    let before = Clocks::now();
    while !store.warm(1000)? {}
    before.report("  warm", KEYS);
    drop(store);
    std::fs::remove_dir_all(&path).map_err(|source| Error::Io {
        action: "cleaning up".to_owned(),
        source,
    })
}

fn id() -> StoreId {
    StoreId::new("throughput", "0_0", "store")
}

fn store_options(ordered: bool) -> StoreOptions {
    StoreOptions {
        ordered,
        changelog: true,
    }
}

fn read_modify_write(dir: &StateDir, name: &str, ordered: bool) -> Result<(), Error> {
    println!("{name}");
    let mut store = dir.open_store(&id(), store_options(ordered))?;
    load(&mut store)?;
    let began = Instant::now();
    let (before, mut seed) = (Clocks::now(), 1);
    let mut changed = 0;
    let mut slowest = Duration::ZERO;
    for operation in 1..=OPERATIONS {
        let key = key(&mut seed);
        let mut value = [0; VALUE_BYTES];
        store.get_with(&key, |old| old.map(|old| value.copy_from_slice(old)))?;
        bump(&mut value);
        store.put(&key, &value)?;
        if operation % PER_COMMIT == 0 {
            let committing = Instant::now();
            changed += changes(&store)?;
            store.commit(Some((KEYS + operation) as i64))?;
            store.maybe_flush(began.elapsed())?;
            slowest = slowest.max(committing.elapsed());
        }
    }
    before.report("  read-modify-write", OPERATIONS);
    println!("  {changed} changes, slowest commit {slowest:?}");
    println!(
        "  memory: {} MiB counted, {} MiB resident",
        dir.memory_bytes() >> 20,
        resident_mib()
    );
    let before = Clocks::now();
    store.close()?;
    before.report("  close", 1);
    Ok(())
}

fn load(store: &mut Store) -> Result<(), Error> {
    let (before, began) = (Clocks::now(), Instant::now());
    let keys: Vec<_> = (0..KEYS).map(key_of).collect();
    for chunk in keys.chunks(10_000) {
        let records = chunk
            .iter()
            .map(|key| (&key[..], Some(&[0; VALUE_BYTES][..])));
        store.restore(records, 0)?;
        store.maybe_flush(began.elapsed())?;
    }
    before.report("  restore", KEYS);
    let before = Clocks::now();
    store.flush()?;
    before.report("  flush the rest", 1);
    Ok(())
}

/// What the engine does with the changes of a commit, less the sending.
fn changes(store: &Store) -> Result<u64, Error> {
    let mut count = 0;
    for change in store.changes() {
        count += u64::from(change.old()?.as_deref() != change.new);
    }
    Ok(count)
}

/// Wall clock, and the CPU time of this thread and of the whole process.
struct Clocks {
    wall: Instant,
    thread: Duration,
    process: Duration,
}

impl Clocks {
    fn now() -> Self {
        Self {
            wall: Instant::now(),
            thread: cpu("thread-self"),
            process: cpu("self"),
        }
    }

    fn report(&self, what: &str, operations: u64) {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / operations as f64;
        let wall = self.wall.elapsed();
        let thread = each(cpu("thread-self") - self.thread);
        let process = each(cpu("self") - self.process);
        let each = each(wall);
        println!(
            "{what}: {each:.2} us each (cpu: {thread:.2} us here, {process:.2} us in all), {wall:.1?}"
        );
    }
}

/// User and system time of one thread or of all, from `/proc`; zero where there is none.
fn cpu(whose: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{whose}/stat")).unwrap_or_default();
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) >> 10
}
