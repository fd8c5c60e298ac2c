//! The steps that a route's `use` names: what they see of a request and its answer, and the list of their kinds.
//!
//! A middleware sees our own view of a request, never the engine's session, so each is tested as a plain function. One
//! file below is one kind; a new one is that file and its line in the list here.

mod ask;
pub(crate) mod authorization;
mod body;
mod brake;
mod captures;
pub(crate) mod client;
mod fields;
mod flow;
pub(crate) mod hot_file;
mod kind;
mod own_cookies;
pub(crate) mod passwords;
mod reply;
mod signed;
pub(crate) mod tokens;

pub use ask::{Ask, Asker, Done, OnSent};
pub(crate) use body::through;
pub use body::{BodyFault, BodyFilter};
pub use fields::{Edit, Fields};
pub use flow::{Answer, Denial, Flow};
pub use kind::{BuildError, Building, Entry, Kind, Middleware, build, files};
pub use own_cookies::{CookieNames, OwnCookies};
pub use reply::Reply;

use kind::entry;
use routes::world;

/// The kinds, in the order of the reference: the module and the type in it.
macro_rules! kinds {
    ($($module:ident::$kind:ident),* $(,)?) => {
        $(pub mod $module;)*

        /// Every kind of middleware.
        pub const KINDS: &[Entry] =
            &[$(entry::<$module::$kind>(include_str!(concat!("middleware/", stringify!($module), ".rs")))),*];
    };
}

kinds! {
    basic_auth::BasicAuth,
    api_token::ApiToken,
    forward_auth::ForwardAuth,
    jwt::Jwt,
    oidc::Oidc,
    headers::Headers,
    strip_prefix::StripPrefix,
    realm::Realm,
    cookies::Cookies,
    origin::Origin,
    deny_path::DenyPath,
    ip::Ip,
    rate::Rate,
    body_limit::BodyLimit,
    min_rate::MinRate,
    compress::Compress,
    concurrency::Concurrency,
    cors::Cors,
    error_pages::ErrorPages,
    redirect::Redirect,
    rewrite::Rewrite,
    add_prefix::AddPrefix,
    mirror::Mirror,
    buffer::Buffer,
}

/// The kinds as the check of route files sees them.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllKinds;

impl world::Kinds for AllKinds {
    fn kind(&self, name: &str) -> Option<&dyn world::Kind> {
        KINDS.iter().find(|entry| entry.name == name).map(|entry| entry as &dyn world::Kind)
    }

    fn names(&self) -> Vec<&'static str> {
        KINDS.iter().map(|entry| entry.name).collect()
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
