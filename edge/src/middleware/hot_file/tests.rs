//! A value follows its file; what is broken leaves the last good one.

use tempfile::TempDir;

use super::*;
use crate::telemetry::{BuildInfo, Metrics};

struct Fixture {
    dir: TempDir,
    metrics: Metrics,
}

impl Fixture {
    fn new(text: &str) -> Self {
        let made = Self {
            dir: tempfile::tempdir().expect("a folder"),
            metrics: Metrics::new(BuildInfo { version: "0", commit: "" }),
        };
        made.write(text.as_bytes());
        made
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("numbers")
    }

    fn write(&self, bytes: &[u8]) {
        fs::write(self.path(), bytes).expect("it can be written");
    }

    fn open(&self) -> Result<HotFile<u32>, FileError> {
        let last_good = self.metrics.route("app").last_good("numbers");
        HotFile::open(self.path(), last_good, |text| text.trim().parse().map_err(|_| "line 1: no number".to_owned()))
    }

    fn is_kept(&self) -> bool {
        self.metrics.render().contains("edge_middleware_last_good{middleware=\"numbers\",route=\"app\"} 1")
    }
}

/// As if a second had gone by.
async fn look_again(file: &HotFile<u32>) -> u32 {
    file.looked.store(0, Ordering::Release);
    let began = Instant::now();
    while file.fresh().is_some() {
        assert!(began.elapsed() < Duration::from_secs(30), "a look grows old");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    *file.get().await
}

#[tokio::test]
async fn the_value_follows_the_file_and_outlives_what_is_broken() {
    let fixture = Fixture::new("1");
    let file = fixture.open().expect("a number");
    assert_eq!(file.fresh().as_deref(), Some(&1), "just read");
    fixture.write(b"2");
    assert_eq!(look_again(&file).await, 2);
    assert!(!fixture.is_kept());
    for broken in [&b""[..], b"two", b"\xff\xfe", &[b'1'; LONGEST as usize + 1]] {
        fixture.write(broken);
        assert_eq!(look_again(&file).await, 2);
        assert!(fixture.is_kept());
    }
    fs::remove_file(fixture.path()).expect("it is there");
    assert_eq!(look_again(&file).await, 2);
    assert!(fixture.is_kept());
    fixture.write(b"2");
    assert_eq!(look_again(&file).await, 2);
    assert!(!fixture.is_kept(), "what is there is what is in use");
}

#[tokio::test]
async fn a_file_that_is_written_again_as_it_was_keeps_its_value() {
    let fixture = Fixture::new("1");
    let file = fixture.open().expect("a number");
    let before = file.get().await;
    fixture.write(b"1");
    look_again(&file).await;
    assert!(Arc::ptr_eq(&before, &file.get().await));
}

#[tokio::test]
async fn many_who_wait_for_one_look_all_get_it() {
    let fixture = Fixture::new("1");
    let file = fixture.open().expect("a number");
    fixture.write(b"7");
    look_again(&file).await;
    let all = futures_util::future::join_all((0..50).map(|_| file.get())).await;
    assert!(all.iter().all(|value| **value == 7));
}

#[test]
fn there_is_nothing_without_a_first_good_value() {
    let fixture = Fixture::new("x");
    let error = fixture.open().expect_err("no number").to_string();
    assert!(error.ends_with("numbers: line 1: no number"), "{error}");
    fs::remove_file(fixture.path()).expect("it is there");
    assert!(matches!(fixture.open(), Err(FileError::Read { .. })));
}
