//! The end of a session, here and at the provider.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, SET_COOKIE};
use http::{HeaderValue, Method, StatusCode};

use super::Oidc;
use super::cookies::Jar;
use super::gate::{leave, with_query};
use crate::middleware::{Answer, Ask, Denial, Flow};
use crate::telemetry::{LoginResult, Refusal};

impl Oidc {
    /// Has the browser forget, and sends it to the provider to log out there too, if that can be asked.
    pub(super) async fn log_out(&self, ask: &Ask<'_>) -> Flow {
        let from = &ask.from;
        if from.method != Method::GET && from.method != Method::POST {
            return Denial::new(Refusal::MethodNotAllowed).header(ALLOW, HeaderValue::from_static("GET, POST")).into();
        }
        self.metrics.count(LoginResult::LoggedOut);
        let mut cookies = self.jar.forget(from.headers);
        cookies.extend(self.jar.logins(from.headers).filter_map(Jar::forget_login));
        let about = self.provider.about().await.ok();
        let end = about.as_ref().and_then(|about| about.end_session.as_ref()).and_then(|end| {
            let back = self.address(from, "/");
            let fields = [("client_id", &*self.settings.client_id), ("post_logout_redirect_uri", &back)];
            HeaderValue::try_from(with_query(end, &fields)).ok()
        });
        match end {
            Some(end) => leave(StatusCode::SEE_OTHER, end, cookies),
            None => {
                let mut headers = vec![
                    (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
                    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
                ];
                headers.extend(cookies.into_iter().map(|cookie| (SET_COOKIE, cookie)));
                let body = Bytes::from_static(b"You are logged out here. The login provider may still know you.\n");
                Flow::Answer(Box::new(Answer { status: StatusCode::OK, headers, body }))
            }
        }
    }
}
