//! Orders at a real authority, Pebble, over HTTPS and HTTP-01 on loopback.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test says what went wrong by panicking")]

#[path = "support/pebble.rs"]
mod pebble;
#[path = "support/world.rs"]
mod world;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use acme::{Ca, Challenges, Eab, InstantCa, OrderError, OrderRequest, Settings, SystemClock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use pebble::{Options, Pebble};
use world::{Running, World, list, within};

const NAME: &str = "a.example.test";
const EAB: (&str, &str) = ("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W");

/// What a domain's port 80 says to the authority.
#[derive(Clone, Copy)]
enum Port80 {
    Answers,
    Lies,
}

/// A world, an authority that knows its port 80, and the server on that port.
struct Stage {
    world: World,
    pebble: Pebble,
    _port80: JoinSet<()>,
}

impl Stage {
    async fn new(port80: Port80, change: impl FnOnce(&mut Options)) -> Self {
        let world = World::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut options = Options::new(listener.local_addr().unwrap().port());
        change(&mut options);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, world.challenges.clone(), port80));
        let pebble = Pebble::start(&options);
        Self { world, pebble, _port80: tasks }
    }

    fn settings(&self) -> Settings {
        Settings {
            email: Some("ops@example.test".into()),
            directory: self.pebble.directory.parse().unwrap(),
            ca_file: Some(self.pebble.ca_file.clone()),
            profile: None,
            eab: None,
        }
    }

    fn ca(&self, settings: Settings) -> Arc<InstantCa> {
        let folder = self.world.path("acme/pebble");
        Arc::new(InstantCa::new(settings, &folder, self.world.disk.clone(), SystemTime::now))
    }

    fn start(&self, names: &[&str]) -> Running {
        self.world.start(self.ca(self.settings()), Arc::new(SystemClock), names)
    }

    fn account(&self) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.world.path("acme/pebble/account.json")).unwrap()).unwrap()
    }

    /// How many accounts the authority has, by its own log.
    fn accounts_made(&self) -> usize {
        self.pebble.log().matches("accounts in memory").count()
    }

    async fn heard(&self, words: &str) {
        let told = || self.world.heard.all();
        within(Duration::from_secs(60), words, || {
            let heard = told().iter().any(|line| line.contains(words));
            let failed = told().iter().any(|line| line.starts_with("failed"));
            assert!(heard || !failed || words.starts_with("failed"), "{:?}", told());
            heard
        })
        .await;
    }

    async fn refused(&self, settings: Settings, name: &str) -> OrderError {
        let order = OrderRequest::new(name, settings.profile.clone().as_deref()).unwrap();
        self.ca(settings).issue(&order, &self.world.challenges).await.unwrap_err()
    }
}

/// Port 80: one request a connection.
async fn serve(listener: TcpListener, challenges: Challenges, port80: Port80) {
    while let Ok((stream, _)) = listener.accept().await {
        // The authority hanging up early is its own affair.
        let _ = answer(stream, &challenges, port80).await;
    }
}

async fn answer(mut stream: TcpStream, challenges: &Challenges, port80: Port80) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let token = path.strip_prefix("/.well-known/acme-challenge/").unwrap_or_default();
    let host = head.lines().find_map(|line| line.strip_prefix("Host: ")).unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default();
    let body = match (port80, challenges.answer(host, token)) {
        (Port80::Answers, Some(answer)) => answer.to_string(),
        (Port80::Lies, Some(_)) => "something else".to_owned(),
        (_, None) => String::new(),
    };
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn names_get_certificates_and_a_restart_keeps_them_and_the_account() {
    let stage = Stage::new(Port80::Answers, |_| {}).await;
    let running = stage.start(&[NAME]);
    stage.heard("saved a.example.test 1").await;
    running.wanted.send(list(&[NAME, "b.example.test"])).unwrap();
    stage.heard("saved b.example.test 1").await;
    assert_eq!(mode(&stage.world.path("acme/pebble/account.json")), 0o600);
    assert_eq!(stage.world.challenges.open(), 0);
    let (account, served) = (stage.account(), stage.world.served(NAME));
    running.stop().await;
    fs::remove_dir_all(stage.world.path("certs")).unwrap();
    let running = stage.start(&[NAME]);
    within(Duration::from_secs(60), "another certificate", || stage.world.heard.count("saved a.example.test 1") == 2)
        .await;
    assert_ne!(stage.world.served(NAME), served);
    assert_eq!(stage.account(), account);
    running.stop().await;
}

#[tokio::test]
async fn a_certificate_is_renewed_while_it_is_served() {
    let stage = Stage::new(Port80::Answers, |options| options.validity = 14).await;
    let running = stage.start(&[NAME]);
    stage.heard("saved a.example.test 1").await;
    let served = stage.world.served(NAME);
    stage.heard("saved a.example.test 2").await;
    assert_eq!(stage.world.heard.count("renewed a.example.test"), 1);
    assert_ne!(stage.world.served(NAME), served);
    running.stop().await;
}

#[tokio::test]
async fn an_account_is_bound_where_the_authority_wants_it() {
    let stage = Stage::new(Port80::Answers, |options| options.eab = Some(EAB)).await;
    let without = stage.refused(stage.settings(), NAME).await;
    assert!(matches!(&without, OrderError::Refused { kind, .. } if kind == "externalAccountRequired"), "{without}");
    assert!(without.to_string().contains("set [acme] eab"));
    let wrong = Settings { eab: Some(Eab::new(EAB.0, "c2VjcmV0").unwrap()), ..stage.settings() };
    let wrong = stage.refused(wrong, NAME).await;
    assert_eq!(wrong.kind(), "refused", "{wrong}");
    let right = Settings { eab: Some(Eab::new(EAB.0, EAB.1).unwrap()), ..stage.settings() };
    let order = OrderRequest::new(NAME, None).unwrap();
    let issued = stage.ca(right).issue(&order, &stage.world.challenges).await.unwrap();
    assert!(issued.entry.covers(NAME) && issued.account_unsaved.is_none());
}

