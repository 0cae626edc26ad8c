//! Scenarios of the operators on the test driver, one file per family.

#[path = "operators/global_tables.rs"]
mod global_tables;
#[path = "operators/processors.rs"]
mod processors;
#[path = "operators/tables.rs"]
mod tables;
#[path = "operators/topology.rs"]
mod topology;

use millrace_streams::{Timestamp, Topology, TopologyTestDriver};

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn driver(topology: &Topology) -> TopologyTestDriver {
    TopologyTestDriver::new(topology).expect("a driver")
}
