//! Who may read what this process serves about itself: the bearer token of a request is judged by the API server, as its own
//! components do it. TokenReview says whose it is, SubjectAccessReview whether they may `get` the path.
//!
//! Verdicts are remembered for a short time, and unknown tokens are asked about only so often: whoever can connect could
//! otherwise make the API server work. Of a token only its hash is kept.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use webhook::LookupError;

use super::lookup::{access_of, allowed_by};
use super::rights::{REVIEW_ACCESS, REVIEW_TOKENS};

/// How long somebody who may read a path goes on being let in without another question.
const ALLOWED_FOR: Duration = Duration::from_mins(1);
/// How long one who may not, or whose token is not valid, goes on being refused without another question.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// How long a token that was good is known as such: its next question is not one of those that are limited.
const KNOWN_FOR: Duration = Duration::from_mins(10);
/// The most verdicts that are remembered.
const REMEMBERED: usize = 256;
/// How many questions about unknown tokens there may be at once, and how many become possible in a second.
const QUESTIONS: f64 = 10.0;
const QUESTIONS_A_SECOND: f64 = 5.0;

/// Why a request is not answered.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TokenRefusal {
    /// The API server does not know the token.
    #[error("the token is not valid for the API server of this cluster")]
    Unknown,
    /// Its user may not read the path.
    #[error(
        "{user} may not get {path}: allow it with a ClusterRole whose rules have {{nonResourceURLs: [{path:?}], verbs: [\"get\"]}}"
    )]
    Forbidden {
        /// The name of the user.
        user: String,
        /// The path.
        path: &'static str,
    },
    /// Too many unknown tokens came in a short time.
    #[error("too many requests with unknown tokens: try again in a second")]
    TooMany,
    /// The API server has not judged the token; the log says why.
    #[error("the API server could not be asked about the token: try again; the log of the controller says why")]
    NotAsked,
}

/// What the API server said of a token, and when.
#[derive(Clone, Debug, Eq, PartialEq)]
enum TokenVerdict {
    Allowed,
    Forbidden(Box<str>),
    Unknown,
}

/// A token, by its hash, and the path that it was shown for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Shown {
    hash: [u8; 32],
    path: &'static str,
}

/// Asks the API server about tokens.
pub struct TokenReviewer {
    client: Client,
    memory: Mutex<TokenMemory>,
}

impl TokenReviewer {
    /// Asks through `client`.
    pub fn new(client: Client) -> Self {
        Self { client, memory: Mutex::new(TokenMemory::new(Instant::now())) }
    }

    /// Whether the bearer of the token may `get` the nonResourceURL `path`.
    pub async fn may_get(&self, token: &str, path: &'static str) -> Result<(), TokenRefusal> {
        let shown = Shown { hash: Sha256::digest(token).into(), path };
        let known = self.with(|memory| memory.recall(shown, Instant::now()));
        let verdict = match known {
            Recalled::Verdict(verdict) => verdict,
            Recalled::TooMany => return Err(TokenRefusal::TooMany),
            Recalled::Ask => {
                let verdict = self.ask(token, path).await;
                let verdict = self.with(|memory| memory.answered(shown, verdict, Instant::now()));
                verdict.ok_or(TokenRefusal::NotAsked)?
            }
        };
        match verdict {
            TokenVerdict::Allowed => Ok(()),
            TokenVerdict::Forbidden(user) => Err(TokenRefusal::Forbidden { user: user.into(), path }),
            TokenVerdict::Unknown => Err(TokenRefusal::Unknown),
        }
    }

