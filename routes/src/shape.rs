//! The shape of a TOML file as data: which keys may stand where, with which kind of value, default and words.
//! From the one description come the check of a file (`walk`), the JSON Schema for editors (`schema`) and the
//! reference for people (`reference`). What values mean together is not said here: that is the readers' part.

mod reference;
mod schema;
mod walk;

pub use reference::{reference, table_of};
pub use schema::{schema, schema_of};
pub use walk::{walk, walk_keys};

/// What may stand in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A table with these keys and no others.
    Table(&'static [Key]),
    /// A table of any names, each with a value of one shape, e.g. `[vars]`.
    Map(&'static Shape),
    /// Any text. The words say which, e.g. `a host name`.
    Text(&'static str),
    /// A whole number within these bounds.
    Integer {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// `true` or `false`.
    Bool,
    /// A time such as `5s`.
    Duration,
    /// A size such as `32KiB`, or `none`.
    Bytes,
    /// A rate such as `500B/s`, or `none`.
    Rate,
    /// One of a few words.
    OneOf {
        /// Those that work.
        now: &'static [&'static str],
        /// Those that are planned and refused with a sentence that says so; one ending in `:` stands for all that begin so.
        later: &'static [&'static str],
    },
    /// A list of values of one shape.
    List(&'static Shape),
    /// A value, or a list of such values.
    OneOrMany(&'static Shape),
    /// One of several shapes, told apart by the kind of TOML value.
    Either(&'static [Shape]),
    /// Anything: somebody else checks it.
    Any,
    /// A key of a later version: its name is known, it cannot be used yet.
    Later,
}

/// One key of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The key itself.
    pub name: &'static str,
    /// What may stand behind it.
    pub shape: Shape,
    /// One or two sentences of Markdown: what it does.
    pub doc: &'static str,
    /// The default as it would be written in TOML, or in words where it depends on something.
    pub default: Option<&'static str>,
    /// Whether the table is wrong without it.
    pub required: bool,
}

impl Key {
    /// A key that may be left out.
    pub const fn new(name: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self { name, shape, doc, default: None, required: false }
    }

    /// A key of a later version.
    pub const fn later(name: &'static str) -> Self {
        Self::new(name, Shape::Later, "")
    }

    /// The same key with a default: TOML, or words where it depends on something.
    #[must_use]
    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// The same key as one that must be there.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The default as Markdown: TOML as code, words as words.
    fn default_markdown(&self) -> Option<String> {
        let default = self.default?;
        let is_toml = format!("default = {default}").parse::<toml::Table>().is_ok();
        Some(if is_toml { format!("`{default}`") } else { default.to_owned() })
    }

    fn is_usable(&self) -> bool {
        self.shape != Shape::Later
    }
}

impl Shape {
    /// Any text.
    pub const TEXT: Self = Self::Text("text");

    /// One of these words.
    pub const fn one_of(now: &'static [&'static str]) -> Self {
        Self::OneOf { now, later: &[] }
    }

    /// What is expected, in words: `a string or a list`.
    fn words(&self) -> String {
        match self {
            Self::Table(_) | Self::Map(_) => "a table".into(),
            Self::Text("text") => "a string".into(),
            Self::Text(what) => format!("a string ({what})"),
            Self::Integer { .. } => "an integer".into(),
            Self::Bool => "a boolean".into(),
            Self::Duration => "a time such as \"5s\"".into(),
            Self::Bytes => "a size such as \"32KiB\"".into(),
            Self::Rate => "a rate such as \"500B/s\"".into(),
            Self::OneOf { now, .. } => format!("one of {}", quoted(now)),
            Self::List(_) => "a list".into(),
            Self::OneOrMany(one) => format!("{} or a list", one.words()),
            Self::Either(shapes) => shapes.iter().map(Self::words).collect::<Vec<_>>().join(" or "),
            Self::Any => "any value".into(),
            Self::Later => "nothing yet".into(),
        }
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
