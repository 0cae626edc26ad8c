//! The state directory: lock, format, identity, damage, and the limits that its stores share.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use millrace_state::{Error, MemoryDisk, StateDir, StateOptions, Store, StoreId, StoreOptions};

const ORDERED: StoreOptions = StoreOptions {
    ordered: true,
    changelog: true,
};

fn id(task: &str) -> StoreId {
    StoreId::new("app", task, "store")
}

fn open(path: &Path) -> Result<StateDir, Error> {
    StateDir::open(path, StateOptions::default())
}

/// Fills `store` with `count` keys of four bytes and values of a hundred, and commits them.
fn fill(store: &mut Store, count: u32, offset: i64) {
    for number in 0..count {
        store
            .put(&number.to_be_bytes(), &[number as u8; 100])
            .unwrap();
    }
    store.commit(Some(offset)).unwrap();
}

#[test]
fn a_directory_in_use_is_refused_by_name() {
    let path = tempfile::tempdir().unwrap();
    let first = open(path.path()).unwrap();
    let error = open(path.path()).unwrap_err();
    assert!(matches!(&error, Error::Locked { .. }), "{error}");
    assert!(
        error.to_string().contains(path.path().to_str().unwrap()),
        "{error}"
    );
    drop(first);
    open(path.path()).unwrap();
}

#[test]
fn the_lock_lasts_until_the_last_store_is_gone() {
    let path = tempfile::tempdir().unwrap();
    let store = open(path.path())
        .unwrap()
        .open_store(&id("0_0"), ORDERED)
        .unwrap();
    let reader = store.reader();
    assert!(matches!(open(path.path()), Err(Error::Locked { .. })));
    store.close().unwrap();
    open(path.path()).unwrap();
    assert!(matches!(reader.get(b"k"), Err(Error::StoreClosed { .. })));
}

#[test]
fn another_format_is_refused() {
    let path = tempfile::tempdir().unwrap();
    drop(open(path.path()).unwrap());
    fs::write(path.path().join("FORMAT"), "millrace-state 99\n").unwrap();
    let error = open(path.path()).unwrap_err();
    assert!(matches!(&error, Error::Incompatible { found, .. } if found == "millrace-state 99"));
    fs::remove_file(path.path().join("FORMAT")).unwrap();
    assert!(matches!(open(path.path()), Err(Error::Incompatible { .. })));
}

#[test]
fn the_process_id_outlives_the_process_and_the_stores() {
    let path = tempfile::tempdir().unwrap();
    let first = open(path.path()).unwrap().process_id().to_owned();
    assert_eq!(open(path.path()).unwrap().process_id(), first);
    StateDir::set_aside(path.path()).unwrap();
    assert_eq!(open(path.path()).unwrap().process_id(), first);
    let other = tempfile::tempdir().unwrap();
    assert_ne!(open(other.path()).unwrap().process_id(), first);
}

#[test]
fn a_store_has_one_owner() {
    let dir = StateDir::in_memory();
    let store = dir.open_store(&id("0_0"), ORDERED).unwrap();
    assert!(matches!(
        dir.open_store(&id("0_0"), ORDERED),
        Err(Error::StoreOpen { .. })
    ));
    assert!(matches!(
        dir.remove_store(&id("0_0")),
        Err(Error::StoreOpen { .. })
    ));
    dir.open_store(&id("0_1"), ORDERED).unwrap();
    drop(store);
    dir.open_store(&id("0_0"), ORDERED).unwrap();
}

#[test]
fn a_store_name_that_could_be_mistaken_for_another_is_refused() {
    let dir = StateDir::in_memory();
    for store in ["", "a/b", &"x".repeat(300)] {
        let refused = dir.open_store(&StoreId::new("app", "0_0", store), ORDERED);
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{store}");
    }
}

