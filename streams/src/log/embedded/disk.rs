//! The seam between the journal and the file system: everything that can fail goes through it.
//!
//! [`FileSystem`] is the real one. A test puts its own in its place to make writes and syncs fail,
//! or to play a power cut.

use std::fmt::Debug;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A place for files.
pub trait Disk: Send + Sync + Debug {
    /// Makes the directory `dir`, unless it exists, and locks it for this process until the answer
    /// is dropped.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when somebody else holds the lock.
    fn lock(&self, dir: &Path) -> io::Result<Box<dyn DirLock>>;

    /// The names of the files in `dir`.
    ///
    /// # Errors
    /// Those of the file system.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Creates a file, or empties the one that is there.
    ///
    /// # Errors
    /// Those of the file system.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file to read and write.
    ///
    /// # Errors
    /// Those of the file system.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, in place of whatever had it.
    ///
    /// # Errors
    /// Those of the file system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Those who have it open read on.
    ///
    /// # Errors
    /// Those of the file system.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes creations, renames and removals in `dir` durable.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// The right to use a directory, given up when dropped.
pub trait DirLock: Send + Sync + Debug {}

/// An open file.
pub trait DiskFile: Send + Sync + Debug {
    /// Fills `buffer` from the bytes at `at`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the file is too short, and those of the file system.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `at`. After an error any first part of them may be written.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] when the disk is full, and those of the file system.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// Those of the file system; it is then unknown what is durable, now and after any later call.
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file to this length.
    ///
    /// # Errors
    /// Those of the file system.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// Those of the file system.
    fn len(&self) -> io::Result<u64>;

    /// True if the file has no bytes.
    ///
    /// # Errors
    /// Those of the file system.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileSystem;

impl Disk for FileSystem {
    fn lock(&self, dir: &Path) -> io::Result<Box<dyn DirLock>> {
        if !dir.is_dir() {
            self.make(dir)?;
        }
        let file = fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join("lock"))?;
        file.try_lock()?;
        Ok(Box::new(FileLock(file)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(dir)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut options = fs::File::options();
        options.create(true).truncate(true).read(true).write(true);
        Ok(Box::new(options.open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = fs::File::options().read(true).write(true).open(path)?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }
}

impl FileSystem {
    /// Makes a directory and those above it, each of them durably.
    fn make(&self, dir: &Path) -> io::Result<()> {
        let missing = dir.ancestors().take_while(|one| !one.is_dir());
        let missing: Vec<&Path> = missing.filter(|one| *one != Path::new("")).collect();
        fs::create_dir_all(dir)?;
        missing
            .into_iter()
            .try_for_each(|made| self.sync_dir(parent_of(made)))
    }
}

/// The directory that holds `path`; a bare name lies in the current one.
fn parent_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    parent.unwrap_or(Path::new("."))
}

/// A locked file.
#[derive(Debug)]
struct FileLock(fs::File);

impl DirLock for FileLock {}

impl Drop for FileLock {
    /// Closing the file would not do: a child that is just being started may have it open still.
    fn drop(&mut self) {
        // There is nobody to tell, and the end of the process unlocks it.
        let _ = self.0.unlock();
    }
}

impl DiskFile for fs::File {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.read_exact_at(buffer, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        fs::File::set_len(self, len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}
