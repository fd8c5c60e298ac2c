//! Middlewares are defined anywhere, used by name or on the spot, and a fault in one harms only the routes that use it.

use crate::check::Checked;
use crate::fixture::check_files;
use crate::preset::{From, Preset};
use crate::route::Route;

const TEAM: &str = "[middleware.team]\nkind = \"tag\"\ntext = \"${DOMAIN}\"\n";

fn route(rest: &str) -> String {
    format!("[[route]]\nhost = \"a.example\"\nupstream = \"http://b\"\n{rest}\n")
}

fn whys(checked: &Checked) -> Vec<&str> {
    checked.faults.iter().map(|fault| fault.why.as_str()).collect()
}

fn steps(route: &Route) -> Vec<(&str, &str, &str)> {
    route.steps.iter().map(|step| (step.name.as_str(), step.kind.as_str(), step.settings.as_str())).collect()
}

#[test]
fn steps_stand_in_the_order_written_by_name_or_on_the_spot() {
    let text = route("use = [{ kind = \"guard\" }, \"team\", { kind = \"tag\", text = \"x\" }]");
    let checked = check_files(&[("a.toml", &text), ("z.toml", TEAM)]);
    assert_eq!(whys(&checked), [""; 0]);
    let team = ("team", "tag", "{ kind = \"tag\", text = \"example.com\" }");
    let wanted = [("guard", "guard", "{ kind = \"guard\" }"), team, ("tag", "tag", "{ kind = \"tag\", text = \"x\" }")];
    assert_eq!(steps(&checked.routes[0]), wanted);
}

#[test]
fn a_route_alone_keeps_its_steps_and_their_names() {
    let checked = check_files(&[("a.toml", &route("use = \"team\"")), ("z.toml", TEAM)]);
    let again = check_files(&[("a.toml", &checked.routes[0].text)]);
    assert!(again.routes[0].same_as(&checked.routes[0]), "{}", checked.routes[0].text);
    assert_eq!(steps(&again.routes[0])[0].0, "team");
}

#[test]
fn a_fault_of_a_middleware_is_told_where_it_stands_and_rejects_only_its_routes() {
    let other = "[[route]]\nhost = \"b.example\"\nrespond = \"\"\n";
    let bad = TEAM.replace("${DOMAIN}", "bad");
    let checked = check_files(&[("a.toml", &(route("use = \"team\"") + other)), ("z.toml", &bad)]);
    assert_eq!(whys(&checked), ["the middleware `team` at z.toml:1 has a fault", "`bad` is not good"]);
    assert_eq!((checked.rejected.len(), checked.routes[0].name.as_str()), (1, "b.example"));
    assert_eq!(whys(&check_files(&[("a.toml", TEAM), ("b.toml", TEAM)])).len(), 1, "defined twice");
    assert_eq!(whys(&check_files(&[("a.toml", "middleware = 1\n")])).len(), 1);
}

#[test]
fn what_needs_one_reading_of_the_path_does_not_go_with_raw() {
    let text = route("path_policy = \"raw\"\nuse = [{ kind = \"guard\" }]");
    let why = "`raw` is for routes on which nothing depends on the path, and `guard` does";
    assert_eq!(whys(&check_files(&[("a.toml", &text)])), [why]);
    let checked = check_files(&[("a.toml", &route("use = [{ kind = \"guard\" }]"))]);
    assert!(checked.routes[0].depends_on_path());
}

#[test]
fn a_preset_is_the_default_of_every_key_and_the_route_wins() {
    let text = "[[route]]\nhost = \"m.example\"\npreset = \"open-webui\"\n[route.upstream]\nservers = \"http://b\"\n\
        timeouts = { idle = \"7s\" }\nhealth = false\n";
    let checked = check_files(&[("a.toml", text)]);
    let applied = checked.routes[0].preset.as_ref().expect("a preset");
    let setting = |key: &str| applied.settings.iter().find(|setting| setting.key == key).expect(key);
    let idle = setting("upstream.timeouts.idle");
    assert_eq!((idle.value.as_str(), idle.from), ("\"7s\"", From::Route));
    let first_byte = setting("upstream.timeouts.first_byte");
    assert_eq!((first_byte.value.as_str(), first_byte.from), ("\"600s\"", From::Preset));
    assert!(applied.tell.iter().any(|say| say.contains("m.example")), "{:?}", applied.tell);
    let health = setting("upstream.health");
    assert_eq!((health.value.as_str(), health.from), ("false", From::Route));
    let crate::target::Target::Upstream(upstream) = &checked.routes[0].target else { panic!("servers were written") };
    let seconds = |time: Option<std::time::Duration>| time.expect("a limit").as_secs();
    assert_eq!((seconds(upstream.timeouts.first_byte), seconds(upstream.timeouts.idle)), (600, 7));
}

#[test]
fn a_short_upstream_lies_over_the_table_of_its_preset() {
    let checked = check_files(&[("a.toml", &route("preset = \"open-webui\""))]);
    let crate::target::Target::Upstream(upstream) = &checked.routes[0].target else { panic!("a server was written") };
    assert_eq!(upstream.timeouts.first_byte.expect("a limit").as_secs(), 600);
}

#[test]
fn every_preset_says_what_it_is() {
    assert!(Preset::all().is_sorted_by_key(|preset| preset.name));
    for preset in Preset::all() {
        assert!(!preset.title().is_empty() && preset.about().ends_with('.'), "{}", preset.name);
        assert!(preset.route().is_some(), "{}", preset.name);
        assert!(preset.sample().contains(&format!("preset = \"{}\"", preset.name)), "{}", preset.sample());
    }
}
