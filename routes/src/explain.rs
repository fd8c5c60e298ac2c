//! Why a request goes where it goes: every route of its host in the order it is tried, and why each is not it.
//! Runs the same walk as a real match; only the words are made here.

use std::collections::HashSet;
use std::fmt;
use std::ops::ControlFlow;

use serde::Serialize;

use crate::rule::{Mismatch, Request, Rule, Wanted};
use crate::table::{Holder, Table};

/// What would happen to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The canonical host.
    pub host: String,
    /// The canonical path.
    pub path: String,
    /// The name of the route that wins, if one does.
    pub winner: Option<String>,
    /// Routes of this host, those that are tried first, in that order.
    pub candidates: Vec<Candidate>,
    /// How many more routes of this host there are whose path differs.
    pub more: usize,
    /// A host that may have been meant, where no route is for this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
}

/// One route in an explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Its name.
    pub route: String,
    /// The file it stands in.
    pub file: String,
    /// Its line, counted from 1.
    pub line: usize,
    /// What it would do: `upstream`, `redirect`, `files`, `respond`, or `503` for a rejected route.
    pub target: String,
    /// Whether it wins.
    pub won: bool,
    /// Why it wins or does not, in words.
    pub why: String,
}

/// How many routes are listed whose path differs: a host may have thousands.
const MOST_OTHERS: usize = 20;

/// Explains what the table does with a request.
pub fn explain(table: &Table, request: &Request<'_>) -> Explanation {
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut seen = HashSet::new();
    let mut winner: Option<String> = None;
    let _: ControlFlow<()> = table.walk(request, |holder, mismatch| {
        if seen.insert(std::ptr::from_ref(holder)) {
            let candidate = judged(holder, mismatch, request, winner.as_deref());
            if candidate.won {
                winner = Some(candidate.route.clone());
            }
            candidates.push(candidate);
        }
        ControlFlow::Continue(())
    });
    let mut others = table.holders_of(request.host).filter(|holder| !seen.contains(&std::ptr::from_ref(*holder)));
    candidates.extend(others.by_ref().take(MOST_OTHERS).map(|holder| elsewhere(holder, request)));
    let nearest = if candidates.is_empty() { table.nearest(request.host).map(str::to_owned) } else { None };
    Explanation {
        host: request.host.to_owned(),
        path: request.path.to_owned(),
        winner,
        candidates,
        more: others.count(),
        nearest,
    }
}

/// A route whose host and path fit.
fn judged(holder: &Holder, mismatch: Option<Mismatch<'_>>, request: &Request<'_>, winner: Option<&str>) -> Candidate {
    let why = match (mismatch, winner, holder) {
        (Some(mismatch), _, _) => words(mismatch, holder.rule(), request),
        (None, Some(winner), _) => format!("fits too, but `{winner}` comes first"),
        (None, None, Holder::Route(_)) => "wins".to_owned(),
        (None, None, Holder::Closed(closed)) => {
            format!("wins, but is rejected: answered with 503 and the fault id {}", closed.fault_id)
        }
    };
    candidate(holder, mismatch.is_none() && winner.is_none(), why)
}

/// A route of this host that the walk did not come by.
fn elsewhere(holder: &Holder, request: &Request<'_>) -> Candidate {
    let mismatch = holder.rule().and_then(|rule| rule.full_mismatch(request)).unwrap_or(Mismatch::Path);
    candidate(holder, false, words(mismatch, holder.rule(), request))
}

fn candidate(holder: &Holder, won: bool, why: String) -> Candidate {
    let (route, file, line, target) = match holder {
        Holder::Route(route) => (&route.name, &route.file, route.line, route.target.kind()),
        Holder::Closed(closed) => (&closed.name, &closed.file, closed.line, "503"),
    };
    Candidate { route: route.clone(), file: file.clone(), line, target: target.to_owned(), won, why }
}

fn words(mismatch: Mismatch<'_>, rule: Option<&Rule>, request: &Request<'_>) -> String {
    let list = |select: fn(&Rule) -> Vec<String>| rule.map(select).unwrap_or_default().join(", ");
    match mismatch {
        Mismatch::Entrypoint => {
            let served = list(|rule| rule.entrypoints.clone());
            format!("entrypoint: the request came in by `{}`, it is served on {served}", request.entrypoint)
        }
        Mismatch::Host => {
            let hosts = list(|rule| rule.hosts.iter().map(ToString::to_string).collect());
            format!("host: `{}` is none of {hosts}", request.host)
        }
        Mismatch::Path => {
            let paths = list(|rule| rule.conditions.paths.iter().map(ToString::to_string).collect());
            format!("path: `{}` fits none of {paths}", request.path)
        }
        Mismatch::Method => {
            format!("method: `{}` is none of {}", request.method, list(|rule| rule.conditions.methods.clone()))
        }
        Mismatch::Header(name, wanted) => format!("header `{name}` {}", want(wanted)),
        Mismatch::Query(name, wanted) => format!("query parameter `{name}` {}", want(wanted)),
        Mismatch::ClientIp => {
            let networks = list(|rule| rule.conditions.client_ip.iter().map(ToString::to_string).collect());
            format!("client_ip: {} is in none of {networks}", request.client)
        }
        Mismatch::Except => "except: the request is one of its exceptions".to_owned(),
    }
}

fn want(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Present => "is missing".to_owned(),
        Wanted::AnyOf(values) if values.len() == 1 => format!("is not `{}`", values.concat()),
        Wanted::AnyOf(values) => format!("is none of `{}`", values.join("`, `")),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host, self.path)?;
        for Candidate { route, file, line, target, won, why } in &self.candidates {
            let mark = if *won { "->" } else { "  " };
            write!(f, "\n{mark} {route} ({target}, {file}:{line}): {why}")?;
        }
        if self.more > 0 {
            write!(f, "\n   and {} more with other paths", self.more)?;
        }
        match (&self.winner, &self.nearest) {
            (None, Some(nearest)) => write!(f, "\n   no route is for this host; the nearest is {nearest}"),
            (None, None) => f.write_str("\n   no route takes this request"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
