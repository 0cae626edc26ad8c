//! A topic has a name that Kafka takes.

use millrace_streams::Topic;

pub const ORDERS: Topic<u64, String> = Topic::new("orders/v1");
