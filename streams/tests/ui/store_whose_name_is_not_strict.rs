//! A store names its changelog, and has a strict name, where a topic may be called as it is.

use millrace_streams::{Store, Topic};

pub const ORDERS: Topic<u64, String> = Topic::new("My_Orders.v1");
pub const COUNTS: Store<u64, u64> = Store::new("My_Counts.v1");
