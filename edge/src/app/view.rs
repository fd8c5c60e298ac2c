//! The running edge as the admin side shows it: rows made from what the other parts know, with nothing kept here.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::SystemTime;

use async_trait::async_trait;
use certs::{Entry, Store};
use routes::check::Rejected;
use routes::fault::Fault;
use routes::route::{Issuer, Route};
use routes::stream::Tcp;
use routes::target::Target;

use crate::admin::api;
use crate::config::Config;
use crate::l4::sessions::{Session, Sessions};
use crate::l4::udp::RelayStatus;
use crate::listen::open::OpenConns;
use crate::reload::{LastLoad, Outcome, Reloader};
use crate::snapshot::{Live, Unit};

/// What the admin side sees.
pub(super) struct View {
    pub(super) config: Arc<Config>,
    pub(super) live: Arc<Live>,
    pub(super) reloader: Arc<Reloader>,
    pub(super) store: Arc<Store>,
    pub(super) acme: Option<acme::Handle>,
    pub(super) open: Arc<OpenConns>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) bound: BTreeMap<String, Vec<SocketAddr>>,
    pub(super) started: SystemTime,
    pub(super) draining: Arc<AtomicBool>,
}

#[async_trait]
impl api::Source for View {
    fn status(&self) -> api::Status {
        let last = self.reloader.last();
        let by_entrypoint = self.open.by_entrypoint();
        let entrypoints = self.config.entrypoints.iter().map(|entrypoint| api::Entrypoint {
            name: entrypoint.name.clone(),
            protocol: entrypoint.protocol.as_str().to_owned(),
            tls: entrypoint.tls,
            addresses: self.bound.get(&entrypoint.name).into_iter().flatten().map(ToString::to_string).collect(),
            connections: by_entrypoint.get(entrypoint.name.as_str()).copied().unwrap_or_default(),
        });
        api::Status {
            version: super::BUILD.version.to_owned(),
            commit: super::BUILD.commit.to_owned(),
            pid: std::process::id(),
            started: api::rfc3339(self.started),
            config: self.config.file.display().to_string(),
            state: self.config.state.display().to_string(),
            generation: self.live.current().generation,
            loaded: last.at.map(api::rfc3339).unwrap_or_default(),
            draining: self.draining.load(Relaxed),
            entrypoints: entrypoints.collect(),
        }
    }

    fn routes(&self) -> Vec<api::Route> {
        let (snapshot, last) = (self.live.current(), self.reloader.last());
        let live = snapshot.table.routes().map(|route| live_row(route, &last));
        let kept: HashSet<&str> = last.outcome.kept.iter().map(String::as_str).collect();
        let serves = |rejected: &Rejected| !rejected.name_taken && kept.contains(rejected.name.as_str());
        let rejected = last.rejected.iter().filter(|rejected| !serves(rejected));
        let rejected = rejected.map(|rejected| api::Route {
            name: rejected.name.clone(),
            state: api::RouteState::Rejected,
            hosts: rejected.hosts.iter().map(ToString::to_string).collect(),
            place: format!("{}:{}", rejected.file, rejected.line),
            faults: faults(&rejected.faults),
            ..api::Route::default()
        });
        let streams = snapshot.units().filter_map(|unit| stream_row(&unit, &last));
        let mut streams: Vec<_> = streams.collect();
        streams.sort_by(|a, b| a.name.cmp(&b.name));
        live.chain(streams).chain(rejected).collect()
    }

    fn certs(&self) -> Vec<api::Cert> {
        let (snapshot, index) = (self.live.current(), self.store.snapshot());
        let orders: BTreeMap<String, acme::Status> =
            self.acme.iter().flat_map(acme::Handle::status).map(|status| (status.name.clone(), status)).collect();
        let streams = snapshot.streams.table.hosts().filter(|(host, _)| !snapshot.table.serves(&host.to_string()));
        let hosts = snapshot.table.hosts().chain(streams);
        hosts
            .map(|(host, issuer)| {
                let name = host.to_string();
                let served = index.lookup(&name).cloned();
                cert_row(name.clone(), issuer, served.as_deref(), orders.get(&name))
            })
            .collect()
    }

    fn upstreams(&self) -> Vec<api::Upstream> {
        let snapshot = self.live.current();
        let mut units: Vec<_> = snapshot.units().collect();
        units.sort_by(|a, b| a.name().cmp(b.name()));
        let servers = units.iter().filter_map(|unit| Some((unit.name(), unit.pool()?.status())));
        servers.flat_map(|(name, servers)| servers.into_iter().map(|server| api::Upstream::new(name, server))).collect()
    }

