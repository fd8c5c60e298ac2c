//! Logins at a real OpenID Connect provider through the built binary: people with a browser's cookies, programs with
//! tokens, and everything that is not quite a login.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod oidc;
    pub(crate) mod process;
    pub(crate) mod wire;
}

use serde_json::json;
use support::backend::Backend;
use support::curl::Answer;
use support::edge::TestEdge;
use support::oidc::{CLIENT, Oidc};
use support::process::eventually;
use support::wire::TlsClient;
use tempfile::NamedTempFile;

const PROTOCOLS: [&str; 2] = ["--http1.1", "--http2"];
const CALLBACK: &str = "https://app.test/.edge/oidc/callback";
const REDIRECTS: [&str; 2] = [CALLBACK, "https://app.test/"];
const MAY: &str = "allow_groups = [\"team\", \"robots\"]\nheaders = { x-forwarded-user = \"preferred_username\", x-groups = \"groups\" }";

fn edge(provider: &Oidc, upstream: &str, rest: &str) -> TestEdge {
    TestEdge::with_routes(&[("app.toml", &route(provider, upstream, rest))])
}

fn route(provider: &Oidc, upstream: &str, rest: &str) -> String {
    let (issuer, (id, secret)) = (&provider.issuer, CLIENT);
    format!(
        "[[route]]\nname = \"app\"\nhost = \"app.test\"\nupstream = \"{upstream}\"\nuse = [\"people\"]\n\
         [middleware.people]\nkind = \"oidc\"\nissuer = \"{issuer}\"\nclient_id = \"{id}\"\nclient_secret = \"{secret}\"\n\
         scopes = [\"profile\", \"email\", \"groups\"]\n{rest}\n"
    )
}

fn programs(audience: &str) -> String {
    format!("{MAY}\nbearer = true\nbearer_in_basic = true\naudience = \"{audience}\"")
}

/// Cookies of one browser.
struct Browser {
    jar: NamedTempFile,
    protocol: &'static str,
}

impl Browser {
    fn new(protocol: &'static str) -> Self {
        Self { jar: NamedTempFile::new().expect("a temporary file"), protocol }
    }

    /// As a page that is opened.
    #[track_caller]
    fn open(&self, edge: &TestEdge, url: &str) -> Answer {
        self.ask(edge, url, &["-H", "Accept: text/html,*/*"])
    }

    #[track_caller]
    fn ask(&self, edge: &TestEdge, url: &str, args: &[&str]) -> Answer {
        let jar = self.jar.path().display().to_string();
        let url = if url.starts_with('/') { format!("https://app.test{url}") } else { url.to_owned() };
        edge.https(&url, &[&["--path-as-is", self.protocol, "--cookie", &jar, "--cookie-jar", &jar], args].concat())
    }

    /// Opens a page and logs in on the way: what is seen in the end.
    #[track_caller]
    fn log_in(&self, edge: &TestEdge, provider: &Oidc, path: &str, user: &str) -> Answer {
        let back = self.begin(edge, provider, path, user);
        let answer = self.open(edge, &back);
        assert_eq!(answer.status, 303, "{}", answer.text());
        self.open(edge, location(&answer))
    }

    /// Opens a page and logs in at the provider: the address that this leads back to.
    #[track_caller]
    fn begin(&self, edge: &TestEdge, provider: &Oidc, path: &str, user: &str) -> String {
        let answer = self.open(edge, path);
        assert_eq!(answer.status, 302, "{}", answer.text());
        provider.log_in(location(&answer), user)
    }

    /// Name and value of each cookie.
    fn cookies(&self) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.jar.path()).expect("curl writes it");
        let fields = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        fields.filter(|fields| fields.len() == 7).map(|fields| (fields[5].to_owned(), fields[6].to_owned())).collect()
    }

    #[track_caller]
    fn session(&self) -> (String, String) {
        let mut cookies = self.cookies().into_iter().filter(|(name, _)| !name.contains("-login-"));
        cookies.next().expect("a session")
    }
}

