//! Logins as people and programs at home have them: Chromium through a provider to MLflow and back, MLflow's own client
//! with a token in its environment, and a container registry whose clients know user names and passwords only.

mod support {
    pub(crate) mod clients;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod mlflow;
    pub(crate) mod oidc;
    pub(crate) mod process;
    pub(crate) mod servers;
}

use support::clients::{browse, script};
use support::edge::{PLAIN, TestEdge};
use support::mlflow::Mlflow;
use support::oidc::{CLIENT, Oidc};
use support::process::{free_port, run};
use support::servers::{image, registry, skopeo};

/// A route behind a login at this provider, which programs pass with a token for `audience`.
fn route(provider: &Oidc, host: &str, upstream: &str, audience: &str) -> String {
    let (issuer, (id, secret)) = (&provider.issuer, CLIENT);
    format!(
        "[[route]]\nhost = \"{host}\"\nupstream = \"{upstream}\"\nuse = [\"people\"]\n\
         [middleware.people]\nkind = \"oidc\"\nissuer = \"{issuer}\"\nclient_id = \"{id}\"\nclient_secret = \"{secret}\"\n\
         scopes = [\"profile\", \"groups\"]\nallow_groups = [\"team\", \"robots\"]\n\
         bearer = true\nbearer_in_basic = true\naudience = \"{audience}\"\n"
    )
}

#[test]
fn a_browser_logs_in_to_mlflow_and_out_again_and_its_client_has_a_token() {
    let (port, https) = (free_port(), free_port());
    let origin = format!("https://mlflow.test:{https}");
    let provider = Oidc::start(&[&format!("{origin}/.edge/oidc/callback"), &format!("{origin}/")]);
    let config = PLAIN.replace("0\"]\ntls", &format!("{https}\"]\ntls"));
    let upstream = format!("http://127.0.0.1:{port}");
    let edge = TestEdge::with_config(&config, &[("mlflow.toml", &route(&provider, "mlflow.test", &upstream, &origin))]);
    let allowed = ["--allowed-hosts", origin.trim_start_matches("https://"), "--cors-allowed-origins", &origin];
    let _mlflow = Mlflow::start(port, &allowed, &[]);
    let without =
        run(script(&edge, "mlflow_client.py").args(["runs", &origin]).env("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0"));
    assert!(!without.status.success() && without.stderr.contains("401"), "{}", without.stderr);
    let token = provider.robot_token(&origin);
    run(script(&edge, "mlflow_client.py").args(["runs", &origin]).env("MLFLOW_TRACKING_TOKEN", token)).success();
    let at_login = format!("until=location.origin == '{}' && !!document.forms[0]?.login", provider.issuer);
    let said = browse(
        &edge,
        &[
            &format!("go={origin}/?who=alice"),
            &at_login,
            "do=document.forms[0].login.value = 'alice'; document.forms[0].password.value = 'any'; document.forms[0].submit()",
            &format!("until=location.origin == '{origin}' && document.readyState == 'complete'"),
            "print=location.search",
            "print=document.cookie",
            &format!("go={origin}/#/experiments"),
            "until=document.body.innerText.includes('through the edge')",
            "print=document.body.innerText",
            &format!("go={origin}/.edge/oidc/logout"),
            "until=!!document.querySelector('button[name=logout]')",
            "do=document.querySelector('button[name=logout]').click()",
            &at_login,
            "print='logged out'",
        ],
    );
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..2], ["?who=alice", ""], "back at the page, with no cookie that scripts can see: {said}");
    assert!(said.contains("through the edge") && said.contains("logged out"), "{said}");
    edge.logs("\"user\":\"alice\"");
}

#[test]
fn registry_clients_log_in_with_a_token_as_their_password() {
    const HERE: &str = "https://registry.test";
    let provider = Oidc::start(&["https://localhost/.edge/oidc/callback"]);
    let registry = registry();
    let upstream = registry.url();
    let edge = TestEdge::with_routes(&[("registry.toml", &route(&provider, "localhost", &upstream, HERE))]);
    let name = format!("docker://localhost:{}/team/app:1", edge.address("https").port());
    let (image, back) = (image(100_000), tempfile::tempdir().expect("a temporary folder"));
    let from = format!("oci:{}:1", image.path().display());
    let push = |password: &str| {
        skopeo(&["copy", "--dest-tls-verify=false", "--dest-creds", &format!("token:{password}"), &from, &name])
    };
    let refused = push("secret");
    assert!(!refused.status.success() && refused.stderr.contains("unauthorized"), "{}", refused.stderr);
    let token = provider.robot_token(HERE);
    push(&token).success();
    let to = format!("oci:{}:1", back.path().display());
    skopeo(&["copy", "--src-tls-verify=false", "--src-creds", &format!("token:{token}"), &name, &to]).success();
}
