//! What the demo prints when it is ready. Words only: nothing is looked up, written or served here.

use std::net::SocketAddr;
use std::path::Path;

use super::samples::SAMPLES;

/// What there is to tell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'a> {
    /// The demo's folder.
    pub(super) folder: &'a Path,
    /// The route file to edit.
    pub(super) routes: &'a Path,
    /// The root of the local authority.
    pub(super) root_pem: &'a Path,
    /// The port of HTTPS in use.
    pub(super) https: u16,
    /// The port of plain HTTP in use.
    pub(super) http: u16,
    /// Where the dashboard is.
    pub(super) admin: SocketAddr,
    /// Whether a terminal shows it.
    pub(super) colour: bool,
}

impl Told<'_> {
    /// All of it, ending in an empty line: log lines follow.
    pub(super) fn welcome(&self) -> String {
        let (strong, dim, plain) = if self.colour { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
        let heading = |text: &str| format!("\n{strong}{text}{plain}\n");
        let row =
            |(left, right): (String, &str)| format!("  {left:<width$}  {dim}{right}{plain}\n", width = self.width());
        let mut said = format!("\n{strong}edge serves the demo.{plain} Ctrl-C stops it.\n");
        said += &heading("Open in a browser");
        said.extend(self.pages().into_iter().map(row));
        said += &heading("Edit and watch");
        said.extend(self.places().into_iter().map(row));
        said += &heading("Copy into another shell");
        for (what, command) in self.commands() {
            said += &format!("  {dim}# {what}{plain}\n  {command}\n");
        }
        said + "\n"
    }

    fn pages(&self) -> Vec<(String, &'static str)> {
        let sample = SAMPLES.iter().map(|sample| (self.https(sample.name, "/"), sample.about));
        let admin = (format!("http://{}/", self.admin), "the dashboard: routes, certificates, upstreams");
        sample.chain([admin]).collect()
    }

    fn places(&self) -> Vec<(String, &'static str)> {
        vec![
            (self.routes.display().to_string(), "the routes: a saved change is live within a second"),
            (self.root_pem.display().to_string(), "import it into the browser to end its warning"),
            (self.folder.display().to_string(), "kept for the next time; --fresh starts over"),
        ]
    }

    /// The left column is as wide as its longest entry.
    fn width(&self) -> usize {
        let rows = self.pages().into_iter().chain(self.places());
        rows.map(|(left, _)| left.chars().count()).max().unwrap_or_default()
    }

    /// Commands that work as they stand, each with what it shows.
    fn commands(&self) -> Vec<(&'static str, String)> {
        let curl = format!("curl --cacert {}", quoted(&self.root_pem.display().to_string()));
        let https = |name, path| self.https(name, path);
        let upgrade = "-H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
                       -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='";
        vec![
            ("a page, over HTTP/2", format!("{curl} {}", https("hello", "/"))),
            ("what a backend gets, over HTTP/1.1", format!("{curl} --http1.1 {}", https("echo", "/any/path"))),
            ("from http to https", format!("{curl} -L http://note.localhost{}/", port(self.http, 80))),
            ("events as they happen", format!("{curl} -N '{}'", https("events", "/stream?count=3"))),
            ("50 MB up", format!("head -c 50000000 /dev/zero | {curl} -T - {}", https("upload", "/"))),
            ("a WebSocket", format!("{curl} --http1.1 -iN {upgrade} {}", https("ws", "/once"))),
            ("metrics", format!("curl http://{}/metrics", self.admin)),
        ]
    }

    fn https(&self, name: &str, path: &str) -> String {
        format!("https://{name}.localhost{}{path}", port(self.https, 443))
    }
}

fn port(port: u16, default: u16) -> String {
    if port == default { String::new() } else { format!(":{port}") }
}

/// A path as one word of a POSIX shell.
fn quoted(path: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "/._-+:@%".contains(char);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Told<'static> {
        Told {
            folder: Path::new("/home/u/.local/share/edge-demo"),
            routes: Path::new("/home/u/.local/share/edge-demo/routes/demo.toml"),
            root_pem: Path::new("/home/u/my demo/root.pem"),
            https: 8443,
            http: 80,
            admin: SocketAddr::from(([127, 0, 0, 1], 9180)),
            colour: false,
        }
    }

    #[test]
    fn columns_line_up() {
        let welcome = told().welcome();
        let rows: Vec<&str> = welcome.lines().skip_while(|line| !line.contains("browser")).collect();
        let starts = |line: &&str| {
            line.trim_start().find("  ").map(|gap| {
                let rest = &line.trim_start()[gap..];
                line.chars().count() - rest.trim_start().chars().count()
            })
        };
        let starts: Vec<usize> = rows.iter().filter_map(starts).collect();
        assert!(starts.len() == SAMPLES.len() + 4 && starts.iter().all(|start| *start == starts[0]), "{welcome}");
    }

    #[test]
    fn colours_are_for_terminals_only() {
        assert!(!told().welcome().contains('\x1b'));
        let colourful = Told { colour: true, ..told() }.welcome();
        let bare =
            ["\x1b[1m", "\x1b[2m", "\x1b[0m"].iter().fold(colourful.clone(), |text, code| text.replace(code, ""));
        assert!(colourful.contains('\x1b') && bare == told().welcome());
    }

    #[test]
    fn commands_can_be_copied() {
        let welcome = told().welcome();
        assert!(
            welcome.contains("\n  curl --cacert '/home/u/my demo/root.pem' https://hello.localhost:8443/\n"),
            "{welcome}"
        );
        assert!(welcome.contains(" -L http://note.localhost/\n"), "the default port is not named: {welcome}");
        assert!(welcome.contains(" -N 'https://events.localhost:8443/stream?count=3'\n"), "{welcome}");
    }

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        assert_eq!(quoted("/a/b-c_d.pem"), "/a/b-c_d.pem");
        assert_eq!(quoted("/it's $(x)"), r"'/it'\''s $(x)'");
    }
}
