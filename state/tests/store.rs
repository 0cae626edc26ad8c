//! What a store promises its task and its readers.

#![allow(
    clippy::disallowed_methods,
    reason = "a test reads from a thread of its own"
)]

use std::time::Duration;

use millrace_state::{
    Error, KEY_BYTES_MAX, MemoryDisk, Origin, StateDir, StateOptions, Store, StoreId, StoreOptions,
};

const PLAIN: StoreOptions = StoreOptions {
    ordered: false,
    changelog: true,
};

fn id() -> StoreId {
    StoreId::new("app", "0_0", "store")
}

fn store() -> Store {
    StateDir::in_memory().open_store(&id(), PLAIN).unwrap()
}

fn over(disk: &MemoryDisk) -> Store {
    StateDir::in_memory_shared(disk, StateOptions::default())
        .open_store(&id(), PLAIN)
        .unwrap()
}

/// This many milliseconds after the beginning.
fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn keys(store: &Store) -> Vec<Vec<u8>> {
    store
        .all()
        .map(|entry| entry.unwrap().key().to_vec())
        .collect()
}

#[test]
fn the_task_sees_its_writes_and_readers_see_commits() {
    let mut store = store();
    let reader = store.reader();
    store.put(b"a", b"1").unwrap();
    store.put(b"b", b"1").unwrap();
    assert_eq!(store.get(b"a").unwrap().unwrap(), b"1");
    assert_eq!((reader.get(b"a").unwrap(), reader.all().count()), (None, 0));
    store.commit(Some(2)).unwrap();
    store.delete(b"a").unwrap();
    assert_eq!(store.get(b"a").unwrap(), None);
    assert_eq!(reader.get(b"a").unwrap().unwrap(), b"1");
    store.discard();
    assert_eq!(store.get(b"a").unwrap().unwrap(), b"1");
}

#[test]
fn a_key_put_and_deleted_before_any_commit_is_a_change_from_nothing_to_nothing() {
    let mut store = store();
    store.put(b"k", b"1").unwrap();
    store.delete(b"k").unwrap();
    let change = store.changes().next().unwrap();
    assert_eq!(
        (change.key, change.old().unwrap().is_none(), change.new),
        (&b"k"[..], true, None)
    );
    store.commit(Some(1)).unwrap();
    assert_eq!(store.len_approximate(), 0);
}

#[test]
fn a_value_that_is_held_stays_what_it_was() {
    let mut store = store();
    store.put(b"k", b"old").unwrap();
    let uncommitted = store.get(b"k").unwrap().unwrap();
    store.put(b"k", b"new").unwrap();
    assert_eq!(uncommitted, b"old");
    store.commit(None).unwrap();
    let committed = store.get(b"k").unwrap().unwrap();
    store.put(b"k", b"two").unwrap();
    store.commit(None).unwrap();
    assert_eq!(committed, b"new");
}

#[test]
fn a_crash_returns_to_the_last_flush_and_its_offset() {
    let disk = MemoryDisk::new();
    let mut store = over(&disk);
    store.put(b"kept", b"1").unwrap();
    store.commit(Some(7)).unwrap();
    store.flush().unwrap();
    store.put(b"kept", b"2").unwrap();
    store.put(b"lost", b"1").unwrap();
    store.commit(Some(9)).unwrap();
    drop(store);
    let store = over(&disk);
    assert_eq!(store.position(), Some(7));
    assert_eq!(store.get(b"kept").unwrap().unwrap(), b"1");
    assert_eq!(keys(&store), [b"kept"]);
}

#[test]
fn an_offset_that_moves_without_changes_is_flushed_too() {
    let disk = MemoryDisk::new();
    let mut store = over(&disk);
    store.commit(Some(12)).unwrap();
    store.close().unwrap();
    assert_eq!(over(&disk).position(), Some(12));
}

#[test]
fn an_origin_is_flushed_with_changes_once_an_hour_and_at_the_end() {
    let disk = MemoryDisk::new();
    let mut store = over(&disk);
    let origin = |at_ms| Origin {
        changelog: Some(7),
        at_ms,
    };
    store.commit(Some(12)).unwrap();
    store.set_origin(origin(1));
    store.flush().unwrap();
    store.set_origin(origin(3_600_000));
    assert!(!store.maybe_flush(at(100_000)).unwrap());
    store.set_origin(origin(3_600_001));
    assert!(store.maybe_flush(at(200_000)).unwrap());
    store.set_origin(origin(3_600_002));
    store.close().unwrap();
    assert_eq!(over(&disk).origin(), Some(origin(3_600_002)));
}

