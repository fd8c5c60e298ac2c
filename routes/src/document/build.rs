//! From bytes to the tree: UTF-8, TOML syntax, variables. Nothing about the meaning of keys.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::vars::{self, Vars};
use super::{Document, Entry, Node, Source, Value};
use crate::fault::{Fault, Place};

/// The text of a source, or the place of its first byte that is not UTF-8.
pub(super) fn text_of(source: &Source) -> Result<String, Box<Fault>> {
    let error = match std::str::from_utf8(&source.bytes) {
        Ok(text) => return Ok(text.to_owned()),
        Err(error) => error,
    };
    let (good, _) = source.bytes.split_at(error.valid_up_to());
    let good = String::from_utf8_lossy(good);
    let line_text = good.rsplit('\n').next().unwrap_or_default();
    let place = Place {
        file: source.path.clone(),
        line: good.matches('\n').count() + 1,
        column: line_text.chars().count() + 1,
        source_line: line_text.to_owned(),
    };
    Err(Box::new(Fault::error(place, "", "the file is not UTF-8").hint("save it again as UTF-8")))
}

/// The tree of a document whose text and lines are set, or all its syntax errors.
pub(super) fn tree(document: &Document, vars: &Vars<'_>) -> Result<Node, Vec<Fault>> {
    let (table, errors) = DeTable::parse_recoverable(&document.text);
    if errors.is_empty() {
        return Ok(Builder { text: &document.text, vars }.table(&table));
    }
    Err(errors.iter().map(|error| syntax_fault(document, error)).collect())
}

fn syntax_fault(document: &Document, error: &toml::de::Error) -> Fault {
    let at = error.span().map_or(0, |span| span.start);
    let why = error.message().lines().collect::<Vec<_>>().join(", ");
    Fault::error(document.place(at), "", format!("not valid TOML: {why}"))
}

struct Builder<'a> {
    text: &'a str,
    vars: &'a Vars<'a>,
}

impl Builder<'_> {
    fn table(&self, table: &Spanned<DeTable<'_>>) -> Node {
        Node { span: table.span(), value: self.entries(table.get_ref()) }
    }

    fn entries(&self, table: &DeTable<'_>) -> Value {
        let mut entries: Vec<Entry> = table
            .iter()
            .map(|(name, value)| Entry {
                name: name.get_ref().to_string(),
                name_span: name.span(),
                node: self.node(value),
            })
            .collect();
        entries.sort_by_key(|entry| entry.name_span.start);
        Value::Table(entries)
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let span = value.span();
        let value = match value.get_ref() {
            DeValue::String(text) => vars::substitute(text, self.text.get(span.clone()).unwrap_or_default(), self.vars),
            DeValue::Integer(number) => Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()),
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Datetime(_) => Value::Date,
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => self.entries(table),
        };
        Node { span, value }
    }
}