#[test]
fn stores_are_listed_with_their_flushed_positions_and_can_be_removed() {
    let path = tempfile::tempdir().unwrap();
    let dir = open(path.path()).unwrap();
    let mut store = dir.open_store(&id("0_1"), ORDERED).unwrap();
    fill(&mut store, 10, 10);
    store.flush().unwrap();
    fill(&mut store, 10, 20);
    drop(store);
    drop(dir.open_store(&id("0_0"), ORDERED).unwrap());
    let listed = dir.stores().unwrap();
    assert_eq!(listed, [(id("0_1"), Some(10))]);
    dir.remove_store(&id("0_1")).unwrap();
    assert_eq!(dir.stores().unwrap(), []);
    assert!(
        dir.open_store(&id("0_1"), ORDERED)
            .unwrap()
            .all()
            .next()
            .is_none()
    );
}

fn size_of(path: &Path) -> u64 {
    let sizes = fs::read_dir(path).unwrap().map(|entry| {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            size_of(&entry.path())
        } else {
            entry.metadata().unwrap().len()
        }
    });
    sizes.sum()
}

#[test]
fn an_idle_store_is_removed_in_the_background_and_its_space_comes_back() {
    let path = tempfile::tempdir().unwrap();
    let dir = open(path.path()).unwrap();
    let mut idle = dir.open_store(&id("0_0"), ORDERED).unwrap();
    fill(&mut idle, 60_000, 1);
    idle.flush().unwrap();
    let mut held = dir.open_store(&id("0_1"), ORDERED).unwrap();
    fill(&mut held, 10, 1);
    held.flush().unwrap();
    assert_eq!(dir.idle_stores("app").unwrap(), []);
    idle.close().unwrap();
    assert_eq!(dir.idle_stores("another").unwrap(), []);
    assert_eq!(dir.idle_stores("app").unwrap(), [id("0_0")]);
    dir.remove_store_in_background(&id("0_0")).unwrap();
    let store = loop {
        match dir.open_store(&id("0_0"), ORDERED) {
            Err(Error::StoreOpen { .. }) => thread::yield_now(),
            opened => break opened.unwrap(),
        }
    };
    assert_eq!((store.position(), store.all().count()), (None, 0));
    drop(store);
    assert_eq!(dir.idle_stores("app").unwrap(), []);
    assert_eq!(held.all().count(), 10);
    drop((held, dir));
    // Files that no version of the database needs any more are gone by its next opening at the latest.
    drop(open(path.path()).unwrap());
    let tables = path.path().join("stores").join("keyspaces");
    assert!(size_of(&tables) < 50_000, "{}", size_of(&tables));
}

#[test]
fn a_removal_that_a_closed_directory_cut_short_is_finished_later() {
    let path = tempfile::tempdir().unwrap();
    let dir = open(path.path()).unwrap();
    let mut store = dir.open_store(&id("0_0"), ORDERED).unwrap();
    fill(&mut store, 30_000, 1);
    store.close().unwrap();
    dir.remove_store_in_background(&id("0_0")).unwrap();
    drop(dir);
    // However far it came: what is left is idle, or there is nothing left.
    let dir = open(path.path()).unwrap();
    let left = dir.idle_stores("app").unwrap();
    for store in &left {
        dir.remove_store(store).unwrap();
    }
    assert_eq!(dir.idle_stores("app").unwrap(), []);
    let store = dir.open_store(&id("0_0"), ORDERED).unwrap();
    assert_eq!((store.position(), store.all().count()), (None, 0));
}

#[test]
fn a_damaged_directory_is_never_served_and_opens_empty_once_set_aside() {
    let path = tempfile::tempdir().unwrap();
    let mut store = open(path.path())
        .unwrap()
        .open_store(&id("0_0"), ORDERED)
        .unwrap();
    fill(&mut store, 1000, 1000);
    store.close().unwrap();
    for file in files(&path.path().join("stores")) {
        let length = fs::metadata(&file).unwrap().len();
        fs::write(&file, vec![0xee; length as usize]).unwrap();
    }
    let served = open(path.path()).and_then(|dir| dir.open_store(&id("0_0"), ORDERED)?.get(b"k"));
    assert!(served.is_err(), "{served:?}");
    let aside = StateDir::set_aside(path.path()).unwrap().unwrap();
    assert!(aside.exists());
    let store = open(path.path())
        .unwrap()
        .open_store(&id("0_0"), ORDERED)
        .unwrap();
    assert_eq!((store.position(), store.len_approximate()), (None, 0));
}