#[test]
fn a_store_without_a_changelog_has_no_position() {
    let options = StoreOptions {
        ordered: false,
        changelog: false,
    };
    let mut store = StateDir::in_memory().open_store(&id(), options).unwrap();
    store.put(b"k", b"1").unwrap();
    store.commit(Some(3)).unwrap();
    store.flush().unwrap();
    assert_eq!(store.position(), None);
}

#[test]
fn a_wiped_store_stays_empty_after_a_crash() {
    let disk = MemoryDisk::new();
    let mut store = over(&disk);
    store.put(b"k", b"1").unwrap();
    store.commit(Some(1)).unwrap();
    store.flush().unwrap();
    store.wipe().unwrap();
    assert_eq!((store.get(b"k").unwrap(), store.position()), (None, None));
    drop(store);
    let store = over(&disk);
    assert_eq!((store.get(b"k").unwrap(), store.position()), (None, None));
}

#[test]
fn a_failed_flush_poisons_the_store_until_it_is_opened_again() {
    let disk = MemoryDisk::new();
    let mut store = over(&disk);
    store.put(b"k", b"1").unwrap();
    store.commit(Some(1)).unwrap();
    store.flush().unwrap();
    store.put(b"k", b"2").unwrap();
    store.commit(Some(2)).unwrap();
    disk.set_full(true);
    let error = store.flush().unwrap_err();
    assert!(matches!(&error, Error::Poisoned { .. }), "{error}");
    disk.set_full(false);
    store.put(b"k", b"3").unwrap();
    assert!(matches!(store.commit(Some(3)), Err(Error::Poisoned { .. })));
    assert!(matches!(
        store.maybe_flush(at(0)),
        Err(Error::Poisoned { .. })
    ));
    assert_eq!(store.reader().get(b"k").unwrap().unwrap(), b"2");
    drop(store);
    let mut store = over(&disk);
    assert_eq!(
        (store.get(b"k").unwrap().unwrap().to_vec(), store.position()),
        (b"1".to_vec(), Some(1))
    );
    store.commit(Some(4)).unwrap();
}

#[test]
fn readers_of_a_closed_store_are_told_so() {
    let mut store = store();
    store.put(b"k", b"1").unwrap();
    store.commit(None).unwrap();
    let reader = store.reader();
    store.close().unwrap();
    assert!(matches!(reader.get(b"k"), Err(Error::StoreClosed { .. })));
    assert!(matches!(
        reader.all().next(),
        Some(Err(Error::StoreClosed { .. }))
    ));
}

#[test]
fn a_flush_is_due_by_time_or_by_size() {
    let options = StateOptions {
        flush_interval: Duration::from_millis(100),
        flush_bytes: 1000,
        ..StateOptions::default()
    };
    let dir = StateDir::in_memory_shared(&MemoryDisk::new(), options);
    let mut store = dir.open_store(&id(), PLAIN).unwrap();
    assert!(!store.maybe_flush(at(0)).unwrap());
    store.put(b"k", b"1").unwrap();
    assert!(!store.maybe_flush(at(500)).unwrap());
    store.commit(Some(1)).unwrap();
    assert!(!store.maybe_flush(at(599)).unwrap());
    assert!(store.maybe_flush(at(600)).unwrap());
    store.put(b"k", &[0; 1000]).unwrap();
    store.commit(Some(2)).unwrap();
    assert!(store.maybe_flush(at(601)).unwrap());
    assert!(!store.maybe_flush(at(10_000)).unwrap());
}

#[test]
fn a_warmed_store_knows_what_is_absent_without_the_disk() {
    let disk = MemoryDisk::new();
    let mut store = over(&disk);
    for key in 0..100u8 {
        store.put(&[key], &[key]).unwrap();
    }
    store.commit(Some(100)).unwrap();
    store.close().unwrap();
    let mut store = over(&disk);
    store.delete(&[0]).unwrap();
    store.commit(Some(101)).unwrap();
    assert!(!store.warm(60).unwrap());
    assert!(!store.warm(60).unwrap());
    assert!(store.warm(60).unwrap());
    let reads = disk.reads();
    assert_eq!(store.get(b"absent").unwrap(), None);
    assert_eq!(store.len_approximate(), 99);
    assert_eq!(store.all().count(), 99);
    assert_eq!(disk.reads(), reads);
}

