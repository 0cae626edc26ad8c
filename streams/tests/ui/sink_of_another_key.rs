//! A topic takes keys of its own type only.

use millrace_streams::{Topic, Topology, TopologyError};

const ORDERS: Topic<u64, String> = Topic::new("orders");
const COPY: Topic<String, String> = Topic::new("copy");

pub fn topology() -> Result<Topology, TopologyError> {
    Topology::define("copy", |t| t.stream(ORDERS).to(COPY))
}
