//! Where a `[[tcp]]` is served.

use crate::document::Item;
use crate::fault::did_you_mean;
use crate::file::Reader;
use crate::world::{Entrypoint, Protocol};

/// The entrypoints of a stream.
pub(super) struct Served {
    pub(super) names: Vec<String>,
    /// What they all speak; none if that cannot be said, which is a fault.
    pub(super) protocol: Option<Protocol>,
}

impl Served {
    fn one(entrypoint: &Entrypoint) -> Self {
        Self { names: vec![entrypoint.name.clone()], protocol: Some(entrypoint.protocol) }
    }

    const NOWHERE: Self = Self { names: Vec::new(), protocol: None };
}

impl Reader<'_> {
    pub(super) fn served(&mut self, item: &Item<'_>) -> Served {
        let Some(given) = item.get("entrypoint") else { return self.usual_entrypoint(item) };
        self.refuse_empty(&given);
        let mut entrypoints: Vec<&Entrypoint> = Vec::new();
        let world = self.world;
        for item in given.one_or_many() {
            let Some(name) = item.as_str() else { continue };
            match world.entrypoints.iter().find(|entrypoint| entrypoint.name == name) {
                Some(entrypoint) if carries(entrypoint) => entrypoints.push(entrypoint),
                Some(_) => {
                    let fault = item.fault(format!("the entrypoint `{name}` speaks plain HTTP and nothing else"));
                    self.faults.push(fault.hint(
                        "name one with protocol = \"tcp\" or \"postgres\", or one with tls = true for connections \
                         that are told apart by their host",
                    ));
                }
                None => {
                    let known = world.entrypoints.iter().filter(|entrypoint| carries(entrypoint));
                    let hint = did_you_mean(name, known.map(|entrypoint| entrypoint.name.as_str()));
                    self.faults.push(item.fault(format!("there is no entrypoint `{name}`")).maybe_hint(hint));
                }
            }
        }
        let protocol = entrypoints.first().map(|entrypoint| entrypoint.protocol);
        if let (Some(first), Some(other)) =
            (entrypoints.first(), entrypoints.iter().find(|other| Some(other.protocol) != protocol))
        {
            let why = format!("the entrypoints `{}` and `{}` speak different protocols", first.name, other.name);
            self.faults.push(given.fault(why).hint("write one [[tcp]] for each"));
            return Served::NOWHERE;
        }
        let mut names: Vec<String> = entrypoints.iter().map(|entrypoint| entrypoint.name.clone()).collect();
        names.sort();
        names.dedup();
        Served { names, protocol }
    }

    /// The only one that it can be.
    fn usual_entrypoint(&mut self, item: &Item<'_>) -> Served {
        let candidates = self.world.entrypoints.iter().filter(|entrypoint| entrypoint.protocol != Protocol::Http);
        let candidates: Vec<&Entrypoint> = candidates.collect();
        let fault = match candidates.as_slice() {
            [one] => return Served::one(one),
            [] => item.fault("edge.toml has no entrypoint for connections below HTTP").hint(
                "add [entrypoint.NAME] with protocol = \"tcp\" or \"postgres\", or write entrypoint = \"..\" with one \
                 of TLS",
            ),
            several => {
                let names: Vec<String> = several.iter().map(|one| format!("\"{}\"", one.name)).collect();
                let fault = item.fault("it is not said which entrypoint serves it, and there are several");
                fault.hint(format!("write entrypoint = one of {}", names.join(", ")))
            }
        };
        self.faults.push(fault);
        Served::NOWHERE
    }
}

/// Whether connections below HTTP can be told from requests there.
fn carries(entrypoint: &Entrypoint) -> bool {
    entrypoint.protocol != Protocol::Http || entrypoint.tls
}
