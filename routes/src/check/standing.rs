//! What serves while files are checked anew, and what follows from it: a newcomer takes neither the name nor the requests
//! of a route that serves. Which requests those are is not judged here.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::file::Draft;
use crate::route::Route;

/// The routes that serve now; none at a start, where the order of files decides.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standing<'a> {
    /// All of them, their last good versions too.
    pub routes: &'a [Arc<Route>],
    /// Files, or folders of them, that could not be read: what serves of them serves on.
    pub unread: &'a [String],
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
    by_name: HashMap<&'a str, &'a Route>,
    unread: Vec<&'a Path>,
}

impl<'a> Holders<'a> {
    /// `broken` are the files that were read and do not parse.
    pub(super) fn new(standing: Standing<'a>, broken: &'a [String]) -> Self {
        let by_name = standing.routes.iter().map(|route| (route.name.as_str(), &**route)).collect();
        Self { by_name, unread: standing.unread.iter().chain(broken).map(Path::new).collect() }
    }

    /// The indices of the drafts, those that serve first.
    pub(super) fn order(&self, drafts: &[Draft<'_>]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..drafts.len()).collect();
        order.sort_by_cached_key(|index| self.claim(&drafts[*index]));
        order
    }

    /// The route of another file that has the draft's name and serves on because that file cannot be read.
    pub(super) fn absent(&self, draft: &Draft<'_>) -> Option<&'a Route> {
        let route = self.by_name.get(draft.name.as_str()).copied()?;
        (route.file != draft.item.place().file && self.is_unread(route)).then_some(route)
    }

    /// The routes that serve on as they are, because what is written for them now is faulty or cannot be read.
    pub(super) fn kept(&self, drafts: &[Draft<'_>]) -> Vec<&'a Route> {
        let owners = drafts.iter().filter(|draft| !draft.name_taken);
        let owners: HashMap<&str, &Draft<'_>> = owners.map(|draft| (draft.name.as_str(), draft)).collect();
        let is_kept = |route: &&Route| match owners.get(route.name.as_str()) {
            Some(draft) => draft.faults.has_errors(),
            None => self.is_unread(route),
        };
        self.by_name.values().copied().filter(is_kept).collect()
    }

    fn claim(&self, draft: &Draft<'_>) -> Claim {
        let Some(live) = self.by_name.get(draft.name.as_str()) else { return Claim::New };
        match &draft.route {
            _ if live.file != draft.item.place().file => Claim::New,
            Some(route) if takes_the_same(route, live) => Claim::Serves,
            Some(_) | None => Claim::Edited,
        }
    }

    fn is_unread(&self, route: &Route) -> bool {
        self.unread.iter().any(|file| Path::new(&route.file).starts_with(file))
    }
}

/// Whether two versions of a route are the same in all by which it can clash with others.
fn takes_the_same(a: &Route, b: &Route) -> bool {
    a.rule == b.rule && a.tls == b.tls && a.path_policy == b.path_policy && a.depends_on_path() == b.depends_on_path()
}

#[cfg(test)]
mod tests;
