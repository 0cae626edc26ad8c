//! Only what has a serde can be read from a topic.

use millrace_streams::{Topic, Topology, TopologyError};

pub struct Order;

const ORDERS: Topic<u64, Order> = Topic::new("orders");

pub fn topology() -> Result<Topology, TopologyError> {
    Topology::define("orders", |t| {
        t.stream(ORDERS).filter(|_, _| true);
    })
}
