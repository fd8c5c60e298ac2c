//! Which authority to ask, and as whom: values that cannot be wrong any more. The configuration file is read elsewhere.

use std::path::PathBuf;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use http::Uri;

/// What the operator says about ACME.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Contact of the account; authorities write there when something is wrong with it.
    pub email: Option<String>,
    /// The authority.
    pub directory: Directory,
    /// PEM roots that its HTTPS is checked against; none for the roots of the system.
    pub ca_file: Option<PathBuf>,
    /// Certificate profile to ask for; an order fails if the authority does not offer it.
    pub profile: Option<String>,
    /// Binding to an account that exists outside of ACME (RFC 8555, 7.3.4).
    pub eab: Option<Eab>,
}

/// Why a value of the settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Neither a known name nor an address.
    #[error("{0:?} is no ACME directory; write letsencrypt, letsencrypt-staging, zerossl or an https:// address")]
    Directory(String),
    /// The key identifier is empty.
    #[error("eab.kid is empty; copy the key identifier that the authority shows for your account")]
    EabKid,
    /// The key is not Base64url, or empty.
    #[error("eab.hmac is not Base64url text; copy the HMAC key as the authority shows it")]
    EabHmac,
}

/// An ACME directory and the name of its folder in the state folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    url: String,
    label: String,
}

const KNOWN: [(&str, &str); 3] = [
    ("letsencrypt", "https://acme-v02.api.letsencrypt.org/directory"),
    ("letsencrypt-staging", "https://acme-staging-v02.api.letsencrypt.org/directory"),
    ("zerossl", "https://acme.zerossl.com/v2/DV90"),
];

impl Directory {
    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name in folders, logs and metrics: `[a-z0-9.-]+`, never beginning with a dot.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }
}

impl FromStr for Directory {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((name, url)) = KNOWN.iter().find(|(name, url)| *name == text || *url == text) {
            return Ok(Self { url: (*url).into(), label: (*name).into() });
        }
        let refused = || SettingsError::Directory(text.into());
        let uri: Uri = text.parse().map_err(|_| refused())?;
        match (uri.scheme_str(), uri.host()) {
            (Some("https"), Some(host)) if !host.is_empty() => {}
            _ => return Err(refused()),
        }
        Ok(Self { url: text.into(), label: label(&uri) })
    }
}

/// Host, port and path with everything else as a dash. Two addresses with one label are told apart by the address
/// that the account file keeps.
fn label(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let text = format!("{authority}{}", uri.path());
    let dashed: String = text
        .chars()
        .map(|letter| match letter.to_ascii_lowercase() {
            good @ ('a'..='z' | '0'..='9' | '.' | '-') => good,
            _ => '-',
        })
        .collect();
    dashed.trim_matches(['-', '.']).to_owned()
}

/// A key that binds our account to one made on the authority's site.
#[derive(Clone, PartialEq, Eq)]
pub struct Eab {
    kid: String,
    hmac: Vec<u8>,
}

impl Eab {
    /// From the two texts that authorities show; the key is Base64url, with or without padding.
    ///
    /// # Errors
    /// [`SettingsError`] names the text that is wrong.
    pub fn new(kid: &str, hmac: &str) -> Result<Self, SettingsError> {
        if kid.trim().is_empty() {
            return Err(SettingsError::EabKid);
        }
        let text = hmac.trim();
        let decoded = URL_SAFE_NO_PAD.decode(text).or_else(|_| URL_SAFE.decode(text));
        match decoded {
            Ok(hmac) if !hmac.is_empty() => Ok(Self { kid: kid.trim().into(), hmac }),
            _ => Err(SettingsError::EabHmac),
        }
    }

    /// The key's identifier.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub(crate) fn hmac(&self) -> &[u8] {
        &self.hmac
    }
}

impl std::fmt::Debug for Eab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Eab").field("kid", &self.kid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_and_addresses_are_directories_with_a_folder_name() {
        let label = |text: &str| text.parse::<Directory>().map(|directory| directory.label);
        assert_eq!(label("letsencrypt").unwrap(), "letsencrypt");
        assert_eq!(label("https://acme.zerossl.com/v2/DV90").unwrap(), "zerossl");
        assert_eq!(label("https://127.0.0.1:14000/dir").unwrap(), "127.0.0.1-14000-dir");
        assert_eq!(label("https://CA.example/../x/").unwrap(), "ca.example-..-x");
        for bad in ["", "letsencript", "http://ca.example/dir", "https://", "/dir", "ca.example"] {
            assert_eq!(label(bad), Err(SettingsError::Directory(bad.into())));
        }
    }

    #[test]
    fn an_eab_key_is_read_with_and_without_padding_and_never_shown() {
        let eab = Eab::new("kid-1", "c2VjcmV0LQ==").unwrap();
        assert_eq!(eab, Eab::new(" kid-1 ", "c2VjcmV0LQ").unwrap());
        assert_eq!(format!("{eab:?}"), "Eab { kid: \"kid-1\", .. }");
        assert_eq!(Eab::new("", "c2Vj"), Err(SettingsError::EabKid));
        assert_eq!(Eab::new("kid", "not base64!"), Err(SettingsError::EabHmac));
        assert_eq!(Eab::new("kid", ""), Err(SettingsError::EabHmac));
    }
}