    async fn ask(&self, token: &str, path: &'static str) -> Result<TokenVerdict, LookupError> {
        // Without audiences it is to be one for the API server itself.
        let spec = TokenReviewSpec { token: Some(token.to_owned()), ..TokenReviewSpec::default() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let answer = allowed_by(REVIEW_TOKENS, reviews.create(&PostParams::default(), &review)).await?;
        let status = answer.status.unwrap_or_default();
        let Some(user) = status.user.filter(|_| status.authenticated == Some(true)) else {
            return Ok(TokenVerdict::Unknown);
        };
        let name = user.username.clone().unwrap_or_default();
        let attributes = NonResourceAttributes { path: Some(path.to_owned()), verb: Some("get".to_owned()) };
        let spec = SubjectAccessReviewSpec { non_resource_attributes: Some(attributes), ..access_of(user) };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = allowed_by(REVIEW_ACCESS, reviews.create(&PostParams::default(), &review)).await?;
        let is_allowed = answer.status.is_some_and(|status| status.allowed);
        Ok(if is_allowed { TokenVerdict::Allowed } else { TokenVerdict::Forbidden(name.into()) })
    }

    fn with<T>(&self, access: impl FnOnce(&mut TokenMemory) -> T) -> T {
        access(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is remembered of tokens, and how many may be asked about.
#[derive(Debug)]
struct TokenMemory {
    verdicts: Vec<(Shown, TokenVerdict, Instant)>,
    /// Questions that are left, as of then.
    left: (f64, Instant),
    /// Whether the last question failed: only the first failure is logged, and the end of it.
    failing: bool,
}

#[derive(Debug, PartialEq)]
enum Recalled {
    Verdict(TokenVerdict),
    Ask,
    TooMany,
}

impl TokenMemory {
    fn new(now: Instant) -> Self {
        Self { verdicts: Vec::new(), left: (QUESTIONS, now), failing: false }
    }

    /// The verdict that still holds, or whether the API server may be asked.
    fn recall(&mut self, shown: Shown, now: Instant) -> Recalled {
        let found = self.verdicts.iter().find(|(of, ..)| *of == shown);
        if let Some((_, verdict, since)) = found {
            let age = now.duration_since(*since);
            match verdict {
                TokenVerdict::Allowed if age < ALLOWED_FOR => return Recalled::Verdict(verdict.clone()),
                // There are few of them, and each is asked about once a minute.
                TokenVerdict::Allowed if age < KNOWN_FOR => return Recalled::Ask,
                TokenVerdict::Forbidden(_) | TokenVerdict::Unknown if age < REFUSED_FOR => {
                    return Recalled::Verdict(verdict.clone());
                }
                _ => {}
            }
        }
        let (left, since) = self.left;
        let left = (left + now.duration_since(since).as_secs_f64() * QUESTIONS_A_SECOND).min(QUESTIONS);
        let may_ask = left >= 1.0;
        self.left = (if may_ask { left - 1.0 } else { left }, now);
        if may_ask { Recalled::Ask } else { Recalled::TooMany }
    }

    /// Remembers the answer to a question; none where there is none.
    fn answered(
        &mut self,
        shown: Shown,
        answer: Result<TokenVerdict, LookupError>,
        now: Instant,
    ) -> Option<TokenVerdict> {
        let was_failing = std::mem::replace(&mut self.failing, answer.is_err());
        match &answer {
            Err(LookupError::Unavailable(error) | LookupError::Failed(error)) if !was_failing => {
                tracing::warn!(path = shown.path, error, "a token cannot be reviewed, so its bearer is refused");
            }
            Ok(_) if was_failing => tracing::info!("tokens can be reviewed again"),
            _ => {}
        }
        let verdict = answer.ok()?;
        self.verdicts.retain(|(of, verdict, since)| {
            let keep_for = if *verdict == TokenVerdict::Allowed { KNOWN_FOR } else { REFUSED_FOR };
            *of != shown && now.duration_since(*since) < keep_for
        });
        if self.verdicts.len() >= REMEMBERED {
            // Those that were refused go first, then the oldest: they are in the order of their time.
            let refused = self.verdicts.iter().position(|(_, verdict, _)| *verdict != TokenVerdict::Allowed);
            self.verdicts.remove(refused.unwrap_or_default());
        }
        self.verdicts.push((shown, verdict.clone(), now));
        Some(verdict)
    }
}

#[cfg(test)]
mod tests;
