//! What a running edge says of itself: its API, its readiness, its own root, its memory.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs;

use super::curl::{Answer, curl};
use super::edge::TestEdge;

impl TestEdge {
    /// A path of the admin address.
    #[track_caller]
    pub(crate) fn ask_admin(&self, path: &str) -> Answer {
        curl(&[&format!("http://{}{path}", self.admin())])
    }

    /// A page of the API, such as `routes`.
    #[track_caller]
    pub(crate) fn api(&self, page: &str) -> serde_json::Value {
        let answer = self.ask_admin(&format!("/api/v1/{page}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice(&answer.body).expect("the API answers in JSON")
    }

    /// The row of a page of the API whose `key` is `value`.
    #[track_caller]
    pub(crate) fn row(&self, page: &str, key: &str, value: &str) -> Option<serde_json::Value> {
        let rows = self.api(page);
        let rows = rows.as_array().unwrap_or_else(|| panic!("{page} is no list: {rows}")).clone();
        rows.into_iter().find(|row| row[key] == value)
    }

    /// The root of its own authority: PEM.
    #[track_caller]
    pub(crate) fn local_root(&self) -> String {
        fs::read_to_string(self.path("state/local-ca/root.pem")).expect("the local authority is made at start")
    }

    /// Memory of the process that is in RAM, in bytes.
    #[track_caller]
    pub(crate) fn memory(&self) -> f64 {
        self.metric("edge_process_resident_memory_bytes").expect("it is always measured")
    }

    /// The lines of the access log so far that are for this path.
    pub(crate) fn access(&self, path: &str) -> Vec<serde_json::Value> {
        let lines = self.log();
        let lines = lines.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines.filter(|line| line["path"] == path && line["status"].is_u64()).collect()
    }
}
