//! `edge explain`: what would happen to a request or a connection and why, from the files alone. Nothing is dialled.

mod certificate;
mod door;
mod steps;
mod stream;
mod target;
mod url;

use std::net::{IpAddr, Ipv4Addr};

use routes::explain::{Candidate, Explanation, explain};
use routes::path::Canonical;
use routes::preset::Applied;
use routes::rule::Request;
use routes::stream::StreamTable;
use routes::table::Table;
use routes::target::is_token;
use serde::Serialize;

use self::certificate::Certificate;
use self::door::{Door, NoDoor};
use self::steps::{Middleware, middlewares, write_preset, write_steps};
use self::stream::StreamAnswer;
use self::target::{Fact, facts};
use self::url::Url;
use super::failure::{Exit, Failure};
use super::locate::ConfigFile;
use super::out::{Out, Style, many};
use crate::config::{Config, Loaded};

/// Tell what would happen to a request or a connection, and why.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  edge explain https://harbor.example.com/v2/ --method POST --header 'X-Canary: 1'\n  \
    edge explain postgres://ada@postgres.example.com/app\n\n\
    Reads the files, not the running edge. Exits with 1 if no route takes the request."
)]
pub(super) struct Args {
    /// The URL; https:// if it has no scheme
    url: Url,
    /// The method
    #[arg(long, short = 'X', default_value = "GET", value_parser = method)]
    method: String,
    /// A header of the request; may be repeated
    #[arg(long, short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// The client's address
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    from: IpAddr,
    #[command(flatten)]
    config: ConfigFile,
    /// Write the answer as JSON
    #[arg(long)]
    json: bool,
}

fn method(text: &str) -> Result<String, String> {
    if is_token(text) { Ok(text.to_owned()) } else { Err("it is not a method".to_owned()) }
}

fn header(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
    let good = parts.filter(|(name, _)| is_token(name));
    good.map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| "write it as 'Name: value'".to_owned())
}

/// `edge.toml` has errors, so nobody knows what would be bound.
#[derive(Debug, thiserror::Error)]
#[error("{file} cannot be used: {why}")]
struct Unusable {
    file: String,
    why: String,
}

impl From<NoDoor> for Failure {
    fn from(error: NoDoor) -> Self {
        Self::new(error).hint("[entrypoint.NAME] in edge.toml names what is listened on")
    }
}

pub(super) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let loaded = args.config.load();
    let config = loaded.config.as_ref().ok_or_else(|| unusable(args, &loaded))?;
    if let Some(exit) = explain_stream(args, &loaded, config, out) {
        return Ok(exit);
    }
    let answer = Answer::new(args, &loaded, config)?;
    if args.json {
        out.json(&answer);
    } else {
        answer.write(config, out);
    }
    Ok(if answer.is_served() { Exit::Done } else { Exit::Failed })
}

/// A connection that is no request, if the URL leads to one.
fn explain_stream(args: &Args, loaded: &Loaded, config: &Config, out: &mut Out) -> Option<Exit> {
    let checked = loaded.check_routes().unwrap_or_default();
    let answer = StreamAnswer::of(&args.url, args.from, &StreamTable::build(&checked.streams), config)?;
    if args.json {
        out.json(&answer);
    } else {
        answer.write(out);
    }
    Some(if answer.is_served() { Exit::Done } else { Exit::Failed })
}

fn unusable(args: &Args, loaded: &Loaded) -> Failure {
    let first = loaded.faults.iter().find(|fault| fault.is_error());
    let why = first.map_or_else(String::new, |fault| match fault.line {
        0 => fault.why.clone(),
        line => format!("line {line}: {}", fault.why),
    });
    let failure = Failure::new(Unusable { file: args.config.path().display().to_string(), why });
    match first.and_then(|fault| fault.hint.clone()) {
        Some(hint) if loaded.around.is_none() => failure.hint(hint),
        _ => failure.hint("`edge check` tells every fault with its line"),
    }
}

/// Everything about one request.
#[derive(Debug, Serialize)]
struct Answer {
    method: String,
    door: Door,
    /// None on an entrypoint without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Certificate>,
    /// Why it is answered with 400 although a route wins, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    #[serde(flatten)]
    explanation: Explanation,
    /// The middlewares of the winning route, in the order in which they see the request.
    middlewares: Vec<Middleware>,
    /// What the preset of the winning route did, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<Applied>,
    /// Of the winning route; empty if there is none or it is rejected.
    target: Vec<Fact>,
    /// How many errors the route files have.
    errors: usize,
}

