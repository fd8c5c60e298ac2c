//! The dashboard: made on the server, so that it is whole without a script; the script only
//! fetches it again.

use std::fmt::Write as _;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use super::api::{Cert, CertState, ErrorAt, Fault, Readiness, Route, RouteState, Session, Sessions, Status, Upstream};

/// All that the page shows.
pub(super) struct View {
    pub(super) status: Status,
    pub(super) ready: Readiness,
    pub(super) routes: Vec<Route>,
    pub(super) certs: Vec<Cert>,
    pub(super) upstreams: Vec<Upstream>,
    pub(super) sessions: Sessions,
}

/// A word that nobody can know before: only our own style and script carry it.
pub(super) fn nonce() -> String {
    // The standard library seeds this from the system's random numbers.
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

pub(super) fn render(view: &View, nonce: &str) -> String {
    let (head, rest) = TEMPLATE.split_once("{{main}}").expect("page.html has a place for the content");
    let mut page = head.replace("{{nonce}}", nonce);
    let mut out = Out { html: &mut page };
    out.summary(view);
    out.routes(&view.routes);
    out.certs(&view.certs);
    out.upstreams(&view.upstreams);
    out.sessions(&view.sessions);
    page.push_str(&rest.replace("{{nonce}}", nonce));
    page
}

/// Sessions that the page shows.
const SESSIONS: usize = 50;

const TEMPLATE: &str = include_str!("page.html");

/// A page under way. Text goes in through [`Out::text`], which escapes it, and no other way.
struct Out<'a> {
    html: &'a mut String,
}

