//! The gateway simulator's ledger in the database that all instances share.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use millrace_effects::gateway::simulator::SharedLedger;

use crate::sql::Sql;

/// [`SharedLedger`] in SQL.
#[derive(Clone, Debug)]
pub(crate) struct SqlLedger {
    sql: Sql,
}

impl SqlLedger {
    /// The ledger in `sql`.
    pub(crate) fn new(sql: Sql) -> Self {
        Self { sql }
    }

    async fn add(&self, n: u64, entry: String) -> Result<bool, sqlx::Error> {
        // The primary key lets one instance have the number, whoever asks at the same time.
        let inserted = sqlx::query(
            "INSERT INTO gateway_ledger (n, entry) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(n.cast_signed())
        .bind(entry)
        .execute(self.sql.pool())
        .await?;
        Ok(inserted.rows_affected() == 1)
    }

    async fn after(&self, n: u64) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar("SELECT entry FROM gateway_ledger WHERE n > $1 ORDER BY n")
            .bind(n.cast_signed())
            .fetch_all(self.sql.pool())
            .await
    }

    async fn set_told(&self, n: u64) -> Result<(), sqlx::Error> {
        sqlx::query("UPDATE gateway_ledger SET told = 1 WHERE n = $1")
            .bind(n.cast_signed())
            .execute(self.sql.pool())
            .await
            .map(drop)
    }

    async fn untold(&self) -> Result<Vec<u64>, sqlx::Error> {
        let numbers: Vec<i64> =
            sqlx::query_scalar("SELECT n FROM gateway_ledger WHERE told = 0 ORDER BY n")
                .fetch_all(self.sql.pool())
                .await?;
        Ok(numbers.into_iter().map(i64::cast_unsigned).collect())
    }
}

impl SharedLedger for SqlLedger {
    fn add(&self, n: u64, entry: String) -> BoxFuture<'_, Result<bool, String>> {
        async move { self.add(n, entry).await.map_err(text) }.boxed()
    }

    fn after(&self, n: u64) -> BoxFuture<'_, Result<Vec<String>, String>> {
        async move { self.after(n).await.map_err(text) }.boxed()
    }

    fn set_told(&self, n: u64) -> BoxFuture<'_, Result<(), String>> {
        async move { self.set_told(n).await.map_err(text) }.boxed()
    }

    fn untold(&self) -> BoxFuture<'_, Result<Vec<u64>, String>> {
        async move { self.untold().await.map_err(text) }.boxed()
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the form that `map_err` takes"
)]
fn text(error: sqlx::Error) -> String {
    error.to_string()
}
