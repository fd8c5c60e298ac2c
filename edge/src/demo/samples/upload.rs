//! Takes a body of any size, holds one piece of it at a time, and answers with its length and SHA-256.

use aws_lc_rs::digest::{Context, SHA256};
use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::routing::{get, put};
use data_encoding::HEXLOWER;
use http_body_util::BodyExt as _;

use super::page::page;

pub(super) fn router() -> Router {
    let receive = put(receive).post(receive);
    Router::new().route("/", get(|| async { page("Upload", MAIN) }).merge(receive.clone())).fallback(receive)
}

const MAIN: &str = include_str!("upload.html");

async fn receive(mut body: Body) -> (StatusCode, String) {
    let (mut hash, mut bytes) = (Context::new(&SHA256), 0_u64);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                let data = frame.into_data().unwrap_or_default();
                bytes += data.len() as u64;
                hash.update(&data);
            }
            Err(why) => return (StatusCode::BAD_REQUEST, format!("the body broke off after {bytes} bytes: {why}\n")),
        }
    }
    let sum = HEXLOWER.encode(hash.finish().as_ref());
    (StatusCode::OK, format!("{bytes} bytes\nsha256 {sum}\n"))
}
