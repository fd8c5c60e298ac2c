//! An authority spoken to with the crate `instant-acme`: the steps of an order by HTTP-01, one by one.
//! Nothing outside of this module names that crate, so another can take its place.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use certs::PemPair;
use certs::disk::Disk;
use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, ChallengeType, Error, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};

use self::account::Accounts;
use super::Ca;
use crate::challenges::{Challenges, Presented};
use crate::order::{self, Issued, OrderError, OrderRequest, Step};
use crate::settings::Settings;

mod account;
mod failure;
mod http;
mod roots;

const POLL: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_secs(90));

/// One request, and once more if its nonce was used up: the library's own three tries can run out.
macro_rules! at_most_twice {
    ($ask:expr) => {
        match $ask.await {
            Err(error) if failure::is_bad_nonce(&error) => $ask.await,
            answer => answer,
        }
    };
}

/// An authority behind an ACME directory.
pub struct InstantCa {
    label: String,
    accounts: Accounts,
    now: fn() -> SystemTime,
}

impl InstantCa {
    /// Sets it up without asking the network or the disk. `folder` is the authority's own in the state folder
    /// (`acme/<label>`).
    pub fn new(settings: Settings, folder: &Path, disk: Arc<dyn Disk>, now: fn() -> SystemTime) -> Self {
        let label = settings.directory.label().to_owned();
        let accounts = Accounts::new(settings, folder.join("account.json"), disk, now);
        Self { label, accounts, now }
    }

    async fn walk(&self, order: &OrderRequest, challenges: &Challenges) -> Result<Issued, OrderError> {
        let opened = self.accounts.open().await?;
        let mut remote = self.place(&opened.account, order).await?;
        let presented = self.answer(&mut remote, challenges).await?;
        self.validated(&mut remote).await?;
        drop(presented);
        let (key, csr) = order::request(order.names())?;
        at_most_twice!(remote.finalize_csr(&csr)).map_err(|error| self.failed(Step::Finalize, error))?;
        let chain =
            at_most_twice!(remote.poll_certificate(&POLL)).map_err(|error| self.failed(Step::Certificate, error))?;
        let pair = PemPair { chain, key: key.serialize_pem() };
        let issued = Issued::check(pair, order, (self.now)())?;
        Ok(Issued { account_unsaved: opened.unsaved, ..issued })
    }

    fn failed(&self, step: Step, error: Error) -> OrderError {
        self.accounts.asked(step).failed(error)
    }

    async fn place(&self, account: &Account, order: &OrderRequest) -> Result<Order, OrderError> {
        let names: Vec<Identifier> = order.names().iter().map(|name| identifier(name)).collect();
        let mut new = NewOrder::new(&names);
        if let Some(wanted) = order.profile() {
            self.require_profile(account, wanted)?;
            new = new.profile(wanted);
        }
        at_most_twice!(account.new_order(&new)).map_err(|error| self.failed(Step::NewOrder, error))
    }

    /// The library sends any profile, and authorities without profiles ignore it: the wrong certificate would come.
    fn require_profile(&self, account: &Account, wanted: &str) -> Result<(), OrderError> {
        let offered: Vec<&str> = account.profiles().map(|profile| profile.name).collect();
        if offered.contains(&wanted) {
            return Ok(());
        }
        Err(OrderError::Profile {
            ca: self.label.clone(),
            wanted: wanted.into(),
            offered: if offered.is_empty() { "none".into() } else { offered.join(", ") },
        })
    }

    /// Answers every open authorization; what is given back keeps the answers up.
    async fn answer(&self, remote: &mut Order, challenges: &Challenges) -> Result<Vec<Presented>, OrderError> {
        let mut answering = Answering { ca: &self.label, challenges, told: HashSet::new(), presented: Vec::new() };
        let mut answered = answering.rest(remote).await;
        if matches!(&answered, Err(Stumble::Acme(error)) if failure::is_bad_nonce(error)) {
            answered = answering.rest(remote).await;
        }
        match answered {
            Ok(()) => Ok(answering.presented),
            Err(Stumble::Acme(error)) => Err(self.failed(Step::Challenge, error)),
            Err(Stumble::Order(error)) => Err(error),
        }
    }

