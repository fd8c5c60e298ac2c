//! The account at an authority: opened when the first order needs it, made once, kept in one file. Never on the way
//! to serving, as opening it asks the network.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certs::disk::{PRIVATE, read_if_there};
use certs::{Disk, DiskError, write_atomic};
use instant_acme::{Account, AccountCredentials, Error, ExternalAccountKey, NewAccount};
use tokio::sync::Mutex;

use super::failure::{Asked, is_bad_nonce};
use super::http::EdgeHttp;
use super::roots;
use crate::order::{OrderError, SetupError, Step};
use crate::settings::Settings;

/// The library reads the directory when an account is opened and never again.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// The account of one authority and its file.
pub(super) struct Accounts {
    settings: Settings,
    path: PathBuf,
    disk: Arc<dyn Disk>,
    now: fn() -> SystemTime,
    // Held while an account is made, so that two orders never make two.
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    open: Option<(Account, SystemTime)>,
    /// Credentials that are not on disk yet.
    unsaved: Option<Vec<u8>>,
}

/// An account to order with.
pub(super) struct Opened {
    pub(super) account: Account,
    /// Why it is not on disk.
    pub(super) unsaved: Option<DiskError>,
}

impl Accounts {
    pub(super) fn new(settings: Settings, path: PathBuf, disk: Arc<dyn Disk>, now: fn() -> SystemTime) -> Self {
        Self { settings, path, disk, now, held: Mutex::default() }
    }

    pub(super) fn asked(&self, step: Step) -> Asked<'_> {
        Asked { ca: self.settings.directory.label(), account: &self.path, step }
    }

    /// A client with the roots as they are now: nobody else may need them, so a fault in them is the order's alone, and what
    /// was mended since counts.
    fn http(&self) -> Result<EdgeHttp, OrderError> {
        let roots = roots::read(&*self.disk, self.settings.ca_file.as_deref());
        let http = roots.and_then(|roots| EdgeHttp::new(roots, self.now).map_err(SetupError::Tls));
        http.map_err(|why| OrderError::Setup { ca: self.settings.directory.label().to_owned(), why })
    }

    /// The account, from memory, from its file, or a new one.
    pub(super) async fn open(&self) -> Result<Opened, OrderError> {
        let mut held = self.held.lock().await;
        let now = (self.now)();
        let fresh = |since: SystemTime| now.duration_since(since).is_ok_and(|age| age < FRESH);
        let account = match &held.open {
            Some((account, since)) if fresh(*since) => account.clone(),
            _ => {
                let account = self.restore_or_make(&mut held).await?;
                held.open = Some((account.clone(), now));
                account
            }
        };
        let unsaved = self.save(&mut held).err();
        Ok(Opened { account, unsaved })
    }

    /// Reads the directory again at the next order: its addresses may have changed.
    pub(super) async fn reopen(&self) {
        self.held.lock().await.open = None;
    }

    async fn restore_or_make(&self, held: &mut Held) -> Result<Account, OrderError> {
        let http = self.http()?;
        let kept = match &held.unsaved {
            Some(unsaved) => Some(unsaved.clone()),
            None => read_if_there(&*self.disk, &self.path).map_err(|error| self.unusable(&error))?,
        };
        match kept {
            Some(text) => self.restore(http, &text).await,
            None => self.make(http, held).await,
        }
    }

    async fn restore(&self, http: EdgeHttp, text: &[u8]) -> Result<Account, OrderError> {
        let url = self.settings.directory.url();
        let json: serde_json::Value = serde_json::from_slice(text).map_err(|error| self.unusable(&error))?;
        if json["directory"] != url {
            return Err(self.unusable(&format_args!("it belongs to the directory {}, not {url}", json["directory"])));
        }
        let credentials: AccountCredentials = serde_json::from_value(json).map_err(|error| self.unusable(&error))?;
        let restored = Account::builder_with_http(Box::new(http)).from_credentials(credentials).await;
        restored.map_err(|error| match error {
            Error::KeyRejected | Error::Crypto => self.unusable(&"its key cannot be read"),
            other => self.asked(Step::Account).failed(other),
        })
    }

    async fn make(&self, http: EdgeHttp, held: &mut Held) -> Result<Account, OrderError> {
        let mut made = self.try_make(http.clone()).await;
        if made.as_ref().is_err_and(is_bad_nonce) {
            made = self.try_make(http).await;
        }
        let (account, credentials) = made.map_err(|error| self.asked(Step::Account).failed(error))?;
        held.unsaved = Some(serde_json::to_vec(&credentials).map_err(|error| self.unusable(&error))?);
        Ok(account)
    }

    async fn try_make(&self, http: EdgeHttp) -> Result<(Account, AccountCredentials), Error> {
        let contact: Vec<String> = self.settings.email.iter().map(|email| format!("mailto:{email}")).collect();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let eab = self.settings.eab.as_ref().map(|eab| ExternalAccountKey::new(eab.kid().to_owned(), eab.hmac()));
        let builder = Account::builder_with_http(Box::new(http));
        builder.create(&new, self.settings.directory.url().to_owned(), eab.as_ref()).await
    }

    /// An account that cannot be saved is used all the same, and saved with a later order.
    fn save(&self, held: &mut Held) -> Result<(), DiskError> {
        if let Some(text) = &held.unsaved {
            write_atomic(&*self.disk, &self.path, text, PRIVATE)?;
            held.unsaved = None;
        }
        Ok(())
    }

    fn unusable(&self, why: &dyn std::fmt::Display) -> OrderError {
        OrderError::AccountFile { path: self.path.clone(), why: why.to_string() }
    }
}
