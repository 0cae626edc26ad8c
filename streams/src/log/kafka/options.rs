//! How to reach a cluster, and what follows from it for each of librdkafka's clients.

use std::time::Duration;

use rdkafka::config::ClientConfig;

use crate::log::{Isolation, LogError, Seat};

/// How to reach a Kafka cluster, and how long to wait for it.
///
/// ```
/// use millrace_streams::log::kafka::KafkaOptions;
///
/// let options = KafkaOptions::new("127.0.0.1:9092").property("compression.type", "lz4");
/// assert_eq!(options.bootstrap, "127.0.0.1:9092");
/// ```
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// Brokers to ask first: `host:port`, separated by commas.
    pub bootstrap: String,
    /// librdkafka's own properties, for every client. They win over what the engine sets.
    pub properties: Vec<(String, String)>,
    /// Settings of each group that is joined, by Kafka's names: `streams.num.standby.replicas`,
    /// `streams.session.timeout.ms`. They replace what the cluster had for the group.
    pub group_settings: Vec<(String, String)>,
    /// How long a question to the cluster (offsets, metadata, topics) may take.
    pub request_timeout: Duration,
    /// How long one call on a transaction may take, and half of what a commit may, which makes
    /// three of them. A watchdog sees to it, because the library's own time-out does not hold while
    /// a coordinator is down.
    pub transaction_call_timeout: Duration,
    /// How long the group waits for a member to give up a revoked task.
    pub rebalance_timeout: Duration,
    /// How often consumed records of repartition topics are deleted, at most.
    pub repartition_purge_interval: Duration,
    /// An upper bound on the bytes that wait in a producer.
    pub send_bytes_max: usize,
}

