//! A half-drawn graph cannot leave the closure that draws it.

use millrace_streams::{Topic, Topology, TopologyError};

const ORDERS: Topic<u64, String> = Topic::new("orders");
const COPY: Topic<u64, String> = Topic::new("copy");

pub fn topology() -> Result<Topology, TopologyError> {
    let mut escaped = None;
    let topology = Topology::define("copy", |t| escaped = Some(t.stream(ORDERS)));
    if let Some(orders) = escaped {
        orders.to(COPY);
    }
    topology
}
