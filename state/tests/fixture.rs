//! Directories that earlier versions wrote: this version must read them.
//!
//! `fixtures/format-<n>` was written by the first version with that format, and never changes. A
//! new format gets a fixture of its own by `WRITE_FIXTURE=format-<n>`.

#![allow(
    clippy::disallowed_methods,
    reason = "a test handles files behind the directory's back"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use millrace_state::{Origin, StoreId};
use support::*;

/// The last position that the fixtures were written to.
const POSITION: i64 = 1010;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

#[test]
fn directories_of_all_formats_are_read_and_go_on() {
    if let Ok(name) = std::env::var("WRITE_FIXTURE") {
        write_fixture(&fixtures().join(name));
    }
    let mut read = 0;
    for fixture in fs::read_dir(fixtures()).unwrap().map(Result::unwrap) {
        let scratch = tempfile::tempdir().unwrap();
        copy(&fixture.path(), scratch.path());
        let has_origin = fixture.file_name() != "format-1";
        check(scratch.path(), has_origin.then_some(ORIGIN));
        read += 1;
    }
    assert!(read > 0);
}

fn check(path: &Path, origin: Option<Origin>) {
    let dir = open(path).unwrap();
    assert_eq!(dir.process_id().len(), 36);
    let listed = STORES.map(|name| (StoreId::new("shop", "0_1", name), Some(POSITION)));
    assert_eq!(dir.stores().unwrap(), listed);
    for name in STORES {
        let mut store = open_store(&dir, name).unwrap();
        assert_eq!(verify(&store, name).unwrap(), POSITION);
        assert_eq!(store.origin(), origin);
        advance(&mut store, name, 2 * POSITION).unwrap();
        store.close().unwrap();
        let store = open_store(&dir, name).unwrap();
        assert_eq!(verify(&store, name).unwrap(), 2 * POSITION);
    }
}

/// Writes a directory with files of every kind: tables of both ways to write, and a journal.
fn write_fixture(path: &Path) {
    assert!(!path.exists(), "a fixture never changes");
    write(path, &[500, 1000]);
    // What was written in one session is compacted in the next, and its journal cut to its length.
    write(path, &[1005, POSITION]);
    drop(open(path).unwrap());
}
