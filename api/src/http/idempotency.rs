//! Idempotency keys: a request that creates or moves money takes effect once, however often it is
//! sent.
//!
//! The claim on (principal, route, key) is a row in SQL, so it survives a restart and holds for all
//! instances. The work runs to its end even if the client goes away. An answer of 500 or more
//! gives the claim back; so does a process that died, at its next start, or after a time if it does
//! not come back. Work that is then done again is told so, makes the same ids, and so changes nothing.
//!
//! An answer is remembered for a time. A key that comes back after it is a new one, whose work makes
//! other ids: nobody is answered with what another body has done.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRef, FromRequest, FromRequestParts as _, MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use millrace_avro::event::EventId;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use tokio::time::timeout;

use super::auth::Client;
use super::json;
use super::problem::{Kind, Problem, Result};
use super::request::within_current;
use crate::accounts::tokens::Tokens;
use crate::clock;
use crate::sql::{Row, Sql};

/// The header with the key.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header of an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const KEY_BYTES_MAX: usize = 255;
/// The largest answer that is remembered.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// After which time a claim without an answer is taken to be that of a process that died: work that
/// takes longer renews its claim. If it was too short, both do the same work, which harms nothing.
const CLAIM_TTL: Duration = Duration::from_secs(10);
/// How often a claim is renewed in its time.
const RENEWALS: u32 = 4;
/// How long a key is kept whose work came to no answer, if answers are not kept for longer: what it
/// has appended may have taken effect, and a repetition must find that.
const UNANSWERED_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The claim of nobody: it was given back, by work that may have taken effect or not.
const NOBODY: &str = "";

/// The table of keys.
#[derive(Clone, Debug)]
pub struct Idempotency {
    sql: Sql,
    /// Whose claims begin with this: the same after a restart.
    process: Arc<str>,
    ttl: Duration,
    claim_ttl: Duration,
}

/// What a request means to do once.
#[derive(Clone, Debug)]
pub struct Intent {
    table: Idempotency,
    principal: String,
    route: String,
    key: Option<String>,
    body_hash: String,
}

/// Whether work with a key was begun before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It was not: nothing of it can have taken effect.
    First,
    /// It was, and came to no answer: what it has appended may take effect, or have done so.
    Repeated,
}

/// Work that is done once, and the ids that it makes.
#[derive(Clone, Debug)]
pub struct Once {
    seed: EventId,
    /// Whether it was begun before.
    pub attempt: Attempt,
}

impl Once {
    fn fresh() -> Self {
        Self {
            seed: EventId::random(),
            attempt: Attempt::First,
        }
    }

    /// The id of number `index` of type `what`: the same for each repetition.
    pub fn id(&self, what: &str, index: u32) -> EventId {
        EventId::derive(&self.seed, what, index)
    }

    /// The key of the first `what`, such as `ord_...` with the prefix `ord`.
    ///
    /// # Errors
    /// 500 for a prefix that no key may have.
    pub fn key<K: FromStr>(&self, prefix: &str, what: &str) -> Result<K> {
        let key = format!("{prefix}_{}", self.id(what, 0));
        key.parse().map_err(|_| Kind::Internal.into())
    }
}

/// The body of a request that must have a key, and of one that may.
pub struct Idempotent<T, const REQUIRED: bool = true> {
    /// The body.
    pub body: T,
    /// What is to be done once.
    pub intent: Intent,
}

impl<T: fmt::Debug, const REQUIRED: bool> fmt::Debug for Idempotent<T, REQUIRED> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotent")
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

impl<T, S, const REQUIRED: bool> FromRequest<S> for Idempotent<T, REQUIRED>
where
    T: DeserializeOwned,
    S: Send + Sync,
    Tokens: FromRef<S>,
    Idempotency: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let (mut parts, body) = request.into_parts();
        let client = Client::from_request_parts(&mut parts, state).await?;
        let key = key(&parts.headers)?;
        if REQUIRED && key.is_none() {
            return Err(Kind::KeyMissing.into());
        }
        json::check_type(&parts.headers)?;
        let matched = parts
            .extensions
            .get::<MatchedPath>()
            .map_or("", MatchedPath::as_str);
        let route = format!("{} {matched} {}", parts.method, parts.uri.path());
        let bytes = json::read(Request::from_parts(parts, body), state).await?;
        let intent = Intent {
            table: Idempotency::from_ref(state),
            principal: client.principal().to_string(),
            route,
            key,
            body_hash: hex::encode(Sha256::digest(&bytes)),
        };
        Ok(Self {
            body: json::parse(&bytes)?,
            intent,
        })
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = headers.get(&KEY) else {
        return Ok(None);
    };
    let text = value.to_str().ok().map(str::trim).unwrap_or_default();
    match (1..=KEY_BYTES_MAX).contains(&text.len()) {
        true => Ok(Some(text.to_owned())),
        false => {
            let detail = format!("a key has 1 to {KEY_BYTES_MAX} visible characters");
            Err(Problem::new(Kind::Malformed).detail(detail))
        }
    }
}