#[track_caller]
fn location(answer: &Answer) -> &str {
    answer.header("location").unwrap_or_else(|| panic!("{}: {}", answer.status, answer.text()))
}

#[track_caller]
fn count(edge: &TestEdge, result: &str) -> f64 {
    edge.metric_sum("edge_logins_total", &[&format!("result=\"{result}\"")])
}

fn api(edge: &TestEdge, protocol: &str, args: &[&str]) -> Answer {
    edge.https("https://app.test/api", &[&[protocol], args].concat())
}

/// Requirement: logins by OpenID Connect.
#[test]
fn a_person_logs_in_sees_the_page_that_was_asked_for_and_logs_out() {
    let (provider, backend) = (Oidc::start(&REDIRECTS), Backend::echo());
    let edge = edge(&provider, &backend.url(), MAY);
    for protocol in PROTOCOLS {
        let browser = Browser::new(protocol);
        let page = browser.log_in(&edge, &provider, "/runs//7?a=1&b=%2F", "alice");
        let seen = page.text();
        assert!(seen.starts_with("GET /runs//7?a=1&b=%2F HTTP/1.1\r\n"), "{seen}");
        assert!(seen.contains("x-forwarded-user: alice\r\n") && seen.contains("x-groups: team\r\n"), "{seen}");
        let (name, _) = browser.session();
        assert!(name.starts_with("__Host-edge-"), "{name}");
        let args = [
            "-H",
            "Cookie: theme=dark",
            "-H",
            "X-Forwarded-User: root",
            "-H",
            "X_Groups: root",
            "-H",
            "X-Groups: root",
        ];
        let seen = browser.ask(&edge, "/", &args).text();
        assert!(seen.contains("theme=dark") && !seen.contains("edge-") && !seen.contains("root"), "{seen}");
        let own = browser.ask(&edge, "/", &["-H", "Authorization: Basic b3duOnVzZQ=="]).text();
        assert!(own.contains(": Basic b3duOnVzZQ==\r\n"), "not the edge's: {own}");
        for args in [&["--head"][..], &["-X", "OPTIONS"], &["-d", "x"], &["-X", "DELETE"]] {
            assert_eq!(browser.ask(&edge, "/", args).status, 200, "{args:?}");
        }
        edge.logs("\"user\":\"alice\"");
        let bye = browser.open(&edge, "/.edge/oidc/logout");
        assert_eq!(bye.status, 303);
        let to = location(&bye);
        assert!(to.starts_with(&format!("{}/session/end?client_id=edge", provider.issuer)), "{to}");
        assert!(to.ends_with("post_logout_redirect_uri=https%3A%2F%2Fapp.test%2F"), "{to}");
        assert_eq!(support::curl::curl(&[to]).status, 200, "the provider knows what to do");
        assert!(browser.cookies().is_empty());
        assert_eq!(browser.open(&edge, "/").status, 302);
    }
    assert_eq!((count(&edge, "done"), count(&edge, "logged_out")), (2.0, 2.0));
}

/// Browsers send the cookie of a session to every route of its host.
#[test]
fn servers_of_other_routes_of_the_host_do_not_see_the_session() {
    let (provider, backend) = (Oidc::start(&REDIRECTS), Backend::echo());
    let open = "[[route]]\nname = \"open\"\nhost = \"app.test\"\npath = \"/open/\"\n";
    let more = format!("{open}upstream = \"{}\"\n", backend.url());
    let edge = edge(&provider, &backend.url(), &format!("{MAY}\n{more}"));
    for protocol in PROTOCOLS {
        let browser = Browser::new(protocol);
        browser.log_in(&edge, &provider, "/", "alice");
        let seen = browser.ask(&edge, "/open/x", &["-H", "Cookie: theme=dark"]).text();
        assert!(seen.starts_with("GET /open/x "), "{seen}");
        assert!(seen.contains("theme=dark") && !seen.contains("__Host-"), "{seen}");
    }
}

