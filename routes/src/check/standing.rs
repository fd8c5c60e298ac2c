//! What serves while files are checked anew, and what follows from it: a newcomer takes neither the name nor the requests
//! of a route that serves. Which requests those are is not judged here.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::file::{Draft, Made};
use crate::route::Route;
use crate::stream::{Stream, Tcp};

/// The routes that serve now; none at a start, where the order of files decides.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standing<'a> {
    /// All of them, their last good versions too.
    pub routes: &'a [Arc<Route>],
    /// All streams, their last good versions too.
    pub streams: &'a [Arc<Stream>],
    /// Files, or folders of them, that could not be read: what serves of them serves on.
    pub unread: &'a [String],
}

/// A route or a stream that serves, or is to serve.
#[derive(Debug, Clone, Copy)]
pub(super) enum Live<'a> {
    Route(&'a Route),
    Stream(&'a Stream),
}

impl<'a> Live<'a> {
    pub(super) fn of(made: &'a Made) -> Self {
        match made {
            Made::Route(route) => Self::Route(route),
            Made::Stream(stream) => Self::Stream(stream),
        }
    }

    pub(super) fn name(self) -> &'a str {
        match self {
            Self::Route(route) => &route.name,
            Self::Stream(stream) => stream.name(),
        }
    }

    pub(super) fn file(self) -> &'a str {
        match self {
            Self::Route(route) => &route.file,
            Self::Stream(stream) => stream.file(),
        }
    }

    pub(super) fn line(self) -> usize {
        match self {
            Self::Route(route) => route.line,
            Self::Stream(stream) => stream.line(),
        }
    }
}

/// How near a draft is to a route that serves: of two that cannot both be, the nearer one stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    /// It serves, and the same requests as now.
    Serves,
    /// It serves, and is edited.
    Edited,
    New,
}

/// The routes that serve now, by name.
pub(super) struct Holders<'a> {
    by_name: HashMap<&'a str, Live<'a>>,
    unread: Vec<&'a Path>,
}

impl<'a> Holders<'a> {
    /// `broken` are the files that were read and do not parse.
    pub(super) fn new(standing: Standing<'a>, broken: &'a [String]) -> Self {
        let routes = standing.routes.iter().map(|route| Live::Route(route));
        let all = routes.chain(standing.streams.iter().map(|stream| Live::Stream(stream)));
        let by_name = all.map(|live| (live.name(), live)).collect();
        Self { by_name, unread: standing.unread.iter().chain(broken).map(Path::new).collect() }
    }

    /// The indices of the drafts, those that serve first.
    pub(super) fn order(&self, drafts: &[Draft<'_>]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..drafts.len()).collect();
        order.sort_by_cached_key(|index| self.claim(&drafts[*index]));
        order
    }

    /// What in another file has the draft's name and serves on because that file cannot be read.
    pub(super) fn absent(&self, draft: &Draft<'_>) -> Option<Live<'a>> {
        let live = self.by_name.get(draft.name.as_str()).copied()?;
        (live.file() != draft.item.place().file && self.is_unread(live)).then_some(live)
    }

    /// What serves on as it is, because what is written for it now is faulty or cannot be read.
    pub(super) fn kept(&self, drafts: &[Draft<'_>]) -> Vec<Live<'a>> {
        let owners = drafts.iter().filter(|draft| !draft.name_taken);
        let owners: HashMap<&str, &Draft<'_>> = owners.map(|draft| (draft.name.as_str(), draft)).collect();
        let is_kept = |live: &Live<'_>| match owners.get(live.name()) {
            Some(draft) => draft.faults.has_errors(),
            None => self.is_unread(*live),
        };
        self.by_name.values().copied().filter(is_kept).collect()
    }

    fn claim(&self, draft: &Draft<'_>) -> Claim {
        let Some(live) = self.by_name.get(draft.name.as_str()) else { return Claim::New };
        match &draft.made {
            _ if live.file() != draft.item.place().file => Claim::New,
            Some(made) if takes_the_same(Live::of(made), *live) => Claim::Serves,
            Some(_) | None => Claim::Edited,
        }
    }

    fn is_unread(&self, live: Live<'_>) -> bool {
        self.unread.iter().any(|file| Path::new(live.file()).starts_with(file))
    }
}

/// Whether two versions of a route are the same in all by which it can clash with others.
fn takes_the_same(a: Live<'_>, b: Live<'_>) -> bool {
    match (a, b) {
        (Live::Route(a), Live::Route(b)) => {
            let is_read_alike = a.path_policy == b.path_policy && a.depends_on_path() == b.depends_on_path();
            is_read_alike && a.rule == b.rule && a.tls == b.tls
        }
        (Live::Stream(Stream::Tcp(a)), Live::Stream(Stream::Tcp(b))) => {
            let place = |tcp: &Tcp| (tcp.entrypoints.clone(), tcp.hosts.clone(), tcp.tls);
            place(a) == place(b) && (a.mode, &a.databases, &a.users) == (b.mode, &b.databases, &b.users)
        }
        (Live::Stream(Stream::Udp(a)), Live::Stream(Stream::Udp(b))) => a.listen == b.listen,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
