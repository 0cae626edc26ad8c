//! A registry behind HTTP, asked from a thread of its own: serdes run on threads without a
//! runtime, and are built on threads with one, where blocking on another would panic.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_schema_by_id, post_schema,
};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{RawError, SchemaType, SuppliedSchema};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::client::Refusal;
use super::level::Levels;

/// How to reach a registry with Confluent's HTTP API.
#[derive(Clone)]
#[non_exhaustive]
pub struct RemoteConfig {
    /// Base addresses, tried in order: `http://registry:8081`.
    pub urls: Vec<String>,
    /// How it knows this program.
    pub credentials: Credentials,
    /// The longest wait for one answer.
    pub timeout: Duration,
}

/// How a registry knows this program.
#[derive(Clone, Default)]
pub enum Credentials {
    /// It does not ask.
    #[default]
    None,
    /// A name and a password.
    Basic(String, String),
    /// A bearer token.
    Token(String),
}

/// Base addresses, separated by commas; no credentials, a timeout of 10 s.
impl From<&str> for RemoteConfig {
    fn from(urls: &str) -> Self {
        let trimmed = urls.split(',').map(|url| url.trim().trim_end_matches('/'));
        Self {
            urls: trimmed.map(str::to_owned).collect(),
            credentials: Credentials::None,
            timeout: Duration::from_secs(10),
        }
    }
}

impl std::fmt::Debug for RemoteConfig {
    /// Leaves the credentials out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteConfig")
            .field("urls", &self.urls)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Basic(..) => "Basic",
            Self::Token(_) => "Token",
        })
    }
}

impl RemoteConfig {
    fn settings(&self) -> Result<SrSettings, SRCError> {
        let mut urls = self.urls.iter().cloned();
        let mut settings = SrSettings::new_builder(urls.next().unwrap_or_default());
        for url in urls {
            settings.add_url(url);
        }
        match &self.credentials {
            Credentials::None => {}
            Credentials::Basic(name, password) => {
                settings.set_basic_authorization(name, Some(password));
            }
            Credentials::Token(token) => {
                settings.set_token_authorization(token);
            }
        }
        settings.set_timeout(self.timeout).build()
    }
}

/// How many requests may wait for the thread.
const QUEUE_MAX: usize = 64;
/// How often a schema is posted that is refused: where several processes begin at once, a registry may
/// refuse all but the first, and knows the schema when it is asked again.
const POSTS_MAX: usize = 3;
/// How many unknown ids are remembered, and for how long: a flood of bad records must not become a
/// flood of requests, and an id may become known later, when a replica of the registry catches up.
const UNKNOWN_MAX: usize = 1024;
const UNKNOWN_FOR: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Remote {
    requests: Sender<Request>,
    unknown: Mutex<HashMap<u32, Instant>>,
}

#[derive(Debug)]
enum Request {
    Register {
        subject: String,
        schema: String,
        reply: SyncSender<Result<u32, Refusal>>,
    },
    Schema {
        id: u32,
        reply: SyncSender<Result<String, Refusal>>,
    },
}