impl Intent {
    /// Does `work` once, and answers every repetition as the first time.
    ///
    /// # Errors
    /// 409 while the first request is under way, 422 for another body.
    pub async fn once<W, F, R>(self, work: W) -> Result<Response>
    where
        W: FnOnce(Once) -> F,
        F: Future<Output = Result<R>> + Send + 'static,
        R: IntoResponse,
    {
        let Some(key) = self.key.clone() else {
            let work = work(Once::fresh());
            return work.await.map(IntoResponse::into_response);
        };
        let id = format!("{}/{}", self.table.process, EventId::random());
        let claim = Claim {
            intent: self,
            key,
            id,
        };
        match claim.take().await? {
            Taken::Answered(response) => Ok(response),
            Taken::Mine(once) => {
                let work = work(once);
                // A client that goes away must not leave the work half done.
                let task = tokio::spawn(within_current(async move {
                    let response = claim.held(work).await.into_response();
                    claim.answer(response).await
                }));
                task.await.map_err(|_| Problem::new(Kind::Internal))?
            }
        }
    }
}

/// The right to do the work of a key.
struct Claim {
    intent: Intent,
    key: String,
    id: String,
}

enum Taken {
    Mine(Once),
    Answered(Response),
}

impl Claim {
    async fn take(&self) -> Result<Taken> {
        let once = Once::fresh();
        if self.insert(&once.seed).await? {
            return Ok(Taken::Mine(once));
        }
        let Some(row) = self.find().await? else {
            // It was forgotten in this moment.
            return Err(in_flight());
        };
        if row.try_get::<String, _>("body_hash")? != self.intent.body_hash {
            return Err(Kind::KeyReused.into());
        }
        match row.try_get::<Option<i64>, _>("status")? {
            Some(status) => replay(status, &row).map(Taken::Answered),
            None if self.inherit(&row).await? => Ok(Taken::Mine(Once {
                seed: self.seed(&row)?,
                attempt: Attempt::Repeated,
            })),
            None => Err(in_flight()),
        }
    }

    /// What the work before has made its ids from. A row without a seed is of a program that made them
    /// from the key itself.
    fn seed(&self, row: &Row) -> Result<EventId> {
        let Intent {
            principal, route, ..
        } = &self.intent;
        Ok(match row.try_get::<&str, _>("seed")? {
            "" => EventId::new(format!("{principal}\n{route}\n{}", self.key)),
            seed => EventId::new(seed),
        })
    }

    async fn insert(&self, seed: &EventId) -> Result<bool> {
        let inserted = sqlx::query(
            "INSERT INTO idempotency \
             (principal, route, key, body_hash, claim, claimed_at_ms, seed) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        )
        .bind(&*self.intent.principal)
        .bind(&*self.intent.route)
        .bind(&*self.key)
        .bind(&*self.intent.body_hash)
        .bind(&*self.id)
        .bind(clock::now().as_millis())
        .bind(seed.as_str())
        .execute(self.intent.table.sql.pool())
        .await?;
        Ok(inserted.rows_affected() == 1)
    }

    async fn find(&self) -> Result<Option<Row>> {
        let found = sqlx::query(
            "SELECT body_hash, claim, claimed_at_ms, seed, status, headers, body FROM idempotency \
             WHERE principal = $1 AND route = $2 AND key = $3",
        )
        .bind(&*self.intent.principal)
        .bind(&*self.intent.route)
        .bind(&*self.key)
        .fetch_optional(self.intent.table.sql.pool())
        .await?;
        Ok(found)
    }

    /// Takes over a claim that was given back, or that of a process that died; only one of several
    /// succeeds.
    async fn inherit(&self, row: &Row) -> Result<bool> {
        let claimed_at: i64 = row.try_get("claimed_at_ms")?;
        let claim: String = row.try_get("claim")?;
        let now = clock::now();
        let lives = (now - self.intent.table.claim_ttl).as_millis() < claimed_at;
        if claim != NOBODY && lives {
            return Ok(false);
        }
        let updated = sqlx::query(
            "UPDATE idempotency SET claim = $4, claimed_at_ms = $5 WHERE principal = $1 \
             AND route = $2 AND key = $3 AND claim = $6 AND status IS NULL",
        )
        .bind(&*self.intent.principal)
        .bind(&*self.intent.route)
        .bind(&*self.key)
        .bind(&*self.id)
        .bind(now.as_millis())
        .bind(claim)
        .execute(self.intent.table.sql.pool())
        .await?;
        Ok(updated.rows_affected() == 1)
    }

    /// Does `work`, and keeps the claim until it is done.
    async fn held<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let pause = self.intent.table.claim_ttl / RENEWALS;
        loop {
            if let Ok(done) = timeout(pause, &mut work).await {
                return done;
            }
            if let Err(problem) = self.renew().await {
                tracing::warn!(?problem, "a claim is not renewed");
            }
        }
    }

