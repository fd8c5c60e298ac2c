//! Limits how often a client, a user or the owner of a header field may ask. Each has a bucket of tokens that refills at
//! `rate`; a request takes one, and without one it is refused with 429 and `Retry-After`.
//!
//! ```toml
//! [middleware.fair]
//! kind = "rate"
//! rate = "100/s"
//! burst = 200          # how many may come at once; the default is those of one second, at least 1
//! by = "client"        # or "user", or "header:X-Api-Key"
//! ```
//!
//! A client is an address, of IPv6 a /64. `by = "user"` is the user of the login that a middleware before this one has
//! checked; who has none, or not the header field, is counted by the address. What is in a header field is only the
//! client's word: a value a request makes a bucket a request, so use it behind a middleware that checks the field, as
//! `api-token` does; that it does not pass the field on to the server does not matter.
//!
//! Answers tell the state in `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-09). The buckets live
//! in memory, of each route apart, and stay over reloads that do not change the route. At most `remember` are kept: the
//! one that was not asked for longest is forgotten first, which fills it.

mod bucket;

use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, header};
use routes::document::Item;
use routes::shape::{Key, Shape};
use routes::world::Reading;

use self::bucket::{Buckets, Verdict};
use super::{Ask, BuildError, Building, Denial, Flow, Kind, Middleware, Reply};
use crate::conn::client_key::ClientKey;
use crate::telemetry::Refusal;

pub use self::bucket::Law;

/// The middleware.
#[derive(Debug)]
pub struct Rate {
    law: Law,
    by: By,
    tell: bool,
    buckets: Buckets,
    /// Time is counted from here.
    made: Instant,
    name: String,
    policy: HeaderValue,
}

/// Whose bucket it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// The client's address.
    Client,
    /// The user of a checked login.
    User,
    /// The value of a header field.
    Header(HeaderName),
}

/// What was written.
#[derive(Debug)]
pub struct Settings {
    law: Law,
    by: By,
    tell: bool,
    remember: usize,
}

/// What the buckets said to one request, by the middleware that asked.
#[derive(Debug, Clone, Default)]
struct Told(Vec<(usize, Verdict)>);

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const REMEMBER: i64 = 100_000;

impl Kind for Rate {
    const NAME: &'static str = "rate";
    const KEYS: &'static [Key] = &[
        Key::new(
            "rate",
            Shape::Text("requests in a time, such as \"100/s\""),
            "How many requests in a second (`/s`), minute (`/m`), hour (`/h`) or day (`/d`).",
        )
        .required(),
        Key::new(
            "burst",
            Shape::Integer { min: 1, max: 1_000_000_000 },
            "How many may come at once after a pause. The default is those of one second, at least 1.",
        ),
        Key::new(
            "by",
            Shape::Text("`client`, `user` or `header:NAME`"),
            "Whose requests are counted together: those of an address, of a user, or with the same header field.",
        )
        .default("\"client\""),
        Key::new("headers", Shape::Bool, "Whether answers tell the state of the bucket.").default("true"),
        Key::new(
            "remember",
            Shape::Integer { min: 1, max: 10_000_000 },
            "How many buckets are kept; one takes about 100 bytes.",
        )
        .default("100000"),
    ];
    type Settings = Settings;

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Settings> {
        let by = item.get("by").map_or(Some(By::Client), |by| self::by(&by, reading));
        let given = item.get("rate")?;
        let rate = rate(given.as_str()?);
        if rate.is_none() {
            let fault = given.fault(format!("`{}` is not a rate of requests", given.as_str().unwrap_or_default()));
            reading.faults.push(fault.hint("a whole number of requests in a time: \"100/s\", \"30/m\", \"1000/h\""));
        }
        let (count, period) = rate?;
        let burst = item.get("burst").and_then(|burst| u64::try_from(burst.as_integer()?).ok());
        let burst = burst.unwrap_or(count / period.as_secs().max(1));
        let remember = item.get("remember").and_then(|remember| remember.as_integer()).unwrap_or(REMEMBER);
        Some(Settings {
            law: Law::new(count, period, burst),
            by: by?,
            tell: item.get("headers").and_then(|tell| tell.as_bool()).unwrap_or(true),
            remember: usize::try_from(remember).unwrap_or(usize::MAX),
        })
    }

    fn build(settings: Settings, building: &Building<'_>) -> Result<Self, BuildError> {
        let Settings { law, by, tell, remember } = settings;
        // A String of RFC 9651: printable ASCII with `\` before `"` and `\`.
        let name: String =
            building.name.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect();
        let window = law.window().as_secs().max(1);
        let policy = format!("\"{name}\";q={};w={window}", law.burst());
        let policy = HeaderValue::try_from(policy)
            .map_err(|error| BuildError { name: building.name.to_owned(), why: error.to_string() })?;
        Ok(Self { law, by, tell, buckets: Buckets::new(remember), made: Instant::now(), name, policy })
    }
}

