//! The start of an edge, step by step, and its life until a signal.
//!
//! What can fail comes first; from the first accepted connection on nothing here can.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant, SystemTime};

use acme::Challenges;
use certs::local_ca::LocalCa;
use certs::tickets::Keys;
use certs::{Batch, RealDisk, Store};
use pingora::proxy::HttpProxy;
use routes::table::Table;
use routes::world::Protocol;
use tokio::net::TcpListener;
use tokio::runtime::{Builder as RuntimeBuilder, Runtime};
use tokio::sync::watch;

use super::acme_manager::{self, Answers, Wanted};
use super::drain::Drain;
use super::engine::Engine;
use super::loads::{load, look_again, watch_files};
use super::run_file::RunFile;
use super::signals::Signals;
use super::source::RouteFiles;
use super::state::State;
use super::view::View;
use super::{BUILD, Ready, RunError, cert_files, descriptors, door, engine, history, listeners, sticky};
use crate::admin;
use crate::config::{Access, Config, LogFormat, Redact};
use crate::conn::caps::Caps;
use crate::l4::cancel::{self, CancelTable};
use crate::l4::sessions::Sessions;
use crate::listen::certificates::Chooser;
use crate::listen::front_door::FrontDoor;
use crate::listen::open::OpenConns;
use crate::listen::shared::{Entrypoint, Shared, StreamShared};
use crate::proxy::{Edge, answer};
use crate::reload::{Builder, Reloader};
use crate::snapshot::{Live, Snapshot};
use crate::tasks::Tasks;
use crate::telemetry::access_log::{AccessLog, AccessLogSettings, Target};
use crate::telemetry::{Format, Metrics};
use crate::upstream::{Checks, Dns, Means, SystemRoots};

/// Threads of the control side: it must stay alive whatever the data side does, and has little to do.
const CONTROL_THREADS: usize = 1;
// A stop takes at most the grace and these; `TimeoutStopSec` in docs/OPERATIONS.md is above their sum.
/// How long the last lines of the access log may take to be written.
const LAST_LINES: Duration = Duration::from_secs(2);
/// How long what is being saved may take: a certificate or the note of a failed order on a busy disk.
const LAST_SAVES: Duration = Duration::from_secs(10);

/// Two runtimes: a busy data side cannot starve control.
struct Runtimes {
    data: Runtime,
    control: Runtime,
}

impl Runtimes {
    fn new() -> Result<Self, RunError> {
        let refused = |error| RunError::System { what: "threads", error };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = |name: &str, threads| {
            RuntimeBuilder::new_multi_thread().worker_threads(threads).thread_name(name).enable_all().build()
        };
        Ok(Self {
            data: runtime("edge-data", cores).map_err(refused)?,
            control: runtime("edge-control", CONTROL_THREADS).map_err(refused)?,
        })
    }
}

pub(super) fn run(config: Config, ready: impl FnOnce(&Ready) + Send) -> Result<(), RunError> {
    // First of all: what comes later would install another one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let signals = Signals::listen().map_err(|error| RunError::System { what: "signal handlers", error })?;
    let fit = descriptors::connections(descriptors::raise());
    let state = State::open(&config.state)?;
    let runtimes = Runtimes::new()?;
    let (data, control) = (Tasks::new(runtimes.data.handle().clone()), Tasks::new(runtimes.control.handle().clone()));
    let metrics = Metrics::new(BUILD);
    metrics.watch(&data);
    metrics.watch(&control);
    let bound = bind(&config, &runtimes.data)?;
    let access_log = access_log(&config, &metrics)?;
    let parts = Parts { config: Arc::new(config), state, metrics, data, control, bound, access_log, fit };
    let outcome = runtimes.control.block_on(serve(parts, signals, ready));
    runtimes.data.shutdown_timeout(Duration::from_millis(100));
    runtimes.control.shutdown_timeout(Duration::from_millis(100));
    outcome
}

/// Listeners of one entrypoint, with the addresses in use.
type Bound = BTreeMap<String, Vec<(SocketAddr, TcpListener)>>;

