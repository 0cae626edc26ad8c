//! The built-in payment gateway: the simulator, its webhooks, its ledger, and the calls of the
//! payment rule.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, put};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use millrace_avro::catalog::{GATEWAY_CALLS, PAYMENT_COMMANDS};
use millrace_avro::event::{EventId, Meta};
use millrace_avro::events::payments::PaymentCommand;
use millrace_effects::gateway::simulator::{Delivery, Simulator, SimulatorOptions, WebhookSink};
use millrace_effects::gateway::webhook::{Notice, SIGNATURE, Secret, TOLERANCE, VerifyError};
use millrace_effects::payments::GatewayCalls;
use millrace_effects::runner::{Effects, EffectsConfig, Running};
use millrace_streams::SystemClock;
use tokio::runtime::Handle;

use crate::clock;
use crate::config::Settings;
use crate::file;
use crate::ground::Ground;
use crate::http::auth::Admin;
use crate::http::json::{Checks, Raw, parse};
use crate::http::problem::{Kind, Problem};
use crate::ledger::SqlLedger;
use crate::market::App;
use crate::ports::{Commands, Gateways, Message, Webhook, WebhookError};
use crate::sql::Sql;

/// The name under which webhooks of the simulator come.
const NAME: &str = "simulator";
/// The application that makes the calls.
const APPLICATION: &str = "market-effects";
/// How long a customer who has to act takes.
const CUSTOMER: Duration = Duration::from_secs(1);
/// The file of the data folder that keeps what webhooks are signed with.
const SECRET: &str = "webhook-secret";
/// Bounds of what may be asked of webhooks.
const COPIES_MAX: u32 = 10;
const LATE_MS_MAX: u64 = 60_000;

/// What webhooks are signed with: what the settings say, or a random secret that is kept under the
/// data folder, readable by its owner only.
///
/// # Errors
/// When the file cannot be read or written.
pub fn signing_secret(settings: &Settings) -> Result<String> {
    if let Some(secret) = &settings.webhook_secret {
        return Ok(secret.0.clone());
    }
    let secret = kept_secret(&settings.data);
    secret.with_context(|| format!("`{SECRET}` of webhooks, in `{}`", settings.data.display()))
}

