//! What one kind of backend needs, as data: `routes/presets/NAME.toml` lies under a route that says `preset = "NAME"`, so
//! that each of its keys is the default of the route's. What a backend must be told itself is data too.

use std::sync::LazyLock;

use crate::document::{Document, Item, Kind, Source, Vars};
use crate::host::Host;

/// The preset files; each is named after its preset.
macro_rules! files {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("../presets/", $name, ".toml")))),*] };
}

/// In the order of their names.
const FILES: &[(&str, &str)] = files![
    "dioptra",
    "dvc-http",
    "gitea",
    "grafana",
    "harbor",
    "homepage",
    "jaeger",
    "jaeger-otlp",
    "k8s-app",
    "minio",
    "minio-console",
    "mlflow",
    "monarch",
    "nexus",
    "nexus-docker",
    "ollama",
    "open-webui",
    "orchestrator",
    "pgadmin",
    "prometheus",
    "registry",
    "rustdesk",
    "s3",
    "vllm",
];

static PRESETS: LazyLock<Vec<Preset>> =
    LazyLock::new(|| FILES.iter().map(|(name, text)| Preset::read(name, text)).collect());

/// One kind of backend.
#[derive(Debug)]
pub struct Preset {
    /// Its name in `preset = ".."`.
    pub name: &'static str,
    /// Its file, with the reasons as comments.
    pub source: &'static str,
    document: Document,
}

/// Where a value of a route comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// The route file.
    Route,
    /// The preset.
    Preset,
}

/// One value of a route that its preset has an opinion on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Setting {
    /// The key path below the route, e.g. `upstream.timeouts.idle`.
    pub key: String,
    /// The value that counts, as TOML.
    pub value: String,
    /// Who says so.
    pub from: From,
}

/// What a preset did to a route.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Applied {
    /// The preset.
    pub name: String,
    /// Every value that the preset has an opinion on.
    pub settings: Vec<Setting>,
    /// What the backend itself must be told, in sentences.
    pub tell: Vec<String>,
}

impl Preset {
    fn read(name: &'static str, text: &'static str) -> Self {
        let source = Source::new(format!("preset {name}"), text);
        let document = Document::parse(&source, &Vars::NONE);
        Self { name, source: text, document: document.expect("every preset is read in a test") }
    }

    /// All presets, in the order of their names.
    pub fn all() -> &'static [Self] {
        &PRESETS
    }

    /// The preset of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// What the backend is called.
    pub fn title(&'static self) -> &'static str {
        self.text("title")
    }

    /// In one sentence, what the preset sees to.
    pub fn about(&'static self) -> &'static str {
        self.text("about")
    }

    /// The port that the backend usually listens on.
    pub fn port(&'static self) -> Option<u16> {
        self.document.root().own("port").and_then(|port| u16::try_from(port.as_integer()?).ok())
    }

    /// The keys of a route that it sets.
    pub fn route(&'static self) -> Option<Item<'static>> {
        self.document.root().own("route")
    }

    /// A route that uses it, as it may stand in a route file.
    pub fn sample(&'static self) -> String {
        let name = self.name;
        match self.text("sample") {
            "" => {
                let port = self.port().unwrap_or(8080);
                let upstream = format!("http://127.0.0.1:{port}");
                format!("[[route]]\nhost = \"{name}.example.com\"\npreset = \"{name}\"\nupstream = \"{upstream}\"\n")
            }
            sample => sample.to_owned(),
        }
    }

    /// What a backend behind this host must be told, in sentences.
    pub fn tell(&'static self, host: &str) -> Vec<String> {
        let list = self.document.root().own("tell").map(|list| list.one_or_many()).unwrap_or_default();
        list.iter().filter_map(Item::as_str).map(|say| say.replace("{host}", host)).collect()
    }

    fn text(&'static self, key: &str) -> &'static str {
        self.document.root().own(key).and_then(|item| item.as_str()).unwrap_or_default()
    }

    /// What it did to `route`, which lies over it already and has these hosts.
    pub(crate) fn applied(&'static self, route: &Item<'_>, hosts: &[Host]) -> Applied {
        let mut settings = Vec::new();
        if let Some(preset) = self.route() {
            preset.entries().for_each(|(name, item)| compare(&item, route.get(name).as_ref(), name, &mut settings));
        }
        let host = hosts.first().map_or_else(|| "the host".to_owned(), ToString::to_string);
        Applied { name: self.name.to_owned(), settings, tell: self.tell(&host) }
    }
}

/// Notes every value below `preset` with the one that counts.
fn compare(preset: &Item<'_>, route: Option<&Item<'_>>, key: &str, settings: &mut Vec<Setting>) {
    // Middlewares are added to, not replaced: they are told one by one.
    if key == "use" {
        return;
    }
    // `health = false` is the whole of it.
    let is_flag = route.is_some_and(|route| route.kind() == Kind::Bool);
    if preset.kind() == Kind::Table && !is_flag {
        let below = |(name, item): (&str, Item<'_>)| {
            let value = route.and_then(|route| route.get(name));
            compare(&item, value.as_ref(), &format!("{key}.{name}"), settings);
        };
        return preset.entries().for_each(below);
    }
    let ours = preset.place();
    let counts = route.unwrap_or(preset);
    let place = counts.place();
    let from = if place.file == ours.file { From::Preset } else { From::Route };
    settings.push(Setting { key: key.to_owned(), value: counts.to_toml(), from });
}
