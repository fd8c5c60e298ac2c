//! Faults: one thing wrong in a configuration file, said so that a person can find it and mend it.
//! Collecting, ordering and rendering them lives here. What is wrong is decided elsewhere.

use std::fmt;

use serde::Serialize;

/// Whether a fault stops the thing it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// What it is about cannot be used.
    Error,
    /// It can be used, but hardly does what was meant.
    Warning,
}

/// A point in a file: what a person needs to go there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as it was named by the caller.
    pub file: String,
    /// Line, counted from 1; 0 when the fault is about the whole file.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// The text of that line, without its line end.
    pub source_line: String,
}

impl Place {
    /// A place that is a whole file (it is missing, it cannot be read).
    pub fn whole(file: impl Into<String>) -> Self {
        Self { file: file.into(), line: 0, column: 0, source_line: String::new() }
    }
}

/// One thing wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file as it was named by the caller.
    pub file: String,
    /// Line, counted from 1; 0 when the fault is about the whole file.
    pub line: usize,
    /// Column in characters, counted from 1; 0 when the fault is about the whole file.
    pub column: usize,
    /// The key path, e.g. `route[2].upstream.servers[0].url`; indexes count from 0.
    pub key: String,
    /// What is wrong, in one sentence without a full stop.
    pub why: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The text of that line.
    pub source_line: String,
    /// Whether this stops the thing it is about.
    pub severity: Severity,
    /// The name of the route it is about, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
}

impl Fault {
    /// An error at `place`.
    pub fn error(place: Place, key: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Severity::Error, place, key.into(), why.into())
    }

    /// A warning at `place`.
    pub fn warning(place: Place, key: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Severity::Warning, place, key.into(), why.into())
    }

    fn new(severity: Severity, place: Place, key: String, why: String) -> Self {
        let Place { file, line, column, source_line } = place;
        Self { file, line, column, key, why, hint: None, source_line, severity, route: None }
    }

    /// The same fault with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same fault with advice, if there is any to give.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// Eight hexadecimal digits that stay the same while file, key and reason do: shown to clients in place of
    /// the fault itself, so that an operator can look it up and a stranger learns nothing.
    pub fn id(&self) -> String {
        let mut hash = FNV_START;
        for part in [&self.file, &self.key, &self.why] {
            hash = part.bytes().chain([0xff]).fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
        }
        format!("{:08x}", (hash >> 32) ^ (hash & 0xffff_ffff))
    }

    /// Whether this stops the thing it is about.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// FNV-1a, 64 bits: a hash whose value never changes with a compiler or a crate version.
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

impl fmt::Display for Fault {
    /// `routes/a.toml:3:8: why`, then the line, a caret under the column, and the hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        let word = if self.is_error() { "" } else { "warning: " };
        write!(f, ": {word}{}", self.why)?;
        if self.line > 0 {
            self.fmt_line(f)?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl Fault {
    fn fmt_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gutter = self.line.to_string().len();
        let (shown, caret) = window(&self.source_line, self.column);
        write!(f, "\n{:gutter$} |\n{} | {shown}\n{:gutter$} | {:caret$}^", "", self.line, "", "")
    }
}

/// The part of a line to show and how many characters stand before the caret: a minified or hostile line of a
/// megabyte must not become a megabyte of report. Control characters are shown as spaces, so nothing in a file
/// can steer a terminal.
fn window(line: &str, column: usize) -> (String, usize) {
    const BEFORE: usize = 120;
    let caret = column.saturating_sub(1);
    let skip = caret.saturating_sub(BEFORE);
    let shown = line.chars().skip(skip).take(BEFORE + 60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    (shown, caret - skip)
}

/// Every fault found so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    all: Vec<Fault>,
}

impl Faults {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes one more.
    pub fn push(&mut self, fault: Fault) {
        self.all.push(fault);
    }

    /// Notes many more.
    pub fn extend(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.all.extend(faults);
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.all.iter().any(Fault::is_error)
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// All of them, as they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.all.iter()
    }

