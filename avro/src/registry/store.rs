//! Where a registry keeps what it was told: a list of entries that only grows.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Level;

/// One thing that a registry was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// A schema became a version of a subject.
    Version {
        /// The subject.
        subject: String,
        /// The version's number in the subject, from 1.
        version: u32,
        /// The schema's id, the same in every subject.
        id: u32,
        /// The schema's text.
        schema: String,
    },
    /// A version is listed no longer; its schema is still found by id.
    Deleted {
        /// The subject.
        subject: String,
        /// The version's number.
        version: u32,
    },
    /// A compatibility level was set, or unset.
    Level {
        /// The subject; `None` for the level of those that have none of their own.
        subject: Option<String>,
        /// The level; `None` returns to the default.
        level: Option<Level>,
    },
}

/// Keeps entries, in order.
pub trait RegistryStore: fmt::Debug + Send + 'static {
    /// Every entry that was appended, oldest first. Called once, before anything else.
    ///
    /// # Errors
    /// When the entries cannot be read, or are damaged.
    fn load(&mut self) -> io::Result<Vec<Entry>>;

    /// Appends an entry, durably.
    ///
    /// # Errors
    /// When the entry may not be durable. The store then refuses all further entries.
    fn append(&mut self, entry: &Entry) -> io::Result<()>;
}

/// Keeps nothing: for tests and simulations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forgetful;

impl RegistryStore for Forgetful {
    fn load(&mut self) -> io::Result<Vec<Entry>> {
        Ok(Vec::new())
    }

    fn append(&mut self, _: &Entry) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps entries in a file, one JSON object a line, forced to disk one by one.
#[derive(Debug)]
pub struct FileStore {
    file: File,
    /// After a failed write nobody knows what the file's end looks like.
    poisoned: bool,
}

impl FileStore {
    /// Opens the file at `path`, or creates it.
    ///
    /// # Errors
    /// When the file cannot be opened, or a new one not be made durable.
    pub fn open(path: &Path) -> io::Result<Self> {
        let is_new = !path.exists();
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).open(path)?;
        if let (true, Some(folder)) = (is_new, path.parent()) {
            let folder = if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            };
            File::open(folder)?.sync_all()?;
        }
        Ok(Self {
            file,
            poisoned: false,
        })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.write_all(line)?;
        self.file.sync_data()
    }
}

impl RegistryStore for FileStore {
    /// A last line without its end was never acknowledged: it is cut off. Damage elsewhere is an
    /// error.
    fn load(&mut self) -> io::Result<Vec<Entry>> {
        let mut text = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_to_end(&mut text)?;
        let whole = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        if whole < text.len() {
            self.file.set_len(whole as u64)?;
            self.file.sync_data()?;
            text.truncate(whole);
        }
        let lines = text.split(|byte| *byte == b'\n').enumerate();
        lines
            .filter(|(_, line)| !line.is_empty())
            .map(|(number, line)| {
                serde_json::from_slice(line).map_err(|error| damaged(number + 1, &error))
            })
            .collect()
    }

    fn append(&mut self, entry: &Entry) -> io::Result<()> {
        if self.poisoned {
            return Err(io::Error::other(
                "an earlier write failed; start the registry again",
            ));
        }
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let written = self.write(&line);
        self.poisoned = written.is_err();
        written
    }
}

fn damaged(line: usize, error: &serde_json::Error) -> io::Error {
    let what = format!("line {line} of the registry's file is damaged: {error}");
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(version: u32) -> Entry {
        Entry::Deleted {
            subject: "s".into(),
            version,
        }
    }

    fn reopened(path: &Path) -> io::Result<Vec<Entry>> {
        FileStore::open(path)?.load()
    }

    #[test]
    fn entries_survive_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry");
        let mut store = FileStore::open(&path).unwrap();
        assert_eq!(store.load().unwrap(), []);
        store.append(&entry(1)).unwrap();
        store.append(&entry(2)).unwrap();
        assert_eq!(reopened(&path).unwrap(), [entry(1), entry(2)]);
    }

    #[test]
    fn a_torn_last_line_is_cut_at_every_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry");
        let mut store = FileStore::open(&path).unwrap();
        store.append(&entry(1)).unwrap();
        let first = std::fs::read(&path).unwrap().len();
        store.append(&entry(2)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for len in first..whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            let mut store = FileStore::open(&path).unwrap();
            assert_eq!(store.load().unwrap(), [entry(1)], "cut to {len}");
            store.append(&entry(3)).unwrap();
            assert_eq!(reopened(&path).unwrap(), [entry(1), entry(3)]);
        }
    }

    #[test]
    fn damage_in_the_middle_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry");
        std::fs::write(&path, "{\"entry\":\"dele\n{}\n").unwrap();
        let error = reopened(&path).unwrap_err().to_string();
        assert!(
            error.starts_with("line 1 of the registry's file is damaged"),
            "{error}"
        );
    }
}
