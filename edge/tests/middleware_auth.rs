//! Logins through the built binary over both protocols of clients: what people and programs get, what servers learn, and
//! what becomes of it all when files break, guesses come in and providers are gone.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod process;
}

use std::fs;

use support::backend::Backend;
use support::curl::Answer;
use support::edge::{PLAIN, TestEdge};
use support::process::eventually;

const PROTOCOLS: [&str; 2] = ["--http1.1", "--http2"];

/// An edge with one route that has these settings, and these files beside it.
fn edge(upstream: &str, rest: &str, files: &[(&str, String)]) -> TestEdge {
    let route = format!("[[route]]\nname = \"app\"\nhost = \"app.test\"\nupstream = \"{upstream}\"\n{rest}\n");
    let ours = [("edge.toml", PLAIN.to_owned()), ("routes/app.toml", route)];
    TestEdge::start(|_| ours.iter().chain(files).map(|(name, text)| ((*name).to_owned(), text.clone())).collect())
}

fn get(edge: &TestEdge, args: &[&str]) -> Answer {
    edge.https("https://app.test/x", args)
}

fn line(user: &str, password: &str) -> String {
    format!("{user}:{}\n", bcrypt::hash(password, 4).expect("a hash"))
}

const BASIC: &str = "use = [\"team\"]\n[middleware.team]\nkind = \"basic-auth\"\nusers_file = \"users\"\n\
                     user_header = \"X-Remote-User\"";

/// Requirement: logins by password.
#[test]
fn a_person_logs_in_and_the_server_and_the_log_know_who() {
    let backend = Backend::echo();
    let edge = edge(&backend.url(), BASIC, &[("users", line("ann", "open sesame"))]);
    for protocol in PROTOCOLS {
        let asked = get(&edge, &[protocol]);
        assert_eq!(
            (asked.status, asked.header("www-authenticate")),
            (401, Some("Basic realm=\"team\", charset=\"UTF-8\""))
        );
        assert!(asked.text().starts_with("401 A valid login is needed.\n"), "{}", asked.text());
        let answer =
            get(&edge, &[protocol, "-u", "ann:open sesame", "-H", "X-Remote-User: root", "-H", "X_Remote_User: root"]);
        let head = answer.text().to_ascii_lowercase();
        assert_eq!(answer.status, 200, "{head}");
        assert!(head.contains("\r\nx-remote-user: ann\r\n") && !head.contains("root"), "{head}");
        assert!(!head.contains("authorization"), "{head}");
        let wrong = get(&edge, &[protocol, "-u", "ann:open"]);
        assert!(wrong.text().starts_with("401 The login is wrong"), "{}", wrong.text());
    }
    edge.logs("\"user\":\"ann\"");
    assert!(!edge.log().contains("sesame"), "no password is logged");
    for reason in ["unauthorized", "bad_login"] {
        edge.counts("edge_refusals_total", &[&format!("reason=\"{reason}\""), "route=\"app\""], 2.0);
    }
}

#[test]
fn a_users_file_that_breaks_while_live_keeps_the_last_good_one_and_says_so() {
    let backend = Backend::hello("hello");
    let edge = edge(&backend.url(), BASIC, &[("users", line("ann", "one"))]);
    let users = edge.path("users");
    let status = |login: &str| get(&edge, &["-u", login]).status;
    let series = "edge_middleware_last_good{middleware=\"team\",route=\"app\"}";
    assert_eq!((status("ann:one"), edge.metric(series)), (200, Some(0.0)));
    fs::write(&users, "ann:one\n").expect("written");
    eventually("the fault is shown", || status("ann:one") == 200 && edge.metric(series) == Some(1.0));
    edge.logs("line 1: user `ann`: the hash is neither bcrypt");
    fs::remove_file(&users).expect("it is there");
    eventually("the login still counts", || status("ann:one") == 200 && edge.log().contains("cannot be read"));
    edge.reload();
    assert_eq!(status("ann:one"), 200, "a reload with a file that is gone closes nothing that serves");
    fs::write(&users, line("bob", "two")).expect("written");
    eventually("the new file counts", || status("bob:two") == 200);
    assert_eq!((status("ann:one"), edge.metric(series)), (401, Some(0.0)));
}

