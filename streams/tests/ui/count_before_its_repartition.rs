//! Records whose key was changed lie where their old keys belong: they cannot be counted there.

use millrace_streams::{Store, Topic, Topology, TopologyError};

const ORDERS: Topic<u64, String> = Topic::new("orders");
const COUNTS: Topic<String, u64> = Topic::new("counts");
const COUNT: Store<String, u64> = Store::new("orders-by-customer");

pub fn topology() -> Result<Topology, TopologyError> {
    Topology::define("counts", |t| {
        t.stream(ORDERS)
            .select_key(|_, customer| customer.clone())
            .count(COUNT)
            .to(COUNTS);
    })
}
