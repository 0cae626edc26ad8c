//! What the tests of a directory's files share: a store whose content at each position is known.
#![allow(dead_code)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test handles files behind the directory's back"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use millrace_state::{Error, Origin, StateDir, StateOptions, Store, StoreId, StoreOptions};

/// One unordered and one ordered store.
pub(crate) const STORES: [&str; 2] = ["counts", "windows"];

const KEYS: i64 = 300;

/// Where all stores are written from.
pub(crate) const ORIGIN: Origin = Origin {
    changelog: Some(7),
    at_ms: 1_735_689_600_000,
};

pub(crate) fn options() -> StateOptions {
    StateOptions {
        memory_bytes_max: 1 << 20,
        flush_interval: Duration::from_secs(3600),
        // Writes of a thousand bytes and more become files of their own.
        flush_bytes: 8_000,
    }
}

pub(crate) fn open(path: &Path) -> Result<StateDir, Error> {
    StateDir::open(path, options())
}

pub(crate) fn open_store(dir: &StateDir, store: &str) -> Result<Store, Error> {
    let options = StoreOptions {
        ordered: store == "windows",
        changelog: true,
    };
    dir.open_store(&StoreId::new("shop", "0_1", store), options)
}

/// The change that the changelog of `store` has at `offset`.
fn change(store: &str, offset: i64) -> (Vec<u8>, Option<Vec<u8>>) {
    let key = format!("{store}-{:04}", offset * 37 % KEYS);
    let value = (offset % 7 != 6).then(|| format!("{store} at {offset}").into_bytes());
    (key.into_bytes(), value)
}

/// Applies the changelog to the store from where it stands to `position`.
pub(crate) fn advance(store: &mut Store, name: &str, position: i64) -> Result<(), Error> {
    for offset in store.position().unwrap_or(0)..position {
        match change(name, offset) {
            (key, Some(value)) => store.put(&key, &value)?,
            (key, None) => store.delete(&key)?,
        }
    }
    store.commit(Some(position))?;
    store.flush()
}

/// Brings all stores to each of `positions` in turn, in a flush for each.
pub(crate) fn write(path: &Path, positions: &[i64]) {
    let dir = open(path).unwrap();
    for name in STORES {
        let mut store = open_store(&dir, name).unwrap();
        store.set_origin(ORIGIN);
        for position in positions {
            advance(&mut store, name, *position).unwrap();
        }
        store.close().unwrap();
    }
}

/// Reads a whole store in every way and gives its position.
///
/// # Panics
/// When it is not what its changelog up to its position makes.
pub(crate) fn verify(store: &Store, name: &str) -> Result<i64, Error> {
    let position = store.position().unwrap_or(0);
    let mut model = BTreeMap::new();
    for (key, value) in (0..position).map(|offset| change(name, offset)) {
        model.insert(key, value);
    }
    for (key, value) in &model {
        let found = store.get(key)?;
        assert_eq!(found.as_deref(), value.as_deref(), "{name} at {position}");
    }
    let entries = store.all().collect::<Result<Vec<_>, _>>()?;
    let entries = entries.iter().map(|entry| (entry.key(), entry.value()));
    let live = model
        .iter()
        .filter_map(|(key, value)| Some((&key[..], value.as_deref()?)));
    assert!(entries.eq(live), "a range of {name} at {position}");
    Ok(position)
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// The paths of all files below `path`, relative to it and in order.
pub(crate) fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
        let name = PathBuf::from(entry.file_name());
        if entry.path().is_dir() {
            let inside = files(&entry.path());
            found.extend(inside.iter().map(|file| name.join(file)));
        } else {
            found.push(name);
        }
    }
    found.sort();
    found
}