impl Out<'_> {
    fn summary(&mut self, view: &View) {
        let status = &view.status;
        let (class, word) = match (status.draining, view.ready.ready) {
            (true, _) => ("warn", "stopping"),
            (false, true) => ("good", "ready"),
            (false, false) => ("bad", "not ready"),
        };
        self.raw("<p>").badge(class, word).raw(" edge ").text(&status.version).raw(" ").text(&status.commit);
        self.raw(", running since ").text(&status.started);
        self.raw(&format!(", configuration {}", status.generation)).raw(" loaded ").text(&status.loaded).raw("</p>");
        self.list("reasons", view.ready.reasons.iter().map(String::as_str));
        self.table("Entrypoints", &["name", "protocol", "addresses", "connections"], &status.entrypoints, |out, it| {
            let protocol = if it.tls { format!("{} over TLS", it.protocol) } else { it.protocol.clone() };
            out.cell(&it.name).cell(&protocol).lines(&it.addresses).cell(&it.connections.to_string());
        });
    }

    fn routes(&mut self, routes: &[Route]) {
        self.table("Routes", &["name", "state", "hosts", "paths", "does", "use", "written at"], routes, |out, it| {
            let (class, word) = match it.state {
                RouteState::Live => ("good", "live"),
                RouteState::Kept => ("warn", "older version"),
                RouteState::Rejected => ("bad", "rejected"),
            };
            out.cell(&it.name).raw("<td>").badge(class, word);
            it.faults.iter().for_each(|fault| out.fault(fault));
            out.raw("</td>").lines(&it.hosts).lines(&it.paths);
            out.raw("<td>").text(&it.action).raw(" ").text(&it.target.join(" ")).raw("</td>");
            out.lines(&it.middlewares).cell(&it.place);
        });
    }

    fn fault(&mut self, fault: &Fault) {
        let place = format!("{}:{}:{}", fault.file, fault.line, fault.column);
        self.raw("<div class=fault>").text(&place).raw(" ").text(&fault.key).raw(": ");
        self.text(&fault.why).raw(" ").text(&fault.hint).raw("</div>");
    }

    fn certs(&mut self, certs: &[Cert]) {
        self.table("Certificates", &["name", "issuer", "state", "ends", "renewed at"], certs, |out, it| {
            let (class, word) = match it.state {
                CertState::Valid => ("good", "valid"),
                CertState::StandIn => ("warn", "stand-in of the local CA"),
                CertState::Expired => ("bad", "expired"),
                CertState::Missing => ("bad", "missing"),
            };
            out.cell(&it.name).cell(&it.issuer).raw("<td>").badge(class, word);
            out.error(it.last_error.as_ref()).raw("</td>").cell(&it.not_after).cell(&it.renew_at);
        });
    }

    fn sessions(&mut self, sessions: &Sessions) {
        let shown: &[Session] = &sessions.oldest[..sessions.oldest.len().min(SESSIONS)];
        if !shown.is_empty() {
            let heading = ["route", "client", "server", "database", "user", "since", "received", "sent"];
            self.table("Sessions below HTTP", &heading, shown, |out, it| {
                out.cell(&it.route).cell(&it.client).cell(&it.server).cell(&it.database).cell(&it.user).cell(&it.since);
                out.cell(&it.received_bytes.to_string()).cell(&it.sent_bytes.to_string());
            });
            self.raw(&format!("<p>{} of {}, the oldest first</p>", shown.len(), sessions.count));
        }
    }

    fn upstreams(&mut self, upstreams: &[Upstream]) {
        self.table(
            "Upstreams",
            &["route", "server", "weight", "state", "addresses", "requests", "last error"],
            upstreams,
            |out, it| {
                out.cell(&it.route).cell(&it.server).cell(&it.weight.to_string()).raw("<td>");
                let class = if it.state == "up" { "good" } else { "bad" };
                out.badge(class, &it.state).text(if it.backup { " backup" } else { "" });
                out.raw("</td><td>");
                for known in &it.addresses {
                    let (class, word) = if known.failing { ("bad", "failing") } else { ("good", "ok") };
                    out.raw("<div>").text(&known.address).raw(" ").badge(class, word).raw("</div>");
                }
                if let Some(error) = &it.dns_error {
                    out.raw("<div class=fault>").text(error).raw("</div>");
                }
                out.raw("</td>").cell(&it.requests.to_string()).raw("<td>").error(it.last_error.as_ref()).raw("</td>");
            },
        );
    }

    fn table<T>(&mut self, title: &str, columns: &[&str], rows: &[T], mut row: impl FnMut(&mut Self, &T)) {
        self.raw("<section><h2>").text(title).raw(&format!(" <small>{}</small></h2>", rows.len()));
        self.raw("<div class=scroll><table><thead><tr>");
        for column in columns {
            self.raw("<th scope=col>").text(column);
        }
        self.raw("</thead><tbody>");
        for item in rows {
            self.raw("<tr>");
            row(self, item);
        }
        self.raw("</tbody></table></div></section>\n");
    }

    fn list<'t>(&mut self, class: &str, items: impl Iterator<Item = &'t str>) {
        self.raw("<ul class=").raw(class).raw(">");
        for item in items {
            self.raw("<li>").text(item);
        }
        self.raw("</ul>");
    }

    fn error(&mut self, error: Option<&ErrorAt>) -> &mut Self {
        let Some(error) = error else { return self };
        self.raw("<div class=fault>").text(&error.at).raw(" ").text(&error.text).raw("</div>")
    }

    fn lines(&mut self, lines: &[String]) -> &mut Self {
        self.raw("<td>");
        for line in lines {
            self.raw("<div>").text(line).raw("</div>");
        }
        self.raw("</td>")
    }

    fn cell(&mut self, text: &str) -> &mut Self {
        self.raw("<td>").text(text).raw("</td>")
    }

    fn badge(&mut self, class: &str, word: &str) -> &mut Self {
        self.raw("<b class=").raw(class).raw(">").text(word).raw("</b>")
    }

    fn text(&mut self, text: &str) -> &mut Self {
        for char in text.chars() {
            match char {
                '&' | '<' | '>' | '"' | '\'' => {
                    // Writing to a String cannot fail.
                    let _ = write!(self.html, "&#{};", u32::from(char));
                }
                _ => self.html.push(char),
            }
        }
        self
    }

    fn raw(&mut self, html: &str) -> &mut Self {
        self.html.push_str(html);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_files_and_servers_cannot_become_markup() {
        let evil = "</td><script>alert('\"&')</script>".to_owned();
        let fault = Fault { why: evil.clone(), ..Fault::default() };
        let error = Some(ErrorAt { at: evil.clone(), text: evil.clone() });
        let view = View {
            status: Status { version: evil.clone(), ..Status::default() },
            ready: Readiness { ready: false, reasons: vec![evil.clone()] },
            routes: vec![Route { name: evil.clone(), faults: vec![fault], ..Route::default() }],
            certs: vec![Cert { name: evil.clone(), last_error: error.clone(), ..Cert::default() }],
            upstreams: vec![Upstream {
                server: evil.clone(),
                last_error: error,
                dns_error: Some(evil.clone()),
                ..Upstream::default()
            }],
            sessions: Sessions {
                count: 1,
                oldest: vec![Session { database: evil.clone(), user: evil, ..Session::default() }],
            },
        };
        let page = render(&view, "n1");
        assert!(!page.contains("<script>alert"));
        assert_eq!(page.matches("&#60;script&#62;alert(&#39;&#34;&#38;&#39;)").count(), 13);
    }

    #[test]
    fn a_nonce_is_used_once() {
        assert_ne!(nonce(), nonce());
        let view = View {
            status: Status::default(),
            ready: Readiness::default(),
            routes: Vec::new(),
            certs: Vec::new(),
            upstreams: Vec::new(),
            sessions: Sessions::default(),
        };
        let page = render(&view, "n1");
        assert!(page.contains("<style nonce=\"n1\">") && page.contains("<script nonce=\"n1\">"));
        assert!(!page.contains("{{") && !page.contains("src=") && !page.contains("href="));
    }
}
