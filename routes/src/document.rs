//! One TOML text as a tree in which every key and value knows its place, with `${NAME}` already replaced.
//! Syntax is judged here; which keys may stand where is judged by `shape`, what they mean by their readers.

use std::ops::Range;
use std::time::Duration;

use crate::fault::{Fault, Place};
use crate::units;

mod build;
mod emit;
mod vars;

pub use vars::Vars;

/// A file as it was read: its name for people, and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// How the file is named in faults.
    pub path: String,
    /// Its content; need not be UTF-8.
    pub bytes: Vec<u8>,
}

impl Source {
    /// A source from a name and a content.
    pub fn new(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), bytes: bytes.into() }
    }
}

/// A parsed file.
#[derive(Debug)]
pub struct Document {
    path: String,
    text: String,
    /// Byte offsets at which lines start.
    lines: Vec<usize>,
    root: Node,
}

#[derive(Debug)]
struct Node {
    span: Range<usize>,
    value: Value,
}

#[derive(Debug)]
enum Value {
    String(String),
    /// A string with a variable that could not be replaced: the fault waits until somebody reads the value.
    Unresolved(vars::Unresolved),
    Integer(Option<i64>),
    Float(f64),
    Bool(bool),
    Date,
    List(Vec<Node>),
    /// In the order of the file.
    Table(Vec<Entry>),
}

#[derive(Debug)]
struct Entry {
    name: String,
    name_span: Range<usize>,
    node: Node,
}

/// What kind of value stands somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// A number with a fraction.
    Float,
    /// `true` or `false`.
    Bool,
    /// A date or a time.
    Date,
    /// `[ .. ]`, or several `[[tables]]`.
    List,
    /// `{ .. }` or `[table]`.
    Table,
}

impl Kind {
    /// The kind in words, with its article.
    pub fn words(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Integer => "an integer",
            Self::Float => "a float",
            Self::Bool => "a boolean",
            Self::Date => "a date",
            Self::List => "a list",
            Self::Table => "a table",
        }
    }
}

impl Document {
    /// Reads a text.
    ///
    /// # Errors
    /// Every syntax error of the text, or the one place where it is not UTF-8. Variables that are not known are no
    /// error here: they are faults of the value that uses them.
    pub fn parse(source: &Source, vars: &Vars<'_>) -> Result<Self, Vec<Fault>> {
        let text = build::text_of(source).map_err(|fault| vec![*fault])?;
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let root = Node { span: 0..0, value: Value::Table(Vec::new()) };
        let mut document = Self { path: source.path.clone(), text, lines, root };
        document.root = build::tree(&document, vars)?;
        Ok(document)
    }

    /// The whole document as a table.
    pub fn root(&self) -> Item<'_> {
        Item { document: self, node: &self.root, name_at: 0, key: String::new(), under: None }
    }

    /// The file's name, as the source gave it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Line and column of a byte offset.
    pub fn place(&self, offset: usize) -> Place {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let end = self.lines.get(line).map_or(self.text.len(), |next| next - 1);
        Place {
            file: self.path.clone(),
            line,
            column: self.text[start..offset].chars().count() + 1,
            source_line: self.text[start..end.max(start)].trim_end_matches('\r').to_owned(),
        }
    }
}

/// A text as TOML that reads back as the same text without any variables.
pub fn quoted(text: &str) -> String {
    let mut out = String::new();
    emit::string(&text.replace('$', "$$"), &mut out);
    out
}

/// One value in a document, with its key path.
#[derive(Debug, Clone)]
pub struct Item<'d> {
    document: &'d Document,
    node: &'d Node,
    name_at: usize,
    key: String,
    /// What is found where this has nothing.
    under: Option<Box<Self>>,
}

impl<'d> Item<'d> {
    /// The key path, e.g. `route[2].upstream`; empty for the whole document.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The last part of the key path.
    pub fn name(&self) -> &str {
        self.key.rsplit('.').next().unwrap_or_default()
    }

    /// What kind of value it is.
    pub fn kind(&self) -> Kind {
        match &self.node.value {
            Value::String(_) | Value::Unresolved(_) => Kind::String,
            Value::Integer(_) => Kind::Integer,
            Value::Float(_) => Kind::Float,
            Value::Bool(_) => Kind::Bool,
            Value::Date => Kind::Date,
            Value::List(_) => Kind::List,
            Value::Table(_) => Kind::Table,
        }
    }