impl Middleware for Rate {
    fn request(&self, ask: &mut Ask<'_>) -> Flow {
        self.at(ask, self.made.elapsed())
    }

    fn reply(&self, reply: &mut Reply<'_>) {
        let told = reply.done.notes.get::<Told>();
        let told = told.and_then(|told| told.0.iter().find(|(id, _)| *id == self.id()).map(|(_, verdict)| *verdict));
        let Some(verdict) = told.filter(|_| self.tell) else { return };
        let mut fields = reply.headers();
        fields.append(POLICY, self.policy.clone());
        if let Some(limit) = self.limit(verdict) {
            fields.append(LIMIT, limit);
        }
    }
}

impl Rate {
    fn at(&self, ask: &mut Ask<'_>, now: Duration) -> Flow {
        let verdict = self.take(ask, now);
        if let Verdict::Refuse { wait } = verdict {
            return self.refuse(verdict, wait);
        }
        if self.tell {
            match ask.done.notes.get_mut::<Told>() {
                Some(told) => told.0.push((self.id(), verdict)),
                None => drop(ask.done.notes.insert(Told(vec![(self.id(), verdict)]))),
            }
        }
        Flow::Next
    }

    fn take(&self, ask: &mut Ask<'_>, now: Duration) -> Verdict {
        match &self.by {
            By::User => {
                if let Some(user) = ask.done.user.as_deref() {
                    return self.buckets.take(&self.law, (1u8, user), now);
                }
            }
            By::Header(name) => {
                // Who checked a credential may have hidden it from the server. What others have dropped stays dropped: it
                // was the client's word alone.
                let checked = ask.done.credentials.contains(name).then(|| ask.from.headers.get(name)).flatten();
                if let Some(value) = checked.or(ask.headers().get(name)) {
                    return self.buckets.take(&self.law, (2u8, value.as_bytes()), now);
                }
            }
            By::Client => {}
        }
        self.buckets.take(&self.law, (0u8, ClientKey::from(ask.from.client)), now)
    }

    fn refuse(&self, verdict: Verdict, wait: Duration) -> Flow {
        let mut denial =
            Denial::new(Refusal::RateLimited).header(header::RETRY_AFTER, HeaderValue::from(seconds(wait)));
        if self.tell {
            denial = denial.header(POLICY, self.policy.clone());
            denial.headers.extend(self.limit(verdict).map(|limit| (LIMIT, limit)));
        }
        denial.into()
    }

    /// The field `RateLimit`: what is left, and the seconds until there is more.
    fn limit(&self, verdict: Verdict) -> Option<HeaderValue> {
        let (left, time) = match verdict {
            Verdict::Pass { left, full_in } => (left, full_in),
            Verdict::Refuse { wait } => (0, wait),
        };
        HeaderValue::try_from(format!("\"{}\";r={left};t={}", self.name, seconds(time))).ok()
    }

    /// Tells it from others of its kind on the same route.
    fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

/// Whole seconds, never fewer than the time: who comes back then is let in.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// `100/s` as the number and the time.
fn rate(text: &str) -> Option<(u64, Duration)> {
    let (count, period) = text.split_once('/')?;
    let count = count.trim().parse().ok().filter(|count| (1..=1_000_000_000).contains(count))?;
    let seconds = match period.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    Some((count, Duration::from_secs(seconds)))
}

fn by(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<By> {
    let text = item.as_str()?;
    let by = match text {
        "client" => Some(By::Client),
        "user" => Some(By::User),
        other => other.strip_prefix("header:").and_then(|name| name.parse().ok()).map(By::Header),
    };
    if by.is_none() {
        let fault = item.fault(format!("requests cannot be counted by `{text}`"));
        reading.faults.push(fault.hint("use \"client\", \"user\" or \"header:\" with the name of a field"));
    }
    by
}

#[cfg(test)]
mod tests;
