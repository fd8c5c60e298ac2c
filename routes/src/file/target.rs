//! How the targets besides `upstream` are written: `redirect`, `files`, `respond`; and that a route has just one.

use super::Reader;
use crate::document::{Item, Kind};
use crate::shape::{Key, Shape};
use crate::target::{Files, Redirect, Respond, Target, Template, is_header_value, is_token};
use crate::world::{self, Seen};

pub(super) const REDIRECT: Shape = Shape::Either(&[
    Shape::Text("a template"),
    Shape::Table(&[
        Key::new("to", Shape::Text("a template"), TO_DOC).required(),
        Key::new("status", Shape::Integer { min: 301, max: 308 }, "301, 302, 303, 307 or 308.").default("308"),
    ]),
]);
const TO_DOC: &str =
    "The new place, with `{scheme}`, `{host}`, `{path}` and `{query}` (which brings its `?` along) of the request.";

pub(super) const FILES: Shape = Shape::Either(&[
    Shape::Text("a folder"),
    Shape::Table(&[
        Key::new("root", Shape::Text("a folder"), "The folder, relative to that of `edge.toml`.").required(),
        Key::new("spa", Shape::Bool, "Whether the index answers for every path that is no file.").default("false"),
        Key::new("index", Shape::TEXT, "The file that stands for a folder.").default("\"index.html\""),
        Key::new("listing", Shape::Bool, "Whether a folder without index is listed.").default("false"),
    ]),
]);

pub(super) const RESPOND: Shape = Shape::Either(&[
    Shape::Text("a body"),
    Shape::Table(&[
        Key::new("status", Shape::Integer { min: 200, max: 599 }, "The status.").default("200"),
        Key::new("body", Shape::TEXT, "The body.").default("\"\""),
        Key::new("content_type", Shape::TEXT, "Its media type.").default("\"text/plain; charset=utf-8\""),
        Key::new("headers", Shape::Map(&Shape::TEXT), "More headers."),
    ]),
]);

const TARGETS: [&str; 4] = ["upstream", "redirect", "files", "respond"];

impl Reader<'_> {
    pub(super) fn target(&mut self, item: &Item<'_>) -> Option<Target> {
        let given: Vec<Item<'_>> = TARGETS.iter().filter_map(|name| item.get(name)).collect();
        let Some((first, more)) = given.split_first() else {
            let fault = item.fault("the route has no target");
            self.faults.push(fault.hint("add one of upstream, redirect, files, respond"));
            return None;
        };
        for other in more {
            let why = format!("the route has a second target: `{}` besides `{}`", other.name(), first.name());
            self.faults.push(other.key_fault(why).hint("keep one of them"));
        }
        // All of them are read, so that their faults are told in one run.
        let mut targets: Vec<_> = given.iter().map(|item| self.one_target(item)).collect();
        targets.swap_remove(0)
    }

    fn one_target(&mut self, item: &Item<'_>) -> Option<Target> {
        match item.name() {
            "upstream" => self.upstream(item).map(Box::new).map(Target::Upstream),
            "redirect" => self.redirect(item).map(Target::Redirect),
            "files" => self.files(item).map(Target::Files),
            _ => self.respond(item).map(Target::Respond),
        }
    }

    fn redirect(&mut self, item: &Item<'_>) -> Option<Redirect> {
        let to = if item.kind() == Kind::Table { item.get("to")? } else { item.clone() };
        let text = to.as_str()?;
        let template = Template::parse(text).map_err(|error| {
            self.faults.push(to.fault(format!("`{text}`: {error}")).maybe_hint(error.hint()));
        });
        let status = item.get("status");
        let number = status.as_ref().and_then(Item::as_integer).and_then(|number| u16::try_from(number).ok());
        if let (Some(status), Some(304..=306)) = (&status, number) {
            self.faults.push(status.fault("a redirect has the status 301, 302, 303, 307 or 308"));
        }
        Some(Redirect { to: template.ok()?, status: number.unwrap_or(Redirect::STATUS) })
    }

    fn files(&mut self, item: &Item<'_>) -> Option<Files> {
        let root = if item.kind() == Kind::Table { item.get("root")? } else { item.clone() };
        let text = root.as_str()?;
        self.on_disk(&root, text, &Seen::Folder);
        let index = item.get("index");
        let name = index.as_ref().and_then(Item::as_str).unwrap_or(Files::INDEX);
        if let Some(index) = index
            && (name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']))
        {
            self.faults
                .push(index.fault(format!("`{name}` is not the name of a file")).hint("for example \"index.html\""));
        }
        let flag = |key| item.get(key).and_then(|item| item.as_bool()).unwrap_or(false);
        Some(Files { root: text.to_owned(), spa: flag("spa"), index: name.to_owned(), listing: flag("listing") })
    }

    /// Notes a fault where there is something else at a path, or nothing.
    pub(super) fn on_disk(&mut self, item: &Item<'_>, path: &str, wanted: &Seen) {
        let full = world::resolve(self.world.folder, path);
        let seen = self.world.disk.look(&full);
        let full = full.display();
        let why = match &seen {
            seen if seen == wanted => return,
            Seen::File => format!("`{full}` is a file, not a folder"),
            Seen::Folder => format!("`{full}` is a folder, not a file"),
            Seen::Missing => format!("`{full}` does not exist"),
            Seen::Unreadable(error) => format!("`{full}` cannot be read: {error}"),
        };
        self.faults.push(item.fault(why).hint("paths are relative to the folder of edge.toml"));
    }

    fn respond(&mut self, item: &Item<'_>) -> Option<Respond> {
        let text =
            |key, default: &str| item.get(key).map_or(Some(default.to_owned()), |item| item.as_str().map(Into::into));
        let number =
            item.get("status").and_then(|item| item.as_integer()).and_then(|number| u16::try_from(number).ok());
        let status = number.unwrap_or(Respond::STATUS);
        let body = if item.kind() == Kind::Table { text("body", "")? } else { item.as_str()?.to_owned() };
        if matches!(status, 204 | 205 | 304) && !body.is_empty() {
            self.faults.push(item.fault(format!("an answer with status {status} has no body")).hint("remove `body`"));
        }
        let content_type = text("content_type", Respond::CONTENT_TYPE)?;
        if let Some(item) =
            item.get("content_type").filter(|_| !is_header_value(&content_type) || content_type.is_empty())
        {
            self.faults.push(item.fault("`content_type` cannot be sent as a header"));
        }
        Some(Respond { status, body, content_type, headers: self.answer_headers(item) })
    }

    fn answer_headers(&mut self, item: &Item<'_>) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        for (name, value) in item.get("headers").iter().flat_map(Item::entries) {
            let Some(text) = value.as_str() else { continue };
            let lower = name.to_ascii_lowercase();
            if !is_token(name) || !is_header_value(text) {
                self.faults.push(value.key_fault(format!("`{name}` cannot be sent as a header")));
            } else if OURS.contains(&lower.as_str()) {
                self.faults.push(value.key_fault(format!("`{name}` is set by the edge itself")).hint("remove it"));
            }
            headers.push((lower, text.to_owned()));
        }
        headers.sort();
        headers
    }
}

/// Headers that frame the answer, or have a key of their own.
const OURS: &[&str] = &[
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "date",
];
