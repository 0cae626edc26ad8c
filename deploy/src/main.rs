//! `millrace-local`: real servers on this machine for as long as it runs.

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use millrace_deploy::{Kafka, KafkaOptions, Postgres, Redis, Registry};
use tokio::signal::unix::{SignalKind, signal};

/// Starts real servers on free loopback ports, without containers.
#[derive(Debug, Parser)]
#[command(name = "millrace-local")]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start the named servers, all four without a name, until Ctrl-C or SIGTERM.
    Up {
        #[arg(value_enum)]
        servers: Vec<Name>,
        /// Number of Kafka brokers.
        #[arg(long, default_value_t = 1)]
        brokers: usize,
    },
    /// Get the jars of Kafka and of the schema registry with Maven.
    Fetch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    Kafka,
    Registry,
    Postgres,
    Redis,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Action::Up { servers, brokers } => up(&servers, brokers),
        Action::Fetch => millrace_deploy::fetch(),
    }
}

/// Starts the servers, prints how to use them, and ends them when told to.
fn up(names: &[Name], brokers: usize) -> Result<()> {
    let servers = Servers::start(names, brokers)?;
    let endpoints = servers.endpoints();
    let flags: String = endpoints
        .iter()
        .map(|(name, url)| format!(" --{name} {url}"))
        .collect();
    println!("millrace serve{flags}\n");
    for (name, url) in &endpoints {
        println!("export MILLRACE_{}={url}", name.to_uppercase());
    }
    println!("\nup; Ctrl-C stops the servers and removes their data");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(told_to_stop())?;
    drop(servers);
    println!("stopped");
    Ok(())
}

async fn told_to_stop() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// The servers that were asked for.
#[derive(Debug)]
struct Servers {
    kafka: Option<Kafka>,
    registry: Option<Registry>,
    postgres: Option<Postgres>,
    redis: Option<Redis>,
}

impl Servers {
    fn start(names: &[Name], brokers: usize) -> Result<Self> {
        let wanted = |name| names.is_empty() || names.contains(&name);
        // They are up for long, so a broker at full speed is worth its slower first minute.
        let options = KafkaOptions {
            jvm: vec!["-XX:+UseSerialGC".to_owned()],
            ..KafkaOptions::default().brokers(brokers)
        };
        Ok(Self {
            kafka: wanted(Name::Kafka)
                .then(|| Kafka::start(options))
                .transpose()?,
            registry: wanted(Name::Registry).then(Registry::start).transpose()?,
            postgres: wanted(Name::Postgres).then(Postgres::start).transpose()?,
            redis: wanted(Name::Redis).then(Redis::start).transpose()?,
        })
    }

    /// Each server as a flag of `millrace serve` and its value.
    fn endpoints(&self) -> Vec<(&'static str, String)> {
        let endpoints = [
            ("kafka", self.kafka.as_ref().map(Kafka::bootstrap)),
            ("registry", self.registry.as_ref().map(Registry::url)),
            ("postgres", self.postgres.as_ref().map(Postgres::url)),
            ("redis", self.redis.as_ref().map(Redis::url)),
        ];
        endpoints
            .into_iter()
            .filter_map(|(name, url)| Some((name, url?)))
            .collect()
    }
}