    async fn renew(&self) -> Result<()> {
        sqlx::query(
            "UPDATE idempotency SET claimed_at_ms = $5 \
             WHERE principal = $1 AND route = $2 AND key = $3 AND claim = $4",
        )
        .bind(&*self.intent.principal)
        .bind(&*self.intent.route)
        .bind(&*self.key)
        .bind(&*self.id)
        .bind(clock::now().as_millis())
        .execute(self.intent.table.sql.pool())
        .await?;
        Ok(())
    }

    /// Remembers the answer, or gives the claim back when there is none worth it.
    async fn answer(self, response: Response) -> Result<Response> {
        if response.status().is_server_error() {
            self.give_back().await?;
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, ANSWER_BYTES_MAX).await;
        let body = body.map_err(|_| Problem::new(Kind::Internal))?;
        self.remember(parts.status, &parts.headers, &body).await?;
        Ok(Response::from_parts(parts, Body::from(body)))
    }

    async fn remember(&self, status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Result<()> {
        let headers: BTreeMap<_, _> = headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        sqlx::query(
            "UPDATE idempotency SET status = $5, headers = $6, body = $7 \
             WHERE principal = $1 AND route = $2 AND key = $3 AND claim = $4",
        )
        .bind(&*self.intent.principal)
        .bind(&*self.intent.route)
        .bind(&*self.key)
        .bind(&*self.id)
        .bind(i64::from(status.as_u16()))
        .bind(serde_json::json!(headers).to_string())
        .bind(body.to_vec())
        .execute(self.intent.table.sql.pool())
        .await?;
        Ok(())
    }

    async fn give_back(&self) -> Result<()> {
        sqlx::query(
            "UPDATE idempotency SET claim = $5 \
             WHERE principal = $1 AND route = $2 AND key = $3 AND claim = $4",
        )
        .bind(&*self.intent.principal)
        .bind(&*self.intent.route)
        .bind(&*self.key)
        .bind(&*self.id)
        .bind(NOBODY)
        .execute(self.intent.table.sql.pool())
        .await?;
        Ok(())
    }
}

fn in_flight() -> Problem {
    Problem::new(Kind::InFlight).retry_after(1)
}

fn replay(status: i64, row: &Row) -> Result<Response> {
    let broken = || Problem::new(Kind::Internal);
    let status = u16::try_from(status)
        .ok()
        .and_then(|code| StatusCode::from_u16(code).ok());
    let headers: String = row.try_get("headers")?;
    let headers: BTreeMap<String, String> = serde_json::from_str(&headers).map_err(|_| broken())?;
    let mut response = Response::new(Body::from(row.try_get::<Vec<u8>, _>("body")?));
    *response.status_mut() = status.ok_or_else(broken)?;
    for (name, value) in headers {
        let name = HeaderName::try_from(name).map_err(|_| broken())?;
        let value = HeaderValue::try_from(value).map_err(|_| broken())?;
        response.headers_mut().insert(name, value);
    }
    response
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

impl Idempotency {
    /// Keys in `sql`, claimed by `process`, whose answers are remembered for `ttl`.
    pub fn new(sql: Sql, process: &str, ttl: Duration) -> Self {
        let claim_ttl = CLAIM_TTL;
        Self {
            sql,
            process: process.into(),
            ttl,
            claim_ttl,
        }
    }

    /// Gives back what this process has claimed and not answered: at its start, so that it was
    /// another life of it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn give_back_own(&self) -> Result<u64, sqlx::Error> {
        let given_back = sqlx::query(
            "UPDATE idempotency SET claim = $1 WHERE status IS NULL AND claim LIKE $2 || '/%'",
        )
        .bind(NOBODY)
        .bind(&*self.process)
        .execute(self.sql.pool())
        .await?;
        Ok(given_back.rows_affected())
    }

    /// Forgets what is older than its time; to be called now and then.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_old(&self) -> Result<u64, sqlx::Error> {
        let now = clock::now();
        let deleted = sqlx::query(
            "DELETE FROM idempotency \
             WHERE claimed_at_ms < $1 AND (status IS NOT NULL OR claimed_at_ms < $2)",
        )
        .bind((now - self.ttl).as_millis())
        .bind((now - self.ttl.max(UNANSWERED_TTL)).as_millis())
        .execute(self.sql.pool())
        .await?;
        Ok(deleted.rows_affected())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::sync::oneshot;

    use super::*;

    async fn table(folder: &Path) -> Idempotency {
        let sql = Sql::sqlite(&folder.join("keys.db")).await.unwrap();
        Idempotency::new(sql, "one", Duration::from_secs(60))
    }

    fn intent(table: Idempotency) -> Intent {
        Intent {
            table,
            principal: "ada".to_owned(),
            route: "POST /api/orders".to_owned(),
            key: Some("first".to_owned()),
            body_hash: String::new(),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_process_that_comes_back_gives_back_its_own_claims_alone() {
        let folder = tempfile::tempdir().unwrap();
        let table = table(folder.path()).await;
        let other = Idempotency {
            process: "another".into(),
            ..table.clone()
        };
        let (begin, begun) = oneshot::channel::<()>();
        let work = async move {
            begin.send(()).unwrap();
            std::future::pending::<Result<StatusCode>>().await
        };
        let dies = tokio::spawn(intent(table.clone()).once(|_| work));
        begun.await.unwrap();
        dies.abort();
        assert_eq!(other.give_back_own().await.unwrap(), 0);
        let again = async || {
            intent(other.clone())
                .once(|_| async { Ok(StatusCode::OK) })
                .await
        };
        assert_eq!(again().await.unwrap_err().kind, Kind::InFlight);
        assert_eq!(table.give_back_own().await.unwrap(), 1);
        assert_eq!(again().await.unwrap().status(), 200);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_key_is_a_new_one_once_its_answer_is_forgotten_and_none_without_an_answer_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = table(folder.path()).await;
        table.ttl = Duration::ZERO;
        let made = async |fails: bool| {
            let (tell, told) = oneshot::channel();
            let work = |once: Once| async move {
                tell.send((once.id("order", 0), once.attempt)).unwrap();
                match fails {
                    true => Err(Problem::new(Kind::Internal)),
                    false => Ok(StatusCode::CREATED),
                }
            };
            intent(table.clone()).once(work).await.ok();
            // What is older than no time at all: this moment is over.
            let began = clock::now();
            while clock::now() <= began {
                tokio::task::yield_now().await;
            }
            table.forget_old().await.unwrap();
            told.await.unwrap()
        };
        let (first, attempt) = made(true).await;
        assert_eq!(attempt, Attempt::First);
        assert_eq!(made(false).await, (first.clone(), Attempt::Repeated));
        let (other, attempt) = made(false).await;
        assert_eq!(attempt, Attempt::First);
        assert_ne!(other, first);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_begun_before_keys_had_seeds_keeps_its_ids() {
        let folder = tempfile::tempdir().unwrap();
        let table = table(folder.path()).await;
        let fails = |_| async { Err::<StatusCode, _>(Problem::new(Kind::Internal)) };
        intent(table.clone()).once(fails).await.ok();
        let older = sqlx::query("UPDATE idempotency SET seed = ''");
        older.execute(table.sql.pool()).await.unwrap();
        let (tell, told) = oneshot::channel();
        let work = |once: Once| async move {
            tell.send(once.id("order", 0)).unwrap();
            Ok(StatusCode::CREATED)
        };
        intent(table).once(work).await.unwrap();
        let cause = EventId::new("ada\nPOST /api/orders\nfirst");
        assert_eq!(told.await.unwrap(), EventId::derive(&cause, "order", 0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn work_that_takes_long_keeps_its_claim() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = table(folder.path()).await;
        table.claim_ttl = Duration::from_millis(500);
        let intent = intent(table);
        let (finish, finished) = oneshot::channel::<()>();
        let (begin, begun) = oneshot::channel::<()>();
        let work = async move {
            begin.send(()).unwrap();
            finished.await.unwrap();
            Ok(StatusCode::CREATED)
        };
        let first = tokio::spawn(intent.clone().once(|_| work));
        begun.await.unwrap();
        let again = async || intent.clone().once(|_| async { Ok(StatusCode::OK) }).await;
        // Asked over and over, past the time that a claim lasts by itself.
        let asking = async {
            loop {
                assert_eq!(again().await.unwrap_err().kind, Kind::InFlight);
            }
        };
        assert!(timeout(Duration::from_millis(1500), asking).await.is_err());
        finish.send(()).unwrap();
        assert_eq!(first.await.unwrap().unwrap().status(), 201);
        assert_eq!(again().await.unwrap().status(), 201);
    }
}
