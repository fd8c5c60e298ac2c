//! `edge hash`: lines for users files, and API tokens.
//!
//! What is secret goes to the terminal of a person, never into the line that a file gets.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use serde_json::json;

use super::failure::{Exit, Failure};
use super::out::Out;
use crate::middleware::authorization::is_user;
use crate::middleware::passwords::{self, BCRYPT_SEES};
use crate::middleware::tokens;

/// Hash a password for a users file, or make an API token.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  edge hash ann >> users.htpasswd\n  \
    printf '%s' \"$PASSWORD\" | edge hash ann >> users.htpasswd\n  \
    edge hash --token ci >> tokens.toml\n\n\
    The password is asked for twice on a terminal and not shown; else it is the first line of the standard input. A token \
    is shown once, on the standard error output: the file gets its hash alone.")]
pub(super) struct Args {
    /// Who the line is for; without a name only the hash is printed
    name: Option<String>,
    /// Hash with bcrypt, for files that nginx, Apache or a registry read too; else with argon2id
    #[arg(long)]
    bcrypt: bool,
    /// Make a random API token for a tokens file instead
    #[arg(long, conflicts_with = "bcrypt", requires = "name")]
    token: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
enum NoHash {
    #[error("`{0}` cannot be the name of a user")]
    Name(String),
    #[error("the password cannot be read")]
    Read(#[source] io::Error),
    #[error("the password is empty")]
    Empty,
    #[error("the password is not the same the second time")]
    Differs,
    #[error("the password has more than {LONGEST} bytes")]
    TooLong,
    #[error("the password cannot be hashed")]
    Cannot(#[source] passwords::CannotHash),
    #[error("the system gives no random bytes")]
    NoRandom,
}

/// The longest that a login may have.
const LONGEST: usize = 1024;

pub(super) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    if let Some(name) = args.name.as_ref().filter(|name| !is_user(name)) {
        let failure = Failure::new(NoHash::Name(name.clone()));
        return Err(failure.hint("a name has no colon, no control characters and no spaces around it"));
    }
    if args.token {
        return token(args, out);
    }
    let password = if io::stdin().is_terminal() { ask() } else { read() }.map_err(Failure::new)?;
    let make = if args.bcrypt { passwords::bcrypt } else { passwords::argon2id };
    let hash = make(&password).map_err(|error| {
        let failure = Failure::new(NoHash::Cannot(error));
        if args.bcrypt && password.len() > BCRYPT_SEES { failure.hint("leave --bcrypt away") } else { failure }
    })?;
    match (&args.name, args.json) {
        (name, true) => out.json(&json!({ "name": name, "hash": hash })),
        (Some(name), false) => out.line(format!("{name}:{hash}")),
        (None, false) => out.line(hash),
    }
    Ok(Exit::Done)
}

fn token(args: &Args, out: &mut Out) -> Result<Exit, Failure> {
    let name = args.name.as_deref().unwrap_or_default();
    let (token, hash) = tokens::make().ok_or_else(|| Failure::new(NoHash::NoRandom))?;
    if args.json {
        out.json(&json!({ "name": name, "token": token, "sha256": hash }));
        return Ok(Exit::Done);
    }
    let said = writeln!(io::stderr(), "the token, which is shown only now: {token}");
    said.map_err(|error| Failure::new(NoHash::Read(error)))?;
    out.line("[[token]]");
    out.line(format!("name = {}", toml::Value::from(name)));
    out.line(format!("sha256 = \"{hash}\""));
    Ok(Exit::Done)
}

/// Asks a person, twice, without showing what is typed.
fn ask() -> Result<Vec<u8>, NoHash> {
    let once = |words| rpassword::prompt_password(words).map_err(NoHash::Read);
    let password = once("Password: ")?;
    if once("Again: ")? != password {
        return Err(NoHash::Differs);
    }
    checked(password.into_bytes())
}

/// Reads the first line of the standard input.
fn read() -> Result<Vec<u8>, NoHash> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(LONGEST as u64 + 3).read_to_end(&mut bytes).map_err(NoHash::Read)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    checked(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

fn checked(password: Vec<u8>) -> Result<Vec<u8>, NoHash> {
    match password.len() {
        0 => Err(NoHash::Empty),
        1..=LONGEST => Ok(password),
        _ => Err(NoHash::TooLong),
    }
}
