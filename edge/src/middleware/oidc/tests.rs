//! A provider that says what a test wants, and what becomes of sessions and tokens then.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use data_encoding::BASE64URL_NOPAD;
use futures_util::FutureExt as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

use super::super::testing::{self, get, made_as};
use super::super::{Asker, Done};
use super::claims::Person;
use super::refresh::Refreshed;
use super::session::{Session, Unix};
use super::*;
use crate::telemetry::Refusal;

const NOW: Unix = 1_800_000_000;

/// Somebody who signs tokens.
struct Signer {
    key: KeyPair,
    id: &'static str,
}

impl Signer {
    fn new(id: &'static str) -> Self {
        Self { key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key"), id }
    }

    fn set(&self) -> Value {
        let point = self.key.public_key_raw();
        let [x, y] = [&point[1..33], &point[33..]].map(|half| BASE64URL_NOPAD.encode(half));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": self.id, "alg": "ES256", "x": x, "y": y }] })
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.into()), ..Header::new(Algorithm::ES256) };
        encode(&header, claims, &EncodingKey::from_ec_der(&self.key.serialize_der())).expect("a token")
    }
}

/// A status and a body; none is a question that is never answered.
type Said = Option<(u16, Value)>;

/// A provider on a port of its own. What it has nothing to say at is not found.
struct Provider {
    issuer: String,
    signer: Signer,
    says: Arc<Mutex<HashMap<&'static str, Said>>>,
}

impl Provider {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let issuer = format!("http://{}", listener.local_addr().expect("it is bound"));
        let provider = Self { issuer, signer: Signer::new("one"), says: Arc::default() };
        let says = Arc::clone(&provider.says);
        thread::spawn(move || {
            let mut kept = Vec::new();
            for mut stream in listener.incoming().flatten() {
                let Some(path) = path(&stream) else { continue };
                let said = says.lock().expect("no panic").get(&*path).cloned();
                match said.unwrap_or_else(|| Some((404, json!({})))) {
                    Some((status, body)) => {
                        let body = body.to_string();
                        let head =
                            format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}", body.len());
                        drop(stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()));
                    }
                    None => kept.push(stream),
                }
            }
        });
        provider.say("/.well-known/openid-configuration", provider.about(true));
        provider.say("/keys", Some((200, provider.signer.set())));
        provider
    }

    fn about(&self, has_userinfo: bool) -> Said {
        let at = |path: &str| format!("{}{path}", self.issuer);
        let mut about = json!({
            "issuer": self.issuer, "authorization_endpoint": at("/auth"), "token_endpoint": at("/token"),
            "jwks_uri": at("/keys"),
        });
        if has_userinfo {
            about["userinfo_endpoint"] = at("/userinfo").into();
        }
        Some((200, about))
    }

    fn say(&self, path: &'static str, said: Said) {
        self.says.lock().expect("no panic").insert(path, said);
    }

    /// Claims of a token for us with these changes.
    fn claims(&self, changes: Value) -> Value {
        let mut claims = json!({ "iss": self.issuer, "sub": "1", "aud": "edge", "exp": NOW + 60, "iat": NOW });
        for (name, value) in changes.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        claims
    }

    fn client(&self, folder: &Path, more: &str) -> Oidc {
        made_as(folder, &format!("issuer = \"{}\"\nclient_id = \"edge\"\n{more}", self.issuer))
    }
}

/// Reads a request to its end: the path that it asks for.
fn path(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let (mut path, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            reader.read_exact(&mut vec![0; length]).ok()?;
            return path;
        }
        path = path.or_else(|| line.split(' ').nth(1).map(str::to_owned));
    }
}

/// The groups that a session of `a` has after the provider was asked again. None if it is over.
async fn groups_after(provider: &Provider, tokens: Said, userinfo: Said) -> Option<Vec<String>> {
    let folder = tempfile::tempdir().expect("a folder");
    let client = provider.client(folder.path(), "allow_groups = [\"a\", \"b\"]\nsession = { refresh = \"1h\" }");
    provider.say("/token", tokens);
    provider.say("/userinfo", userinfo);
    let person = Person { subject: "1".into(), user: "ann".into(), groups: vec!["a".into()], claims: [].into() };
    let session = Session::begin(person, Some("token".into()), NOW - 7200);
    match client.ask_again(&session, "token", NOW).await {
        Refreshed::On(session) => Some(session.person.groups),
        Refreshed::Over => None,
    }
}

