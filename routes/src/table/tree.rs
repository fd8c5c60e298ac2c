//! Exact paths and prefixes of all hosts as trees of segments. A walk goes down one path once and comes back up, so it
//! meets the longest pattern first and its work depends on the depth of the patterns, not on their number.

use std::collections::HashMap;
use std::ops::ControlFlow;

use crate::path::PathPattern;

#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, u32>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    end: End,
    holder: u32,
}

/// How a pattern ends at its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// `=/a`
    Exact,
    /// `=/a/`
    ExactFolder,
    /// `/a/`
    Below,
    /// `/a`
    Prefix,
}

impl Tree {
    pub(super) fn new_root(&mut self) -> u32 {
        self.nodes.push(Node::default());
        // A table has at most a few nodes for each of fewer than 2^32 holders; one that could not be numbered could not be held.
        u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
    }

    /// Adds a holder under a pattern; regular expressions are kept elsewhere.
    pub(super) fn add(&mut self, root: u32, pattern: &PathPattern, holder: u32) {
        let (path, end) = match pattern {
            PathPattern::Exact(path) if path.ends_with('/') => (path, End::ExactFolder),
            PathPattern::Exact(path) => (path, End::Exact),
            PathPattern::Prefix(path) if path.ends_with('/') => (path, End::Below),
            PathPattern::Prefix(path) => (path, End::Prefix),
            PathPattern::Regex(_) => return,
        };
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        let node = segments.fold(root, |node, segment| self.child(node, segment));
        if let Some(node) = self.nodes.get_mut(node as usize) {
            node.entries.push(Entry { end, holder });
        }
    }

    fn child(&mut self, node: u32, segment: &str) -> u32 {
        if let Some(child) = self.nodes.get(node as usize).and_then(|node| node.children.get(segment)) {
            return *child;
        }
        let child = self.new_root();
        if let Some(node) = self.nodes.get_mut(node as usize) {
            node.children.insert(segment.into(), child);
        }
        child
    }

    pub(super) fn sort_by_key<K: Ord>(&mut self, key: impl Fn(&u32) -> K) {
        for node in &mut self.nodes {
            node.entries.sort_by_key(|entry| key(&entry.holder));
        }
    }

    /// Visits the holders of all patterns that `rest` fits, the longest pattern first. `rest` is a canonical path, or what
    /// is left of one: empty, or beginning with a slash. The depth of calls is that of the deepest pattern.
    pub(super) fn descend<B>(
        &self,
        node: u32,
        rest: &str,
        visit: &mut impl FnMut(u32) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let Some(node) = self.nodes.get(node as usize) else { return ControlFlow::Continue(()) };
        if let Some(after) = rest.strip_prefix('/').filter(|_| !node.children.is_empty()) {
            let (segment, deeper) = after.split_at(after.find('/').unwrap_or(after.len()));
            if let Some(child) = node.children.get(segment) {
                self.descend(*child, deeper, visit)?;
            }
        }
        let ends: &[End] = match rest {
            "" => &[End::Exact, End::Prefix],
            "/" => &[End::ExactFolder, End::Below, End::Prefix],
            _ => &[End::Below, End::Prefix],
        };
        ends.iter().try_for_each(|end| {
            let mut fitting = node.entries.iter().filter(|entry| entry.end == *end);
            fitting.try_for_each(|entry| visit(entry.holder))
        })
    }
}
