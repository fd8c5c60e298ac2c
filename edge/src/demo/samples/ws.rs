//! A page that opens a WebSocket to its own host, and the server that sends every message back.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{SEC_WEBSOCKET_KEY, UPGRADE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;

use super::page::page;
use crate::tasks::Tasks;

pub(super) fn router(tasks: &Tasks) -> Router {
    Router::new().route("/", get(echo)).route("/once", get(once)).with_state(tasks.clone())
}

const MAIN: &str = include_str!("ws.html");

/// One message is held at a time, and no longer one than this, in bytes.
const LONGEST: usize = 1 << 20;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

async fn echo(State(tasks): State<Tasks>, request: Request) -> Response {
    if !request.headers().contains_key(SEC_WEBSOCKET_KEY) {
        return page("WebSocket", MAIN);
    }
    open(&tasks, request, |socket, stop| async move {
        stop.run_until_cancelled(send_back(socket)).await;
    })
}

/// Says one thing and closes, without waiting for a word: for clients that do not speak WebSocket, such as curl.
async fn once(State(tasks): State<Tasks>, request: Request) -> Response {
    open(&tasks, request, |mut socket, stop| async move {
        let said = async {
            socket.send(Message::text("hello through a WebSocket\n")).await?;
            socket.close(None).await
        };
        // Who left early has heard enough.
        let _left = stop.run_until_cancelled(said).await;
    })
}

/// Answers the handshake and hands the socket to `talk`, as a task of its own.
fn open<Talk, Said>(tasks: &Tasks, mut request: Request, talk: Talk) -> Response
where
    Talk: FnOnce(Socket, CancellationToken) -> Said + Send + 'static,
    Said: Future<Output = ()> + Send,
{
    let answer = match create_response_with_body(&request, Body::empty) {
        Ok(answer) => answer,
        Err(why) => return refuse(&why.to_string()),
    };
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return refuse("this connection cannot be upgraded");
    };
    tasks.spawn("demo websocket", |stop| async move {
        let Some(Ok(upgraded)) = stop.run_until_cancelled(upgrade).await else { return };
        let config = WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST));
        let socket = Socket::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        talk(socket, stop).await;
    });
    answer
}

fn refuse(why: &str) -> Response {
    (StatusCode::UPGRADE_REQUIRED, [(UPGRADE, "websocket")], format!("{why}\n")).into_response()
}

async fn send_back(mut socket: Socket) {
    while let Some(Ok(message)) = socket.next().await {
        let data = message.is_text() || message.is_binary();
        if data && socket.send(message).await.is_err() {
            return;
        }
    }
}
