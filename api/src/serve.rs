//! The composition: a log, a registry, a database, the topologies, the views and the routes.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use millrace_effects::runner::Running;
use millrace_state::{StateDir, StateOptions};
use millrace_streams::{Streams, StreamsConfig};
use tokio::net::TcpSocket;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::accounts::mail::Mailer;
use crate::config::Settings;
use crate::gateway::BuiltInGateway;
use crate::ground::{Ground, name_registry};
use crate::http::metrics;
use crate::live::cache::Cache;
use crate::live::commands::LogCommands;
use crate::live::lag::{Inputs, Lags};
use crate::live::views::LogViews;
use crate::market::{self, App, Market, Ports};
use crate::outside::NoGateways;
use crate::parts::Parts;
use crate::ports::{Commands, Gateways};
use crate::registry_http;
use crate::relay;
use crate::seed;
use crate::sql::Sql;
use crate::unfinished;

/// The largest budget of memory for stores.
const STATE_BYTES_MAX: u64 = 512 << 20;
/// How long requests under way may take when the process is to end.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// How many connections wait to be taken, at most.
const BACKLOG: u32 = 1024;

/// The first administrator, unless the settings name one.
const DEFAULT_ADMIN: &str = "admin@localhost";

/// What the composition takes from outside.
#[derive(Clone, Debug)]
pub struct Outside {
    /// Takes the market's payments and tells what became of them; without one, payments wait.
    pub gateway: Option<BuiltInGateway>,
    /// Sends mails that carry a secret.
    pub mailer: Arc<dyn Mailer>,
}

/// What each of the topologies reads that the settings ask for.
fn inputs(settings: &Settings) -> Result<Vec<Inputs>> {
    let limits = settings.rules();
    let inputs = settings.entries()?.into_iter().map(|entry| {
        let topology = (entry.define)(&limits)?;
        let topics = topology.source_topics();
        Ok(Inputs {
            application: topology.name().to_owned(),
            topics: topics.into_iter().map(str::to_owned).collect(),
        })
    });
    inputs.collect()
}

