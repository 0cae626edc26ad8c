//! A stream by order cannot be joined with a table by customer.

use millrace_streams::{Store, Topic, Topology, TopologyError};

type OrderId = u64;
type CustomerId = String;

const ORDERS: Topic<OrderId, i64> = Topic::new("orders");
const CUSTOMERS: Topic<CustomerId, String> = Topic::new("customers");
const CUSTOMER_BY_ID: Store<CustomerId, String> = Store::new("customer-by-id");
const NAMED: Topic<OrderId, String> = Topic::new("named-orders");

pub fn topology() -> Result<Topology, TopologyError> {
    Topology::define("named-orders", |t| {
        let customers = t.table(CUSTOMERS, CUSTOMER_BY_ID);
        t.stream(ORDERS)
            .join(customers, |amount, name| format!("{amount} for {name}"))
            .to(NAMED);
    })
}
