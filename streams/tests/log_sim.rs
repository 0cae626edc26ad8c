//! The simulated log: the contract of the port, and what only a simulation can show.

#[macro_use]
mod contract;

use std::time::Duration;

use contract::Harness;
use millrace_streams::log::sim::{SimLog, SimOptions};
use millrace_streams::log::{Log, Offset, TopicPartition};

struct Sim {
    log: SimLog,
}

impl Harness for Sim {
    fn start() -> Result<Self, String> {
        let options = SimOptions {
            standby_replicas: 1,
            ..SimOptions::default()
        };
        let log = SimLog::new(1, options);
        Ok(Self { log })
    }

    fn log(&self) -> &dyn Log {
        &self.log
    }

    fn settle(&self) {
        self.log.advance(Duration::from_millis(10));
    }

    // Nothing has to be waited for in a simulation: what does not come soon never comes.
    fn patience(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn standby_replicas(&self) -> usize {
        1
    }

    fn end_session(&self, member_id: &str) -> bool {
        self.log.remove_member(member_id)
    }

    fn delete_records(&self, partition: &TopicPartition, before: Offset) -> bool {
        self.log.delete_records(partition, before).is_ok()
    }
}

contract_suite!(Sim);