    fn sessions(&self) -> api::Sessions {
        let snapshot = self.live.current();
        let tcp = self.sessions.oldest(MOST_SESSIONS).into_iter().map(session_row);
        let udp = snapshot.streams.all_udp().flat_map(|site| {
            let name = site.route.name.clone();
            site.sessions().into_iter().map(move |session| datagrams_row(&name, &session))
        });
        let mut open: Vec<_> = tcp.chain(udp).collect();
        let datagrams = open.iter().filter(|session| session.kind == "udp").count();
        open.sort_by(|a, b| b.age_seconds.total_cmp(&a.age_seconds));
        open.truncate(MOST_SESSIONS);
        api::Sessions { count: (self.sessions.count() + datagrams) as u64, oldest: open }
    }

    fn ready(&self) -> api::Readiness {
        let mut reasons = Vec::new();
        let draining = self.draining.load(Relaxed);
        if draining {
            reasons.push("the edge is stopping".to_owned());
        }
        let missing: Vec<_> = self.certs().into_iter().filter(|cert| cert.state != api::CertState::Valid).collect();
        reasons.extend(missing.iter().take(20).map(missing_sentence));
        if missing.len() > 20 {
            reasons.push(format!("and {} more certificates", missing.len() - 20));
        }
        let last = self.reloader.last();
        reasons.extend(last.outcome.rejected.iter().map(|name| format!("route {name} is rejected; see edge routes")));
        let kept = last.outcome.kept.iter();
        reasons.extend(
            kept.map(|name| format!("route {name} has a fault, its last good version serves; see edge routes")),
        );
        api::Readiness { ready: !draining && missing.is_empty(), reasons }
    }

    async fn reload(&self) -> api::Reload {
        let reloader = Arc::clone(&self.reloader);
        match tokio::task::spawn_blocking(move || reloader.load()).await {
            Ok(outcome) => reload_row(outcome),
            Err(error) => api::Reload {
                faults: vec![api::Fault { why: format!("the load failed: {error}"), ..api::Fault::default() }],
                generation: self.live.current().generation,
                ..api::Reload::default()
            },
        }
    }
}

/// Sessions that are told one by one; of the others there is only their number.
const MOST_SESSIONS: usize = 1000;

fn session_row(session: Session) -> api::Session {
    api::Session {
        kind: "tcp".to_owned(),
        route: session.route.to_string(),
        client: session.client.to_string(),
        server: session.server.to_string(),
        database: session.database.into(),
        user: session.user.into(),
        since: api::rfc3339(session.since),
        age_seconds: session.since.elapsed().unwrap_or_default().as_secs_f64(),
        received_bytes: session.counts.from_client(),
        sent_bytes: session.counts.from_server(),
    }
}

fn datagrams_row(route: &str, session: &RelayStatus) -> api::Session {
    api::Session {
        kind: "udp".to_owned(),
        route: route.to_owned(),
        client: session.client.to_string(),
        server: session.server.to_string(),
        since: api::rfc3339(SystemTime::now() - session.age),
        age_seconds: session.age.as_secs_f64(),
        received_bytes: session.to_server.bytes,
        sent_bytes: session.to_client.bytes,
        ..api::Session::default()
    }
}

/// What a `[[tcp]]` does and for which sessions.
fn tcp_words(route: &Tcp) -> String {
    let mut words = format!("tcp {}", route.mode.as_str());
    for (name, values) in [("database", &route.databases), ("user", &route.users)] {
        if !values.is_empty() {
            words.push_str(&format!(" {name}={}", values.join(",")));
        }
    }
    words
}

/// The row of a stream; none for a route of requests.
fn stream_row(unit: &Unit, last: &LastLoad) -> Option<api::Route> {
    let kept = last.outcome.kept.iter().any(|name| name == unit.name());
    let (action, hosts, entrypoints) = match unit {
        Unit::Http(_) => return None,
        Unit::Tcp(site) => {
            let hosts = site.route.hosts.iter().map(ToString::to_string).collect();
            (tcp_words(&site.route), hosts, site.route.entrypoints.clone())
        }
        Unit::Udp(site) => {
            ("udp".to_owned(), Vec::new(), site.addresses().map(|address| format!("udp {address}")).collect())
        }
    };
    let (file, line) = unit.place();
    let servers = unit.pool().map(|pool| pool.settings().servers.iter().map(ToString::to_string).collect());
    Some(api::Route {
        name: unit.name().to_owned(),
        state: if kept { api::RouteState::Kept } else { api::RouteState::Live },
        hosts,
        entrypoints,
        action,
        target: servers.unwrap_or_default(),
        place: format!("{file}:{line}"),
        faults: if kept { faults_of(unit.name(), file, last) } else { Vec::new() },
        ..api::Route::default()
    })
}

