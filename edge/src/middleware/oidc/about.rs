//! What a provider says of itself: discovery.

use http::Uri;
use serde::Deserialize;

/// Its addresses, as far as we use them.
#[derive(Debug)]
pub(super) struct About {
    pub(super) authorization: Uri,
    pub(super) token: Uri,
    pub(super) keys: Uri,
    pub(super) userinfo: Option<Uri>,
    pub(super) end_session: Option<Uri>,
    /// Whether it wants our secret in the form instead of in a field.
    pub(super) secret_in_form: bool,
}

/// Why discovery cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AboutFault {
    /// It is not what the standard says.
    #[error("its discovery document cannot be read: {0}")]
    Malformed(String),
    /// It is about somebody else.
    #[error("its discovery document is about the issuer \"{0}\": set `issuer` to exactly that, if it is yours")]
    Issuer(String),
    /// An address would be asked without TLS although the issuer is not.
    #[error("its discovery document names \"{0}\", which is no https address")]
    Address(String),
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    end_session_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

impl About {
    /// Where an issuer publishes it.
    pub(super) fn address(issuer: &str) -> String {
        format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
    }

    /// Reads what the issuer published.
    pub(super) fn read(json: &[u8], issuer: &str) -> Result<Self, AboutFault> {
        let document: Document =
            serde_json::from_slice(json).map_err(|error| AboutFault::Malformed(error.to_string()))?;
        if document.issuer != issuer {
            return Err(AboutFault::Issuer(document.issuer.chars().take(200).collect()));
        }
        let in_clear = issuer.starts_with("http:");
        let address = |text: String| {
            let uri = text.parse::<Uri>().ok().filter(|uri| uri.authority().is_some());
            let good =
                uri.filter(|uri| uri.scheme_str() == Some("https") || in_clear && uri.scheme_str() == Some("http"));
            good.ok_or_else(|| AboutFault::Address(text.chars().take(200).collect()))
        };
        let methods = document.token_endpoint_auth_methods_supported.unwrap_or_default();
        let takes = |method: &str| methods.iter().any(|known| known == method);
        Ok(Self {
            authorization: address(document.authorization_endpoint)?,
            token: address(document.token_endpoint)?,
            keys: address(document.jwks_uri)?,
            userinfo: document.userinfo_endpoint.map(address).transpose()?,
            end_session: document.end_session_endpoint.map(address).transpose()?,
            secret_in_form: takes("client_secret_post") && !takes("client_secret_basic"),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn document() -> Value {
        json!({
            "issuer": "https://id.test/realms/a",
            "authorization_endpoint": "https://id.test/auth",
            "token_endpoint": "https://id.test/token",
            "jwks_uri": "https://id.test/keys",
        })
    }

    fn read(changes: Value) -> Result<About, AboutFault> {
        let mut document = document();
        for (name, value) in changes.as_object().expect("an object") {
            document[name] = value.clone();
        }
        About::read(document.to_string().as_bytes(), "https://id.test/realms/a")
    }

    #[test]
    fn the_document_lies_below_the_issuer() {
        let address = "https://id.test/a/.well-known/openid-configuration";
        assert_eq!(About::address("https://id.test/a"), address);
        assert_eq!(About::address("https://id.test/a/"), address);
    }

    #[test]
    fn it_is_about_its_issuer_and_names_addresses_over_tls() {
        let about = read(json!({})).expect("good");
        assert!(about.userinfo.is_none() && about.end_session.is_none() && !about.secret_in_form);
        assert!(
            read(json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]}))
                .expect("good")
                .secret_in_form
        );
        let both = json!({"token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"]});
        assert!(!read(both).expect("good").secret_in_form);
        assert!(matches!(read(json!({"issuer": "https://id.test/realms/a/"})), Err(AboutFault::Issuer(_))));
        for bad in ["http://id.test/token", "/token", "javascript:alert(1)", "https:", ""] {
            assert!(matches!(read(json!({"token_endpoint": bad})), Err(AboutFault::Address(_))), "{bad}");
            assert!(matches!(read(json!({"end_session_endpoint": bad})), Err(AboutFault::Address(_))), "{bad}");
        }
        for bad in ["", "[]", "{}", "<html>"] {
            assert!(matches!(About::read(bad.as_bytes(), "https://id.test"), Err(AboutFault::Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn an_issuer_in_clear_may_name_addresses_in_clear() {
        let text = document().to_string().replace("https://id.test", "http://127.0.0.1:9");
        assert!(About::read(text.as_bytes(), "http://127.0.0.1:9/realms/a").is_ok());
    }
}