    /// Waits until the authority has looked. The reason of a failure is in the authorization, not in the order.
    async fn validated(&self, remote: &mut Order) -> Result<(), OrderError> {
        let looked = at_most_twice!(remote.poll_ready(&POLL));
        match looked {
            Ok(OrderStatus::Ready) => Ok(()),
            Ok(_) => Err(self.reason(remote).await.unwrap_or_else(|| self.no_reason())),
            Err(error @ Error::Api(_)) => match self.reason(remote).await {
                Some(reason) => Err(reason),
                None => Err(self.failed(Step::Validation, error)),
            },
            Err(error) => Err(self.failed(Step::Validation, error)),
        }
    }

    async fn reason(&self, remote: &mut Order) -> Option<OrderError> {
        let mut authorizations = remote.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            // Without a fresh look there is no reason to tell; the order's own error is told then.
            let _ = authorization.refresh().await;
            let problem = authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref());
            if let Some(problem) = problem {
                return Some(OrderError::ChallengeFailed {
                    name: authorization.identifier().to_string(),
                    kind: failure::kind(problem),
                    detail: failure::detail(problem),
                });
            }
        }
        None
    }

    fn no_reason(&self) -> OrderError {
        OrderError::Protocol {
            ca: self.label.clone(),
            step: Step::Validation,
            why: "the order is invalid and no authorization says why".into(),
        }
    }
}

#[async_trait]
impl Ca for InstantCa {
    fn label(&self) -> &str {
        &self.label
    }

    async fn issue(&self, order: &OrderRequest, challenges: &Challenges) -> Result<Issued, OrderError> {
        http::listening(async {
            let issued = self.walk(order, challenges).await;
            let moved = http::last_heard().is_some_and(|heard| matches!(heard.status.as_u16(), 404 | 405));
            if issued.is_err() && moved {
                self.accounts.reopen().await;
            }
            issued
        })
        .await
    }
}

/// Either the library's error, which may be worth another try, or one of ours.
enum Stumble {
    Acme(Error),
    Order(OrderError),
}

impl From<Error> for Stumble {
    fn from(error: Error) -> Self {
        Self::Acme(error)
    }
}

struct Answering<'a> {
    ca: &'a str,
    challenges: &'a Challenges,
    told: HashSet<String>,
    presented: Vec<Presented>,
}

impl Answering<'_> {
    /// Goes through the authorizations that the authority has not been told of yet.
    async fn rest(&mut self, remote: &mut Order) -> Result<(), Stumble> {
        let mut authorizations = remote.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let authorization = authorization?;
            let valid = authorization.status == AuthorizationStatus::Valid;
            if !valid && !self.told.contains(authorization.url()) {
                self.one(authorization).await?;
            }
        }
        Ok(())
    }

    async fn one(&mut self, mut authorization: AuthorizationHandle<'_>) -> Result<(), Stumble> {
        let url = authorization.url().to_owned();
        let name = authorization.identifier().to_string();
        let Some(mut challenge) = authorization.challenge(ChallengeType::Http01) else {
            return Err(Stumble::Order(OrderError::NoChallenge { ca: self.ca.into(), name }));
        };
        let answer = challenge.key_authorization();
        let presented = self.challenges.present(&name, &challenge.token, answer.as_str());
        self.presented.push(presented.map_err(|why| Stumble::Order(OrderError::Present { name, why }))?);
        challenge.set_ready().await?;
        self.told.insert(url);
        Ok(())
    }
}

fn identifier(name: &str) -> Identifier {
    match name.parse() {
        Ok(ip) => Identifier::Ip(ip),
        Err(_) => Identifier::Dns(name.to_owned()),
    }
}