impl Remote {
    /// Starts the thread. It ends when the last handle is dropped.
    pub(super) fn start(config: &RemoteConfig) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (requests, mut incoming) = channel(QUEUE_MAX);
        let settings = config.settings().map_err(io::Error::other)?;
        let levels = Levels::new(config).map_err(io::Error::other)?;
        std::thread::Builder::new()
            .name("schema-client".into())
            .spawn(move || runtime.block_on(serve(&settings, &levels, &mut incoming)))?;
        Ok(Self {
            requests,
            unknown: Mutex::default(),
        })
    }

    pub(super) fn register(&self, subject: &str, schema: &str) -> Result<u32, Refusal> {
        self.ask(|reply| Request::Register {
            subject: subject.to_owned(),
            schema: schema.to_owned(),
            reply,
        })
    }

    pub(super) fn schema(&self, id: u32) -> Result<String, Refusal> {
        if self.is_known_unknown(id) {
            return Err(Refusal::Unknown);
        }
        let answer = self.ask(|reply| Request::Schema { id, reply });
        if answer == Err(Refusal::Unknown) {
            self.remember_unknown(id);
        }
        answer
    }

    fn ask<T>(
        &self,
        request: impl FnOnce(SyncSender<Result<T, Refusal>>) -> Request,
    ) -> Result<T, Refusal> {
        let (reply, answer) = sync_channel(1);
        self.requests
            .try_send(request(reply))
            .map_err(|error| Refusal::Unavailable(format!("schema client's queue: {error}")))?;
        let gone = |_| {
            Err(Refusal::Unavailable(
                "the schema client's thread has ended".into(),
            ))
        };
        answer.recv().unwrap_or_else(gone)
    }

    fn is_known_unknown(&self, id: u32) -> bool {
        let unknown = self.unknown.lock();
        unknown
            .get(&id)
            .is_some_and(|since| since.elapsed() < UNKNOWN_FOR)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "an id is unknown for a while, not for ever"
    )]
    fn remember_unknown(&self, id: u32) {
        let mut unknown = self.unknown.lock();
        if unknown.len() >= UNKNOWN_MAX {
            unknown.clear();
        }
        unknown.insert(id, Instant::now());
    }
}

async fn serve(settings: &SrSettings, levels: &Levels, requests: &mut Receiver<Request>) {
    while let Some(request) = requests.recv().await {
        match request {
            Request::Register {
                subject,
                schema,
                reply,
            } => {
                reply
                    .send(register(settings, levels, subject, schema).await)
                    .ok();
            }
            Request::Schema { id, reply } => {
                let answer = get_schema_by_id(id, settings).await;
                let answer = answer.map(|found| found.schema).map_err(|e| refusal(&e));
                reply.send(answer).ok();
            }
        }
    }
}

async fn register(
    settings: &SrSettings,
    levels: &Levels,
    subject: String,
    schema: String,
) -> Result<u32, Refusal> {
    let is_strict = levels.ensure(&subject).await?;
    let schema = SuppliedSchema::new(None, SchemaType::Avro, schema);
    let mut posted = post(settings, &subject, &schema).await;
    for _ in 1..POSTS_MAX {
        if matches!(posted, Err(Refusal::Refused(_))) {
            posted = post(settings, &subject, &schema).await;
        }
    }
    let id = posted?;
    // The first version has nothing to break, but the next one will.
    if is_strict || levels.ensure(&subject).await? {
        return Ok(id);
    }
    let why = "it takes no compatibility level for the subject";
    Err(Refusal::Refused(why.into()))
}

async fn post(
    settings: &SrSettings,
    subject: &str,
    schema: &SuppliedSchema,
) -> Result<u32, Refusal> {
    let posted = post_schema(settings, subject.to_owned(), schema.clone()).await;
    posted
        .map(|registered| registered.id)
        .map_err(|error| refusal(&error))
}

/// Only what the registry itself says is a refusal: a bare 404 may come from a proxy.
fn refusal(error: &SRCError) -> Refusal {
    let answered = error
        .source()
        .and_then(|source| source.downcast_ref::<RawError>());
    match answered {
        Some(RawError {
            error_code: 40_403, ..
        }) => Refusal::Unknown,
        Some(RawError {
            error_code,
            message,
            ..
        }) if is_refusal(*error_code) || is_uncoded_conflict(error, *error_code) => {
            Refusal::Refused(message.clone())
        }
        _ => Refusal::Unavailable(error.to_string()),
    }
}

/// A conflict for which the registry has no number. The client library tells the status in words only.
fn is_uncoded_conflict(error: &SRCError, code: u32) -> bool {
    code == 0 && error.error.contains("status 409")
}

/// 409 and 422, with or without the digits that registries add.
fn is_refusal(code: u32) -> bool {
    let status = if code < 1000 { code } else { code / 100 };
    matches!(status, 409 | 422)
}