fn kept_secret(data: &Path) -> std::io::Result<String> {
    match std::fs::read_to_string(data.join(SECRET)) {
        Ok(kept) if !kept.trim().is_empty() => return Ok(kept.trim().to_owned()),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let fresh = clock::random_token();
    file::replace(data, SECRET, fresh.as_bytes())?;
    Ok(fresh)
}

/// The simulator, as this instance runs it.
#[derive(Clone, Debug)]
pub struct BuiltInGateway {
    simulator: Simulator,
    secret: Secret,
}

impl BuiltInGateway {
    /// Opens the simulator with its ledger: in the shared database where there is one, so that every
    /// instance knows every charge; else in a file under the data folder, apart from the market's own
    /// state.
    ///
    /// # Errors
    /// When the ledger cannot be read or written.
    pub async fn open(settings: &Settings, secret: &str) -> Result<Self> {
        let secret = Secret::new(secret);
        let options = SimulatorOptions {
            secret: secret.clone(),
            customers_approve_after: Some(CUSTOMER),
        };
        let simulator = match &settings.postgres {
            Some(url) => shared(url, options).await?,
            None => own(&settings.data.join(NAME), options)?,
        };
        Ok(Self { simulator, secret })
    }

    /// Starts the application that hands the payment rule's calls to the simulator.
    ///
    /// # Errors
    /// When the log refuses.
    pub fn start_calls(&self, ground: &Ground, instance: &str, runtime: Handle) -> Result<Running> {
        let mut config = GatewayCalls::bounded(EffectsConfig::default());
        config.resources = ground.resources.clone();
        let running = self.calls().start(&*ground.log, config, instance, runtime);
        Ok(running?)
    }

    fn calls(&self) -> Effects {
        let gateway = Arc::new(self.simulator.clone());
        let calls = GatewayCalls::new(gateway, Arc::new(SystemClock::default()));
        Effects::new(APPLICATION).on(GATEWAY_CALLS, PAYMENT_COMMANDS, calls)
    }

    /// Lets the simulator's webhooks come to `commands`, as the endpoint for webhooks would.
    pub fn deliver_to(&self, commands: Arc<dyn Commands>) {
        let gateway = self.clone();
        self.simulator
            .deliver_to(Arc::new(InProcess { gateway, commands }));
    }

    /// `GET /simulator/ledger`, open to all: it stands for a gateway's own books, beside the market
    /// and its accounts, and holds no real money. `PUT /simulator/webhooks` has webhooks sent twice,
    /// late, out of order or not at all, for administrators.
    pub fn router(&self) -> axum::Router<App> {
        let simulator = self.simulator.clone();
        let ledger = async move || {
            simulator.catch_up().await.map_err(|error| {
                tracing::warn!(%error, "the ledger does not answer");
                Problem::new(Kind::Unavailable).retry_after(1)
            })?;
            Ok::<_, Problem>(Json(simulator.ledger()))
        };
        let simulator = self.simulator.clone();
        let deliver = async move |_: Admin, Raw(body): Raw| -> Result<StatusCode, Problem> {
            let delivery: Delivery = parse(&body)?;
            check_delivery(&delivery)?;
            simulator.set_delivery(delivery);
            Ok(StatusCode::NO_CONTENT)
        };
        axum::Router::new()
            .route("/simulator/ledger", get(ledger))
            .route("/simulator/webhooks", put(deliver))
    }

    fn open_notice(&self, signature: &str, body: &[u8]) -> Result<Webhook, WebhookError> {
        let notice = self.secret.open(signature, body, clock::now(), TOLERANCE);
        notice.map(webhook).map_err(|error| match error {
            VerifyError::Body => WebhookError::Malformed(error.to_string()),
            _ => WebhookError::Signature,
        })
    }
}

fn check_delivery(delivery: &Delivery) -> Result<(), Problem> {
    let mut checks = Checks::new();
    let copies = delivery.copies <= COPIES_MAX;
    checks.require(copies, "/copies", "range", &format!("at most {COPIES_MAX}"));
    for (place, ms) in [
        ("/delay_ms", delivery.delay_ms),
        ("/hold_ms", delivery.hold_ms),
    ] {
        let message = format!("at most {LATE_MS_MAX}");
        checks.require(ms <= LATE_MS_MAX, place, "range", &message);
    }
    checks.done()
}

async fn shared(url: &str, options: SimulatorOptions) -> Result<Simulator> {
    let sql = Sql::postgres(url).await.context("database of the ledger")?;
    let ledger = Arc::new(SqlLedger::new(sql));
    let clock = Arc::new(SystemClock::default());
    let simulator = Simulator::open_shared(ledger, options, clock, Handle::current()).await;
    simulator.context("ledger in the database")
}

fn own(folder: &Path, options: SimulatorOptions) -> Result<Simulator> {
    std::fs::create_dir_all(folder).with_context(|| format!("folder `{}`", folder.display()))?;
    let path = folder.join("ledger.jsonl");
    let clock = Arc::new(SystemClock::default());
    let simulator = Simulator::open(&path, options, clock, Handle::current());
    let simulator = simulator.map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => anyhow!("another process has it open: stop that one first"),
        _ => error.into(),
    });
    simulator.with_context(|| format!("ledger `{}`", path.display()))
}

fn webhook(notice: Notice) -> Webhook {
    Webhook {
        id: notice.id,
        report: notice.answer.into(),
    }
}

impl Gateways for BuiltInGateway {
    fn webhook(
        &self,
        gateway: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Option<Webhook>, WebhookError> {
        if gateway != NAME {
            return Err(WebhookError::UnknownGateway);
        }
        let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
        let signature = signature.ok_or(WebhookError::Signature)?;
        self.open_notice(signature, body).map(Some)
    }
}

/// Takes webhooks of the simulator without a detour over the network.
struct InProcess {
    gateway: BuiltInGateway,
    commands: Arc<dyn Commands>,
}

impl WebhookSink for InProcess {
    fn deliver(&self, body: Vec<u8>, signature: String) -> BoxFuture<'_, Result<(), String>> {
        let webhook = match self.gateway.open_notice(&signature, &body) {
            Ok(webhook) => webhook,
            Err(error) => return futures::future::ready(Err(error.to_string())).boxed(),
        };
        let cause = EventId::new(format!("{NAME}\n{}", webhook.id));
        let id = EventId::derive(&cause, "payment.gateway_reported", 0);
        let meta = Meta::new(id, "/simulator", clock::now());
        let order = webhook.report.order_id.clone();
        let message = Message::Payment(order, PaymentCommand::GatewayReported(webhook.report));
        let appended = self.commands.append(meta, message);
        appended
            .map(|appended| appended.map(drop).map_err(|error| error.to_string()))
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;
    use crate::config::Options;

    #[tokio::test]
    async fn every_durable_name_of_the_calls_is_in_the_golden() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            data: Some(folder.path().to_owned()),
            ..Options::default()
        };
        let settings = Settings::from_options(options).unwrap();
        let gateway = BuiltInGateway::open(&settings, "secret").await.unwrap();
        let names = gateway.calls().durable_names();
        expect_file!["gateway.golden.txt"].assert_eq(&format!("{}\n", names.join("\n")));
    }
}
