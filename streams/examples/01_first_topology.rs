//! Lesson 1, a first topology: draw it, look at it, and run it record by record in a test driver.
//!
//! `cargo run -p millrace-streams --example 01_first_topology`

use std::error::Error;

use millrace_streams::{Store, Timestamp, Topic, Topology, TopologyTestDriver};

// Topics and stores are typed constants: whoever uses one of them means the same bytes.
const ORDERS: Topic<u64, String> = Topic::new("orders");
const COUNTS: Topic<String, u64> = Topic::new("order-counts");
const BY_CUSTOMER: Store<String, u64> = Store::new("orders-by-customer");

pub fn main() -> Result<(), Box<dyn Error>> {
    // orders -> (by-customer) -> [orders-by-customer] -> order-counts
    let topology = Topology::define("order-counts", |t| {
        t.stream(ORDERS)
            .filter(|_, customer| !customer.is_empty())
            .select_key(|_, customer| customer.clone())
            // The records of a customer lie where their orders' ids belong: without this hop to
            // the tasks that own the customers, `count` does not compile.
            .repartition("by-customer")
            .count(BY_CUSTOMER)
            .to(COUNTS);
    })?;
    println!("{}", topology.describe());

    let mut driver = TopologyTestDriver::new(&topology)?;
    for (order, customer) in [(1, "ann"), (2, "bob"), (3, ""), (4, "ann")] {
        let at = Timestamp::from_millis(0);
        driver
            .input(ORDERS)
            .pipe(&order, &customer.to_owned(), at)?;
    }
    let counts = driver.output(COUNTS).read_key_values()?;
    for (customer, count) in &counts {
        println!("{customer}: {count}");
    }
    let expected = [("ann", 1), ("bob", 1), ("ann", 2)].map(|(name, n)| (name.to_owned(), n));
    assert_eq!(counts, expected);
    Ok(())
}
