//! Header fields with changes that are noted first and applied later, so that what a client or a server sent stays what
//! it was for the log and for others.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Fields that no middleware's settings may name: they frame messages or belong to each hop; and `Host`, which has a key of
/// its own.
pub(super) const OF_THE_EDGE: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

/// One change of header fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// The field has this one value afterwards.
    Set(HeaderName, HeaderValue),
    /// The field has one more value afterwards.
    Append(HeaderName, HeaderValue),
    /// The field is gone afterwards.
    Remove(HeaderName),
}

/// Header fields as they are with all changes so far.
#[derive(Debug)]
pub struct Fields<'a> {
    base: &'a HeaderMap,
    edits: &'a mut Vec<Edit>,
}

impl<'a> Fields<'a> {
    /// The fields of `base` with `edits` applied.
    pub fn new(base: &'a HeaderMap, edits: &'a mut Vec<Edit>) -> Self {
        Self { base, edits }
    }

    /// The first value.
    pub fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        if self.edits.is_empty() { self.base.get(name) } else { self.all(name).first().copied() }
    }

    /// The first value, if it is text.
    pub fn text(&self, name: &HeaderName) -> Option<&str> {
        self.get(name)?.to_str().ok()
    }

    /// All values in their order.
    pub fn all(&self, name: &HeaderName) -> Vec<&HeaderValue> {
        let mut values: Vec<&HeaderValue> = self.base.get_all(name).iter().collect();
        for edit in self.edits.iter() {
            match edit {
                Edit::Set(edited, value) if edited == name => values = vec![value],
                Edit::Append(edited, value) if edited == name => values.push(value),
                Edit::Remove(edited) if edited == name => values.clear(),
                Edit::Set(..) | Edit::Append(..) | Edit::Remove(_) => {}
            }
        }
        values
    }

    /// The names that fields may have; some may have been removed.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        let edited = self.edits.iter().filter_map(|edit| match edit {
            Edit::Set(name, _) | Edit::Append(name, _) => Some(name),
            Edit::Remove(_) => None,
        });
        self.base.keys().chain(edited)
    }

    /// Whether there is a value.
    pub fn has(&self, name: &HeaderName) -> bool {
        self.get(name).is_some()
    }

    /// Replaces all values by one.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.edits.push(Edit::Set(name, value));
    }

    /// Adds a value behind those that are there.
    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.edits.push(Edit::Append(name, value));
    }

    /// Removes all values.
    pub fn remove(&mut self, name: HeaderName) {
        self.edits.push(Edit::Remove(name));
    }

    /// Replaces all values by these, in their order.
    pub fn replace(&mut self, name: HeaderName, values: impl IntoIterator<Item = HeaderValue>) {
        self.edits.push(Edit::Remove(name.clone()));
        self.edits.extend(values.into_iter().map(|value| Edit::Append(name.clone(), value)));
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, HOST};

    use super::*;

    #[test]
    fn changes_are_seen_at_once_and_the_base_stays() {
        let mut base = HeaderMap::new();
        base.append(ACCEPT, HeaderValue::from_static("a"));
        base.append(ACCEPT, HeaderValue::from_static("b"));
        let mut edits = Vec::new();
        let mut fields = Fields::new(&base, &mut edits);
        fields.append(ACCEPT, HeaderValue::from_static("c"));
        assert_eq!(fields.all(&ACCEPT), ["a", "b", "c"]);
        fields.set(ACCEPT, HeaderValue::from_static("d"));
        assert_eq!(fields.text(&ACCEPT), Some("d"));
        fields.remove(ACCEPT);
        assert!(!fields.has(&ACCEPT) && !fields.has(&HOST));
        fields.replace(HOST, [HeaderValue::from_static("x"), HeaderValue::from_static("y")]);
        assert_eq!(fields.all(&HOST), ["x", "y"]);
        assert_eq!(base.get_all(ACCEPT).iter().count(), 2);
    }
}
