//! Who imports whom, and whether that goes in a circle. Nodes are modules, named by their path
//! below the crate's root; nothing here knows a file.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Named;

/// A module's path below the root of its crate; the root is empty.
pub(crate) type Module = Vec<String>;

/// The modules of one crate with the paths that each names.
#[derive(Default)]
pub(crate) struct Modules(pub(crate) BTreeMap<Module, Vec<Named>>);

impl Modules {
    /// The imports between modules of this crate, an import of a re-exported name going to where it comes from.
    pub(crate) fn imports(&self) -> BTreeSet<(Module, Module)> {
        let named = self.0.iter().flat_map(|(from, named)| named.iter().map(move |named| (from, named)));
        named
            .filter(|(_, named)| named.path.first().is_some_and(|first| first == "crate"))
            .map(|(from, named)| (from.clone(), self.home(&named.path[1..], 8)))
            .filter(|(from, to)| from != to)
            .collect()
    }

    /// The module that a path below the root leads to. `hops` bounds chains of re-exports.
    fn home(&self, path: &[String], hops: usize) -> Module {
        let depth = (0..=path.len()).rev().find(|depth| self.0.contains_key(&path[..*depth])).unwrap_or(0);
        let module = &path[..depth];
        let (Some(name), Some(named)) = (path.get(depth), self.0.get(module)) else {
            return module.to_vec();
        };
        match named.iter().find(|named| hops > 0 && named.alias.as_ref() == Some(name)) {
            Some(through) => self.home(&self.below_root(module, &through.path), hops - 1),
            None => module.to_vec(),
        }
    }

    /// A `use` may begin with `crate`, or with the name of a child of the module where it stands.
    fn below_root(&self, module: &[String], path: &[String]) -> Module {
        if path.first().is_some_and(|first| first == "crate") { path[1..].to_vec() } else { [module, path].concat() }
    }

    /// One circle among the children of some module, as a sentence. A child may use what its parent
    /// defines, and a parent its children: what must have a direction is the imports between siblings.
    pub(crate) fn circle(&self) -> Option<String> {
        let mut levels: BTreeMap<Module, BTreeSet<(String, String)>> = BTreeMap::new();
        for (from, to) in self.imports() {
            let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if let (Some(a), Some(b)) = (from.get(shared), to.get(shared)) {
                levels.entry(from[..shared].to_vec()).or_default().insert((a.clone(), b.clone()));
            }
        }
        levels.iter().find_map(|(level, edges)| {
            let circle = find_circle(edges)?;
            Some(format!(
                "crate{}: {}",
                level.iter().map(|part| format!("::{part}")).collect::<String>(),
                circle.join(" -> ")
            ))
        })
    }
}

/// The nodes of one circle, the first again at the end.
fn find_circle(edges: &BTreeSet<(String, String)>) -> Option<Vec<String>> {
    let starts: BTreeSet<&String> = edges.iter().map(|(from, _)| from).collect();
    starts.into_iter().find_map(|start| way_back(edges, start))
}

/// The shortest way from `start` back to itself.
fn way_back(edges: &BTreeSet<(String, String)>, start: &str) -> Option<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut ways = std::collections::VecDeque::from([vec![start.to_owned()]]);
    while let Some(way) = ways.pop_front() {
        let last = way.last().expect("every way has its start");
        for (_, next) in edges.iter().filter(|(from, _)| from == last) {
            let longer = [way.as_slice(), std::slice::from_ref(next)].concat();
            if next == start {
                return Some(longer);
            }
            if seen.insert(next.clone()) {
                ways.push_back(longer);
            }
        }
    }
    None
}
