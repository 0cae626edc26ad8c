//! A topic takes values of its own type only.

use millrace_streams::{Topic, Topology, TopologyError};

const ORDERS: Topic<u64, String> = Topic::new("orders");
const LENGTHS: Topic<u64, u64> = Topic::new("lengths");

pub fn topology() -> Result<Topology, TopologyError> {
    Topology::define("lengths", |t| t.stream(ORDERS).to(LENGTHS))
}