#[test]
fn of_the_damaged_copies_the_newest_two_are_kept() {
    let path = tempfile::tempdir().unwrap();
    let mut last = None;
    for _ in 0..4 {
        drop(open(path.path()).unwrap());
        last = StateDir::set_aside(path.path()).unwrap();
    }
    assert_eq!(last, Some(path.path().join("stores.damaged-4")));
    let is_kept = |n: &u32| path.path().join(format!("stores.damaged-{n}")).exists();
    assert_eq!((1..=4).filter(is_kept).collect::<Vec<_>>(), [3, 4]);
}

fn files(path: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let inside = if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        };
        found.extend(inside);
    }
    found
}

#[test]
fn memory_stays_within_the_budget_and_reads_stay_right() {
    let options = StateOptions {
        memory_bytes_max: 100_000,
        ..StateOptions::default()
    };
    let disk = MemoryDisk::new();
    let dir = StateDir::in_memory_shared(&disk, options);
    let mut idle = dir.open_store(&id("0_0"), ORDERED).unwrap();
    let mut busy = dir.open_store(&id("0_1"), ORDERED).unwrap();
    for store in [&mut idle, &mut busy] {
        fill(store, 2000, 1);
        store.flush().unwrap();
    }
    for _ in 0..50 {
        busy.commit(Some(2)).unwrap();
    }
    assert!(dir.memory_bytes() <= 100_000, "{}", dir.memory_bytes());
    for store in [&idle, &busy] {
        assert_eq!(
            store.get(&1999u32.to_be_bytes()).unwrap().as_deref(),
            Some(&[207u8; 100][..])
        );
        assert_eq!(store.get(&2000u32.to_be_bytes()).unwrap(), None);
        assert_eq!(store.all().count(), 2000);
        assert_eq!(store.len_approximate(), 2000);
    }
    assert!(
        dir.memory_bytes() <= 100_000 + 500,
        "{}",
        dir.memory_bytes()
    );
}

#[test]
fn one_large_and_many_small_stores_stay_within_the_budget_together() {
    const LIMIT: u64 = 1_000_000;
    let options = StateOptions {
        memory_bytes_max: LIMIT,
        ..StateOptions::default()
    };
    let dir = StateDir::in_memory_shared(&MemoryDisk::new(), options);
    let small = |n: u32| dir.open_store(&id(&format!("0_{n}")), ORDERED).unwrap();
    let mut small: Vec<Store> = (1..=50).map(small).collect();
    for store in &mut small {
        fill(store, 10, 1);
        store.flush().unwrap();
    }
    let mut large = dir.open_store(&id("0_0"), ORDERED).unwrap();
    for commit in 0..100u32 {
        for number in 0..500 {
            let key = (commit * 500 + number).to_be_bytes();
            large.put(&key, &[0; 100]).unwrap();
        }
        large.commit(Some(1)).unwrap();
        large.flush().unwrap();
    }
    large.commit(Some(2)).unwrap();
    assert!(dir.memory_bytes() <= LIMIT, "{}", dir.memory_bytes());
}

#[test]
fn closing_a_store_gives_its_memory_back() {
    let dir = StateDir::in_memory();
    let mut store = dir.open_store(&id("0_0"), ORDERED).unwrap();
    fill(&mut store, 100, 1);
    assert!(dir.memory_bytes() > 10_000);
    store.close().unwrap();
    assert_eq!(dir.memory_bytes(), 0);
}

#[test]
fn a_memory_over_budget_makes_a_flush_due_before_its_time() {
    let options = StateOptions {
        memory_bytes_max: 1000,
        flush_interval: Duration::from_secs(3600),
        ..StateOptions::default()
    };
    let dir = StateDir::in_memory_shared(&MemoryDisk::new(), options);
    let mut store = dir.open_store(&id("0_0"), ORDERED).unwrap();
    fill(&mut store, 1, 1);
    assert!(!store.maybe_flush(Duration::ZERO).unwrap());
    fill(&mut store, 100, 2);
    assert!(store.maybe_flush(Duration::from_millis(1)).unwrap());
}