    /// Names the route that every fault without one is about.
    pub fn name_route(&mut self, name: &str) {
        for fault in self.all.iter_mut().filter(|fault| fault.route.is_none()) {
            fault.route = Some(name.to_owned());
        }
    }

    /// All of them, in the order of files, lines and columns.
    pub fn into_sorted(mut self) -> Vec<Fault> {
        sort(&mut self.all);
        self.all
    }
}

/// Puts faults into the order of files, lines and columns.
pub fn sort(faults: &mut [Fault]) {
    faults.sort_by(|a, b| {
        (&a.file, a.line, a.column, a.severity, &a.why).cmp(&(&b.file, b.line, b.column, b.severity, &b.why))
    });
}

/// The known name that `name` was most likely meant to be; none when all are too far from it.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let most = 1 + name.chars().count() / 4;
    let scored = known.into_iter().filter_map(|candidate| {
        let distance = strsim::damerau_levenshtein(&name, &candidate.to_lowercase());
        (distance <= most).then_some((distance, candidate))
    });
    scored.min().map(|(_, candidate)| candidate)
}

/// `did you mean "x"?`, when one of the known names is near enough.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, known).map(|near| format!("did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: usize, column: usize, source_line: &str) -> Place {
        Place { file: "routes/a.toml".into(), line, column, source_line: source_line.into() }
    }

    #[test]
    fn a_fault_shows_its_place_its_line_a_caret_and_a_hint() {
        let fault = Fault::error(place(12, 3, "  hots = \"a\""), "route[0].hots", "unknown key `hots`")
            .hint("did you mean `host`?");
        assert_eq!(
            fault.to_string(),
            "routes/a.toml:12:3: unknown key `hots`\n   |\n12 |   hots = \"a\"\n   |   ^\n  hint: did you mean `host`?"
        );
    }

    #[test]
    fn a_fault_of_a_whole_file_shows_no_line() {
        let fault = Fault::warning(Place::whole("edge.toml"), "", "the file is empty");
        assert_eq!(fault.to_string(), "edge.toml: warning: the file is empty");
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_column_and_control_characters_are_blanked() {
        let line = format!("{}\u{1b}[31m", "x".repeat(100_000));
        let shown = Fault::error(place(1, 100_001, &line), "k", "bad").to_string();
        assert!(shown.len() < 500, "{}", shown.len());
        assert!(!shown.contains('\u{1b}'));
    }

    #[test]
    fn the_id_depends_on_file_key_and_reason_and_on_nothing_else() {
        let one = Fault::error(place(1, 1, "a"), "k", "why");
        let moved = Fault::error(place(9, 4, "b"), "k", "why").hint("h");
        assert_eq!(one.id(), moved.id());
        assert_eq!(one.id().len(), 8);
        assert_ne!(one.id(), Fault::error(place(1, 1, "a"), "k2", "why").id());
        assert_eq!(one.id(), "a2ffcf83", "the id is shown to clients: it must not change between versions");
    }

    #[test]
    fn the_nearest_name_is_near_or_there_is_none() {
        let known = ["host", "path", "method", "upstream"];
        for (given, near) in [
            ("hots", Some("host")),
            ("upstrem", Some("upstream")),
            ("HOST", Some("host")),
            ("zzzzzz", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, known), near, "{given}");
        }
    }

    #[test]
    fn faults_are_sorted_by_place() {
        let mut faults = Faults::new();
        for (line, column) in [(3, 1), (1, 9), (1, 2)] {
            faults.push(Fault::error(place(line, column, ""), "", "x"));
        }
        let places: Vec<_> = faults.into_sorted().iter().map(|f| (f.line, f.column)).collect();
        assert_eq!(places, [(1, 2), (1, 9), (3, 1)]);
    }

    #[test]
    fn a_fault_serializes_without_empty_fields() {
        let json = serde_json::to_value(Fault::error(place(1, 2, "l"), "k", "w")).unwrap();
        assert_eq!(json["severity"], "error");
        assert!(json.get("hint").is_none() && json.get("route").is_none());
    }
}