fn groups(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

#[tokio::test]
async fn a_session_ends_when_the_new_id_token_is_not_to_be_trusted() {
    let provider = Provider::start();
    let full = json!({"preferred_username": "ann", "groups": ["b"]});
    let with = |more: Value| {
        let mut all = full.clone();
        all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        provider.claims(all)
    };
    let tokens = |token: String| Some((200, json!({ "id_token": token, "access_token": "x" })));
    let good = tokens(provider.signer.sign(&with(json!({}))));
    assert_eq!(groups_after(&provider, good, None).await, groups(&["b"]));
    let forged = tokens(Signer::new("one").sign(&with(json!({}))));
    assert_eq!(groups_after(&provider, forged, None).await, None, "a wrong signature");
    assert_eq!(groups_after(&provider, tokens("x".into()), None).await, None, "no token");
    for bad in [json!({"aud": "other"}), json!({"exp": NOW - 60}), json!({"sub": 1}), json!({"sub": "2"})] {
        let token = tokens(provider.signer.sign(&with(bad.clone())));
        assert_eq!(groups_after(&provider, token, None).await, None, "{bad}");
    }
    let short = tokens(provider.signer.sign(&provider.claims(json!({"groups": ["b"]}))));
    let after = |userinfo| groups_after(&provider, short.clone(), userinfo);
    assert_eq!(after(Some((200, json!({"sub": "1"})))).await, groups(&["b"]));
    assert_eq!(after(Some((200, json!({"sub": "2"})))).await, None, "two people");
    assert_eq!(after(Some((401, json!({})))).await, None, "a token that is good no more");
    assert_eq!(after(Some((500, json!({})))).await, groups(&["a"]), "it is unavailable: the old person stays");
}

#[tokio::test]
async fn without_a_new_id_token_the_user_info_decides() {
    let provider = Provider::start();
    let tokens = Some((200, json!({ "access_token": "x" })));
    let after = |userinfo| groups_after(&provider, tokens.clone(), userinfo);
    assert_eq!(after(Some((200, json!({"sub": "1", "groups": ["b"]})))).await, groups(&["b"]));
    assert_eq!(after(Some((200, json!({"sub": "1"})))).await, groups(&[]), "thrown out of the group");
    for (status, body) in
        [(200, json!({"sub": "2", "groups": ["b"]})), (200, json!({})), (401, json!({})), (403, json!({}))]
    {
        assert_eq!(after(Some((status, body.clone()))).await, None, "{status} {body}");
    }
    assert_eq!(after(Some((503, json!({})))).await, groups(&["a"]), "it is unavailable: the old person stays");
    let nothing = Some((200, json!({})));
    assert_eq!(groups_after(&provider, nothing, Some((200, json!({"sub": "1"})))).await, None, "nothing to ask with");
    provider.say("/.well-known/openid-configuration", provider.about(false));
    assert_eq!(after(Some((200, json!({"sub": "1"})))).await, None, "nowhere to ask");
}

#[tokio::test]
async fn tokens_whose_key_was_seen_pass_while_the_provider_hangs() {
    let provider = Provider::start();
    let folder = tempfile::tempdir().expect("a folder");
    let client = provider.client(folder.path(), "bearer = true\naudience = \"edge\"");
    let (seen, unseen) = (provider.signer.sign(&provider.claims(json!({}))), Signer::new("two"));
    let unseen = unseen.sign(&provider.claims(json!({})));
    let request = get("/");
    let bring = async |token: &str| {
        let (from, mut done): (Asker<'_>, _) = (request.asker(), Done::default());
        client.token(&mut Ask { from, done: &mut done }, token, NOW).await
    };
    assert!(matches!(bring(&seen).await, Flow::Next));
    // From here on nobody answers: time passes by itself.
    provider.say("/.well-known/openid-configuration", None);
    provider.say("/keys", None);
    tokio::time::pause();
    assert!(matches!(bring(&seen).now_or_never(), Some(Flow::Next)), "its key is at hand");
    tokio::time::advance(Duration::from_secs(2 * 3600)).await;
    let mut first = Box::pin(bring(&seen));
    assert!(first.as_mut().now_or_never().is_none(), "it asks");
    assert!(matches!(bring(&seen).now_or_never(), Some(Flow::Next)), "it waits for nobody");
    let mut stranger = Box::pin(bring(&unseen));
    assert!(stranger.as_mut().now_or_never().is_none(), "the answer may bring its key");
    assert!(matches!(first.await, Flow::Next));
    assert!(matches!(stranger.await, Flow::Refuse(denial) if denial.reason == Refusal::AuthUnavailable));
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!(matches!(bring(&seen).now_or_never(), Some(Flow::Next)), "it is left alone for a while");
}

#[test]
fn users_by_a_name_that_they_may_change_are_warned_of() {
    let warnings =
        |more: &str| testing::warnings("oidc", &format!("issuer = \"https://id.test\"\nclient_id = \"edge\"\n{more}"));
    let warned = warnings("allow_users = \"ann\"");
    assert!(matches!(&warned[..], [one] if one.contains("`preferred_username`")), "{warned:?}");
    for good in ["", "allow_users = \"ann\"\nuser_claim = \"sub\"", "allow_groups = \"team\""] {
        assert_eq!(warnings(good), [""; 0], "{good}");
    }
}

#[test]
fn tokens_of_programs_are_for_somebody_who_is_named() {
    const CLIENT: &str = "issuer = \"https://id.test\"\nclient_id = \"edge\"";
    let faults = |more: &str| testing::faults("oidc", &format!("{CLIENT}\n{more}"));
    for on in ["bearer", "bearer_in_basic"] {
        for missing in ["", "audience = []"] {
            let faults = faults(&format!("{on} = true\n{missing}"));
            assert!(matches!(&faults[..], [one] if one.starts_with("`audience` is missing")), "{faults:?}");
        }
        assert_eq!(faults(&format!("{on} = true\naudience = \"app\"")), [""; 0]);
        assert_eq!(faults(&format!("{on} = false")), [""; 0]);
    }
}
