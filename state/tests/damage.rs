//! Damage to each file of a state directory: it is found out, or what is read is right.

#![allow(
    clippy::disallowed_methods,
    reason = "a test damages files behind the directory's back"
)]

mod support;

use std::fs;
use std::path::Path;

use millrace_state::{Error, StateDir};
use support::*;

/// What becomes of a file.
struct Damage {
    name: String,
    /// `None` deletes it.
    bytes: Option<Vec<u8>>,
}

/// All damages to a file that holds `good`, and held `old` at an earlier time.
fn damages(good: &[u8], old: Option<Vec<u8>>) -> Vec<Damage> {
    let damage = |name: &str, bytes| Damage {
        name: name.to_owned(),
        bytes,
    };
    let mut all = vec![damage("deleted", None)];
    if let Some(old) = old.filter(|old| old != good) {
        all.push(damage("of an earlier time", Some(old)));
    }
    if good.is_empty() {
        return all;
    }
    all.push(damage("zeroed", Some(vec![0; good.len()])));
    for len in [good.len() / 2, good.len() - 1] {
        all.push(damage("cut short", Some(good[..len].to_vec())));
    }
    for part in 0..4 {
        let place = (good.len() - 1) * part / 3;
        let mut bytes = good.to_vec();
        bytes[place] ^= 1 << (place % 8);
        all.push(damage(&format!("flipped at {place}"), Some(bytes)));
    }
    all
}

fn inflict(damage: &Damage, file: &Path) {
    match &damage.bytes {
        Some(bytes) => fs::write(file, bytes).unwrap(),
        None => fs::remove_file(file).unwrap(),
    }
}

/// Reads all stores of a damaged directory, and lets them go on.
fn use_stores(path: &Path) -> Result<(), Error> {
    let dir = open(path)?;
    for name in STORES {
        let mut store = open_store(&dir, name)?;
        let position = verify(&store, name)?;
        assert!([0, 520, 1600, 1610].contains(&position), "{position}");
        advance(&mut store, name, 1700)?;
        verify(&store, name)?;
    }
    Ok(())
}

/// What the caller of a damaged directory does, even if only a read has found the damage: set it
/// aside, and restore all from changelogs. A damaged process id costs no store.
fn restore(path: &Path, file: &Path) {
    let (dir, aside) = StateDir::open_or_set_aside(path, options()).unwrap();
    let in_stores = file.starts_with("stores");
    assert_eq!(aside.is_some(), in_stores, "{}", file.display());
    for name in STORES {
        let mut store = open_store(&dir, name).unwrap();
        assert_eq!(store.position().is_none(), in_stores);
        advance(&mut store, name, 1700).unwrap();
        assert_eq!(verify(&store, name).unwrap(), 1700);
    }
}

#[test]
fn no_damage_to_any_file_is_served() {
    let scratch = tempfile::tempdir().unwrap();
    let [earlier, whole] = ["earlier", "whole"].map(|name| scratch.path().join(name));
    write(&earlier, &[500, 510, 520]);
    copy(&earlier, &whole);
    write(&whole, &[1000, 1010, 1600, 1610]);
    // Opening drops what is left of older versions.
    drop(open(&whole).unwrap());
    let (mut found_out, mut harmless) = (0, 0);
    for file in files(&whole) {
        let good = fs::read(whole.join(&file)).unwrap();
        let mut restored = false;
        for damage in damages(&good, fs::read(earlier.join(&file)).ok()) {
            let what = format!("{} {}", file.display(), damage.name);
            let path = scratch.path().join("damaged");
            copy(&whole, &path);
            inflict(&damage, &path.join(&file));
            match use_stores(&path) {
                Ok(()) => harmless += 1,
                Err(Error::Incompatible { .. }) => found_out += 1,
                Err(Error::Corrupted { .. }) => {
                    found_out += 1;
                    if !std::mem::replace(&mut restored, true) {
                        restore(&path, &file);
                    }
                }
                Err(error) => panic!("{what}: {error}"),
            }
            fs::remove_dir_all(&path).unwrap();
        }
    }
    // Beside torn journals, only the empty files and the spaces at the end of others are harmless.
    assert!(found_out > 5 * harmless, "{found_out} and {harmless}");
}

#[test]
fn a_damaged_process_id_is_found_out_and_made_anew() {
    let scratch = tempfile::tempdir().unwrap();
    let before = open(scratch.path()).unwrap().process_id().to_owned();
    let file = scratch.path().join("PROCESS_ID");
    let other = fs::read_to_string(&file)
        .unwrap()
        .replacen(&before[..1], "x", 1);
    fs::write(&file, other).unwrap();
    assert!(matches!(open(scratch.path()), Err(Error::Corrupted { .. })));
    StateDir::set_aside(scratch.path()).unwrap();
    assert_ne!(open(scratch.path()).unwrap().process_id(), before);
}