#[test]
fn who_has_not_logged_in_is_led_to_the_provider_or_refused() {
    let (provider, backend) = (Oidc::start(&REDIRECTS), Backend::echo());
    let edge = edge(&provider, &backend.url(), MAY);
    for protocol in PROTOCOLS {
        let page = ["-H", "Accept: text/html"];
        let answer = api(&edge, protocol, &page);
        assert_eq!((answer.status, answer.header("cache-control")), (302, Some("no-store")));
        let cookie = answer.header("set-cookie").expect("the login in flight");
        assert!(cookie.starts_with("__Host-edge-") && cookie.ends_with("; Secure; HttpOnly; SameSite=Lax"), "{cookie}");
        for field in ["code_challenge_method=S256", "response_type=code", "scope=openid+profile+email+groups", "nonce="]
        {
            assert!(location(&answer).contains(field), "{}", location(&answer));
        }
        assert_eq!(api(&edge, protocol, &["--head", "-H", "Accept: text/html"]).status, 302);
        for args in [
            &[][..],
            &["-H", "Accept: application/json"],
            &["-H", "Accept: text/html", "-H", "X-Requested-With: XMLHttpRequest"],
            &["-H", "Accept: text/html", "-H", "Sec-Fetch-Mode: cors"],
            &["-H", "Accept: text/html", "-X", "OPTIONS"],
            &["-H", "Accept: text/html", "-d", "x"],
            &["--head"],
            &["-H", "Authorization: Bearer a.b.c"],
            &["-H", "Cookie: __Host-edge=1.x; session"],
        ] {
            let answer = api(&edge, protocol, args);
            assert_eq!(answer.status, 401, "{args:?}");
            let challenge = answer.header("www-authenticate").expect("a challenge");
            assert!(challenge.starts_with("Cookie realm=\"app.test\""), "{challenge}");
        }
    }
    assert_eq!(backend.requests(), 0, "nothing of it reached the server");
}

#[test]
fn a_websocket_passes_with_the_cookie_and_not_without() {
    let (provider, backend) = (Oidc::start(&REDIRECTS), Backend::websocket());
    let edge = edge(&provider, &backend.url(), MAY);
    let browser = Browser::new("--http1.1");
    let back = browser.begin(&edge, &provider, "/", "alice");
    assert_eq!(browser.open(&edge, &back).status, 303);
    let upgrade = |cookie: &str| {
        let mut wire = TlsClient::new(&edge).connect("app.test");
        wire.send(format!(
            "GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAccept: text/html\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{cookie}\r\n"
        ));
        wire.answer().status
    };
    assert_eq!(upgrade(""), 401);
    let (name, value) = browser.session();
    assert_eq!(upgrade(&format!("Cookie: {name}={value}x\r\n")), 401);
    assert_eq!(upgrade(&format!("Cookie: {name}={value}\r\n")), 101);
}

