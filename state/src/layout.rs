//! The files of a state directory beside the stores: lock, format and process id.
//!
//! | file | content |
//! | --- | --- |
//! | `LOCK` | nothing; whoever holds its lock owns the directory |
//! | `FORMAT` | the version of everything else |
//! | `PROCESS_ID` | a random id, made once, and once more to show damage to either |
//! | `stores/` | the disk backend's own files |
//! | `stores.damaged-N/` | the same, set aside: the newest two copies |

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::error::Error;

/// What `FORMAT` says in directories that this version writes.
const FORMAT: &str = "millrace-state 2";

/// What it says in directories that this version also reads: their footers have no origin.
const FORMAT_BEFORE: &str = "millrace-state 1";

const PROCESS_ID: &str = "PROCESS_ID";

/// What begins the names of damaged copies of `stores`; a number follows.
const ASIDE: &str = "stores.damaged-";

/// How many damaged copies are kept, for whoever looks into it.
const COPIES_ASIDE: usize = 2;

pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    pub(crate) fn stores(&self) -> PathBuf {
        self.root.join("stores")
    }

    fn path(&self) -> String {
        self.root.display().to_string()
    }

    /// Takes the directory, and creates it if it does not exist. The lock goes with the process,
    /// however it ends.
    pub(crate) fn lock(&self) -> Result<File, Error> {
        let io = |source| Error::io("creating the state directory", &self.root, source);
        fs::create_dir_all(&self.root).map_err(io)?;
        let path = self.root.join("LOCK");
        let open = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let file = open.map_err(|source| Error::io("creating", &path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { path: self.path() }),
            Err(TryLockError::Error(source)) => Err(Error::io("locking", &path, source)),
        }
    }

    /// Refuses what a version wrote that is not known, and marks a fresh or older directory.
    pub(crate) fn check_format(&self) -> Result<(), Error> {
        match self.read("FORMAT")? {
            Some(found) if found == FORMAT => Ok(()),
            Some(found) if found == FORMAT_BEFORE => self.write("FORMAT", FORMAT),
            Some(found) => Err(self.incompatible(found)),
            None if self.stores().exists() => Err(self.incompatible("unmarked".to_owned())),
            None => self.write("FORMAT", FORMAT),
        }
    }

    fn incompatible(&self, found: String) -> Error {
        Error::Incompatible {
            path: self.path(),
            found,
            expected: FORMAT.to_owned(),
        }
    }

    /// The id that was made when the directory was.
    pub(crate) fn process_id(&self) -> Result<String, Error> {
        if let Some(text) = self.read(PROCESS_ID)? {
            return parse_process_id(&text).ok_or_else(|| Error::Corrupted {
                what: self.root.join(PROCESS_ID).display().to_string(),
                reason: "it does not hold one id twice".to_owned(),
            });
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "made once per directory, then kept"
        )]
        let id = Uuid::new_v4().to_string();
        self.write(PROCESS_ID, &format!("{id} {id}"))?;
        Ok(id)
    }

    /// Removes the process id if it is unreadable: the next opening makes another.
    pub(crate) fn forget_damaged_id(&self) -> Result<(), Error> {
        match self.read(PROCESS_ID) {
            Ok(Some(text)) if parse_process_id(&text).is_some() => Ok(()),
            Ok(None) => Ok(()),
            Ok(Some(_)) | Err(Error::Corrupted { .. }) => {
                let path = self.root.join(PROCESS_ID);
                fs::remove_file(&path).map_err(|source| Error::io("removing", &path, source))
            }
            Err(error) => Err(error),
        }
    }

    /// Renames `stores` to `stores.damaged-N`, with the next `N`, and keeps the newest copies only.
    pub(crate) fn set_stores_aside(&self) -> Result<Option<PathBuf>, Error> {
        let stores = self.stores();
        if !stores.exists() {
            return Ok(None);
        }
        let copies = self.copies_aside()?;
        let next = copies.last().map_or(1, |number| number.saturating_add(1));
        let target = self.copy_aside(next);
        fs::rename(&stores, &target)
            .map_err(|source| Error::io("setting aside", &stores, source))?;
        self.sync()?;
        for old in copies.iter().rev().skip(COPIES_ASIDE - 1) {
            let path = self.copy_aside(*old);
            fs::remove_dir_all(&path).map_err(|source| Error::io("removing", &path, source))?;
        }
        Ok(Some(target))
    }

    fn copy_aside(&self, number: u32) -> PathBuf {
        self.root.join(format!("{ASIDE}{number}"))
    }

    /// The numbers of the copies that were set aside, in order.
    fn copies_aside(&self) -> Result<Vec<u32>, Error> {
        let io = |source| Error::io("listing", &self.root, source);
        let mut copies = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(ASIDE));
            copies.extend(number.and_then(|number| number.parse::<u32>().ok()));
        }
        copies.sort_unstable();
        Ok(copies)
    }

    fn read(&self, name: &str) -> Result<Option<String>, Error> {
        let path = self.root.join(name);
        match fs::read_to_string(&path) {
            Ok(content) => Ok(Some(content.trim().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == ErrorKind::InvalidData => Err(Error::Corrupted {
                what: path.display().to_string(),
                reason: "it is not text".to_owned(),
            }),
            Err(source) => Err(Error::io("reading", &path, source)),
        }
    }

    /// Writes a small file whole or not at all, whatever happens to the machine meanwhile.
    fn write(&self, name: &str, content: &str) -> Result<(), Error> {
        let path = self.root.join(name);
        let fresh = self.root.join(format!("{name}.new"));
        let write = || {
            let mut file = File::create(&fresh)?;
            writeln!(file, "{content}")?;
            file.sync_all()?;
            fs::rename(&fresh, &path)
        };
        write().map_err(|source| Error::io("writing", &path, source))?;
        self.sync()
    }

    /// Makes renames in the directory durable.
    fn sync(&self) -> Result<(), Error> {
        let sync = File::open(&self.root).and_then(|directory| directory.sync_all());
        sync.map_err(|source| Error::io("syncing", &self.root, source))
    }
}

fn parse_process_id(text: &str) -> Option<String> {
    let (id, again) = text.split_once(' ')?;
    (id == again && Uuid::parse_str(id).is_ok()).then(|| id.to_owned())
}