#[test]
fn who_guesses_is_braked() {
    let backend = Backend::hello("hello");
    let settings = format!("{BASIC}\nwrong_logins = 3\nwrong_window = \"1h\"");
    let edge = edge(&backend.url(), &settings, &[("users", line("ann", "one"))]);
    for guess in ["a", "b", "c"] {
        assert_eq!(get(&edge, &["-u", &format!("ann:{guess}")]).status, 401);
    }
    for protocol in PROTOCOLS {
        let answer = get(&edge, &[protocol, "-u", "ann:one"]);
        let wait: u64 = answer.header("retry-after").and_then(|wait| wait.parse().ok()).expect("seconds");
        assert!(answer.status == 429 && (3000..=3600).contains(&wait), "{} {wait}", answer.status);
    }
    edge.counts("edge_refusals_total", &["reason=\"login_throttled\"", "route=\"app\""], 2.0);
    assert_eq!(backend.requests(), 0);
}

/// Requirement: logins by token.
#[test]
fn a_new_token_of_the_command_line_is_good_within_a_second() {
    let backend = Backend::echo();
    let settings = "use = [{ kind = \"api-token\", tokens_file = \"tokens.toml\" }]";
    let run = |args: &[&str]| support::edge::edge(&std::env::temp_dir(), args);
    let (first, second) = (run(&["hash", "--token", "ci"]), run(&["hash", "--token", "nightly"]));
    let edge = edge(&backend.url(), settings, &[("tokens.toml", first.stdout.clone())]);
    let bearer = |ran: &support::process::Ran| {
        let token = ran.stderr.trim_end().rsplit(' ').next().expect("a word").to_owned();
        format!("Authorization: Bearer {token}")
    };
    for protocol in PROTOCOLS {
        let answer = get(&edge, &[protocol, "-H", &bearer(&first)]);
        assert!(answer.status == 200 && !answer.text().to_lowercase().contains("authorization"), "{}", answer.text());
        let foreign = get(&edge, &[protocol, "-H", &bearer(&second)]);
        let challenge = foreign.header("www-authenticate");
        assert_eq!((foreign.status, challenge), (401, Some("Bearer realm=\"api\", error=\"invalid_token\"")));
    }
    let scoped = second.stdout + "methods = [\"GET\"]\npaths = [\"/x\"]\n";
    fs::write(edge.path("tokens.toml"), first.stdout + &scoped).expect("written");
    let token = format!("Authorization: Bearer {}", second.stderr.trim_end().rsplit(' ').next().expect("a word"));
    eventually("the new token counts", || get(&edge, &["-H", &token]).status == 200);
    for (path, method, status) in
        [("/y", "GET", 403), ("/x", "PUT", 403), ("/x/y", "GET", 200), ("/x/%2e%2e/y", "GET", 400)]
    {
        let answer = edge.https(&format!("https://app.test{path}"), &["--path-as-is", "-X", method, "-H", &token]);
        assert_eq!(answer.status, status, "{method} {path}");
    }
}

/// Requirement: logins by another server.
#[test]
fn another_server_decides_and_without_it_nobody_passes() {
    let backend = Backend::echo();
    let provider = Backend::start(|exchange| {
        if exchange.header("cookie") == Some("session=good") {
            return exchange.answer("200 OK", &[("Remote-User", "ann"), ("Set-Cookie", "session=better")], b"");
        }
        let to = format!("https://login.test/?rd={}", exchange.header("x-forwarded-uri").unwrap_or_default());
        exchange.answer("302 Found", &[("Location", &to)], b"log in")
    });
    let settings = format!(
        "use = [{{ kind = \"forward-auth\", url = \"{}/verify\", copy_headers = \"Remote-User\", user_from = \"Remote-User\" }}]",
        provider.url()
    );
    let edge = edge(&backend.url(), &settings, &[]);
    for protocol in PROTOCOLS {
        let asked = get(&edge, &[protocol, "-X", "PUT", "-d", "body"]);
        assert_eq!((asked.status, asked.header("location")), (302, Some("https://login.test/?rd=/x")));
        assert_eq!(asked.text(), "log in");
        let answer = get(&edge, &[protocol, "-H", "Cookie: session=good", "-H", "Remote-User: root", "-d", "body"]);
        let head = answer.text().to_ascii_lowercase();
        assert!(head.contains("\r\nremote-user: ann\r\n") && !head.contains("root"), "{head}");
        assert_eq!((answer.header("x-body-bytes"), answer.header("set-cookie")), (Some("4"), Some("session=better")));
    }
    assert!(provider.heads().iter().all(|head| head.starts_with("GET /verify ")), "{:?}", provider.heads());
    assert!(provider.accepted() < 4, "its connection is used again");
    drop(provider);
    for protocol in PROTOCOLS {
        let answer = get(&edge, &[protocol, "-H", "Cookie: session=good"]);
        assert!(answer.text().starts_with("503 The service that checks logins"), "{}", answer.text());
    }
    edge.logs("the service that checks logins cannot be asked");
    assert_eq!(backend.requests(), 2);
}