#[test]
fn cookies_that_were_changed_or_are_for_something_else_are_no_login() {
    let (provider, backend) = (Oidc::start(&REDIRECTS), Backend::echo());
    let mut routes = route(&provider, &backend.url(), MAY);
    let other = routes.replace("[[route]]\nname = \"app\"", "[[route]]\nname = \"other\"\npath = \"/other/\"");
    routes.push_str(&other.replace("people", "others").replace("scopes", "cookie = { name = \"other\" }\nscopes"));
    let edge = TestEdge::with_routes(&[("app.toml", &routes)]);
    let browser = Browser::new("--http2");
    assert_eq!(browser.log_in(&edge, &provider, "/", "alice").status, 200);
    let (name, value) = browser.session();
    let with = |cookie: &str, path: &str, accept: &str| {
        edge.https(&format!("https://app.test{path}"), &["-H", &format!("Cookie: {cookie}"), "-H", accept])
    };
    let page = "Accept: text/html";
    assert_eq!(with(&format!("{name}={value}"), "/", page).status, 200);
    let bad = count(&edge, "bad_session");
    let middle = value.len() / 2;
    let flipped = if &value[middle..=middle] == "A" { "B" } else { "A" };
    let changed = format!("{}{flipped}{}", &value[..middle], &value[middle + 1..]);
    assert_eq!(with(&format!("{name}={changed}"), "/", page).status, 302);
    let refused = with(&format!("{name}={changed}"), "/", "Accept: */*");
    assert_eq!(refused.status, 401);
    assert!(refused.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")), "it is taken back");
    assert_eq!(with(&format!("{name}={}", &value[..middle]), "/", page).status, 302);
    assert_eq!(with(&format!("__Host-other={value}"), "/other/", page).status, 302, "a login of another middleware");
    let asked = with("", "/", page);
    let login =
        asked.header("set-cookie").and_then(|cookie| cookie.split([';', '=']).nth(1)).expect("a login in flight");
    assert_eq!(with(&format!("{name}=1.{login}"), "/", page).status, 302, "a login in flight is none");
    assert_eq!(count(&edge, "bad_session") - bad, 5.0);
}

#[test]
fn an_answer_is_taken_once_by_the_browser_that_asked_and_as_it_was_sent() {
    let (provider, backend) = (Oidc::start(&REDIRECTS), Backend::echo());
    let edge = edge(&provider, &backend.url(), MAY);
    let (browser, stranger) = (Browser::new("--http2"), Browser::new("--http2"));
    let refused = |browser: &Browser, url: &str, words: &str| {
        let answer = browser.open(&edge, url);
        assert_eq!(answer.status, 401, "{url}: {}", answer.text());
        assert!(answer.text().contains(words), "{url}: {}", answer.text());
        assert!(browser.cookies().iter().all(|(name, _)| name.contains("-login-")), "{:?}", browser.cookies());
    };
    let back = browser.begin(&edge, &provider, "/", "alice");
    refused(&stranger, &back, "begun in another browser");
    let theirs = stranger.begin(&edge, &provider, "/", "bob");
    refused(&browser, &theirs, "begun in another browser");
    let state = back.split("state=").nth(1).and_then(|rest| rest.split('&').next()).expect("a state").to_owned();
    refused(&browser, &back.replace(&state, &format!("{}AAAA", &state[..state.len() - 4])), "begun in another browser");
    refused(&browser, CALLBACK, "begun in another browser");
    refused(&browser, &format!("{CALLBACK}?state={}", "%00".repeat(20)), "begun in another browser");
    // The code of somebody else in an own answer: its verifier is another one.
    let code =
        |url: &str| url.split("code=").nth(1).and_then(|rest| rest.split('&').next()).expect("a code").to_owned();
    refused(&browser, &back.replace(&code(&back), &code(&theirs)), "has not accepted its own answer");
    refused(&browser, &back, "begun in another browser");
    let back = browser.begin(&edge, &provider, "/", "alice");
    refused(&browser, &back.replace("iss=http", "iss=https"), "of another provider");
    let back = browser.begin(&edge, &provider, "/", "alice");
    refused(&browser, &format!("{back}&iss=https%3A%2F%2Fevil.test"), "begun in another browser");
    let used = Browser::new("--http2");
    let back = used.begin(&edge, &provider, "/", "alice");
    assert_eq!(used.open(&edge, &back).status, 303);
    assert_eq!(location(&used.open(&edge, &back)), "https://app.test/", "who goes back in the history is logged in");
}

#[test]
fn tabs_log_in_side_by_side_and_forgotten_ones_are_dropped() {
    let (provider, backend) = (Oidc::start(&REDIRECTS), Backend::echo());
    let edge = edge(&provider, &backend.url(), MAY);
    let browser = Browser::new("--http2");
    let tabs = ["/a", "/b", "/c"].map(|path| (path, browser.begin(&edge, &provider, path, "alice")));
    for (path, back) in tabs {
        assert_eq!(location(&browser.open(&edge, &back)), format!("https://app.test{path}"));
    }
    let browser = Browser::new("--http2");
    for _ in 0..12 {
        assert_eq!(browser.open(&edge, "/").status, 302);
    }
    assert_eq!(browser.cookies().len(), 5);
    assert_eq!(browser.log_in(&edge, &provider, "/", "alice").status, 200, "the newest stays");
}

#[test]
fn the_way_back_never_leads_to_another_host() {
    let (provider, backend) = (Oidc::start(&REDIRECTS), Backend::echo());
    let raw = route(&provider, &backend.url(), MAY).replace("use =", "path_policy = \"raw\"\nuse =");
    let edge = TestEdge::with_routes(&[("app.toml", &raw)]);
    for path in ["//evil.test/", "//evil.test//x?y=//z", "/%2f/evil.test", "/\\evil.test", "/@evil.test"] {
        let browser = Browser::new("--http1.1");
        let answer = browser.open(&edge, path);
        if answer.status == 400 {
            continue;
        }
        let back = provider.log_in(location(&answer), "alice");
        let to = browser.open(&edge, &back);
        assert_eq!(location(&to), format!("https://app.test{path}"));
    }
}

#[test]
fn who_is_in_no_group_may_not_and_can_log_out() {
    let (provider, backend) = (Oidc::start(&REDIRECTS), Backend::echo());
    let edge = edge(&provider, &backend.url(), MAY);
    let browser = Browser::new("--http2");
    let answer = browser.log_in(&edge, &provider, "/", "bob");
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("log out first: /.edge/oidc/logout"), "{}", answer.text());
    assert_eq!(backend.requests(), 0);
    browser.open(&edge, "/.edge/oidc/logout");
    assert_eq!(browser.log_in(&edge, &provider, "/", "alice").status, 200);
}