impl Answer {
    fn new(args: &Args, loaded: &Loaded, config: &Config) -> Result<Self, NoDoor> {
        let door = Door::of(&args.url, &config.entrypoints)?;
        let checked = loaded.check_routes().unwrap_or_default();
        let errors = checked.errors().count();
        let table = Table::build(checked.routes, &checked.rejected);
        // By a redirect the client comes back with https.
        let url = Url { tls: door.tls, ..args.url.clone() };
        let path = Canonical::read(url.path.as_bytes());
        let request = Request {
            entrypoint: &door.entrypoint,
            host: &url.host,
            path: &path.path,
            method: &args.method,
            query: url.query.as_deref().unwrap_or_default(),
            headers: &args.header,
            client: args.from,
        };
        let route = table.find(&request).route();
        let matters = !path.ambiguities.is_empty() && route.is_some_and(|route| table.path_matters(&url.host, route));
        let refused = matters.then(|| format!("answered with 400: the path has {}", path.ambiguities));
        Ok(Self {
            method: args.method.clone(),
            certificate: door.tls.then(|| Certificate::of(&url.host, &table, config)),
            refused,
            explanation: explain(&table, &request),
            middlewares: route.map(|route| middlewares(route)).unwrap_or_default(),
            preset: route.and_then(|route| route.preset.clone()),
            target: route.map(|route| facts(route, &url, &config.around)).unwrap_or_default(),
            door,
            errors,
        })
    }

    fn is_served(&self) -> bool {
        self.refused.is_none() && !self.target.is_empty()
    }

    fn write(&self, config: &Config, out: &mut Out) {
        let Explanation { host, path, .. } = &self.explanation;
        out.line(out.paint(Style::Bold, format!("{} {host}{path}", self.method)));
        row(out, "entrypoint", &self.door_words());
        if let Some(certificate) = &self.certificate {
            row(out, "certificate", &certificate.words(config));
        }
        if let Some(why) = &self.refused {
            row(out, "refused", &out.paint(Style::Red, why));
        }
        self.write_candidates(out);
        if self.refused.is_none() {
            write_steps(&self.middlewares, out);
            self.target.iter().for_each(|fact| row(out, fact.name, &fact.value));
            self.preset.iter().for_each(|preset| write_preset(preset, out));
        }
        if self.is_challenge() && config.acme.is_some() {
            row(out, "note", "before all else, the edge answers this itself while the CA checks the host");
        }
        if self.errors > 0 {
            let note = format!(
                "the route files have {}: see `edge check`; a running edge serves the last good version of such routes, see \
                 `edge routes`",
                many(self.errors, "error")
            );
            row(out, "note", &out.paint(Style::Yellow, note));
        }
    }

    /// Whether it is what a CA asks for (RFC 8555 section 8.3): by plain HTTP, whatever is redirected otherwise.
    fn is_challenge(&self) -> bool {
        let is_plain = !self.door.tls || self.door.redirected_by.is_some();
        is_plain && self.explanation.path.starts_with("/.well-known/acme-challenge/")
    }

    fn door_words(&self) -> String {
        let Door { entrypoint, listen, tls, redirected_by, port_matches } = &self.door;
        let tls = if *tls { "TLS" } else { "no TLS" };
        let mut words = format!("{entrypoint} ({}, {tls})", listen.join(", "));
        if let Some(by) = redirected_by {
            words = format!("{by}, which redirects to {words}");
        }
        if !port_matches {
            words.push_str("; no entrypoint listens on the URL's port, so a port mapping is assumed");
        }
        words
    }

    fn write_candidates(&self, out: &mut Out) {
        let Explanation { host, candidates, winner, more, nearest, .. } = &self.explanation;
        let lines = table(candidates);
        for (index, (line, candidate)) in lines.into_iter().zip(candidates).enumerate() {
            let line = if candidate.won { out.paint(Style::Green, line) } else { line };
            row(out, if index == 0 { "routes" } else { "" }, &line);
        }
        if *more > 0 {
            row(out, "", &format!("   and {more} more with other paths"));
        }
        match (winner, nearest) {
            (Some(_), _) => {}
            (None, Some(nearest)) => row(out, "routes", &format!("none is for {host}; the nearest host is {nearest}")),
            (None, None) if candidates.is_empty() => row(out, "routes", &format!("none is for {host}")),
            (None, None) => row(out, "", "   none of them takes the request: 404"),
        }
    }
}

/// A line for each candidate, in columns.
fn table(candidates: &[Candidate]) -> Vec<String> {
    let place = |one: &Candidate| format!("{}:{}", one.file, one.line);
    let widest = |width: &dyn Fn(&Candidate) -> usize| candidates.iter().map(width).max().unwrap_or(0);
    let name = widest(&|one| one.route.chars().count());
    let target = widest(&|one| one.target.len());
    let at = widest(&|one| place(one).chars().count());
    let line = |one: &Candidate| {
        let mark = if one.won { "->" } else { "  " };
        format!("{mark} {:name$}  {:target$}  {:at$}  {}", one.route, one.target, place(one), one.why)
    };
    candidates.iter().map(line).collect()
}

fn row(out: &mut Out, name: &str, value: &str) {
    out.line(format!("  {name:<12}  {value}"));
}
