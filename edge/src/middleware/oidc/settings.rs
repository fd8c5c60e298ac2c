//! What the keys of the middleware mean.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderName, Uri};
use routes::document::Item;
use routes::host::Host;
use routes::path::Canonical;
use routes::world::{Reading, Seen, resolve};

use super::claims::Rules;
use super::session::Lifetime;
use crate::middleware::fields::OF_THE_EDGE;

/// Checked settings.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) client_secret: Option<Secret>,
    pub(super) scopes: Vec<String>,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) callback: String,
    pub(super) logout: String,
    pub(super) lifetime: Lifetime,
    pub(super) rules: Rules,
    pub(super) bearer: Bearer,
    pub(super) ca_file: Option<String>,
    pub(super) cookie: Cookie,
    pub(super) unauthenticated: Unauthenticated,
    pub(super) pass_authorization: bool,
}

/// A secret, or the file that it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Secret {
    Text(String),
    File(String),
}

/// Which tokens of programs are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bearer {
    pub(super) plain: bool,
    /// As the password of Basic.
    pub(super) in_basic: bool,
    pub(super) audience: Vec<String>,
}

/// The session cookie.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Cookie {
    pub(super) name: Option<String>,
    pub(super) domain: Option<String>,
    pub(super) secret: Option<Secret>,
}

/// What becomes of who has not logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unauthenticated {
    /// Pages lead to the provider, everything else is refused.
    Auto,
    /// Every GET leads to the provider.
    Redirect,
    /// Everything is refused.
    Refuse,
}

/// A shorter one can be guessed from a cookie.
const SHORTEST_SECRET: usize = 32;

impl Settings {
    pub(super) fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Self> {
        let text = |name: &str| item.get(name)?.as_str().map(str::to_owned);
        let flag = |name: &str| item.get(name).and_then(|item| item.as_bool());
        let client_id = text("client_id")?;
        let [callback, logout] = paths(item, reading);
        if let Some(file) = item.get("ca_file") {
            reading.file(&file);
        }
        Some(Self {
            issuer: issuer(&item.get("issuer")?, reading)?,
            client_id,
            client_secret: item.get("client_secret").and_then(|item| secret(&item, reading)),
            scopes: scopes(item),
            parameters: parameters(item, reading),
            callback,
            logout,
            lifetime: lifetime(item, reading),
            rules: rules(item, reading),
            bearer: bearer(item, reading),
            ca_file: text("ca_file"),
            cookie: cookie(item, reading),
            unauthenticated: match text("unauthenticated").as_deref() {
                Some("redirect") => Unauthenticated::Redirect,
                Some("401") => Unauthenticated::Refuse,
                _ => Unauthenticated::Auto,
            },
            pass_authorization: flag("pass_authorization").unwrap_or(false),
        })
    }
}

