//! A disk in memory that knows what was synced, and can lose the rest.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use millrace_streams::log::embedded::{DirLock, Disk, DiskFile};

use crate::kit::Dice;

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
pub(crate) struct State {
    files: Vec<Content>,
    seen: Names,
    safe: Names,
    pending: Vec<NameChange>,
    /// What the test had been promised by then.
    acknowledged: i64,
    /// The next sync fails, and what it should have made safe counts as written.
    sync_fails: bool,
}

impl State {
    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.seen);
        self.pending.push(change);
    }

    /// What is left after the power is cut at this instant.
    pub(crate) fn cut(&self, dice: &mut Dice) -> State {
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
            sync_fails: false,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryDisk {
    state: Arc<Mutex<State>>,
    /// The disk at every operation, if asked for.
    images: Option<Arc<Mutex<Vec<State>>>>,
}

#[derive(Debug)]
struct MemoryFile(MemoryDisk, usize);

#[derive(Debug)]
struct NoLock;

impl DirLock for NoLock {}

impl MemoryDisk {
    pub(crate) fn new(state: State, keeps_images: bool) -> Self {
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

    /// What the test had been promised when this disk was made.
    pub(crate) fn acknowledged(&self) -> i64 {
        self.see().acknowledged
    }

    fn see(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    pub(crate) fn acknowledge(&self, number: i64) {
        self.see().acknowledged = number;
    }

    /// The next sync fails as Linux lets it: what was to be written is lost to the disk, and stays to be
    /// read until the power is cut.
    pub(crate) fn fail_next_sync(&self) {
        self.see().sync_fails = true;
    }

    pub(crate) fn take_images(&self) -> Vec<State> {
        let images = self.images.as_ref().expect("kept");
        std::mem::take(&mut images.lock().expect("no panic"))
    }
}

impl Disk for MemoryDisk {
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
        let file = MemoryFile(self.clone(), file);
        file.set_len(0)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.see().seen.get(path).copied();
        let file = file.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(MemoryFile(self.clone(), file)))
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

impl DiskFile for MemoryFile {
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
            let pending = std::mem::take(&mut file.pending);
            if std::mem::take(&mut state.sync_fails) {
                return Err(io::ErrorKind::Other.into());
            }
            let safe = &mut file.safe;
            pending.iter().for_each(|one| one.apply(safe, || true));
            Ok(())
        })
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

impl MemoryFile {
    fn change(&self, change: impl FnOnce(&mut State)) {
        self.0.change(change);
    }
}