/// Takes an address for this process. Nobody is answered there yet.
///
/// # Errors
/// When another process listens there, or the address is not of this machine.
pub fn bind(listen: SocketAddr) -> Result<TcpSocket> {
    let open = || {
        let socket = match listen {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        // A restart does not wait until the connections of the last run are forgotten.
        socket.set_reuseaddr(true)?;
        socket.bind(listen)?;
        Ok::<_, std::io::Error>(socket)
    };
    open().with_context(|| format!("cannot listen on `{listen}`; name another with `--listen`"))
}

/// A running instance of the market.
#[derive(Debug)]
pub struct Instance {
    address: SocketAddr,
    app: App,
    stop: watch::Sender<bool>,
    server: JoinHandle<std::io::Result<()>>,
    seeding: Option<JoinHandle<()>>,
    parts: Parts,
    /// Keeps other processes out of the data folder.
    _ground: Ground,
}

impl Instance {
    /// As [`start_at`](Self::start_at), at the address that the settings name.
    ///
    /// # Errors
    /// When a part cannot be started.
    pub async fn start(settings: Settings, ground: Ground, outside: Outside) -> Result<Self> {
        let socket = bind(settings.listen)?;
        Self::start_at(socket, settings, ground, outside).await
    }

    /// Starts everything on `ground`; HTTP is served at `socket` before the topologies run.
    ///
    /// # Errors
    /// When a part cannot be started.
    pub async fn start_at(
        socket: TcpSocket,
        settings: Settings,
        ground: Ground,
        outside: Outside,
    ) -> Result<Self> {
        unfinished::refuse(&settings.data)?;
        metrics::recorder();
        let sql = open_sql(&settings).await?;
        let Started {
            process,
            ground,
            applications,
            views,
            commands,
            calls,
        } = {
            let (settings, gateway) = (settings.clone(), outside.gateway.clone());
            let runtime = Handle::current();
            let start = move || {
                start_streams(&settings, ground, gateway.as_ref(), runtime)
                    .map_err(|error| name_registry(error, &settings))
            };
            tokio::task::spawn_blocking(start).await??
        };
        let lags = Lags::new(ground.log.clone(), inputs(&settings)?);
        let cache = Cache::open(settings.redis.as_deref())?;
        let caching = {
            let (cache, ground, runtime) = (cache.clone(), ground.clone(), Handle::current());
            tokio::task::spawn_blocking(move || cache.follow(&ground, runtime)).await??
        };
        let commands: Arc<dyn Commands> = commands;
        let gateways: Arc<dyn Gateways> = match &outside.gateway {
            Some(gateway) => {
                gateway.deliver_to(commands.clone());
                Arc::new(gateway.clone())
            }
            None => Arc::new(NoGateways),
        };
        let ports = Ports {
            process,
            commands,
            views: views.views(),
            cache,
            gateways,
            applications: applications.clone(),
            lags: lags.clone(),
        };
        let settings_demo = settings.demo;
        let app = Market::open(settings, sql, ports).await?;
        app.idempotency().give_back_own().await?;
        ensure_admin(&app).await?;
        app.set_seeding(settings_demo);
        let seeding = settings_demo.then(|| tokio::spawn(seed_catalogue(app.clone())));
        let mut beside = axum::Router::new();
        if let Some(gateway) = &outside.gateway {
            beside = beside.merge(gateway.router());
        }
        if let Some(registry) = ground.registry.clone() {
            let tokens = app.accounts.tokens().clone();
            let registry = registry_http::router(registry, tokens);
            beside = beside.nest_service("/registry", registry);
        }
        let routes = market::router(app.clone(), beside);
        let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
        let listener = socket.listen(BACKLOG).context("cannot listen")?;
        let address = listener.local_addr()?;
        let (stop, mut stopped) = watch::channel(false);
        let until = async move { stopped.wait_for(|stop| *stop).await.map(drop).unwrap_or(()) };
        let server = axum::serve(listener, routes).with_graceful_shutdown(until);
        let server = tokio::spawn(server.into_future());
        let relay = relay::run(app.clone(), outside.mailer);
        let tasks = vec![
            ("the outbox and the mails", tokio::spawn(relay)),
            ("the measurements of lag", tokio::spawn(lags.run())),
            ("the metrics", tokio::spawn(metrics::upkeep())),
        ];
        info!(%address, "serving");
        Ok(Self {
            address,
            app,
            stop,
            server,
            seeding,
            parts: Parts {
                applications,
                calls,
                views,
                caching,
                tasks,
            },
            _ground: ground,
        })
    }

    /// Where HTTP is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The market.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Waits until every topology runs.
    ///
    /// # Errors
    /// When one has stopped, or does not run in time.
    pub async fn running(&self) -> Result<()> {
        self.parts.running()
    }

    /// Waits until a part of the instance has failed for good, and says which; most never do.
    pub async fn failed(&self) -> anyhow::Error {
        self.parts.failed().await
    }

    /// Answers what was asked, commits what is processed, and ends.
    ///
    /// # Errors
    /// When the server has failed.
    pub async fn stop(self) -> Result<()> {
        self.stop.send_replace(true);
        self.app.close();
        let mut server = self.server;
        let served = match timeout(DRAIN_LIMIT, &mut server).await {
            Ok(served) => served?,
            Err(_) => {
                warn!("some requests took too long, and are cut off");
                server.abort();
                Ok(())
            }
        };
        let tasks = self.parts.tasks.iter().map(|(_, task)| task);
        tasks.chain(&self.seeding).for_each(JoinHandle::abort);
        let parts = self.parts;
        tokio::task::spawn_blocking(move || parts.stop()).await?;
        self.app.sql.close().await;
        Ok(served?)
    }
}

async fn open_sql(settings: &Settings) -> Result<Sql> {
    let sql = match &settings.postgres {
        Some(url) => Sql::postgres(url).await,
        None => {
            let file = settings.data.join("accounts.db");
            Sql::sqlite(&file).await.map_err(anyhow::Error::from)
        }
    };
    sql.context("database of accounts")
}

/// What runs once the topologies do.
struct Started {
    /// The process's id: the same after a restart.
    process: String,
    ground: Ground,
    applications: Arc<[Streams]>,
    views: LogViews,
    commands: Arc<LogCommands>,
    calls: Option<Running>,
}

async fn seed_catalogue(app: App) {
    match seed::seed(&*app.views, &app.commands).await {
        Ok(true) => seed::shown(&*app.views).await,
        Ok(false) => {}
        Err(error) => {
            warn!(%error, "the demonstration catalogue is not whole; the next start goes on");
        }
    }
    app.set_seeding(false);
}

fn start_streams(
    settings: &Settings,
    ground: Ground,
    gateway: Option<&BuiltInGateway>,
    runtime: Handle,
) -> Result<Started> {
    let entries = settings.entries()?;
    ground.create_topics()?;
    let options = StateOptions {
        memory_bytes_max: STATE_BYTES_MAX,
        ..StateOptions::default()
    };
    let folder = settings.data.join("state");
    let (state, aside) = StateDir::open_or_set_aside(folder, options).context("state folder")?;
    if let Some(aside) = aside {
        tracing::warn!(aside = %aside.display(), "the state is damaged; it is restored from the log");
    }
    let limits = settings.rules();
    let mut config = StreamsConfig::default();
    config.resources = ground.resources.clone();
    let pays = entries.iter().any(|entry| entry.name == "payments");
    let mut applications = Vec::with_capacity(entries.len());
    for entry in entries {
        let topology = (entry.define)(&limits)?;
        let mut config = config.clone();
        (entry.configure)(&mut config);
        let builder = Streams::builder(&topology).config(config);
        let started = builder.start(ground.log.clone(), state.clone());
        applications.push(started.with_context(|| format!("topology `{}`", entry.name))?);
    }
    let views = LogViews::start(ground.log.clone(), &ground.resources)?;
    let commands = LogCommands::new(ground.log.writer("api")?, &ground.resources)?;
    let process = state.process_id().to_owned();
    let calls = gateway
        .filter(|_| pays)
        .map(|gateway| gateway.start_calls(&ground, &process, runtime))
        .transpose()?;
    let commands = Arc::new(commands);
    Ok(Started {
        process,
        ground,
        applications: applications.into(),
        views,
        commands,
        calls,
    })
}

/// Prints a line for whoever reads, if anybody does.
pub fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}

async fn ensure_admin(app: &App) -> Result<()> {
    let seed = app.settings.admin.clone();
    let (email, password) = match seed {
        Some(seed) => (seed.email, seed.password),
        None => (DEFAULT_ADMIN.to_owned(), None),
    };
    let made = app.accounts.ensure_admin(&email, password).await?;
    if let Some((user, Some(password))) = made {
        // Shown to whoever starts it, once, and kept nowhere.
        say(&format!(
            "administrator {}, password {password}",
            user.email
        ));
    }
    Ok(())
}