#[test]
fn programs_come_with_tokens_for_this_place_alone() {
    const HERE: &str = "https://app.test";
    let provider = Oidc::start_with(&REDIRECTS, &json!({"ClientCredentials": 1}));
    let lasting = Oidc::start(&REDIRECTS);
    let backend = Backend::echo();
    let (short, long) =
        (edge(&provider, &backend.url(), &programs(HERE)), edge(&lasting, &backend.url(), &programs(HERE)));
    for protocol in PROTOCOLS {
        let bearer =
            |edge: &TestEdge, token: &str| api(edge, protocol, &["-H", &format!("Authorization: Bearer {token}")]);
        let token = lasting.robot_token(HERE);
        let seen = bearer(&long, &token).text().to_ascii_lowercase();
        assert!(seen.starts_with("get /api") && seen.contains("x-groups: robots\r\n"), "{seen}");
        assert!(!seen.contains("authorization"), "the server does not see the token: {seen}");
        let basic = api(&long, protocol, &["--user", &format!("anybody:{token}")]);
        assert_eq!(basic.status, 200, "{}", basic.text());
        let foreign = bearer(&long, &lasting.robot_token("https://other.test"));
        assert_eq!(foreign.status, 401);
        assert!(foreign.text().contains("it is for another audience"), "{}", foreign.text());
        let (head, rest) = token.split_once('.').expect("three parts");
        for bad in [format!("{token}x"), format!("{head}.e30.{rest}"), "a.b.c".into(), String::new(), "x".repeat(9000)]
        {
            assert_eq!(bearer(&long, &bad).status, 401, "{bad:.40}");
        }
        let other = bearer(&long, &provider.robot_token(HERE));
        assert!(other.text().contains("key that is not known here"), "{}", other.text());
        let wrong = api(&long, protocol, &["--user", "anybody:secret"]);
        assert_eq!(
            (wrong.status, wrong.header("www-authenticate")),
            (401, Some("Basic realm=\"app.test\", charset=\"UTF-8\""))
        );
        let page = api(&long, protocol, &["-H", "Sec-Fetch-Mode: cors"]);
        assert_eq!(page.header("www-authenticate"), Some("Bearer realm=\"app.test\""), "no window in a browser");
        let token = provider.robot_token(HERE);
        eventually("a token expires", || bearer(&short, &token).text().contains("it has expired"));
    }
    assert!(count(&long, "bad_token") >= 14.0);
}

