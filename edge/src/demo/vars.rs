//! Puts values into the `[vars]` table of a TOML text and leaves every other line, comments too, as its owner wrote it.
//! It reads lines, not TOML: what is wrong with the file is for the reader of `edge.toml` to say.

/// `text` with these values, which have no quotes or backslashes, under `[vars]`.
pub(super) fn with_vars(text: &str, vars: &[(&str, String)]) -> String {
    debug_assert!(vars.iter().all(|(_, value)| !value.contains(['"', '\\', '\n'])));
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let header = lines.iter().position(|line| table(line) == Some("vars")).unwrap_or_else(|| {
        lines.extend([String::new(), "[vars]".to_owned()]);
        lines.len() - 1
    });
    let first = header + 1;
    let end = lines[first..].iter().position(|line| table(line).is_some()).map_or(lines.len(), |more| first + more);
    let mut missing = Vec::new();
    for (name, value) in vars {
        let new = format!("{name} = \"{value}\"");
        match lines[first..end].iter_mut().find(|line| key(line) == Some(*name)) {
            Some(line) => *line = new,
            None => missing.push(new),
        }
    }
    lines.splice(first..first, missing);
    lines.join("\n") + "\n"
}

/// The name in a table's header line; that of an array's begins with a bracket.
fn table(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix('[')?.split_once(']').map(|(name, _)| name.trim())
}

fn key(line: &str) -> Option<&str> {
    line.split_once('=').map(|(key, _)| key.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> String {
        with_vars(text, &[("A", "1".to_owned()), ("B", "2".to_owned())])
    }

    #[test]
    fn values_are_replaced_where_they_stand_and_nothing_else_changes() {
        let text = "x = 1 # [vars]\n[vars] # mine\nMINE = \"A = 0\"\nA = \"old\"  # gone\n# B = 0\n  B=\"old\"\n\n[log]\nA = \"not this\"\n";
        let want = "x = 1 # [vars]\n[vars] # mine\nMINE = \"A = 0\"\nA = \"1\"\n# B = 0\nB = \"2\"\n\n[log]\nA = \"not this\"\n";
        assert_eq!(set(text), want);
        assert_eq!(set(want), want);
    }

    #[test]
    fn values_that_are_missing_are_added_and_the_table_too() {
        assert_eq!(set("[vars]\n[log]\n"), "[vars]\nA = \"1\"\nB = \"2\"\n[log]\n");
        assert_eq!(set("[vars]\nB = \"\"\nC = \"3\""), "[vars]\nA = \"1\"\nB = \"2\"\nC = \"3\"\n");
        assert_eq!(set("[[vars]]\n"), "[[vars]]\n\n[vars]\nA = \"1\"\nB = \"2\"\n");
        assert_eq!(set(""), "\n[vars]\nA = \"1\"\nB = \"2\"\n");
    }

    #[test]
    fn every_beginning_of_a_file_gets_the_values_once() {
        let text = "a = 1\n[vars]\nA = \"x\"\nB = 'ß'\n[[t]]\n[log]\nA = 2\n";
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let done = set(&text[..end]);
            let vars = done.split("[vars]\n").nth(1).unwrap_or_else(|| panic!("no table in {done:?}"));
            let vars = vars.split('[').next().unwrap_or_default();
            assert!(vars.matches("A = \"1\"\n").count() == 1 && vars.matches("B = \"2\"\n").count() == 1, "{done:?}");
        }
    }
}
