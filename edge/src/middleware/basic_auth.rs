//! Asks for a name and a password (HTTP Basic) and checks them against an htpasswd file with bcrypt or argon2 hashes.
//! `edge hash` makes its lines, and so does `htpasswd -B`.
//!
//! ```toml
//! [middleware.team]
//! kind = "basic-auth"
//! users_file = "users.htpasswd"
//! user_header = "x-remote-user"          # tells the server who asks
//! ```
//!
//! The file is followed while the edge runs: a change counts within a second. If it breaks then, the last good one stays
//! in use, the log says which line is wrong and `edge_middleware_last_good` is above 0; if it is missing or broken at
//! the start, the route is closed.
//!
//! A login that was right is remembered for `remember` (as a keyed hash, in memory), so that the slow hash is not computed
//! for each request. A client (a /32 or a /64) that has tried `wrong_logins` different wrong ones within `wrong_window`
//! gets 429 for any login until the window ends; the same wrong one again and again counts once. bcrypt looks at the
//! first 72 bytes of a password only.
//!
//! Wrong logins are counted for each route apart: one `[middleware.team]` that 30 routes use lets a client try 30 times as
//! many. Where that is too much, put the routes behind one login (`oidc`, `forward-auth`) or make `wrong_logins` smaller.

mod hashing;
mod users;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use http::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use routes::document::Item;
use routes::shape::{Key, Shape};
use routes::world::Reading;

use self::hashing::Hashing;
use self::users::{Checked, Users};
use super::authorization::{Authorization, PASS_AUTHORIZATION, Told, USER_HEADER};
use super::brake::{Brake, Known};
use super::hot_file::HotFile;
use super::{Ask, BuildError, Building, Denial, Flow, Kind, Middleware};
use crate::telemetry::Refusal;

/// The middleware.
#[derive(Debug)]
pub struct BasicAuth {
    users: Source,
    challenge: HeaderValue,
    brake: Brake,
    remember: Duration,
    told: Told,
}

#[derive(Debug)]
enum Source {
    File(HotFile<Users>),
    Inline(Arc<Users>),
}

/// What the keys say.
#[derive(Debug)]
pub struct Settings {
    file: Option<String>,
    inline: Vec<String>,
    realm: Option<String>,
    wrong_logins: usize,
    wrong_window: Duration,
    remember: Duration,
    told: Told,
}

impl Kind for BasicAuth {
    const NAME: &'static str = "basic-auth";
    const KEYS: &'static [Key] = &[
        Key::new(
            "users_file",
            Shape::Text("a file"),
            "The htpasswd file: `name:hash` on each line, `#` begins a comment.",
        ),
        Key::new(
            "users",
            Shape::OneOrMany(&Shape::Text("name:hash")),
            "Users besides those of the file. Write `$$` where a `{` follows the `$` of a hash.",
        ),
        Key::new("realm", Shape::TEXT, "What the browser shows beside its question.").default("the middleware's name"),
        Key::new(
            "wrong_logins",
            Shape::Integer { min: 0, max: 1000 },
            "How many different wrong logins a client may try within `wrong_window`; 0 is no limit.",
        )
        .default("10"),
        Key::new("wrong_window", Shape::Duration, "How long wrong logins are counted.").default("\"5m\""),
        Key::new("remember", Shape::Duration, "How long a right login is not hashed again; `\"0\"` hashes each time.")
            .default("\"5m\""),
        USER_HEADER,
        PASS_AUTHORIZATION,
    ];
    type Settings = Settings;

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Settings> {
        let file = item.get("users_file");
        if let Some(file) = &file {
            reading.file(file);
        }
        let inline = item.get("users").map(|list| list.one_or_many()).unwrap_or_default();
        for (index, user) in inline.iter().enumerate() {
            let before = inline[..index].iter().filter_map(|item| item.as_str().map(str::to_owned)).collect::<Vec<_>>();
            let Some(line) = user.as_str() else { continue };
            if let Err(why) = Users::parse(&before, line) {
                let why = why.trim_start_matches("line 1: ").to_owned();
                reading.faults.push(user.fault(why).hint("write \"name:hash\"; `edge hash NAME` makes one"));
            }
        }
        if file.is_none() && inline.is_empty() {
            let fault = item.fault("it knows no users: `users_file` is missing");
            reading.faults.push(fault.hint("users_file = \"users.htpasswd\"; `edge hash NAME` makes a line of it"));
        }
        let realm = item.get("realm");
        let is_plain = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !b"\"\\".contains(&byte));
        if let Some(bad) = realm.as_ref().filter(|realm| realm.as_str().is_some_and(|text| !is_plain(text))) {
            reading.faults.push(bad.fault("a realm is plain ASCII text without quotes and backslashes"));
        }
        let duration = |key| item.get(key).and_then(|item| item.as_duration()).unwrap_or(FIVE_MINUTES);
        let number = item.get("wrong_logins").and_then(|item| item.as_integer());
        Some(Settings {
            file: file.and_then(|file| file.as_str().map(str::to_owned)),
            inline: inline.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
            realm: realm.and_then(|realm| realm.as_str().map(str::to_owned)),
            wrong_logins: number.and_then(|number| usize::try_from(number).ok()).unwrap_or(10),
            wrong_window: duration("wrong_window"),
            remember: duration("remember"),
            told: Told::read(item, AUTHORIZATION, reading),
        })
    }

    fn build(settings: Settings, building: &Building<'_>) -> Result<Self, BuildError> {
        let Settings { file, inline, realm, wrong_logins, wrong_window, remember, told } = settings;
        let users = match file {
            Some(file) => {
                let last_good = building.metrics.last_good(building.name);
                let parse = move |text: &str| Users::parse(&inline, text);
                let file = HotFile::open(building.path(&file), last_good, parse);
                Source::File(file.map_err(|error| building.error(error))?)
            }
            None => Source::Inline(Arc::new(Users::parse(&inline, "").map_err(|why| building.error(why))?)),
        };
        let named: String = building.name.chars().filter(|c| (' '..='~').contains(c) && !"\"\\".contains(*c)).collect();
        let realm = realm.unwrap_or(named);
        let challenge = HeaderValue::from_str(&format!("Basic realm=\"{realm}\", charset=\"UTF-8\""));
        let challenge = challenge.map_err(|error| building.error(error))?;
        Ok(Self { users, challenge, brake: Brake::new(wrong_logins, wrong_window), remember, told })
    }
}

