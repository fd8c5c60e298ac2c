//! Asks the provider again for a session: one question for all the requests that a page makes at once, since a refresh
//! token may be good for one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::session::{Session, Unix};

/// What became of a session.
#[derive(Debug, Clone)]
pub(super) enum Refreshed {
    /// It goes on as this one.
    On(Session),
    /// The provider ended it.
    Over,
}

type Answer = Arc<OnceCell<Refreshed>>;

/// Questions under way or answered just now.
#[derive(Debug, Default)]
pub(super) struct Questions(Mutex<HashMap<Vec<u8>, (Instant, Answer)>>);

/// Requests with the cookie of before come for this long.
const KEPT: Duration = Duration::from_secs(60);
/// Above this, answers that are not needed any more are dropped.
const MANY: usize = 1000;

impl Questions {
    /// The answer for the session with this token, of which the provider was last asked at `asked`; `ask` if there is
    /// none.
    pub(super) async fn answer(&self, token: &str, asked: Unix, ask: impl Future<Output = Refreshed>) -> Refreshed {
        // A token that stays the same is asked for again when it is time.
        let answer = self.about(&format!("{asked} {token}"));
        answer.get_or_init(|| ask).await.clone()
    }

    fn about(&self, question: &str) -> Answer {
        let mut questions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if questions.len() >= MANY {
            questions.retain(|_, (at, _)| at.elapsed() < KEPT);
        }
        if questions.len() >= 10 * MANY {
            questions.clear();
        }
        let name = digest(&SHA256, question.as_bytes()).as_ref().to_vec();
        let (at, answer) = questions.entry(name).or_insert_with(|| (Instant::now(), Answer::default()));
        if at.elapsed() >= KEPT {
            (*at, *answer) = (Instant::now(), Answer::default());
        }
        Arc::clone(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::middleware::oidc::claims::Person;

    #[tokio::test(start_paused = true)]
    async fn requests_of_one_page_ask_once_and_later_ones_again() {
        let (questions, asked) = (Questions::default(), Cell::new(0));
        let person = Person { subject: "1".into(), user: "alice".into(), groups: Vec::new(), claims: [].into() };
        let ask = |token: &'static str, at: Unix| {
            questions.answer(token, at, async {
                asked.set(asked.get() + 1);
                tokio::time::sleep(Duration::from_secs(1)).await;
                Refreshed::On(Session::begin(person.clone(), Some("next".into()), 7))
            })
        };
        let all = futures_util::future::join_all((0..5).map(|_| ask("a", 1))).await;
        assert!(
            all.iter().all(|one| matches!(one, Refreshed::On(session) if session.refresh.as_deref() == Some("next")))
        );
        assert_eq!(asked.get(), 1);
        ask("b", 1).await;
        assert_eq!(asked.get(), 2, "another session");
        tokio::time::advance(KEPT).await;
        ask("a", 1).await;
        assert_eq!(asked.get(), 3);
        ask("a", 2).await;
        assert_eq!(asked.get(), 4, "the same token, asked about anew");
    }
}