    /// The text, if it is a string whose variables are all known.
    pub fn as_str(&self) -> Option<&'d str> {
        match &self.node.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is an integer of 64 bits.
    pub fn as_integer(&self) -> Option<i64> {
        match self.node.value {
            Value::Integer(number) => number,
            _ => None,
        }
    }

    /// The value, if it is a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self.node.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The time, if it is a string like `5s`.
    pub fn as_duration(&self) -> Option<Duration> {
        units::duration(self.as_str()?).ok()
    }

    /// The same value over another one: a key that is missing here is taken from there, on every level.
    #[must_use]
    pub fn over(mut self, under: Self) -> Self {
        self.under = Some(Box::new(under));
        self
    }

    /// The value under `name`, if it is a table that has one, or lies over one that has.
    pub fn get(&self, name: &str) -> Option<Self> {
        let below = self.under.as_ref().and_then(|under| under.get(name));
        match (self.own(name), below) {
            (Some(own), Some(below)) => Some(own.over(below)),
            (own, below) => own.or(below),
        }
    }

    /// The value under `name` in this table itself.
    pub fn own(&self, name: &str) -> Option<Self> {
        let entry = self.table().iter().find(|entry| entry.name == name)?;
        Some(self.child(entry))
    }

    /// Everything in this table itself, in the order of the file; nothing if it is no table.
    pub fn entries(&self) -> impl Iterator<Item = (&'d str, Self)> {
        self.table().iter().map(|entry| (entry.name.as_str(), self.child(entry)))
    }

    /// Everything in a list; nothing if it is no list.
    pub fn items(&self) -> impl Iterator<Item = Self> {
        let items: &'d [Node] = match &self.node.value {
            Value::List(items) => items,
            _ => &[],
        };
        items.iter().enumerate().map(|(index, node)| Item {
            document: self.document,
            node,
            name_at: node.span.start,
            key: format!("{}[{index}]", self.key),
            under: None,
        })
    }

    /// The items of a list, or the value itself where one stands for a list of one.
    pub fn one_or_many(&self) -> Vec<Self> {
        if self.kind() == Kind::List { self.items().collect() } else { vec![self.clone()] }
    }

    /// Where the value starts in the file, in bytes.
    pub(crate) fn offset(&self) -> usize {
        self.node.span.start
    }

    /// A place inside the value: the start of its text.
    pub fn place(&self) -> Place {
        self.document.place(self.node.span.start)
    }

    /// An error at the value.
    pub fn fault(&self, why: impl Into<String>) -> Fault {
        Fault::error(self.place(), self.key.clone(), why)
    }

    /// A warning at the value.
    pub fn warning(&self, why: impl Into<String>) -> Fault {
        Fault::warning(self.place(), self.key.clone(), why)
    }

    /// An error at the key rather than at its value.
    pub fn key_fault(&self, why: impl Into<String>) -> Fault {
        Fault::error(self.document.place(self.name_at), self.key.clone(), why)
    }

    /// The fault of a string with a variable that is not known.
    pub fn unresolved(&self) -> Option<Fault> {
        let Value::Unresolved(unresolved) = &self.node.value else { return None };
        let place = self.document.place(self.node.span.start + unresolved.offset);
        Some(Fault::error(place, self.key.clone(), unresolved.why.clone()).maybe_hint(unresolved.hint.clone()))
    }

    /// The value alone as TOML that reads back as the same value without any variables.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        emit::value(self.node, &mut text);
        text
    }

    /// A table as TOML lines, one a key, without a header and without these keys.
    pub fn to_toml_lines(&self, without: &[&str]) -> String {
        let mut text = String::new();
        for entry in self.table().iter().filter(|entry| !without.contains(&entry.name.as_str())) {
            emit::entry(entry, &mut text);
            text.push('\n');
        }
        text
    }

    fn table(&self) -> &'d [Entry] {
        match &self.node.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    fn child(&self, entry: &'d Entry) -> Self {
        let dot = if self.key.is_empty() { "" } else { "." };
        Item {
            document: self.document,
            node: &entry.node,
            name_at: entry.name_span.start,
            key: format!("{}{dot}{}", self.key, entry.name),
            under: None,
        }
    }
}

#[cfg(test)]
mod tests;