const FIVE_MINUTES: Duration = Duration::from_secs(300);

impl Middleware for BasicAuth {
    fn request(&self, ask: &mut Ask<'_>) -> Flow {
        let (user, password) = match self.login(ask) {
            Ok(login) => login,
            Err(flow) => return flow,
        };
        match self.users.fresh() {
            Some(users) => self.known(ask, &users, &users.look_up(&user, &password)).unwrap_or(Flow::Wait),
            None => Flow::Wait,
        }
    }

    fn wait<'a>(&'a self, ask: &'a mut Ask<'_>) -> BoxFuture<'a, Flow> {
        Box::pin(async move {
            let (user, password) = match self.login(ask) {
                Ok(login) => login,
                Err(flow) => return flow,
            };
            let users = self.users.get().await;
            let login = users.look_up(&user, &password);
            if let Some(flow) = self.known(ask, &users, &login) {
                return flow;
            }
            let Some(place) = Hashing::place().await else { return Flow::refuse(Refusal::QueueFull) };
            // While it waited, another request with the same login may have been answered, or its client braked.
            if let Some(flow) = self.known(ask, &users, &login) {
                return flow;
            }
            let hash = users.hash_for(&login).clone();
            let fits = place.check(hash, password).await && login.is_known();
            if !fits {
                self.brake.wrong(ask.from.client, login.number(), Instant::now());
                return self.refuse(Refusal::BadLogin);
            }
            users.remember(&login, Instant::now() + self.remember);
            self.told.tell(ask, &user);
            Flow::Next
        })
    }
}

impl BasicAuth {
    fn login(&self, ask: &Ask<'_>) -> Result<(String, Vec<u8>), Flow> {
        match Authorization::of(ask.from.headers) {
            Authorization::Basic { user, password } => Ok((user, password)),
            Authorization::Missing => Err(self.refuse(Refusal::Unauthorized)),
            Authorization::Unusable | Authorization::Bearer(_) => Err(self.refuse(Refusal::BadLogin)),
        }
    }

    /// What can be said of a login without a slow hash.
    fn known(&self, ask: &mut Ask<'_>, users: &Users, login: &Checked<'_>) -> Option<Flow> {
        let now = Instant::now();
        match self.brake.known(ask.from.client, login.number(), now) {
            Known::Braked { wait } => {
                let seconds = HeaderValue::from(wait.as_secs().max(1));
                Some(Denial::new(Refusal::LoginThrottled).header(RETRY_AFTER, seconds).into())
            }
            Known::Wrong => Some(self.refuse(Refusal::BadLogin)),
            Known::Nothing if users.remembers(login, now) => {
                self.told.tell(ask, login.user());
                Some(Flow::Next)
            }
            Known::Nothing => None,
        }
    }

    fn refuse(&self, reason: Refusal) -> Flow {
        Denial::new(reason).header(WWW_AUTHENTICATE, self.challenge.clone()).into()
    }
}

impl Source {
    fn fresh(&self) -> Option<Arc<Users>> {
        match self {
            Self::File(file) => file.fresh(),
            Self::Inline(users) => Some(Arc::clone(users)),
        }
    }

    async fn get(&self) -> Arc<Users> {
        match self {
            Self::File(file) => file.get().await,
            Self::Inline(users) => Arc::clone(users),
        }
    }
}

#[cfg(test)]
mod tests;
