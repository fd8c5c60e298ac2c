//! `[acme]`: which CA, as whom, and whether its way of asking can work here.

use acme::{Directory, Eab, Settings, SettingsError};
use routes::document::{Item, Kind};
use routes::fault::did_you_mean;
use routes::world::Protocol;

use super::reader::{Reader, at, text};
use super::settings::Entrypoint;

/// What a value begins with that stands in a file of its own.
const FROM_FILE: &str = "file:";

impl Reader<'_> {
    /// The CA, if the file names one.
    pub(super) fn acme(&mut self, root: &Item<'_>, entrypoints: &[Entrypoint]) -> Option<Settings> {
        let item = root.get("acme").filter(|item| item.kind() == Kind::Table)?;
        let settings = Settings {
            email: self.email(&item),
            directory: self.directory(&item)?,
            ca_file: text(&item, &["ca_file"]).map(|(_, path)| self.path(path)),
            profile: text(&item, &["profile"]).map(|(_, profile)| profile.to_owned()),
            eab: self.eab(&item),
        };
        self.check_ca_file(&item, &settings);
        if settings.directory.label() == "zerossl" && settings.eab.is_none() {
            let place = item.get("directory").unwrap_or_else(|| item.clone());
            let fault = place.warning("zerossl makes accounts only with an external account binding");
            self.faults.push(fault.hint("copy it from its site: eab = { kid = \"..\", hmac = \"file:PATH\" }"));
        }
        let is_plain = |entrypoint: &Entrypoint| entrypoint.protocol == Protocol::Http && !entrypoint.tls;
        if !entrypoints.iter().any(is_plain) {
            let fault = item.warning("the CA cannot ask anything: http-01 needs an entrypoint without TLS on port 80");
            self.faults.push(fault.hint("add [entrypoint.http] with redirect = \"https\""));
        }
        Some(settings)
    }

    fn email(&mut self, item: &Item<'_>) -> Option<String> {
        let (item, email) = text(item, &["email"])?;
        let parts = email.split_once('@').filter(|(user, host)| !user.is_empty() && !host.contains('@'));
        let good = parts.is_some_and(|(_, host)| routes::host::Host::parse(host).is_ok());
        if !good || email.chars().any(|c| c.is_whitespace() || c.is_control() || c == ',') {
            let fault = item.fault(format!("`{email}` is not an e-mail address"));
            self.faults.push(fault.hint("write one address such as \"ops@example.com\""));
        }
        Some(email.to_owned())
    }

    fn directory(&mut self, item: &Item<'_>) -> Option<Directory> {
        let (place, name) = text(item, &["directory"]).unwrap_or_else(|| (item.clone(), KNOWN[0]));
        let error: SettingsError = match name.parse() {
            Ok(directory) => return Some(directory),
            Err(error) => error,
        };
        self.faults.push(place.fault(error.to_string()).maybe_hint(did_you_mean(name, KNOWN.iter().copied())));
        None
    }

    fn eab(&mut self, item: &Item<'_>) -> Option<Eab> {
        let (hmac_item, hmac) = text(item, &["eab", "hmac"])?;
        let Some((kid_item, kid)) = text(item, &["eab", "kid"]) else {
            let fault = at(item, &["eab", "kid"]).map(|kid| {
                kid.warning("`kid` is empty, so no account is bound").hint("copy it from the CA, or remove `eab`")
            });
            self.faults.extend(fault);
            return None;
        };
        let hmac = self.secret(&hmac_item, hmac)?;
        let error = match Eab::new(kid, &hmac) {
            Ok(eab) => return Some(eab),
            Err(error) => error,
        };
        let place = if matches!(error, SettingsError::EabKid) { kid_item } else { hmac_item };
        self.faults.push(place.fault(error.to_string()));
        None
    }

    /// The text itself, or what stands in the file that it names with `file:`.
    fn secret(&mut self, item: &Item<'_>, given: &str) -> Option<String> {
        let Some(path) = given.strip_prefix(FROM_FILE) else { return Some(given.to_owned()) };
        let path = self.path(path);
        let read = self.disk.read(&path).map(String::from_utf8);
        let why = match read {
            Ok(Ok(text)) => return Some(text.trim().to_owned()),
            Ok(Err(_)) => format!("{} is not UTF-8", path.display()),
            Err(error) => format!("cannot read {}: {error}", path.display()),
        };
        self.faults.push(item.fault(why).hint("it should hold the secret and nothing else"));
        None
    }

    /// Orders read the file again each time, so a broken one stops no certificate that is there already.
    fn check_ca_file(&mut self, item: &Item<'_>, settings: &Settings) {
        let Some((item, path)) = item.get("ca_file").zip(settings.ca_file.as_ref()) else { return };
        let why = match self.disk.read(path) {
            Err(error) => format!("cannot read {}: {error}", path.display()),
            Ok(bytes) => match certs::pem::chain(&bytes) {
                Ok(_) => return,
                Err(error) => format!("{}: {error}", path.display()),
            },
        };
        self.partial.push(item.fault(why).hint("give the PEM file of the root that signed the CA's own certificate"));
    }
}

/// The directories that have a name; the first is the default.
const KNOWN: [&str; 3] = ["letsencrypt", "letsencrypt-staging", "zerossl"];
