//! As with `count`, a rekeyed stream has no `aggregate`.

use millrace_streams::{Store, Topic, Topology, TopologyError};

const ORDERS: Topic<u64, i64> = Topic::new("orders");
const TOTAL: Store<i64, i64> = Store::new("total-by-amount");

pub fn topology() -> Result<Topology, TopologyError> {
    Topology::define("totals", |t| {
        t.stream(ORDERS)
            .select_key(|_, amount| *amount)
            .aggregate(TOTAL, || 0, |_, amount, total| total + amount);
    })
}