#[tokio::test]
async fn two_first_orders_at_once_make_one_account() {
    let stage = Stage::new(Port80::Answers, |_| {}).await;
    let ca = stage.ca(stage.settings());
    let orders = ["a.example.test", "b.example.test"].map(|name| OrderRequest::new(name, None).unwrap());
    let [one, two] = &orders;
    let challenges = &stage.world.challenges;
    let (one, two) = tokio::join!(ca.issue(one, challenges), ca.issue(two, challenges));
    assert!(one.unwrap().entry.covers("a.example.test") && two.unwrap().entry.covers("b.example.test"));
    assert_eq!(stage.accounts_made(), 1);
}

#[tokio::test]
async fn an_authority_that_cannot_be_reached_is_named_and_asked_again_later() {
    let stage = Stage::new(Port80::Answers, |_| {}).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let directory = format!("https://127.0.0.1:{nobody}/dir");
    let settings = Settings { directory: directory.parse().unwrap(), ..stage.settings() };
    let running = stage.world.start(stage.ca(settings), Arc::new(SystemClock), &[NAME]);
    stage.heard("failed a.example.test unreachable").await;
    let told = stage.world.heard.all().join("\n");
    assert!(
        told.contains("cannot be reached while opening the account") && told.contains("check the network"),
        "{told}"
    );
    let status = running.handle.status();
    assert!(status[0].next_try.unwrap() > SystemTime::now());
    running.stop().await;
    let running = stage.start(&[NAME]);
    assert_eq!(running.handle.status()[0].attempts, 1);
    assert!(running.handle.renew_now(NAME));
    within(Duration::from_secs(60), "the certificate", || stage.world.heard.count("saved") == 1).await;
    running.stop().await;
}

#[tokio::test]
async fn a_server_that_is_not_trusted_is_not_believed() {
    let stage = Stage::new(Port80::Answers, |_| {}).await;
    let other = Stage::new(Port80::Answers, |_| {}).await;
    let settings = Settings { ca_file: Some(other.pebble.ca_file.clone()), ..stage.settings() };
    let error = stage.refused(settings, NAME).await.to_string();
    assert!(error.contains("UnknownIssuer") || error.contains("certificate"), "{error}");
}

#[tokio::test]
async fn a_name_that_the_authority_refuses_is_told_with_its_words() {
    let stage = Stage::new(Port80::Answers, |_| {}).await;
    let error = stage.refused(stage.settings(), "x.blocked.example.test").await;
    assert!(matches!(&error, OrderError::Refused { kind, .. } if kind == "rejectedIdentifier"), "{error}");
    assert!(error.to_string().contains("use another issuer"));
}

#[tokio::test]
async fn a_wrong_answer_and_no_answer_at_all_are_failed_challenges() {
    let stage = Stage::new(Port80::Lies, |_| {}).await;
    let error = stage.refused(stage.settings(), NAME).await;
    assert!(matches!(&error, OrderError::ChallengeFailed { name, .. } if name == NAME), "{error}");
    assert!(error.to_string().contains("port 80"));
    assert_eq!(stage.world.challenges.open(), 0);
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let stage = Stage::new(Port80::Answers, |options| options.http_port = nobody).await;
    let error = stage.refused(stage.settings(), NAME).await;
    assert!(matches!(&error, OrderError::ChallengeFailed { kind, .. } if kind == "connection"), "{error}");
}

#[tokio::test]
async fn a_profile_that_is_not_offered_is_refused_before_the_order() {
    let stage = Stage::new(Port80::Answers, |_| {}).await;
    let settings = Settings { profile: Some("no-such-profile".into()), ..stage.settings() };
    let error = stage.refused(settings, NAME).await;
    assert!(matches!(error, OrderError::Profile { .. }), "{error}");
}

#[tokio::test]
async fn with_a_full_disk_account_and_certificate_are_used_from_memory_and_saved_later() {
    let stage = Stage::new(Port80::Answers, |_| {}).await;
    stage.world.disk.fill(true);
    let running = stage.start(&[NAME]);
    stage.heard("unsaved a.example.test certificate").await;
    stage.heard("unsaved a.example.test ACME account").await;
    assert!(stage.world.served(NAME).is_some());
    assert!(!stage.world.path("acme/pebble/account.json").exists());
    stage.world.disk.fill(false);
    assert!(running.handle.renew_now(NAME));
    stage.heard("saved a.example.test 1").await;
    assert_eq!(stage.accounts_made(), 1);
    running.stop().await;
}

#[tokio::test]
async fn an_account_file_of_another_authority_or_a_damaged_one_is_told_with_its_path() {
    let stage = Stage::new(Port80::Answers, |_| {}).await;
    let path = stage.world.path("acme/pebble/account.json");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    for text in ["", "{}", r#"{"id":"x","key_pkcs8":"AAAA","directory":"https://other.example/dir"}"#] {
        fs::write(&path, text).unwrap();
        let error = stage.refused(stage.settings(), NAME).await;
        assert!(matches!(error, OrderError::AccountFile { .. }), "{error}");
        assert!(error.to_string().contains("account.json"));
    }
    let (directory, key) = (&stage.pebble.directory, "AAAA");
    fs::write(&path, format!(r#"{{"id":"x","key_pkcs8":"{key}","directory":"{directory}"}}"#)).unwrap();
    let error = stage.refused(stage.settings(), NAME).await;
    assert!(matches!(error, OrderError::AccountFile { .. }), "{error}");
}
