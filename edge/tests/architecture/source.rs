//! One Rust file as the architecture test sees it: its words without comments and strings, and without
//! the items under `#[cfg(test)]`. It is no parser: it knows just enough of the grammar to find paths.

/// A word of the source with the line it stands on, counted from 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// The words of a file: names, and every other sign alone, but for `::`.
pub(crate) fn words(source: &str) -> Vec<Word> {
    let mut out = Vec::new();
    let mut rest = Rest { chars: source.chars().collect(), at: 0, line: 1 };
    while let Some(c) = rest.peek(0) {
        let line = rest.line;
        match c {
            '/' if rest.peek(1) == Some('/') => rest.skip_while(|c| c != '\n'),
            '/' if rest.peek(1) == Some('*') => rest.skip_block_comment(),
            '"' => rest.skip_string(),
            '\'' => rest.skip_char_or_lifetime(),
            c if is_name(c) => {
                let text = rest.take_name();
                if !rest.skip_if_prefixed_string(&text) {
                    out.push(Word { text, line });
                }
            }
            ':' if rest.peek(1) == Some(':') => {
                rest.forward(2);
                out.push(Word { text: "::".into(), line });
            }
            c => {
                rest.forward(1);
                if !c.is_whitespace() {
                    out.push(Word { text: c.into(), line });
                }
            }
        }
    }
    out
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

struct Rest {
    chars: Vec<char>,
    at: usize,
    line: usize,
}

impl Rest {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn forward(&mut self, count: usize) {
        for _ in 0..count {
            if self.peek(0) == Some('\n') {
                self.line += 1;
            }
            self.at += 1;
        }
    }

    fn skip_while(&mut self, more: impl Fn(char) -> bool) {
        while self.peek(0).is_some_and(&more) {
            self.forward(1);
        }
    }

    fn take_name(&mut self) -> String {
        let from = self.at;
        self.skip_while(is_name);
        self.chars[from..self.at].iter().collect()
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0;
        while self.peek(0).is_some() {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                _ => {
                    self.forward(1);
                    continue;
                }
            }
            self.forward(2);
            if depth == 0 {
                return;
            }
        }
    }

    fn skip_string(&mut self) {
        self.forward(1);
        while let Some(c) = self.peek(0) {
            self.forward(if c == '\\' { 2 } else { 1 });
            if c == '"' {
                return;
            }
        }
    }

    fn skip_char_or_lifetime(&mut self) {
        if self.peek(1) == Some('\\') {
            self.forward(3);
            self.skip_while(|c| c != '\'');
            self.forward(1);
        } else if self.peek(2) == Some('\'') {
            self.forward(3);
        } else {
            self.forward(1);
            self.skip_while(is_name);
        }
    }

    /// `r".."`, `b".."`, `br#".."#`, `c".."`, `b'.'`: the name just read was only a prefix.
    fn skip_if_prefixed_string(&mut self, name: &str) -> bool {
        if !matches!(name, "r" | "b" | "br" | "c" | "cr") {
            return false;
        }
        if name == "b" && self.peek(0) == Some('\'') {
            self.skip_char_or_lifetime();
            return true;
        }
        let hashes = (0..).take_while(|ahead| self.peek(*ahead) == Some('#')).count();
        if self.peek(hashes) != Some('"') || (hashes > 0 && !name.ends_with('r')) {
            return false;
        }
        if name.ends_with('r') {
            self.skip_raw_string(hashes);
        } else {
            self.skip_string();
        }
        true
    }

    fn skip_raw_string(&mut self, hashes: usize) {
        self.forward(hashes + 1);
        while self.peek(0).is_some() {
            let closes = self.peek(0) == Some('"') && (1..=hashes).all(|ahead| self.peek(ahead) == Some('#'));
            self.forward(if closes { hashes + 1 } else { 1 });
            if closes {
                return;
            }
        }
    }
}

/// The words without the items under `#[cfg(test)]`, and how many lines those items took.
pub(crate) fn without_tests(words: &[Word]) -> (Vec<Word>, usize) {
    let (mut kept, mut lines, mut at) = (Vec::new(), 0, 0);
    while at < words.len() {
        if is(&words[at..], &["#", "[", "cfg", "(", "test", ")", "]"]) {
            let end = end_of_item(words, at + 7);
            lines += words[end - 1].line - words[at].line + 1;
            at = end;
        } else {
            kept.push(words[at].clone());
            at += 1;
        }
    }
    (kept, lines)
}

