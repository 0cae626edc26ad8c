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
    fn start() -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let log = EmbeddedLog::open(dir.path(), EmbeddedOptions::default());
        Ok(Self {
            log: log.map_err(|error| error.to_string())?,
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

    fn delete_records(&self, partition: &TopicPartition, before: Offset) -> bool {
        self.log.purge_before(partition, before).is_ok()
    }
}

contract_suite!(Embedded);