fn texts(item: &Item<'_>, name: &str) -> Vec<String> {
    let list = item.get(name).map(|list| list.one_or_many()).unwrap_or_default();
    list.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// There is no default for `audience`: the ID token of every login is for the `client_id`.
fn bearer(item: &Item<'_>, reading: &mut Reading<'_>) -> Bearer {
    let on = |name: &str| item.get(name).filter(|flag| flag.as_bool() == Some(true));
    let (plain, in_basic) = (on("bearer"), on("bearer_in_basic"));
    let (is_plain, is_in_basic, audience) = (plain.is_some(), in_basic.is_some(), texts(item, "audience"));
    if let Some(flag) = plain.or(in_basic).filter(|_| audience.is_empty()) {
        let fault = flag.fault("`audience` is missing: whom must tokens of programs be for?");
        reading
            .faults
            .push(fault.hint("set `audience` to what the provider writes as `aud` into tokens for this service"));
    }
    Bearer { plain: is_plain, in_basic: is_in_basic, audience }
}

fn issuer(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let text = item.as_str()?;
    let uri =
        text.parse::<Uri>().ok().filter(|uri| uri.host().is_some() && uri.query().is_none() && !text.contains('#'));
    let scheme = uri.as_ref().and_then(Uri::scheme_str);
    match (scheme, &uri) {
        (Some("https"), Some(_)) => {}
        (Some("http"), Some(uri)) => {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
            let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
            if !is_here {
                let fault =
                    item.warning(format!("`{text}` is asked without TLS: whoever is on the way can log in as anybody"));
                reading.faults.push(fault.hint("use https, with `ca_file` if its authority is your own"));
            }
        }
        _ => {
            let fault = item.fault(format!("`{text}` is not the address of an issuer"));
            let hint = "write it as the provider's /.well-known/openid-configuration says under \"issuer\"";
            reading.faults.push(fault.hint(hint));
            return None;
        }
    }
    Some(text.to_owned())
}

fn secret(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Secret> {
    let text = item.as_str()?;
    let Some(path) = text.strip_prefix("file:") else {
        if text.is_empty() {
            reading.faults.push(item.fault(format!("`{}` is empty", item.name())));
        }
        return Some(Secret::Text(text.to_owned()));
    };
    let path_there = resolve(reading.world.folder, path);
    let why = match reading.world.disk.look(&path_there) {
        Seen::File => return Some(Secret::File(path.to_owned())),
        Seen::Folder => format!("`{}` is a folder, not a file", path_there.display()),
        Seen::Missing => format!("`{}` does not exist", path_there.display()),
        Seen::Unreadable(error) => format!("`{}` cannot be read: {error}", path_there.display()),
    };
    reading.faults.push(item.fault(why).hint("paths are relative to the folder of edge.toml"));
    None
}

fn scopes(item: &Item<'_>) -> Vec<String> {
    let mut scopes = texts(item, "scopes");
    if item.get("scopes").is_none() {
        scopes.extend(["profile", "email"].map(str::to_owned));
    }
    scopes.retain(|scope| scope != "openid");
    scopes.insert(0, "openid".to_owned());
    scopes
}

fn parameters(item: &Item<'_>, reading: &mut Reading<'_>) -> Vec<(String, String)> {
    let table = item.get("parameters");
    let entries = table.iter().flat_map(Item::entries);
    let own = entries.filter_map(|(name, item)| {
        if OURS.contains(&name) {
            let fault = item.fault(format!("`{name}` is set by the edge itself"));
            reading.faults.push(fault.hint("remove it here; there are keys for what may be chosen"));
        }
        Some((name.to_owned(), item.as_str()?.to_owned()))
    });
    own.collect()
}

/// What a login stands on.
const OURS: [&str; 9] = [
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "redirect_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// The callback and the logout.
fn paths(item: &Item<'_>, reading: &mut Reading<'_>) -> [String; 2] {
    let paths = [("callback", CALLBACK), ("logout", LOGOUT)].map(|(name, default)| {
        let Some(given) = item.get(name) else { return default.to_owned() };
        let text = given.as_str().unwrap_or(default);
        let canonical = Canonical::read(text.as_bytes());
        if !text.starts_with('/') || text.len() < 2 || canonical.path != text || text.contains(['?', '#', '%']) {
            let fault = given.fault(format!("`{text}` is not a path that the edge can answer"));
            reading.faults.push(fault.hint("write a path such as \"/.edge/oidc/callback\", without escapes"));
        }
        text.to_owned()
    });
    if paths[0] == paths[1] {
        let place = item.get("logout").or_else(|| item.get("callback"));
        reading.faults.extend(place.map(|place| place.fault("`callback` and `logout` are the same path")));
    }
    paths
}

/// Where the provider sends people back to.
pub(super) const CALLBACK: &str = "/.edge/oidc/callback";
/// Where people log out.
pub(super) const LOGOUT: &str = "/.edge/oidc/logout";

fn lifetime(item: &Item<'_>, reading: &mut Reading<'_>) -> Lifetime {
    const HOUR: Duration = Duration::from_secs(3600);
    let table = item.get("session");
    let mut time = |name: &str| {
        let item = table.as_ref()?.get(name)?;
        let time = item.as_duration()?;
        if time < Duration::from_secs(1) && name != "refresh" {
            reading.faults.push(item.fault("nobody could log in for so short a time").hint("for example \"8h\""));
        }
        Some(time)
    };
    let most = time("max").unwrap_or(24 * HOUR);
    let idle = time("idle").unwrap_or(8 * HOUR).min(most);
    Lifetime { most, idle, refresh: time("refresh").filter(|every| !every.is_zero()) }
}

fn rules(item: &Item<'_>, reading: &mut Reading<'_>) -> Rules {
    if let Some(users) = item.get("allow_users").filter(|_| item.get("user_claim").is_none()) {
        let why = "`allow_users` goes by `preferred_username`, which people may change themselves at some providers";
        let hint = "set `user_claim` to a claim that they cannot change, such as \"sub\", or to \"preferred_username\" if \
                    they cannot change that";
        reading.faults.push(users.warning(why).hint(hint));
    }
    let text = |name: &str| item.get(name)?.as_str().map(str::to_owned);
    let fields = item.get("headers");
    let fields = fields.iter().flat_map(Item::entries).filter_map(|(field, claim)| {
        let Ok(name) = HeaderName::from_bytes(field.as_bytes()) else {
            reading.faults.push(claim.fault(format!("`{field}` is not the name of a header field")));
            return None;
        };
        if OF_THE_EDGE.contains(&name.as_str()) || NOT_OURS.contains(&name.as_str()) {
            reading
                .faults
                .push(claim.fault(format!("`{field}` cannot carry a claim")).hint("for example x-forwarded-user"));
        }
        Some((name, claim.as_str()?.to_owned()))
    });
    Rules {
        user: text("user_claim"),
        groups: text("groups_claim").unwrap_or_else(|| "groups".to_owned()),
        allow_groups: texts(item, "allow_groups"),
        allow_users: texts(item, "allow_users"),
        fields: fields.collect(),
    }
}

/// Fields that carry other credentials or say where the client is.
const NOT_OURS: [&str; 3] = ["authorization", "cookie", "x-forwarded-for"];

fn cookie(item: &Item<'_>, reading: &mut Reading<'_>) -> Cookie {
    let table = item.get("cookie");
    let own = |name: &str| table.as_ref()?.get(name);
    let name = own("name").and_then(|item| {
        let text = item.as_str()?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if text.is_empty() || text.len() > 64 || text.starts_with("__") || !text.bytes().all(is_plain) {
            let fault = item.fault(format!("`{text}` is not a name for this cookie"));
            reading.faults.push(fault.hint("letters, digits, - and _; __Host- or __Secure- is put before it"));
        }
        Some(text.to_owned())
    });
    let domain = own("domain").and_then(|item| {
        let text = item.as_str()?.trim_start_matches('.');
        match Host::parse(text) {
            Ok(Host::Exact(host)) if host.contains('.') && host.parse::<IpAddr>().is_err() => Some(host.into()),
            _ => {
                let fault = item.fault(format!("`{text}` is not a domain that cookies can be shared below"));
                reading.faults.push(fault.hint("for example \"example.com\", or leave it out for one host alone"));
                None
            }
        }
    });
    let secret = item.get("cookie_secret").and_then(|item| {
        let secret = secret(&item, reading)?;
        if matches!(&secret, Secret::Text(text) if text.len() < SHORTEST_SECRET) {
            let fault = item.fault(format!("`cookie_secret` has fewer than {SHORTEST_SECRET} characters"));
            reading.faults.push(fault.hint("make one with: openssl rand -base64 32"));
        }
        Some(secret)
    });
    Cookie { name, domain, secret }
}

/// Whether what a file holds is long enough to be a secret of cookies.
pub(super) fn is_long_enough(secret: &[u8]) -> bool {
    secret.len() >= SHORTEST_SECRET
}