fn is(words: &[Word], texts: &[&str]) -> bool {
    words.len() >= texts.len() && words.iter().zip(texts).all(|(word, text)| word.text == *text)
}

/// Just behind the `;` or the closing brace that ends the item which begins at `at`.
fn end_of_item(words: &[Word], mut at: usize) -> usize {
    let mut depth = 0usize;
    while at < words.len() {
        let text = words[at].text.as_str();
        at += 1;
        match text {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && matches!(text, ";" | "}") {
            return at;
        }
    }
    at
}

/// A path that the file names, from its first segment on, and the name that it has here if it is a `use`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Named {
    pub(crate) path: Vec<String>,
    pub(crate) alias: Option<String>,
    pub(crate) line: usize,
}

/// Every path of two segments and more, with the trees of `use` unfolded; `super` and `self` are put
/// into full paths from `module`, which is the path of the file's module below the crate's root.
pub(crate) fn paths(words: &[Word], module: &[String]) -> Vec<Named> {
    let mut walk = Walk { words, at: 0, inner: Vec::new(), depth: 0, out: Vec::new() };
    while walk.at < words.len() {
        walk.step(module);
    }
    walk.out
}

struct Walk<'a> {
    words: &'a [Word],
    at: usize,
    /// Inline modules that are open, with the depth of braces at which each ends.
    inner: Vec<(String, usize)>,
    depth: usize,
    out: Vec<Named>,
}

impl Walk<'_> {
    fn text(&self, ahead: usize) -> &str {
        self.words.get(self.at + ahead).map_or("", |word| word.text.as_str())
    }

    fn step(&mut self, module: &[String]) {
        match self.text(0) {
            "mod" if self.text(2) == "{" => {
                self.inner.push((self.text(1).to_owned(), self.depth));
                self.depth += 1;
                self.at += 3;
            }
            "{" => {
                self.depth += 1;
                self.at += 1;
            }
            "}" => {
                self.depth = self.depth.saturating_sub(1);
                self.inner.retain(|(_, ends)| *ends != self.depth);
                self.at += 1;
            }
            "use" => {
                self.at += 1;
                let here = self.here(module);
                self.tree(&[], &here, true);
            }
            text if text.starts_with(is_name) && self.text(1) == "::" => {
                let here = self.here(module);
                self.tree(&[], &here, false);
            }
            _ => self.at += 1,
        }
    }

    fn here(&self, module: &[String]) -> Vec<String> {
        module.iter().chain(self.inner.iter().map(|(name, _)| name)).cloned().collect()
    }

    /// Reads `a::b`, and in a `use` also `a::{b, c as d, e::*}`, below `prefix`.
    fn tree(&mut self, prefix: &[String], here: &[String], in_use: bool) {
        let mut path = prefix.to_vec();
        let line = self.words.get(self.at).map_or(0, |word| word.line);
        while self.text(0).starts_with(is_name) {
            path.push(self.text(0).to_owned());
            self.at += 1;
            if self.text(0) != "::" {
                break;
            }
            self.at += 1;
        }
        if in_use && self.text(0) == "{" {
            self.at += 1;
            while !matches!(self.text(0), "}" | "") {
                self.tree(&path, here, true);
                if self.text(0) == "," {
                    self.at += 1;
                }
            }
            self.at += 1;
            return;
        }
        let mut alias = path.last().cloned();
        if in_use && self.text(0) == "as" {
            alias = Some(self.text(1).to_owned());
            self.at += 2;
        } else if in_use && !matches!(self.text(0), "," | "}" | ";") {
            self.at += 1;
        }
        self.out.push(Named { path: absolute(&path, here), alias: alias.filter(|_| in_use), line });
    }
}

/// `super::x` and `self::x` as `crate::..::x`; other paths as they are. A closing `self` of a tree falls away.
fn absolute(path: &[String], here: &[String]) -> Vec<String> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    let own = usize::from(path.first().is_some_and(|part| part == "self"));
    let mut full = if ups + own > 0 {
        let kept = here.len().saturating_sub(ups);
        [&["crate".to_owned()], &here[..kept], &path[ups + own..]].concat()
    } else {
        path.to_vec()
    };
    if full.len() > 1 && full.last().is_some_and(|part| part == "self") {
        full.pop();
    }
    full
}