#[test]
fn new_keys_of_the_provider_are_found_and_old_ones_forgotten() {
    const HERE: &str = "https://app.test";
    let (mut provider, backend) = (Oidc::start(&REDIRECTS), Backend::echo());
    let edge = edge(&provider, &backend.url(), &programs(HERE));
    let bearer = |token: &str| api(&edge, "--http2", &["-H", &format!("Authorization: Bearer {token}")]).status;
    let old = provider.robot_token(HERE);
    assert_eq!(bearer(&old), 200);
    provider.rotate_keys();
    assert_eq!(bearer(&old), 200, "nobody has told");
    let new = provider.robot_token(HERE);
    assert_eq!((bearer(&new), bearer(&old)), (200, 401));
    provider.stop();
    provider.start_again();
    let browser = Browser::new("--http2");
    assert_eq!(browser.log_in(&edge, &provider, "/", "alice").status, 200, "whoever asks for keys");
}

#[test]
fn a_provider_that_is_down_stops_new_logins_alone() {
    const HERE: &str = "https://app.test";
    let (mut provider, backend) = (Oidc::start(&REDIRECTS), Backend::echo());
    let token = provider.robot_token(HERE);
    provider.stop();
    let edge = edge(&provider, &backend.url(), &programs(HERE));
    let bearer = format!("Authorization: Bearer {token}");
    let browser = Browser::new("--http2");
    let down = |edge: &TestEdge| {
        let answers = [Browser::new("--http2").open(edge, "/"), api(edge, "--http1.1", &["-H", &bearer])];
        answers.map(|answer| {
            (answer.status, answer.text().contains("cannot be asked now"), answer.header("retry-after").is_some())
        })
    };
    assert_eq!(down(&edge), [(503, true, true); 2]);
    assert_eq!(api(&edge, "--http2", &[]).status, 401, "this needs no provider");
    assert_eq!(browser.open(&edge, "/.edge/oidc/logout").status, 200);
    provider.start_again();
    eventually("the provider is asked again", || browser.open(&edge, "/").status == 302);
    assert_eq!(browser.log_in(&edge, &provider, "/", "alice").status, 200);
    let token = provider.robot_token(HERE);
    let bearer = format!("Authorization: Bearer {token}");
    let program = || api(&edge, "--http1.1", &["-H", &bearer]).status;
    eventually("the new keys are found", || program() == 200);
    provider.stop();
    assert_eq!((browser.open(&edge, "/").status, program()), (200, 200), "who is in stays in");
    let stranger = Browser::new("--http2");
    let page = stranger.open(&edge, "/");
    assert_eq!(page.status, 302, "where to is known still");
    edge.counts_at_least("edge_refusals_total", &["reason=\"auth_unavailable\""], 2.0);
}

#[test]
fn people_stay_logged_in_over_a_restart() {
    let (provider, backend) = (Oidc::start(&REDIRECTS), Backend::echo());
    let mut edge = edge(&provider, &backend.url(), MAY);
    let browser = Browser::new("--http2");
    assert_eq!(browser.log_in(&edge, &provider, "/", "alice").status, 200);
    edge.restart();
    assert_eq!(browser.open(&edge, "/").status, 200);
    edge.write_route("app.toml", &route(&provider, &backend.url(), &MAY.replace("team", "nobody")));
    edge.reload().success();
    assert_eq!(browser.open(&edge, "/").status, 302, "other rules ask again");
    let answer = browser.log_in(&edge, &provider, "/", "alice");
    assert_eq!(answer.status, 403);
}

#[test]
fn a_session_ends_when_nobody_uses_it() {
    let (provider, backend) = (Oidc::start(&REDIRECTS), Backend::echo());
    let edge = edge(&provider, &backend.url(), &format!("{MAY}\nsession = {{ idle = \"10s\" }}"));
    let browser = Browser::new("--http2");
    assert_eq!(browser.log_in(&edge, &provider, "/", "alice").status, 200);
    let (name, value) = browser.session();
    let cookie = format!("Cookie: {name}={value}");
    eventually("the cookie of the login is too old", || {
        // The browser that goes on gets newer ones.
        assert_eq!(browser.open(&edge, "/").status, 200);
        api(&edge, "--http2", &["-H", &cookie]).status == 401
    });
}

