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
use routes::target::Target;

use crate::admin::api;
use crate::config::Config;
use crate::listen::open::OpenConns;
use crate::reload::{LastLoad, Outcome, Reloader};
use crate::snapshot::Live;

/// What the admin side sees.
pub(super) struct View {
    pub(super) config: Arc<Config>,
    pub(super) live: Arc<Live>,
    pub(super) reloader: Arc<Reloader>,
    pub(super) store: Arc<Store>,
    pub(super) acme: Option<acme::Handle>,
    pub(super) open: Arc<OpenConns>,
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
        live.chain(rejected).collect()
    }

    fn certs(&self) -> Vec<api::Cert> {
        let (snapshot, index) = (self.live.current(), self.store.snapshot());
        let orders: BTreeMap<String, acme::Status> =
            self.acme.iter().flat_map(acme::Handle::status).map(|status| (status.name.clone(), status)).collect();
        let hosts = snapshot.table.hosts();
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
        let mut sites: Vec<_> = snapshot.sites().collect();
        sites.sort_by(|a, b| a.route.name.cmp(&b.route.name));
        let rows = sites.into_iter().filter_map(|site| Some((site, site.pool()?)));
        rows.flat_map(|(site, pool)| {
            pool.status().into_iter().map(|server| api::Upstream::new(&site.route.name, server)).collect::<Vec<_>>()
        })
        .collect()
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
        faults: if kept { faults_of(route, last) } else { Vec::new() },
    }
}

/// What is wrong with the version in the file: with the route itself, or with the whole file if that cannot be read.
fn faults_of(route: &Route, last: &LastLoad) -> Vec<api::Fault> {
    match last.rejected.iter().find(|rejected| !rejected.name_taken && rejected.name == route.name) {
        Some(rejected) => faults(&rejected.faults),
        None => {
            let of_its_file = |fault: &&Fault| fault.is_error() && Path::new(&route.file).starts_with(&fault.file);
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
