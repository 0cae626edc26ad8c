//! The embedded log: the contract of the port.

#[macro_use]
mod contract;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use contract::Harness;
use millrace_streams::log::embedded::{EmbeddedLog, EmbeddedOptions};
use millrace_streams::log::{Log, Offset, TopicPartition};
use tempfile::TempDir;

struct Embedded {
    log: Arc<EmbeddedLog>,
    /// Removed when the test ends.
    _dir: TempDir,
}

impl Harness for Embedded {
    const DELETES_RECORDS: bool = true;

    fn start() -> Result<Self, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let log = EmbeddedLog::open(dir.path(), EmbeddedOptions::default());
        Ok(Self {
            log: log.expect("the log opens"),
            _dir: dir,
        })
    }

    fn log(&self) -> &dyn Log {
        &*self.log
    }

    fn settle(&self) {
        thread::park_timeout(Duration::from_millis(1));
    }

    fn writes_before_commit(&self) -> bool {
        false
    }

    fn delete_records(&self, partition: &TopicPartition, before: Offset) {
        let purged = self.log.purge_before(partition, before);
        purged.expect("the partition exists");
    }
}

contract_suite!(Embedded);
