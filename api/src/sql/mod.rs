//! The SQL database: the only module that knows SQLite from PostgreSQL.
//!
//! Statements elsewhere are written once, with `$1` for parameters, and hold in both. A transaction
//! begins with a write, so that SQLite takes its lock at the start and waits for it instead of
//! failing half-way.

use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Any, AnyPool, Connection as _, Transaction};

pub use sqlx::AnyConnection as Connection;
pub use sqlx::any::AnyRow as Row;

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How SQLite is set up, once per connection: readers do not block the writer, a commit survives a
/// power cut, and a writer waits for another.
const SQLITE_PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
    PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000;";

/// Host, port and database of a PostgreSQL URL, without what is secret; `None` when it is none.
pub fn address_of(url: &str) -> Option<String> {
    let options: PgConnectOptions = url.parse().ok()?;
    let (host, port) = (options.get_host(), options.get_port());
    let database = options.get_database().unwrap_or_default();
    Some(format!("{host}:{port}/{database}"))
}

/// A pool of connections to a migrated database.
#[derive(Clone, Debug)]
pub struct Sql {
    pool: AnyPool,
}

impl Sql {
    /// Opens the SQLite file at `path`, or creates it, and migrates it.
    ///
    /// # Errors
    /// When the file cannot be opened, or is newer than this program.
    pub async fn sqlite(path: &Path) -> Result<Self, sqlx::Error> {
        let escaped = path
            .display()
            .to_string()
            .replace('%', "%25")
            .replace('?', "%3F");
        let options = AnyPoolOptions::new()
            .max_connections(4)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::raw_sql(SQLITE_PRAGMAS)
                        .execute(connection)
                        .await
                        .map(drop)
                })
            });
        Self::open(options, &format!("sqlite://{escaped}?mode=rwc"), &SQLITE).await
    }

    /// Connects to the PostgreSQL database at `url`, and migrates it.
    ///
    /// # Errors
    /// With the address, when the server refuses or does not answer, or the database is newer than
    /// this program.
    pub async fn postgres(url: &str) -> anyhow::Result<Self> {
        let options = AnyPoolOptions::new().max_connections(16);
        let opened = match Self::open(options, url, &POSTGRES).await {
            // The pool keeps to itself why it got no connection.
            Err(sqlx::Error::PoolTimedOut) => match Connection::connect(url).await {
                Ok(_) => Err(sqlx::Error::PoolTimedOut),
                Err(reason) => Err(reason),
            },
            opened => opened,
        };
        let address = address_of(url).unwrap_or_default();
        opened.with_context(|| format!("`postgres` at `{address}`"))
    }

    async fn open(
        options: AnyPoolOptions,
        url: &str,
        migrator: &Migrator,
    ) -> Result<Self, sqlx::Error> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(install_default_drivers);
        let pool = options
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect(url)
            .await?;
        migrator.run(&pool).await?;
        Ok(Self { pool })
    }

    /// The pool, to run a statement on.
    pub fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Begins a transaction. Its first statement is a write.
    ///
    /// # Errors
    /// When no connection is free in time.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        self.pool.begin().await
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map(drop)
    }

    /// The secret `name`: made at the first call, the same ever after.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn secret(&self, name: &str) -> Result<Vec<u8>, sqlx::Error> {
        let fresh = crate::clock::random_bytes::<32>().to_vec();
        sqlx::query("INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(name)
            .bind(fresh)
            .execute(&self.pool)
            .await?;
        sqlx::query_scalar("SELECT value FROM secrets WHERE name = $1")
            .bind(name)
            .fetch_one(&self.pool)
            .await
    }

    /// Closes every connection, after the statements that run.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
