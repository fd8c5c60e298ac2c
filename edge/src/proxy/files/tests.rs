//! Files over a real folder: what is found, what never is, and which part of it is sent.

use routes::target::Files;

use super::*;

fn settings(spa: bool, listing: bool) -> Files {
    Files { root: String::new(), spa, index: "index.html".into(), listing }
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    std::fs::create_dir_all(root.join("sub")).expect("made");
    for (name, text) in
        [("root/index.html", "home"), ("root/a b.txt", "text"), ("root/.env", "secret"), ("secret", "out")]
    {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    std::os::unix::fs::symlink(folder.path().join("secret"), root.join("link")).expect("linked");
    folder
}

async fn content(path: &str, settings: &Files) -> Option<String> {
    let folder = folder();
    match look(&folder.path().join("root"), path, settings).await.expect("readable") {
        Looked::File(found) => {
            let mut text = String::new();
            reader(found, &Part::Whole).await.expect("open").read_to_string(&mut text).await.expect("text");
            Some(text)
        }
        Looked::Folder => Some("folder".into()),
        Looked::Listing(names) => Some(names.join(" ")),
        Looked::Missing => None,
    }
}

#[tokio::test]
async fn a_path_finds_its_file_and_a_folder_its_index() {
    let plain = settings(false, false);
    assert_eq!(content("/", &plain).await.as_deref(), Some("home"));
    assert_eq!(content("/a%20b.txt", &plain).await.as_deref(), Some("text"));
    assert_eq!(content("/sub", &plain).await.as_deref(), Some("folder"));
    assert_eq!(content("/sub/", &plain).await, None);
    assert_eq!(content("/nothing", &plain).await, None);
    assert_eq!(content("/sub/", &settings(false, true)).await.as_deref(), Some(""));
}

#[tokio::test]
async fn nothing_hidden_or_outside_is_ever_found() {
    for spa in [false, true] {
        for path in ["/.env", "/link", "/../secret", "/%2e%2e/secret", "/..%2fsecret", "/a%00b", "/sub\\..\\..\\secret"]
        {
            let found = content(path, &settings(spa, true)).await;
            assert!(found.is_none() || found.as_deref() == Some("home"), "{path}: {found:?}");
        }
    }
}

#[tokio::test]
async fn an_app_gets_its_index_for_its_own_paths_but_not_for_missing_files() {
    let app = settings(true, false);
    assert_eq!(content("/users/7", &app).await.as_deref(), Some("home"));
    assert_eq!(content("/missing.js", &app).await, None);
}

#[test]
fn ranges_are_read_as_rfc_9110_says() {
    let range = |text| range_of(text, 10);
    assert_eq!(range("bytes=0-3"), Part::Range { first: 0, last: 3 });
    assert_eq!(range("bytes=4-"), Part::Range { first: 4, last: 9 });
    assert_eq!(range("bytes=-4"), Part::Range { first: 6, last: 9 });
    assert_eq!(range("bytes=8-99"), Part::Range { first: 8, last: 9 });
    assert_eq!(range("bytes=10-"), Part::Unsatisfiable);
    assert_eq!(range("bytes=-0"), Part::Unsatisfiable);
    for other in ["bytes=3-1", "bytes=a-b", "items=0-1", "bytes=0-1,3-4", "bytes=+1-2", "bytes=-"] {
        assert_eq!(range(other), Part::Whole, "{other}");
    }
}

#[tokio::test]
async fn a_client_that_has_the_file_is_told_so() {
    let folder = folder();
    let Looked::File(found) = look(&folder.path().join("root"), "/", &settings(false, false)).await.expect("readable")
    else {
        panic!("the index is there")
    };
    let request = |name: &'static str, value: &str| {
        let mut head = RequestHeader::build("GET", b"/", None).expect("valid");
        head.insert_header(name, value).expect("valid");
        head
    };
    assert_eq!(part(&request("If-None-Match", &etag(&found)), &found), Part::NotModified);
    assert_eq!(part(&request("If-None-Match", "\"other\""), &found), Part::Whole);
    let modified = httpdate::fmt_http_date(found.modified);
    assert_eq!(part(&request("If-Modified-Since", &modified), &found), Part::NotModified);
    assert_eq!(part(&request("Range", "bytes=0-1"), &found), Part::Range { first: 0, last: 1 });
}

#[test]
fn names_are_escaped_in_a_listing() {
    let page = listing_page("/<x>/", &["a<b>&\".txt".into(), "sub/".into()]);
    assert!(!page.contains("<b>") && !page.contains("<x>"), "{page}");
    assert!(page.contains("href=\"./sub/\""), "{page}");
}
