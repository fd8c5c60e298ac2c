//! pgAdmin 4 behind the edge: it believes two headers from anybody, which must not be anybody.

mod support {
    pub(crate) mod clients;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod pgadmin;
    pub(crate) mod process;
}

use support::clients::script;
use support::curl::curl;
use support::edge::TestEdge;
use support::pgadmin::{ACCOUNT, PgAdmin};
use support::process::run;

/// What a stranger may send, in the spellings that a server could take for the same.
const FORGED: [&str; 6] = [
    "X-Script-Name: /evil",
    "x-script-name: /evil",
    "X_Script_Name: /evil",
    "X-Script_Name: /evil",
    "X-Scheme: http",
    "X-Forwarded-Prefix: /evil",
];

fn log_in(edge: &TestEdge, url: &str) {
    run(script(edge, "pgadmin_client.py").args([url, ACCOUNT.0, ACCOUNT.1])).success();
}

/// Requirements: untrusted headers are stripped; Host is kept with its port, which its CSRF check compares.
#[test]
fn forged_names_and_schemes_have_no_effect() {
    let pgadmin = PgAdmin::start();
    let trap = curl(&[&pgadmin.url, "-H", "X-Script-Name: /evil"]);
    assert!(trap.header("location").is_some_and(|to| to.contains("/evil/")), "the trap is there: {:?}", trap.headers);
    let below = "use = [{ kind = \"headers\", request = { set = { x-script-name = \"/pgadmin\" } } }]";
    let routes = format!(
        "[[route]]\nname = \"pgadmin\"\nhost = \"pg.test\"\npreset = \"pgadmin\"\nupstream = \"{url}\"\n\
         [[route]]\nname = \"below\"\nhost = \"tools.test\"\npath = \"/pgadmin\"\npreset = \"pgadmin\"\nupstream = \"{url}\"\n{below}\n",
        url = pgadmin.url
    );
    let edge = TestEdge::with_routes(&[("pgadmin.toml", &routes)]);
    let url = |host: &str| format!("https://{host}.test:{}", edge.address("https").port());
    for flag in ["--http1.1", "--http2"] {
        let honest = edge.https(&url("pg"), &[flag]);
        let honest = (honest.status, honest.header("location").map(str::to_owned));
        assert!(honest.0 == 302 && honest.1.as_ref().is_some_and(|to| to.contains("/login")), "{honest:?}");
        for forged in FORGED {
            let answer = edge.https(&url("pg"), &[flag, "-H", forged]);
            let answer = (answer.status, answer.header("location").map(str::to_owned));
            assert_eq!(answer, honest, "{forged}");
        }
    }
    log_in(&edge, &url("pg"));
    it_lives_below_a_prefix(&edge, &url("tools"));
}

/// The same header is the edge's own word here, and a client's word on top of it changes nothing.
fn it_lives_below_a_prefix(edge: &TestEdge, url: &str) {
    for args in [&[][..], &["-H", "X-Script-Name: /evil"]] {
        let redirect = edge.https(&format!("{url}/pgadmin/"), args);
        let to = redirect.header("location").unwrap_or_default();
        assert!(to.contains("/pgadmin/login") && !to.contains("evil"), "{to}");
    }
    log_in(edge, &format!("{url}/pgadmin"));
}
