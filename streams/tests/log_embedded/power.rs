//! Power cuts, played on a disk in memory that forgets what was not synced.
//!
//! The disk keeps an image of itself at every operation. Each image is then cut: of the writes
//! that were not synced any sectors may have reached the disk, in any order, and of the names that
//! were not synced a first part has. The log must open on what is left, and keep its promises.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use millrace_streams::log::embedded::{DirLock, Disk, DiskFile, EmbeddedLog, EmbeddedOptions};
use millrace_streams::log::{Cleanup, Log, OutputBatch, TopicPartition, TopicSpec};

use crate::kit::*;

const SECTOR: usize = 512;

/// A file: what programs read, what is safe, and the writes in between.
#[derive(Clone, Debug, Default)]
struct Content {
    seen: Vec<u8>,
    safe: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>, mut reaches: impl FnMut() -> bool) {
        match self {
            Self::Cut(len) if reaches() => to.resize(*len, 0),
            Self::Cut(_) => {}
            Self::Write(at, bytes) => {
                for (sector, part) in bytes.chunks(SECTOR).enumerate() {
                    if reaches() {
                        let begin = at + sector * SECTOR;
                        to.resize(to.len().max(begin + part.len()), 0);
                        to[begin..begin + part.len()].copy_from_slice(part);
                    }
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum NameChange {
    Add(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

type Names = BTreeMap<PathBuf, usize>;

impl NameChange {
    fn apply(&self, to: &mut Names) {
        match self {
            Self::Add(path, file) => drop(to.insert(path.clone(), *file)),
            Self::Remove(path) => drop(to.remove(path)),
            Self::Rename(from, into) => {
                if let Some(file) = to.remove(from) {
                    to.insert(into.clone(), file);
                }
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
struct State {
    files: Vec<Content>,
    seen: Names,
    safe: Names,
    pending: Vec<NameChange>,
    /// What the test had been promised by then.
    acknowledged: i64,
}

impl State {
    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.seen);
        self.pending.push(change);
    }

    /// What is left after the power is cut at this instant.
    fn cut(&self, dice: &mut Dice) -> State {
        let reach = dice.below(3);
        let mut names = self.safe.clone();
        let kept = dice.below(self.pending.len() + 1);
        self.pending[..kept]
            .iter()
            .for_each(|change| change.apply(&mut names));
        let files = self.files.iter().map(|file| {
            let mut left = file.safe.clone();
            for change in &file.pending {
                // Nothing, anything, or everything of what was not synced.
                change.apply(&mut left, || match reach {
                    0 => false,
                    1 => dice.one_in(2),
                    _ => true,
                });
            }
            Content {
                seen: left.clone(),
                safe: left,
                pending: Vec::new(),
            }
        });
        State {
            files: files.collect(),
            seen: names.clone(),
            safe: names,
            pending: Vec::new(),
            acknowledged: self.acknowledged,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct PowerDisk {
    state: Arc<Mutex<State>>,
    /// The disk at every operation, if asked for.
    images: Option<Arc<Mutex<Vec<State>>>>,
}

#[derive(Debug)]
struct PowerFile(PowerDisk, usize);

#[derive(Debug)]
struct NoLock;

impl DirLock for NoLock {}

impl PowerDisk {
    fn new(state: State, keeps_images: bool) -> Self {
        Self {
            state: Arc::new(Mutex::new(state)),
            images: keeps_images.then(Arc::default),
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().expect("no panic");
        let answer = change(&mut state);
        if let Some(images) = &self.images {
            images.lock().expect("no panic").push(state.clone());
        }
        answer
    }

    fn see(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    fn acknowledge(&self, number: i64) {
        self.see().acknowledged = number;
    }

    fn take_images(&self) -> Vec<State> {
        let images = self.images.as_ref().expect("kept");
        std::mem::take(&mut images.lock().expect("no panic"))
    }
}

impl Disk for PowerDisk {
    fn lock(&self, _dir: &Path) -> io::Result<Box<dyn DirLock>> {
        Ok(Box::new(NoLock))
    }

    fn list(&self, _dir: &Path) -> io::Result<Vec<String>> {
        let state = self.see();
        let names = state.seen.keys().filter_map(|path| path.file_name());
        Ok(names
            .map(|name| name.to_string_lossy().into_owned())
            .collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.change(|state| {
            let known = state.seen.get(path).copied();
            known.unwrap_or_else(|| {
                state.files.push(Content::default());
                let file = state.files.len() - 1;
                state.change_name(NameChange::Add(path.to_owned(), file));
                file
            })
        });
        let file = PowerFile(self.clone(), file);
        file.set_len(0)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.see().seen.get(path).copied();
        let file = file.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(PowerFile(self.clone(), file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let change = NameChange::Rename(from.to_owned(), to.to_owned());
        self.change(|state| state.change_name(change));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(|state| state.change_name(NameChange::Remove(path.to_owned())));
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        self.change(|state| {
            state.safe = state.seen.clone();
            state.pending.clear();
        });
        Ok(())
    }
}

impl DiskFile for PowerFile {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let at = usize::try_from(at).expect("small");
        let state = self.0.see();
        let bytes = state.files[self.1].seen.get(at..at + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let change = Change::Write(usize::try_from(at).expect("small"), bytes.to_vec());
        self.change(|state| {
            let file = &mut state.files[self.1];
            change.apply(&mut file.seen, || true);
            file.pending.push(change);
        });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.change(|state| {
            let file = &mut state.files[self.1];
            file.safe = file.seen.clone();
            file.pending.clear();
        });
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let change = Change::Cut(usize::try_from(len).expect("small"));
        self.change(|state| {
            let file = &mut state.files[self.1];
            change.apply(&mut file.seen, || true);
            file.pending.push(change);
        });
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.see().files[self.1].seen.len() as u64)
    }
}

impl PowerFile {
    fn change(&self, change: impl FnOnce(&mut State)) {
        self.0.change(change);
    }
}

fn options() -> EmbeddedOptions {
    let mut options = small();
    options.segment_bytes = 3000;
    options.dirty_percent_min = 0;
    options
}

fn open_disk(disk: &PowerDisk) -> Arc<EmbeddedLog> {
    EmbeddedLog::open_on(Arc::new(disk.clone()), "/log", options()).expect("the log opens")
}

/// Commits of one number each to a plain and a compacted topic, with its offset.
fn run(disk: &PowerDisk, commits: i64) {
    let log = open_disk(disk);
    create(&*log, "t", 2);
    let compact = TopicSpec {
        cleanup: Cleanup::Compact,
        ..spec("c", 1)
    };
    log.create_topics(&[compact]).expect("created");
    let mut member = log.join(seat("app", "m", &["t"])).expect("joined");
    let mut outputs = OutputBatch::new();
    for number in 1..=commits {
        let text = format!("{number}");
        push(&mut outputs, "t", 0, "k", Some(&text));
        push(
            &mut outputs,
            "t",
            1,
            "k",
            Some(&format!("{text}{}", " ".repeat(600))),
        );
        push(
            &mut outputs,
            "c",
            0,
            &format!("k{}", number % 3),
            Some(&text),
        );
        member.send(&mut outputs).expect("sent");
        member.commit(&[offset("t", 0, number)]).expect("committed");
        disk.acknowledge(number);
        if number % 10 == 0 {
            log.clean().expect("cleaned");
        }
    }
}

/// Opens what is left, and checks every promise. Answers the number of commits that survived.
fn check(disk: &PowerDisk) -> i64 {
    let acknowledged = disk.see().acknowledged;
    let log = open_disk(disk);
    if log.topics().expect("topics").len() < 2 {
        assert_eq!(acknowledged, 0);
        return 0;
    }
    let partition = TopicPartition::new("t", 0);
    let committed = log.committed("app", std::slice::from_ref(&partition));
    let survived = committed.expect("read").swap_remove(0);
    let survived = survived.map_or(0, |committed| committed.offset);
    assert!(survived >= acknowledged, "{survived} of {acknowledged}");
    let expected: Vec<_> = (1..=survived).map(|number| format!("{number}")).collect();
    assert_eq!(values(&read_all(&*log, "t", 0)), expected);
    let padded = values(&read_all(&*log, "t", 1));
    assert!(padded.iter().map(|value| value.trim_end()).eq(&expected));
    let mut latest = BTreeMap::new();
    for record in read_all(&*log, "c", 0) {
        latest.insert(record.key, record.value);
    }
    let mut latest: Vec<_> = latest.into_values().flatten().collect();
    latest.sort_by_key(|value| String::from_utf8_lossy(value).parse::<i64>().ok());
    let first = (survived - 2).max(1);
    let expected = (first..=survived).map(|number| format!("{number}").into_bytes());
    assert!(latest.into_iter().eq(expected));
    append(&*log, "t", "k", "writing goes on");
    survived
}

#[test]
fn every_acknowledged_commit_survives_a_power_cut_at_any_operation_and_whole() {
    let disk = PowerDisk::new(State::default(), true);
    run(&disk, 40);
    let images = disk.take_images();
    assert!(images.len() > 150, "{} images", images.len());
    let mut survived_most = 0;
    for (instant, image) in (0..).zip(&images) {
        for variant in 0..4 {
            let mut dice = Dice::new(instant * 4 + variant);
            let disk = PowerDisk::new(image.cut(&mut dice), false);
            survived_most = survived_most.max(check(&disk));
        }
    }
    assert_eq!(survived_most, 40);
}

#[test]
fn a_power_cut_during_the_recovery_from_a_power_cut_is_survived_too() {
    let disk = PowerDisk::new(State::default(), true);
    run(&disk, 20);
    for (instant, image) in (0..).zip(&disk.take_images()).step_by(3) {
        let mut dice = Dice::new(instant);
        let disk = PowerDisk::new(image.cut(&mut dice), true);
        drop(open_disk(&disk));
        for image in disk.take_images() {
            check(&PowerDisk::new(image.cut(&mut dice), false));
        }
    }
}
