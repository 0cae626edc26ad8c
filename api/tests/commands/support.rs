//! The binary and a market in this process, on one temporary folder.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use millrace_api::config::{Options, Settings};
use millrace_api::ground::Ground;
use millrace_api::outside::MailFolder;
use millrace_api::serve::{Instance, Outside};
use millrace_avro::catalog::INVENTORY_COMMANDS;
use millrace_avro::event::{Event, EventId, Meta};
use millrace_avro::events::inventory::AdjustStock;
use millrace_avro::keys::{LocationId, Sku};
use millrace_streams::RecordCodec;
use millrace_streams::log::{Log, NewRecord};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const ADMIN: &str = "admin@example.com";
pub(crate) const PASSWORD: &str = "correct horse";

/// The binary, with no setting but those given, and silent but for its last word.
pub(crate) fn millrace(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    command
        .env_clear()
        .env("RUST_LOG", "off")
        .env("MILLRACE_DATA", "/nonexistent/millrace")
        .args(arguments)
        .stdin(Stdio::null());
    command
}

/// Runs the binary on `folder` to its end.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = millrace(arguments);
    command
        .env("MILLRACE_DATA", folder)
        .env("MILLRACE_LISTEN", "127.0.0.1:0");
    command.output().expect("the binary runs")
}

/// What the binary prints; it must succeed.
pub(crate) fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

/// The lines of JSON that the binary prints.
pub(crate) fn lines(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    let printed = printed(folder, arguments);
    let lines = printed.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("lines of JSON")
}

/// Why the binary ends with an error: one line.
pub(crate) fn refusal(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr)
        .trim_end()
        .to_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.starts_with("error: ") && !text.contains('\n'),
        "{text}"
    );
    text
}

/// A market in this process, and the log that it runs on.
pub(crate) struct Market {
    pub(crate) folder: TempDir,
    pub(crate) ground: Ground,
    pub(crate) instance: Instance,
}

impl Market {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = settings(folder.path());
        let ground = Ground::open(&settings).expect("an empty log");
        let mailer = Arc::new(MailFolder::new(settings.data.join("mail")));
        let outside = Outside {
            gateway: None,
            mailer,
        };
        let instance = Instance::start(settings, ground.clone(), outside).await;
        let instance = instance.expect("the market starts");
        instance.running().await.expect("the topologies run");
        Self {
            folder,
            ground,
            instance,
        }
    }

    /// Ends it; the folder is free afterwards.
    pub(crate) async fn stop(self) -> TempDir {
        let Self {
            folder,
            ground,
            instance,
        } = self;
        instance.stop().await.expect("a clean end");
        drop(ground);
        folder
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.instance.address())
    }

    pub(crate) async fn append(&self, record: NewRecord) {
        let writer = self.ground.log.writer("test").expect("a writer");
        writer.append(record).await.expect("the log takes it");
    }

    /// A command that brings `delta` of `sku` into stock.
    pub(crate) fn delivery(&self, id: &str, sku: &Sku, delta: i64) -> NewRecord {
        let mut codec = RecordCodec::new(INVENTORY_COMMANDS, &self.ground.resources);
        let codec = codec.as_mut().expect("serdes");
        let command = AdjustStock {
            sku: sku.clone(),
            location: LocationId::new("main").expect("a key"),
            delta,
            reason: "delivery".into(),
        };
        // retention drops what is old
        let at = millrace_api::clock::now();
        let event = Event::new(Meta::new(EventId::new(id), "/test", at), command);
        codec.encode(sku, &event, at).expect("bytes")
    }

    /// Waits until `on_hand` pieces of `sku` are shown.
    pub(crate) async fn shows(&self, sku: &Sku, on_hand: i64) {
        let views = self.instance.app().views.clone();
        let key = millrace_api::ports::ViewKey::Stock(sku.clone());
        let look = || {
            let seen = views.stock(sku)?;
            let held: i64 = seen.view.locations.iter().map(|l| l.on_hand).sum();
            (held == on_hand).then_some(())
        };
        let limit = Duration::from_secs(30);
        let seen = millrace_api::ports::wait_for(&*views, &key, limit, look).await;
        assert!(seen.is_some(), "{on_hand} of {sku} are not shown");
    }
}

pub(crate) fn settings(folder: &Path) -> Settings {
    let options = Options {
        data: Some(folder.to_owned()),
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        no_demo: true,
        admin_email: Some(ADMIN.to_owned()),
        admin_password: Some(PASSWORD.to_owned()),
        ..Options::default()
    };
    Settings::from_options(options).expect("valid settings")
}

/// The number of partitions that topics of `log` have, by name.
pub(crate) fn width(log: &dyn Log, topic: &str) -> Option<i32> {
    let topics = log.topics().expect("the log answers");
    let found = topics.iter().find(|info| &*info.name == topic);
    found.map(|info| info.partitions)
}
