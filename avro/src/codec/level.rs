//! The compatibility level of subjects at a remote registry, which the client library has no calls
//! for: whoever registers there may find any level, and a lax one lets a contract through that
//! breaks readers.

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::client::Refusal;
use super::remote::{Credentials, RemoteConfig};

/// The level that the catalogue's contracts are checked for.
const LEVEL: &str = "BACKWARD_TRANSITIVE";
/// Levels that check no less.
const STRICT: [&str; 2] = [LEVEL, "FULL_TRANSITIVE"];

pub(super) struct Levels {
    config: RemoteConfig,
    client: Client,
}

impl Levels {
    pub(super) fn new(config: &RemoteConfig) -> reqwest::Result<Self> {
        let client = Client::builder().timeout(config.timeout).build()?;
        let config = config.clone();
        Ok(Self { config, client })
    }

    /// Sees to it that versions of `subject` are compared with all before; false where the registry
    /// cannot be told yet, because it knows no such subject.
    pub(super) async fn ensure(&self, subject: &str) -> Result<bool, Refusal> {
        let mut answer = Err(Refusal::Unavailable("no address".into()));
        for url in &self.config.urls {
            answer = self.ensure_at(&format!("{url}/config/{subject}")).await;
            if !matches!(answer, Err(Refusal::Unavailable(_))) {
                break;
            }
        }
        answer
    }

    async fn ensure_at(&self, url: &str) -> Result<bool, Refusal> {
        let level = self.level(url).await?;
        if STRICT.contains(&&*level) {
            return Ok(true);
        }
        let put = self.request(Method::PUT, url);
        let told = send(put.json(&json!({ "compatibility": LEVEL }))).await?;
        match told.status() {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            // Another process was faster.
            StatusCode::CONFLICT if STRICT.contains(&&*self.level(url).await?) => Ok(true),
            status => Err(Refusal::Refused(format!(
                "its compatibility level is `{level}`, and setting `{LEVEL}` is answered by {status}"
            ))),
        }
    }

    /// The level that holds for a subject; nothing where the registry knows none.
    async fn level(&self, url: &str) -> Result<String, Refusal> {
        let get = self.request(Method::GET, &format!("{url}?defaultToGlobal=true"));
        let found: Value = send(get).await?.json().await.unwrap_or_default();
        let level = found["compatibilityLevel"].as_str();
        Ok(level.unwrap_or_default().to_owned())
    }

    fn request(&self, method: Method, url: &str) -> RequestBuilder {
        let request = self.client.request(method, url);
        match &self.config.credentials {
            Credentials::None => request,
            Credentials::Basic(name, password) => request.basic_auth(name, Some(password)),
            Credentials::Token(token) => request.bearer_auth(token),
        }
    }
}

/// An answer, unless the registry cannot give one now.
async fn send(request: RequestBuilder) -> Result<Response, Refusal> {
    let answer = request
        .send()
        .await
        .and_then(|answer| match answer.status().is_server_error() {
            true => answer.error_for_status(),
            false => Ok(answer),
        });
    answer.map_err(|error| Refusal::Unavailable(error.to_string()))
}
