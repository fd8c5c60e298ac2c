//! The pages of `docs/backends`: one for each preset, written by hand but for the block that says what the preset does,
//! and the list of all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use routes::preset::Preset;

/// The block is made anew, with what is around it left as it is.
const BEGIN: &str = "<!-- made from the preset by `./dev docs`; do not edit up to the next mark -->";
const END: &str = "<!-- from here on by hand -->";

/// Every page with its text, below the folder of the documentation.
pub(super) fn pages(docs: &Path) -> Vec<(PathBuf, String)> {
    let folder = docs.join("backends");
    let page = |preset: &'static Preset| {
        let path = folder.join(format!("{}.md", preset.name));
        let text = fs::read_to_string(&path).unwrap_or_default();
        (path, with_block(&text, preset))
    };
    let mut pages: Vec<_> = Preset::all().iter().map(page).collect();
    pages.push((folder.join("README.md"), list()));
    pages
}

/// The folder that [`pages`] lie in.
pub(super) fn make_folder(docs: &Path) -> io::Result<()> {
    match fs::create_dir(docs.join("backends")) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn with_block(page: &str, preset: &'static Preset) -> String {
    let block = format!("{BEGIN}\n\n{}\n{END}\n", block(preset));
    let parts = page.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    match parts {
        Some((before, after)) => format!("{before}{block}{}", after.strip_prefix('\n').unwrap_or(after)),
        None => format!("# {}\n\n{block}{page}", preset.title()),
    }
}

fn block(preset: &'static Preset) -> String {
    let host = format!("{}.example.com", preset.name);
    let mut text = format!("{}\n\n```toml\n{}```\n\n## What the preset sets\n\n", preset.about(), preset.sample());
    let rules = preset.source.split_once("[route]\n").map_or("", |(_, rules)| rules);
    text.push_str(
        "Any of these keys on the route wins; its `use` is added behind the preset's, and `without = [\"KIND\"]` drops a step of \
         that kind.\n\n",
    );
    text.push_str(&format!("```toml\n[route]\n{rules}```\n"));
    let tell = preset.tell(&host);
    if !tell.is_empty() {
        text.push_str("\n## What the backend must be told\n\n");
        tell.iter().for_each(|say| text.push_str(&format!("- {say}\n")));
    }
    text
}

fn list() -> String {
    let rows = Preset::all().iter().map(|preset| {
        let Preset { name, .. } = preset;
        format!("| [{}]({name}.md) | `{name}` | {} |\n", preset.title(), preset.about())
    });
    LIST.to_owned() + &rows.collect::<String>()
}

const LIST: &str = "\
# Backends

Made from the presets by `./dev docs`; do not edit.

A route says `preset = \"NAME\"` and gets the limits, times and repairs that its backend needs. Each is a file in
`routes/presets/`; any key on the route wins over it, but for `use`, which is added behind the preset's. `edge explain URL` shows what counts.

| backend | preset | what it sees to |
|---|---|---|
";