impl KafkaOptions {
    /// The defaults for the cluster behind `bootstrap`.
    pub fn new(bootstrap: impl Into<String>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            properties: Vec::new(),
            group_settings: Vec::new(),
            request_timeout: Duration::from_secs(15),
            transaction_call_timeout: Duration::from_secs(15),
            rebalance_timeout: Duration::from_secs(60),
            repartition_purge_interval: Duration::from_secs(30),
            send_bytes_max: 64 << 20,
        }
    }

    /// The same options with one more librdkafka property.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// The same options with one more setting of each group.
    #[must_use]
    pub fn group_setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.group_settings.push((name.into(), value.into()));
        self
    }

    /// Refuses what the engine cannot honour.
    pub(super) fn check(&self) -> Result<(), LogError> {
        match self.find("security.protocol") {
            Some(protocol) if !protocol.eq_ignore_ascii_case("plaintext") => {
                Err(LogError::Config(format!(
                    "`security.protocol={protocol}` is not supported, because heartbeats are sent \
                     in plain text: use `plaintext`, or a tunnel"
                )))
            }
            _ => Ok(()),
        }
    }

    /// The largest record that the producers take, in bytes on the wire.
    pub(super) fn record_bytes_max(&self) -> usize {
        let set = self
            .find("message.max.bytes")
            .and_then(|text| text.parse().ok());
        set.unwrap_or(RECORD_BYTES_MAX)
    }

    fn find(&self, name: &str) -> Option<&str> {
        let mut found = self.properties.iter().rev().filter(|(n, _)| n == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// What is the same for every client.
    pub(super) fn client(&self, id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", id)
            // A broker that restarts is back within a second or two.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("message.max.bytes", RECORD_BYTES_MAX.to_string());
        config
    }

    /// A consumer that is assigned partitions and keeps at most about `bytes_max` bytes ahead.
    pub(super) fn consumer(
        &self,
        id: &str,
        group: &str,
        isolation: Isolation,
        bytes_max: usize,
    ) -> ClientConfig {
        let mut config = self.client(id);
        let fetch = (bytes_max / 4).clamp(RECORD_BYTES_MAX, 50 << 20);
        let partition_fetch = fetch.min(4 << 20);
        // A queued message costs a few hundred bytes beside its own, so their number is bounded
        // too.
        let messages = (bytes_max / 512).clamp(1_000, 200_000);
        config
            .set("group.id", group)
            .set("isolation.level", isolation_name(isolation))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            // An offset that is gone is told, never replaced.
            .set("auto.offset.reset", "error")
            .set("check.crcs", "true")
            .set(
                "queued.max.messages.kbytes",
                (bytes_max / 1024).clamp(1, MAX_KBYTES).to_string(),
            )
            .set("queued.min.messages", messages.to_string())
            .set("fetch.max.bytes", fetch.to_string())
            .set("fetch.message.max.bytes", partition_fetch.to_string())
            // Latency: answer with the first byte, ask again at once. A new partition waits for
            // the request under way, hence the short wait.
            .set("fetch.min.bytes", "1")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.queue.backoff.ms", "1")
            .set("fetch.error.backoff.ms", "50");
        self.with_properties(config)
    }

    /// The transactional producer of a stream thread.
    pub(super) fn producer(&self, seat: &Seat) -> ClientConfig {
        let mut config = self.idempotent_producer(&seat.member_id);
        config
            .set("transactional.id", transactional_id(seat))
            .set(
                "transaction.timeout.ms",
                seat.transaction_timeout.as_millis().to_string(),
            )
            // A transaction that follows another at once is refused until the markers of that one are
            // written, a few milliseconds: the default of 100 would be most of a commit's time. It
            // doubles with each further refusal.
            .set("retry.backoff.ms", "5")
            // A commit flushes, so lingering delays nobody: it gathers what is written before into
            // fewer requests, which the client and the broker pay for one by one.
            .set("linger.ms", "20");
        self.with_properties(config)
    }

    /// A producer for single records, each awaited by somebody.
    pub(super) fn writer(&self, name: &str) -> ClientConfig {
        let mut config = self.idempotent_producer(name);
        let timeout = self.request_timeout.as_millis().to_string();
        config
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", timeout)
            .set("linger.ms", "1");
        self.with_properties(config)
    }

    /// A client that creates and deletes topics.
    pub(super) fn admin(&self) -> ClientConfig {
        self.with_properties(self.client("millrace-admin"))
    }

    fn idempotent_producer(&self, id: &str) -> ClientConfig {
        let mut config = self.client(id);
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set(
                "queue.buffering.max.kbytes",
                (self.send_bytes_max / 1024).max(1).to_string(),
            )
            .set("queue.buffering.max.messages", "1000000");
        config
    }

    fn with_properties(&self, mut config: ClientConfig) -> ClientConfig {
        config.extend(self.properties.iter().cloned());
        config
    }
}

/// A little less than what a broker takes by default, which counts its own overhead too.
const RECORD_BYTES_MAX: usize = 1_000_000;

/// The library's own upper limit.
const MAX_KBYTES: usize = 2_097_151;

/// Stays the same when a process restarts, so that it fences its former self.
pub(super) fn transactional_id(seat: &Seat) -> String {
    format!("{}-{}", seat.application, seat.member_id)
}

fn isolation_name(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::ReadCommitted => "read_committed",
        Isolation::ReadUncommitted => "read_uncommitted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_wins_over_what_the_engine_sets() {
        let options = KafkaOptions::new("b:1").property("linger.ms", "7");
        assert_eq!(options.writer("w").get("linger.ms"), Some("7"));
    }

    #[test]
    fn encrypted_heartbeats_are_refused() {
        let options = KafkaOptions::new("b:1").property("security.protocol", "SSL");
        assert!(matches!(options.check(), Err(LogError::Config(_))));
    }

    #[test]
    fn the_fetch_queue_follows_the_budget() {
        let config = KafkaOptions::new("b:1").consumer("c", "g", Isolation::ReadCommitted, 8 << 20);
        assert_eq!(config.get("queued.max.messages.kbytes"), Some("8192"));
        assert_eq!(config.get("fetch.max.bytes"), Some("2097152"));
    }
}
