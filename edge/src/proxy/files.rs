//! Serves the files of a folder: one file for one path, an index for a folder, and for single-page apps the index for all
//! that is not there.
//!
//! No listing unless asked for, no file outside the folder, no hidden file. Conditional requests and single ranges
//! (RFC 9110 sections 13 and 14) are answered; nothing is held in memory but one chunk.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use http::{Method, StatusCode, header};
use pingora::http::{RequestHeader, ResponseHeader};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

/// A file that was found for a request.
#[derive(Debug)]
pub(super) struct Found {
    /// Open for reading, at its begin.
    pub file: File,
    /// Its whole length in bytes.
    pub length: u64,
    /// When it was last changed.
    pub modified: SystemTime,
    /// Its media type, by its name.
    pub kind: &'static str,
}

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Looked {
    /// A file.
    File(Found),
    /// A folder that was asked for without its final slash.
    Folder,
    /// A folder whose content may be shown.
    Listing(Vec<String>),
    /// Nothing that may be shown.
    Missing,
}

/// What of a file is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// `first..=last`.
    Range {
        /// The first byte.
        first: u64,
        /// The last byte.
        last: u64,
    },
    /// Nothing: the client has it.
    NotModified,
    /// Nothing: the range is not in the file.
    Unsatisfiable,
}

/// Looks a canonical request path up below `root`.
///
/// # Errors
/// When the disk fails in a way that is not "there is no such file".
pub(super) async fn look(root: &Path, path: &str, settings: &routes::target::Files) -> io::Result<Looked> {
    let Some(relative) = relative(path) else { return Ok(Looked::Missing) };
    let looked = at(root, &relative, path.ends_with('/'), settings).await?;
    // An app routes by itself; but a missing script must not become a page.
    let is_page = relative.extension().is_none_or(|extension| extension == "html");
    match looked {
        Looked::Missing if settings.spa && is_page => at(root, Path::new(&settings.index), false, settings).await,
        looked => Ok(looked),
    }
}

async fn at(root: &Path, relative: &Path, slash: bool, settings: &routes::target::Files) -> io::Result<Looked> {
    // Resolved, so that a link cannot lead out of the folder.
    let root = tokio::fs::canonicalize(root).await?;
    let Some(full) = missing(tokio::fs::canonicalize(root.join(relative)).await)? else { return Ok(Looked::Missing) };
    if !full.starts_with(&root) {
        return Ok(Looked::Missing);
    }
    let metadata = tokio::fs::metadata(&full).await?;
    if !metadata.is_dir() {
        return if slash { Ok(Looked::Missing) } else { open(&full).await };
    }
    if !slash && !relative.as_os_str().is_empty() {
        return Ok(Looked::Folder);
    }
    match missing(tokio::fs::canonicalize(full.join(&settings.index)).await)? {
        Some(index) if index.starts_with(&root) => open(&index).await,
        _ if settings.listing => list(&full).await.map(Looked::Listing),
        _ => Ok(Looked::Missing),
    }
}

fn missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn open(full: &Path) -> io::Result<Looked> {
    let file = File::open(full).await?;
    let metadata = file.metadata().await?;
    if !metadata.is_file() {
        return Ok(Looked::Missing);
    }
    let kind = mime_guess::from_path(full).first_raw().unwrap_or("application/octet-stream");
    Ok(Looked::File(Found { file, length: metadata.len(), modified: metadata.modified()?, kind }))
}

async fn list(folder: &Path) -> io::Result<Vec<String>> {
    let (mut names, mut entries) = (Vec::new(), tokio::fs::read_dir(folder).await?);
    while let Some(entry) = entries.next_entry().await? {
        if let Ok(name) = entry.file_name().into_string()
            && !name.starts_with('.')
        {
            names.push(if entry.file_type().await?.is_dir() { format!("{name}/") } else { name });
        }
    }
    names.sort();
    Ok(names)
}

/// The path below the folder; none for what is hidden or could lead out.
fn relative(path: &str) -> Option<PathBuf> {
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8().ok()?;
    let mut relative = PathBuf::new();
    for segment in decoded.split('/').filter(|segment| !segment.is_empty()) {
        if segment.starts_with('.') || segment.contains(['\0', '\\']) {
            return None;
        }
        relative.push(segment);
    }
    Some(relative)
}

/// The validator of a file: its length and its time of change.
pub(super) fn etag(found: &Found) -> String {
    let changed = found.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("\"{:x}-{:x}\"", found.length, changed.as_nanos())
}