#[test]
fn long_ranges_of_ordered_stores_cross_their_chunks_in_both_directions() {
    let options = StoreOptions {
        ordered: true,
        changelog: true,
    };
    let disk = MemoryDisk::new();
    let limits = StateOptions {
        memory_bytes_max: 300_000,
        ..StateOptions::default()
    };
    let dir = StateDir::in_memory_shared(&disk, limits);
    let mut store = dir.open_store(&id(), options).unwrap();
    for number in 0..6000u32 {
        store.put(&number.to_be_bytes(), b"old").unwrap();
    }
    store.commit(Some(1)).unwrap();
    store.flush().unwrap();
    for number in (0..6000u32).step_by(3) {
        store.put(&number.to_be_bytes(), b"new").unwrap();
        store.delete(&(number + 1).to_be_bytes()).unwrap();
    }
    let expected = |committed: bool| -> Vec<Vec<u8>> {
        let live = (0..6000u32).filter(|number| committed || number % 3 != 1);
        live.map(|number| number.to_be_bytes().to_vec()).collect()
    };
    assert_eq!(keys(&store), expected(false));
    let committed = store
        .reader()
        .all()
        .map(|entry| entry.unwrap().key().to_vec());
    assert_eq!(committed.collect::<Vec<_>>(), expected(true));
    store.commit(Some(2)).unwrap();
    let mut descending: Vec<_> = store
        .reverse_range::<[u8]>(..)
        .map(|entry| entry.unwrap().key().to_vec())
        .collect();
    descending.reverse();
    assert_eq!(descending, expected(false));
}

#[test]
fn the_longest_key_goes_to_disk_and_back_and_a_longer_one_is_refused() {
    let path = tempfile::tempdir().unwrap();
    let open = || StateDir::open(path.path(), StateOptions::default()).unwrap();
    let mut store = open().open_store(&id(), PLAIN).unwrap();
    let longest = vec![0xff; KEY_BYTES_MAX];
    store.put(&longest, b"long").unwrap();
    store.put(b"", b"empty key").unwrap();
    store.put(b"empty value", b"").unwrap();
    assert!(matches!(
        store.put(&vec![0; KEY_BYTES_MAX + 1], b""),
        Err(Error::Invalid { .. })
    ));
    store.commit(Some(3)).unwrap();
    store.close().unwrap();
    let store = open().open_store(&id(), PLAIN).unwrap();
    assert_eq!(store.get(&longest).unwrap().unwrap(), b"long");
    assert_eq!(store.get(b"").unwrap().unwrap(), b"empty key");
    assert_eq!(store.get(b"empty value").unwrap().unwrap(), b"");
    assert_eq!(
        keys(&store),
        [b"".to_vec(), b"empty value".to_vec(), longest]
    );
}

#[test]
fn the_same_calls_give_the_same_bytes() {
    let run = || {
        let limits = StateOptions {
            memory_bytes_max: 20_000,
            ..StateOptions::default()
        };
        let dir = StateDir::in_memory_shared(&MemoryDisk::new(), limits);
        let mut store = dir.open_store(&id(), PLAIN).unwrap();
        let mut seed = 7u64;
        let mut trace = Vec::new();
        for step in 0..5000i64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = ((seed >> 33) % 500).to_be_bytes();
            store.put(&key, &[step as u8; 30]).unwrap();
            if step % 50 == 0 {
                trace.push(format!("{:?}", store.changes().collect::<Vec<_>>()));
                store.commit(Some(step)).unwrap();
                store.maybe_flush(at(step as u64 * 100)).unwrap();
                trace.push(dir.memory_bytes().to_string());
            }
        }
        trace
    };
    assert_eq!(run(), run());
}

#[test]
fn readers_on_other_threads_see_whole_commits() {
    let path = tempfile::tempdir().unwrap();
    let limits = StateOptions {
        memory_bytes_max: 40_000,
        flush_interval: Duration::from_millis(1),
        flush_bytes: 5_000,
    };
    let dir = StateDir::open(path.path(), limits).unwrap();
    let mut store = dir.open_store(&id(), PLAIN).unwrap();
    let reader = store.reader();
    let reading = std::thread::spawn(move || {
        let mut ranges = 0;
        loop {
            let Ok(entries) = reader.all().collect::<Result<Vec<_>, _>>() else {
                return ranges;
            };
            // Every commit writes its number to all keys, so a whole commit is all one number.
            assert!(
                entries
                    .windows(2)
                    .all(|pair| pair[0].value() == pair[1].value())
            );
            assert!(entries.is_empty() || entries.len() == 300);
            ranges += 1;
        }
    });
    for commit in 0..200u32 {
        for key in 0..300u32 {
            store.put(&key.to_be_bytes(), &[commit as u8; 60]).unwrap();
        }
        store.commit(Some(i64::from(commit))).unwrap();
        store.maybe_flush(at(u64::from(commit) * 10)).unwrap();
    }
    store.close().unwrap();
    assert!(reading.join().unwrap() > 0);
}
