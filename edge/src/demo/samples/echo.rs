//! Answers with the request line and every header as the backend got them. The body is read and only counted.

use std::fmt::Write as _;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt as _;

pub(super) fn router() -> Router {
    Router::new().fallback(echo)
}

async fn echo(request: Request) -> Response {
    let mut said = format!("{} {} {:?}\n", request.method(), request.uri(), request.version());
    for (name, value) in request.headers() {
        let _infallible = writeln!(said, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    let mut body = request.into_body();
    let mut bytes: u64 = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
            Err(why) => return (StatusCode::BAD_REQUEST, format!("the body broke off: {why}\n")).into_response(),
        }
    }
    if bytes > 0 {
        let _infallible = writeln!(said, "\n({bytes} bytes of body)");
    }
    said.into_response()
}
