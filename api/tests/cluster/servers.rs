//! The servers that these tests share, and the program as it is started on them.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use millrace_deploy::market::MarketOptions;
use millrace_deploy::{Kafka, KafkaOptions, Postgres, Redis, Registry, require, require_with};

/// How long a market may take to do what it does at once on a machine with nothing else to do.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A member that is silent for this long loses its tasks.
const SESSION_MS: &str = "3000";

/// The servers of one test: a cluster and a database of its own. Tests that hold one run one after
/// the other, so that what they wait for does not wait for another test's servers.
pub(crate) struct Servers {
    pub(crate) kafka: Kafka,
    registry: &'static Registry,
    redis: &'static Redis,
    postgres: String,
    _turn: MutexGuard<'static, ()>,
}

/// What stays between tests; `None` where it is not installed.
struct Lasting {
    registry: Option<Registry>,
    postgres: Option<Postgres>,
    redis: Option<Redis>,
}

impl Servers {
    /// Starts what a market needs; `None` where a server is not installed.
    pub(crate) fn start(database: &str) -> Option<Self> {
        static TURN: Mutex<()> = Mutex::new(());
        static LASTING: OnceLock<Lasting> = OnceLock::new();
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let lasting = LASTING.get_or_init(|| Lasting {
            registry: require(),
            postgres: require(),
            redis: require(),
        });
        let kafka = require_with::<Kafka>(quick_to_miss())?;
        let postgres = lasting.postgres.as_ref()?;
        Some(Self {
            kafka,
            registry: lasting.registry.as_ref()?,
            redis: lasting.redis.as_ref()?,
            postgres: postgres.create_database(database).unwrap(),
            _turn: turn,
        })
    }

    /// The program on all of them, without a demonstration catalogue.
    pub(crate) fn options(&self) -> MarketOptions {
        program()
            .flag("--kafka", &self.kafka.bootstrap())
            .flag("--registry", &self.registry.url())
            .flag("--postgres", &self.postgres)
            .flag("--redis", &self.redis.url())
            .switch("--no-demo")
    }
}

/// Brokers that notice a dead member soon.
fn quick_to_miss() -> KafkaOptions {
    KafkaOptions::default()
        .with("group.streams.min.session.timeout.ms", "1000")
        .with("group.streams.session.timeout.ms", SESSION_MS)
        .with("group.streams.heartbeat.interval.ms", "500")
}

pub(crate) fn program() -> MarketOptions {
    MarketOptions::new(env!("CARGO_BIN_EXE_millrace"))
}