fn bind(config: &Config, data: &Runtime) -> Result<Bound, RunError> {
    let _inside = data.enter();
    let mut bound = Bound::new();
    for entrypoint in &config.entrypoints {
        let listeners = bound.entry(entrypoint.name.clone()).or_default();
        for address in &entrypoint.listen {
            match listeners::bind(&entrypoint.name, *address) {
                Ok(listener) => listeners.push((listener.local_addr().unwrap_or(*address), listener)),
                Err(error) if listeners::is_ipv6_missing(&error) && entrypoint.listen.len() > 1 => {
                    tracing::warn!(entrypoint = entrypoint.name, %address, "no IPv6 on this machine; the address is left out");
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(bound)
}

fn access_log(config: &Config, metrics: &Metrics) -> Result<AccessLog, RunError> {
    let settings = AccessLogSettings {
        target: match &config.log.access {
            Access::Stdout => Target::Stdout,
            Access::Off => Target::Off,
            Access::File(path) => Target::File(path.clone()),
        },
        format: match config.log.format {
            LogFormat::Auto => Format::Auto,
            LogFormat::Json => Format::Json,
            LogFormat::Pretty => Format::Pretty,
        },
        redact: config.log.redact.iter().filter_map(redacted).collect(),
    };
    Ok(AccessLog::open(&settings, metrics)?)
}

/// The field of the access log that is never to be written; other headers and the values of parameters never are.
fn redacted(what: &Redact) -> Option<String> {
    match what {
        Redact::Client => Some("client".to_owned()),
        Redact::Query => Some("query".to_owned()),
        Redact::Header(name) if name == "user-agent" => Some("user_agent".to_owned()),
        Redact::Header(name) if name == "referer" => Some("referer".to_owned()),
        Redact::Header(_) | Redact::Parameter(_) => None,
    }
}

/// What has been made without anything being served yet.
struct Parts {
    config: Arc<Config>,
    state: State,
    metrics: Metrics,
    data: Tasks,
    control: Tasks,
    bound: Bound,
    access_log: AccessLog,
    fit: usize,
}

/// Routes and certificates, before and while anything is served.
struct Core {
    live: Arc<Live>,
    store: Arc<Store>,
    challenges: Challenges,
    reloader: Arc<Reloader>,
    acme: Option<acme::Handle>,
    chooser: Arc<Chooser>,
    engine: Engine,
    /// Set when the edge stops.
    draining: Arc<AtomicBool>,
}

impl Core {
    async fn start(parts: &Parts) -> Result<Self, RunError> {
        let Parts { config, state, metrics, data, control, bound, .. } = parts;
        let now = SystemTime::now();
        let local = LocalCa::open(&RealDisk, &state.path("local-ca"), now)?;
        let (store, challenges) = (Arc::new(Store::new()), Challenges::new());
        let default = config.tls.default_certificate.clone();
        store.publish(Batch::default().default_name(default.as_deref()), now);
        cert_files::start(config.certificates.clone(), &store, metrics, control);
        let roots = SystemRoots::load();
        let engine = engine::settings(&state.path("upstream-roots.pem"), &roots)
            .map_err(|error| RunError::System { what: "memory for the roots of upstream servers", error })?;
        let live = Live::new(empty(metrics));
        let means = Means {
            dns: Dns::new(config.dns.clone(), control.clone(), metrics.clone()),
            roots,
            checks: Checks::new(&engine.conf, control.clone()),
            sticky: sticky::key(&state.path("sticky.key"))?,
        };
        let reloader = Arc::new(Reloader::new(
            Box::new(RouteFiles { config: Arc::clone(config) }),
            Builder {
                means,
                folder: config.around.folder.clone(),
                state: state.folder().to_owned(),
                postgres: postgres(config),
                relays: data.clone(),
                grace: config.stop_grace,
            },
            Arc::clone(&live),
            metrics.clone(),
            redirects(config, bound),
            state.path("history"),
        ));
        let names = reloader.wanted();
        load(&reloader).await;
        let wanted = config.acme.clone().map(|settings| {
            let (challenges, store, metrics) = (challenges.clone(), Arc::clone(&store), metrics.clone());
            Wanted { settings, challenges, store, names, metrics }
        });
        let acme = wanted.map(|wanted| acme_manager::start(wanted, state, control));
        let chooser = Chooser::new(Arc::clone(&live), Arc::clone(&store), local, default);
        Ok(Self { live, store, challenges, reloader, acme, chooser, engine, draining: Arc::default() })
    }

    fn engine(&self, config: &Config, metrics: &Metrics, access_log: &AccessLog) -> Arc<HttpProxy<Edge>> {
        let edge = Edge {
            live: Arc::clone(&self.live),
            draining: Arc::clone(&self.draining),
            http01: Arc::new(Answers(self.challenges.clone())),
            trusted_proxies: config
                .entrypoints
                .iter()
                .map(|entrypoint| (entrypoint.name.clone(), entrypoint.trusted_proxies.clone().into()))
                .collect(),
            metrics: metrics.clone(),
            access_log: access_log.clone(),
        };
        let mut engine = HttpProxy::new(edge, Arc::clone(&self.engine.conf));
        engine.handle_init_modules();
        Arc::new(engine)
    }
}

async fn serve(parts: Parts, mut signals: Signals, ready: impl FnOnce(&Ready) + Send) -> Result<(), RunError> {
    let Some(core) = signals.stop.run_until_cancelled(Core::start(&parts)).await.transpose()? else {
        tracing::info!("stopped before anything was served");
        return Ok(());
    };
    let Parts { config, state, metrics, data, control, bound, access_log, fit } = parts;
    let engine = core.engine(&config, &metrics, &access_log);
    let (stop, stopping) = watch::channel(false);
    let (open, sessions) = (OpenConns::new(Instant::now()), Sessions::new());
    let shared = Arc::new(Shared {
        engine: Arc::clone(&engine) as _,
        refuse: answer::head_words(metrics.clone(), access_log.clone()),
        certificates: Arc::clone(&core.chooser) as _,
        caps: Caps::new(door::caps(&config, fit)),
        open: Arc::clone(&open),
        limits: door::limits(&config),
        live: Arc::clone(&core.live),
        tasks: data.clone(),
        metrics: metrics.clone(),
        streams: StreamShared {
            sessions: Arc::clone(&sessions),
            cancels: CancelTable::new(cancel::CAPACITY),
            access_log: access_log.clone(),
        },
        stop: stopping,
        next_id: AtomicU64::new(1),
    });
    let (draining, addresses) = (Arc::clone(&core.draining), addresses(&bound));
    let view = View { sessions: Arc::clone(&sessions), ..view(&config, &core, &open, &draining, &addresses) };
    let socket = state.path("edge.sock");
    let settings =
        admin::Settings { listen: Some(config.admin), hosts: config.admin_hosts.clone(), socket: socket.clone() };
    let admin = admin::start(&settings, Arc::new(view), metrics, &control).await?;
    let doors = data.another();
    open_doors(&config, bound, &shared, &doors)?;
    history::keep(&core.reloader, &control);
    watch_files(&config, &core.reloader, &control);
    look_again(&core.reloader, &control);
    let announced = Ready {
        entrypoints: addresses,
        admin: admin.unwrap_or(config.admin),
        socket,
        root_pem: state.path("local-ca").join("root.pem"),
        routes: config.around.routes.clone(),
        tasks: control.clone(),
    };
    let _run_file = announce(&announced, &state);
    ready(&announced);
    until_stop(&mut signals, &core.reloader, &access_log).await;
    let drain = Drain { draining, stop, engine, open, sessions, doors, connections: data, grace: config.stop_grace };
    drain.run(&signals.now).await;
    if let Some(Err(left)) = signals.now.run_until_cancelled(control.drain(LAST_SAVES)).await {
        tracing::warn!(?left, "ended without waiting for");
    }
    access_log.finish(if signals.now.is_cancelled() { Duration::from_millis(100) } else { LAST_LINES });
    Ok(())
}

fn view(
    config: &Arc<Config>,
    core: &Core,
    open: &Arc<OpenConns>,
    draining: &Arc<AtomicBool>,
    bound: &BTreeMap<String, Vec<SocketAddr>>,
) -> View {
    View {
        config: Arc::clone(config),
        live: Arc::clone(&core.live),
        reloader: Arc::clone(&core.reloader),
        store: Arc::clone(&core.store),
        acme: core.acme.clone(),
        open: Arc::clone(open),
        sessions: Sessions::new(),
        bound: bound.clone(),
        started: SystemTime::now(),
        draining: Arc::clone(draining),
    }
}

fn empty(metrics: &Metrics) -> Snapshot {
    Snapshot::new(0, Table::default(), &[], &[], HashMap::new(), metrics.route(""))
}

/// The entrypoints of Postgres.
fn postgres(config: &Config) -> Vec<String> {
    let entrypoints = config.entrypoints.iter().filter(|entrypoint| entrypoint.protocol == Protocol::Postgres);
    entrypoints.map(|entrypoint| entrypoint.name.clone()).collect()
}

/// Plain entrypoints and the port of the HTTPS entrypoint that each leads to.
fn redirects(config: &Config, bound: &Bound) -> HashMap<String, u16> {
    let port = |target: &String| Some(bound.get(target)?.first()?.0.port());
    let pairs = config.entrypoints.iter().filter_map(|from| Some((from.name.clone(), port(from.redirect.as_ref()?)?)));
    pairs.collect()
}

fn addresses(bound: &Bound) -> BTreeMap<String, Vec<SocketAddr>> {
    bound
        .iter()
        .map(|(name, listeners)| (name.clone(), listeners.iter().map(|(address, _)| *address).collect()))
        .collect()
}

fn open_doors(config: &Config, mut bound: Bound, shared: &Arc<Shared>, doors: &Tasks) -> Result<(), RunError> {
    let keys = Keys::system()?;
    for entrypoint in &config.entrypoints {
        let tls = entrypoint.tls.then(|| door::tls(config, &entrypoint.name, &keys)).transpose()?;
        let door = FrontDoor::new(
            Entrypoint {
                name: entrypoint.name.as_str().into(),
                protocol: entrypoint.protocol,
                tls,
                stream_tls: door::stream_tls(config, &entrypoint.name, entrypoint.protocol, &keys)?,
                trusted_proxies: entrypoint.trusted_proxies.clone().into(),
                proxy_protocol: entrypoint.proxy_protocol,
            },
            Arc::clone(shared),
        );
        for (address, listener) in bound.remove(&entrypoint.name).unwrap_or_default() {
            let door = Arc::clone(&door);
            let name = format!("accept {} {address}", entrypoint.name);
            doors.spawn(name, move |stop| async move { door.run(listener, stop).await });
        }
    }
    Ok(())
}

fn announce(ready: &Ready, state: &State) -> super::run_file::Written {
    for (entrypoint, addresses) in &ready.entrypoints {
        for address in addresses {
            tracing::info!(entrypoint, %address, "listening");
        }
    }
    tracing::info!(address = %ready.admin, "admin: metrics, health and dashboard");
    let file = RunFile {
        pid: std::process::id(),
        entrypoints: ready.entrypoints.clone(),
        admin: Some(ready.admin),
        socket: ready.socket.clone(),
    };
    file.write(&state.path("run.json"))
}

async fn until_stop(signals: &mut Signals, reloader: &Arc<Reloader>, access_log: &AccessLog) {
    let reloads = async {
        while signals.reload.recv().await.is_some() {
            access_log.reopen();
            load(reloader).await;
        }
    };
    // A load does not hold up a stop; it goes on by itself meanwhile.
    signals.stop.run_until_cancelled(reloads).await;
}