/// What of the file the request wants.
pub(super) fn part(request: &RequestHeader, found: &Found) -> Part {
    let text = |name| request.headers.get(name).and_then(|value| value.to_str().ok());
    let modified_at = |text: &str| httpdate::parse_http_date(text).ok();
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let etag = etag(found);
    let unchanged = match (text(header::IF_NONE_MATCH), text(header::IF_MODIFIED_SINCE).and_then(modified_at)) {
        (Some(known), _) => {
            known.split(',').any(|tag| matches!(tag.trim().trim_start_matches("W/"), tag if tag == etag || tag == "*"))
        }
        (None, Some(since)) => seconds(found.modified) <= seconds(since),
        (None, None) => false,
    };
    if unchanged {
        return Part::NotModified;
    }
    let range_is_current = text(header::IF_RANGE).is_none_or(|known| {
        known == etag || modified_at(known).is_some_and(|since| seconds(since) == seconds(found.modified))
    });
    match text(header::RANGE) {
        Some(range) if range_is_current && request.method == Method::GET => range_of(range, found.length),
        _ => Part::Whole,
    }
}

/// One range of bytes; several, or another unit, are answered with the whole (RFC 9110 section 14.2 allows it).
fn range_of(range: &str, length: u64) -> Part {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Part::Whole;
    };
    let number = |text: &str| {
        (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse::<u64>().ok()).flatten()
    };
    let (first, last) = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => (first, last),
        (Some(first), None) if last.is_empty() => (first, u64::MAX),
        (None, Some(suffix)) if first.is_empty() && suffix > 0 => (length.saturating_sub(suffix), u64::MAX),
        (None, Some(0)) if first.is_empty() => return Part::Unsatisfiable,
        _ => return Part::Whole,
    };
    if first >= length { Part::Unsatisfiable } else { Part::Range { first, last: last.min(length - 1) } }
}

/// The head of the answer for `part` of a file.
///
/// # Errors
/// None that a file could cause: names and values are valid.
pub(super) fn head(found: &Found, part: &Part) -> pingora::Result<ResponseHeader> {
    let status = match part {
        Part::Whole => StatusCode::OK,
        Part::Range { .. } => StatusCode::PARTIAL_CONTENT,
        Part::NotModified => StatusCode::NOT_MODIFIED,
        Part::Unsatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
    };
    let mut head = ResponseHeader::build(status, Some(8))?;
    head.insert_header("ETag", etag(found))?;
    head.insert_header("Last-Modified", httpdate::fmt_http_date(found.modified))?;
    head.insert_header("Accept-Ranges", "bytes")?;
    let text = found.kind.starts_with("text/");
    head.insert_header(
        "Content-Type",
        if text { format!("{}; charset=utf-8", found.kind) } else { found.kind.to_owned() },
    )?;
    let length = match part {
        Part::Whole => found.length,
        Part::Range { first, last } => {
            head.insert_header("Content-Range", format!("bytes {first}-{last}/{}", found.length))?;
            last - first + 1
        }
        Part::Unsatisfiable => {
            head.insert_header("Content-Range", format!("bytes */{}", found.length))?;
            0
        }
        Part::NotModified => return Ok(head),
    };
    head.insert_header("Content-Length", length.to_string())?;
    Ok(head)
}

/// A reader of exactly the bytes of `part`.
///
/// # Errors
/// When the file cannot be read there.
pub(super) async fn reader(mut found: Found, part: &Part) -> io::Result<tokio::io::Take<File>> {
    match part {
        Part::Range { first, last } => {
            found.file.seek(io::SeekFrom::Start(*first)).await?;
            Ok(found.file.take(last - first + 1))
        }
        Part::Whole => Ok(found.file.take(found.length)),
        Part::NotModified | Part::Unsatisfiable => Ok(found.file.take(0)),
    }
}

/// A page with the names of a folder. Names are escaped for HTML and for links.
pub(super) fn listing_page(path: &str, names: &[String]) -> String {
    let escape =
        |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let link = |name: &String| {
        let target = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string();
        format!("<li><a href=\"./{}\">{}</a></li>\n", target.replace("%2F", "/"), escape(name))
    };
    let items: String = names.iter().map(link).collect();
    let title = escape(path);
    format!("<!doctype html>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<h1>{title}</h1>\n<ul>\n{items}</ul>\n")
}

#[cfg(test)]
mod tests;
