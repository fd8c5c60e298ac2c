//! Which `edge.toml` a command is about.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::{Environment, Loaded, load};

/// The option `--config` of every command that reads files.
#[derive(Debug, Clone, clap::Args)]
pub struct ConfigFile {
    /// The edge.toml to read [default: $EDGE_CONFIG, else edge.toml here, else /etc/edge/edge.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// The path of the file; it need not be there.
    pub fn path(&self) -> PathBuf {
        choose(self.config.clone(), env::var_os("EDGE_CONFIG"), Path::exists)
    }

    /// Reads it, with the route files that it names.
    pub fn load(&self) -> Loaded {
        load(&self.path(), &Environment::new(env::vars_os()))
    }
}

fn choose(given: Option<PathBuf>, variable: Option<OsString>, exists: impl Fn(&Path) -> bool) -> PathBuf {
    const HERE: &str = "edge.toml";
    const SYSTEM: &str = "/etc/edge/edge.toml";
    let variable = variable.filter(|path| !path.is_empty()).map(PathBuf::from);
    let found = || {
        let system = !exists(Path::new(HERE)) && exists(Path::new(SYSTEM));
        PathBuf::from(if system { SYSTEM } else { HERE })
    };
    given.or(variable).unwrap_or_else(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_comes_before_the_variable_and_that_before_the_places() {
        let choose = |given: Option<&str>, variable: Option<&str>, there: &[&str]| {
            let exists = |path: &Path| there.contains(&path.to_str().unwrap_or_default());
            choose(given.map(PathBuf::from), variable.map(OsString::from), exists).display().to_string()
        };
        let both = ["edge.toml", "/etc/edge/edge.toml"];
        assert_eq!(choose(Some("a"), Some("b"), &both), "a");
        assert_eq!(choose(None, Some("b"), &both), "b");
        assert_eq!(choose(None, Some(""), &both), "edge.toml");
        assert_eq!(choose(None, None, &both[1..]), "/etc/edge/edge.toml");
        assert_eq!(choose(None, None, &[]), "edge.toml");
    }
}
