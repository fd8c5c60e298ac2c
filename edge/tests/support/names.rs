//! Pebble's DNS server, which tests tell what to answer.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use super::curl::curl;
use super::process::{Process, answers, free_port};

/// A name server that knows what it was told.
pub(crate) struct Names {
    /// Where it answers.
    pub(crate) address: SocketAddr,
    control: SocketAddr,
    _process: Process,
}

impl Names {
    #[track_caller]
    pub(crate) fn start() -> Self {
        let [address, control] = [free_port(), free_port()].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let mut command = Command::new("pebble-challtestsrv");
        for (flag, value) in [
            ("-http01", String::new()),
            ("-https01", String::new()),
            ("-tlsalpn01", String::new()),
            ("-defaultIPv4", String::new()),
            ("-defaultIPv6", String::new()),
            ("-dns01", address.to_string()),
            ("-management", control.to_string()),
        ] {
            command.args([flag, &value]);
        }
        let mut process = Process::start(&mut command);
        process.ready_when("the name server can be told", |_| answers(control));
        Self { address, control, _process: process }
    }

    /// The name has exactly these addresses from now on.
    #[track_caller]
    pub(crate) fn set(&self, name: &str, addresses: &[&str]) {
        self.tell("clear-a", &serde_json::json!({ "host": name }));
        self.tell("add-a", &serde_json::json!({ "host": name, "addresses": addresses }));
    }

    /// The name has no address any more.
    #[track_caller]
    pub(crate) fn clear(&self, name: &str) {
        self.tell("clear-a", &serde_json::json!({ "host": name }));
    }

    /// The server fails for this name from now on.
    #[track_caller]
    pub(crate) fn fail(&self, name: &str) {
        self.tell("set-servfail", &serde_json::json!({ "host": name }));
    }

    #[track_caller]
    fn tell(&self, what: &str, about: &serde_json::Value) {
        let answer = curl(&["-d", &about.to_string(), &format!("http://{}/{what}", self.control)]);
        assert_eq!(answer.status, 200, "{what} {about}: {}", answer.text());
    }
}