/// Logs in where consent is asked for too, as it is for a refresh token: the address that this leads back to.
#[track_caller]
fn log_in_and_consent(provider: &Oidc, authorize: &str, user: &str) -> String {
    let jar = NamedTempFile::new().expect("a temporary file");
    let jar = jar.path().display().to_string();
    let mut next = authorize.to_owned();
    while next.starts_with(&provider.issuer) {
        let ask =
            |more: &[&str]| support::curl::curl(&[&["--cookie", &jar, "--cookie-jar", &jar, &next], more].concat());
        let mut answer = ask(&[]);
        if answer.status == 200 {
            let name = format!("login={user}");
            let is_login = answer.text().contains("name=\"login\"");
            let form: &[&str] = if is_login {
                &["-d", "prompt=login", "-d", &name, "-d", "password=any"]
            } else {
                &["-d", "prompt=consent"]
            };
            answer = ask(form);
        }
        let to = location(&answer);
        next = if to.starts_with('/') { format!("{}{to}", provider.issuer) } else { to.to_owned() };
    }
    next
}

#[test]
fn the_provider_is_asked_again_and_can_end_a_session() {
    let (mut provider, backend) = (Oidc::start(&REDIRECTS), Backend::echo());
    let more = format!("{MAY}\nparameters = {{ prompt = \"consent\" }}\nsession = {{ refresh = \"1s\" }}");
    let routes =
        route(&provider, &backend.url(), &more).replace("\"groups\"]\nallow", "\"groups\", \"offline_access\"]\nallow");
    let edge = TestEdge::with_routes(&[("app.toml", &routes)]);
    let browser = Browser::new("--http2");
    let back = log_in_and_consent(&provider, location(&browser.open(&edge, "/")), "alice");
    assert_eq!(browser.open(&edge, &back).status, 303);
    let mut seen = Answer::default();
    eventually("the provider is asked again", || {
        seen = browser.open(&edge, "/");
        count(&edge, "refreshed") >= 2.0
    });
    assert_eq!(seen.status, 200, "{}", seen.text());
    assert!(seen.text().contains("x-groups: team\r\n"), "{}", seen.text());
    provider.stop();
    let before = browser.session();
    eventually("it is to be asked again", || {
        seen = browser.open(&edge, "/");
        browser.session() != before
    });
    assert_eq!(seen.status, 200, "a provider that is down ends no session: {}", seen.text());
    provider.start_again();
    eventually("one that does not know it any more does", || browser.open(&edge, "/").status == 302);
    assert!(count(&edge, "ended") >= 1.0);
}

#[test]
fn bad_settings_are_told_with_their_place() {
    let provider = Oidc::start(&REDIRECTS);
    let edge = edge(&provider, "http://127.0.0.1:9", MAY);
    for (bad, words) in [
        ("callback = \"relative\"", "is not a path that the edge can answer"),
        ("callback = \"/a/../b\"", "is not a path that the edge can answer"),
        ("logout = \"/.edge/oidc/callback\"", "are the same path"),
        ("cookie_secret = \"short\"", "fewer than 32 characters"),
        ("cookie = { name = \"a b\" }", "is not a name for this cookie"),
        ("cookie = { domain = \"com\" }", "is not a domain that cookies can be shared below"),
        ("session = { idle = \"0\" }", "for so short a time"),
        ("ca_file = \"missing.pem\"", "does not exist"),
        ("headers = { cookie = \"sub\" }", "cannot carry a claim"),
        ("unauthenticated = \"never\"", "unauthenticated"),
        ("groups = \"x\"", "groups"),
        ("parameters = { state = \"x\" }", "is set by the edge itself"),
        ("bearer = true", "`audience` is missing"),
    ] {
        edge.write_route("app.toml", &route(&provider, "http://127.0.0.1:9", bad));
        let said = edge.command(&["check"]);
        assert!(!said.status.success() && said.stdout.contains(words), "{bad}: {}", said.stdout);
        assert!(said.stdout.contains("app.toml:"), "{}", said.stdout);
    }
}