/// A stand-in for oauth2-proxy as MIDDLEWARES.md says to run it (`--upstream=static://202 --skip-provider-button`), and the
/// provider behind it, who lets everybody in.
fn oauth2_proxy() -> Backend {
    Backend::start(|exchange| {
        let (target, uri) = (exchange.target().to_owned(), exchange.header("x-forwarded-uri").unwrap_or_default());
        let cookie = exchange.header("cookie").unwrap_or_default().to_owned();
        let state = target.split_once("state=once:").map(|(_, page)| page.to_owned());
        match state {
            // The provider sends people back, and only the browser that was sent there has this cookie.
            Some(page) if target.starts_with("/oauth2/callback?") && cookie.contains("_oauth2_proxy_csrf=once") => {
                let fields =
                    [("Location", page.as_str()), ("Set-Cookie", "_oauth2_proxy=ann; Path=/; HttpOnly; Secure")];
                exchange.answer("302 Found", &fields, b"")
            }
            _ if target == "/" && cookie.contains("_oauth2_proxy=ann") => {
                exchange.answer("202 Accepted", &[("X-Auth-Request-User", "ann")], b"Authenticated")
            }
            _ if target == "/" => {
                let host = exchange.header("x-forwarded-host").unwrap_or_default();
                let back = format!("https://{host}/oauth2/callback");
                let to = format!("https://id.test/authorize?redirect_uri={back}&state=once:{uri}");
                let fields = [("Location", to.as_str()), ("Set-Cookie", "_oauth2_proxy_csrf=once; Path=/; Secure")];
                exchange.answer("302 Found", &fields, b"")
            }
            _ => exchange.answer("403 Forbidden", &[], b"no"),
        }
    })
}

/// Requirement: logins by another server.
#[test]
fn oauth2_proxy_leads_a_browser_to_its_provider_and_back_to_the_page() {
    let (backend, proxy) = (Backend::echo(), oauth2_proxy());
    let login = format!(
        "use = [\"sso\"]\n[middleware.sso]\nkind = \"forward-auth\"\nurl = \"{0}/\"\ncopy_headers = [\"X-Auth-Request-User\"]\n\
         user_from = \"X-Auth-Request-User\"\n\
         [[route]]\nname = \"sign-in\"\nhost = \"app.test\"\npath = \"/oauth2/\"\nupstream = \"{0}\"",
        proxy.url()
    );
    let edge = edge(&backend.url(), &login, &[]);
    for protocol in PROTOCOLS {
        let forged = ["-H", "X-Auth-Request-User: root"];
        let first = get(&edge, &[&[protocol], &forged[..]].concat());
        let to = first.header("location").unwrap_or_default();
        assert_eq!((first.status, to.starts_with("https://id.test/authorize?")), (302, true), "{to}");
        let csrf = first.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie");
        let (_, back) = to.split_once("redirect_uri=").expect("the provider is told where to send people");
        let back = back.replacen("&state=", "?code=1&state=", 1);
        let stranger = edge.https(&back, &[protocol]);
        assert_eq!(stranger.status, 403, "another browser");
        let signed_in = edge.https(&back, &[protocol, "-H", &format!("Cookie: {csrf}")]);
        assert_eq!((signed_in.status, signed_in.header("location")), (302, Some("/x")));
        let session = signed_in.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie");
        let page = get(&edge, &[&[protocol, "-H", &format!("Cookie: {session}")], &forged[..]].concat());
        let head = page.text().to_ascii_lowercase();
        assert_eq!(page.status, 200, "{head}");
        assert!(head.contains("\r\nx-auth-request-user: ann\r\n") && !head.contains("root"), "{head}");
    }
    assert_eq!(backend.requests(), 2, "nobody passes who is not signed in");
}

#[test]
fn a_route_opens_by_itself_once_what_protects_it_is_mended() {
    let backend = Backend::echo();
    let edge = edge(
        &backend.url(),
        "use = [{ kind = \"basic-auth\", users_file = \"users\" }]",
        &[("users", "ann:garbage\n".to_owned())],
    );
    assert_eq!(get(&edge, &["-u", "ann:open sesame"]).status, 503);
    let generation = || edge.metric("edge_config_generation");
    let before = generation();
    fs::write(edge.path("users"), line("ann", "open sesame")).expect("written");
    eventually("it is open", || get(&edge, &["-u", "ann:open sesame"]).status == 200);
    assert_eq!(generation(), before.map(|before| before + 1.0), "looking changes nothing");
    assert_eq!(get(&edge, &[]).status, 401);
}