fn live_row(route: &Route, last: &LastLoad) -> api::Route {
    let kept = last.outcome.kept.contains(&route.name);
    let (action, target) = match &route.target {
        Target::Upstream(upstream) => ("proxy", upstream.servers.iter().map(ToString::to_string).collect()),
        Target::Redirect(redirect) => ("redirect", vec![redirect.to.to_string()]),
        Target::Files(files) => ("files", vec![files.root.clone()]),
        Target::Respond(respond) => ("respond", vec![respond.status.to_string()]),
    };
    api::Route {
        name: route.name.clone(),
        state: if kept { api::RouteState::Kept } else { api::RouteState::Live },
        hosts: route.rule.hosts.iter().map(ToString::to_string).collect(),
        paths: route.rule.conditions.paths.iter().map(ToString::to_string).collect(),
        entrypoints: route.rule.entrypoints.clone(),
        action: action.to_owned(),
        target,
        middlewares: Vec::new(),
        place: format!("{}:{}", route.file, route.line),
        faults: if kept { faults_of(&route.name, &route.file, last) } else { Vec::new() },
    }
}

/// What is wrong with the version in the file: with the route itself, or with the whole file if that cannot be read.
fn faults_of(name: &str, file: &str, last: &LastLoad) -> Vec<api::Fault> {
    match last.rejected.iter().find(|rejected| !rejected.name_taken && rejected.name == name) {
        Some(rejected) => faults(&rejected.faults),
        None => {
            let of_its_file = |fault: &&Fault| fault.is_error() && Path::new(file).starts_with(&fault.file);
            faults(last.outcome.faults.iter().filter(of_its_file))
        }
    }
}

fn cert_row(name: String, issuer: Issuer, served: Option<&Entry>, order: Option<&acme::Status>) -> api::Cert {
    let now = SystemTime::now();
    let state = match served {
        Some(entry) if entry.validity().contains(now) => api::CertState::Valid,
        Some(_) => api::CertState::Expired,
        // Made when first asked for, and always good then.
        None if issuer == Issuer::Internal => api::CertState::Valid,
        None => api::CertState::StandIn,
    };
    let error = order.and_then(|order| order.last_error.clone());
    api::Cert {
        name,
        issuer: issuer.as_str().to_owned(),
        state,
        not_after: served.map(|entry| api::rfc3339(entry.validity().not_after)).unwrap_or_default(),
        renew_at: order.and_then(|order| order.renew_at).map(api::rfc3339).unwrap_or_default(),
        fingerprint: served.map(|entry| entry.fingerprint().to_string()).unwrap_or_default(),
        last_error: error.map(|text| api::ErrorAt { at: String::new(), text }),
    }
}

fn missing_sentence(cert: &api::Cert) -> String {
    let name = &cert.name;
    let why = cert.last_error.as_ref().map(|error| format!(": {}", error.text)).unwrap_or_default();
    match cert.state {
        api::CertState::Expired => format!("the certificate of {name} has expired{why}"),
        _ => format!("{name} has no certificate of its issuer {} yet, the local CA's is served{why}", cert.issuer),
    }
}

fn reload_row(outcome: Outcome) -> api::Reload {
    let mut rejected = outcome.rejected;
    rejected.extend(outcome.kept);
    rejected.sort();
    api::Reload {
        applied: true,
        generation: outcome.generation,
        added: outcome.added,
        changed: outcome.changed,
        removed: outcome.removed,
        rejected,
        faults: faults(&outcome.faults),
    }
}

fn faults<'f>(faults: impl IntoIterator<Item = &'f Fault>) -> Vec<api::Fault> {
    faults
        .into_iter()
        .map(|fault| api::Fault {
            file: fault.file.clone(),
            line: fault.line,
            column: fault.column,
            key: fault.key.clone(),
            why: fault.why.clone(),
            hint: fault.hint.clone().unwrap_or_default(),
        })
        .collect()
}
