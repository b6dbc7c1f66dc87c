//! From a body to an answer: reads the review, validates its object within the deadline, and answers whatever happens.

use std::panic::AssertUnwindSafe;

use crds::WorkspaceKindSpec;
use futures::FutureExt;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, Span};

use crate::field::{Fault, SHOWN_MAX};
use crate::lookup::{Lookup, LookupError};
use crate::observer::{Observer, RefusedReview};
use crate::policy::Policy;
use crate::request::{self, Body, Envelope, Request, ReviewedKind};
use crate::review::{self, Refusal, Verdict};
use crate::workspace;
use crate::workspace_kind::{self, SpecChange};

impl From<LookupError> for Refusal {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Unavailable(why) => Self::Unavailable(why),
            LookupError::Failed(why) => Self::Internal(why),
        }
    }
}

/// The answer to a body, or why it cannot be answered.
pub(crate) async fn answer<L: Lookup>(
    reviewed: ReviewedKind,
    body: &[u8],
    lookup: &L,
    policy: &Policy,
    deadline: Instant,
    observer: &dyn Observer,
) -> Result<Vec<u8>, String> {
    let review = match request::read(reviewed, body) {
        Body::Kinds(review) => {
            let validation = validate_kind(&review.request, lookup, policy, deadline);
            return Ok(conclude(reviewed, &review, validation, deadline, observer).await);
        }
        Body::Review(review) => review,
        Body::Broken { api_version, uid, why } => {
            let _span = span(reviewed, &uid, "", "", "").entered();
            tracing::info!("refused a review that does not decode");
            let refusal = Refusal::BadRequest(format!("the AdmissionReview does not decode: {why}"));
            return Ok(review::write(&api_version, &uid, refusal.into()));
        }
        Body::Unreadable(why) => {
            return Err(format!("the body is not an AdmissionReview whose request.uid can be read: {why}"));
        }
    };
    let validation = validate(reviewed, &review.request, lookup, policy, deadline);
    Ok(conclude(reviewed, &review, validation, deadline, observer).await)
}

/// The answer once `validation` has come to its end, whether it returns, panics or runs out of time.
async fn conclude<Spec>(
    reviewed: ReviewedKind,
    review: &Envelope<'_, Spec>,
    validation: impl Future<Output = Result<Verdict, Refusal>>,
    deadline: Instant,
    observer: &dyn Observer,
) -> Vec<u8> {
    let guarded = async {
        let verdict = match AssertUnwindSafe(timeout_at(deadline, validation)).catch_unwind().await {
            Ok(Ok(verdict)) => verdict.unwrap_or_else(Verdict::from),
            Ok(Err(_)) => Refusal::Unavailable(
                "the lookups that the verdict depends on did not finish before the API server's timeout, try again"
                    .to_owned(),
            )
            .into(),
            // The payload may quote what users wrote, so it is not shown.
            Err(_) => {
                Refusal::Internal("internal webhook error (bug): the object could not be reviewed".to_owned()).into()
            }
        };
        log(&verdict);
        verdict
    };
    let Request { uid, operation, .. } = &review.request;
    let (namespace, name) = (review.request.namespace(), review.request.name());
    let verdict = guarded.instrument(span(reviewed, uid, namespace, name, operation)).await;
    if let Some(refusal) = &verdict.refusal {
        let (code, faults, _) = parts(refusal);
        let faults = faults.iter().take(SHOWN_MAX).map(|fault| (fault.rule, &*fault.field)).collect();
        observer.refused(&RefusedReview { kind: reviewed, operation, namespace, name, code, faults });
    }
    review::write(&review.api_version, &review.request.uid, verdict)
}

/// The span of a review: every line logged during it says which request it belongs to.
///
/// Its level is that of the most severe line, so that errors keep their context at any log level. The uid of the request
/// is named as controller-runtime names it. Strings are quoted in the text format, so that none of them can forge a line, and
/// bounded: whoever reaches the port can send them.
fn span(reviewed: ReviewedKind, uid: &str, namespace: &str, name: &str, operation: &str) -> Span {
    let [uid, namespace, name, operation] = [uid, namespace, name, operation].map(bounded);
    tracing::error_span!("review", requestID = uid, kind = reviewed.kind(), namespace, name, operation)
}

/// The beginning of a text: no name that Kubernetes gives is longer.
fn bounded(text: &str) -> &str {
    const MOST: usize = 256;
    &text[..text.floor_char_boundary(MOST)]
}

/// Refuses objects of a kind that the path does not review.
fn is_about<Spec>(reviewed: ReviewedKind, request: &Request<'_, Spec>) -> Result<(), Refusal> {
    let (expected, group) = (reviewed.kind(), crds::GROUP);
    match &request.kind {
        Some(kind) if kind.kind != expected || kind.group != group => {
            let why = format!("this path reviews {expected}.{group}, not {}.{}", kind.kind, kind.group);
            Err(Refusal::BadRequest(why))
        }
        _ => Ok(()),
    }
}

/// Validates a request whose WorkspaceKinds decode.
pub(crate) async fn validate_kind<L: Lookup>(
    request: &Request<'_, Box<WorkspaceKindSpec>>,
    lookup: &L,
    policy: &Policy,
    deadline: Instant,
) -> Result<Verdict, Refusal> {
    is_about(ReviewedKind::WorkspaceKind, request)?;
    match &*request.operation {
        "UPDATE" if request.keeps_spec() => Ok(Verdict::default()),
        "CREATE" | "UPDATE" => {
            workspace_kind::decide(request, &SpecChange::of(request)?, lookup, policy, deadline).await
        }
        _ => other_operation(ReviewedKind::WorkspaceKind, request, lookup).await,
    }
}

/// Validates any request.
pub(crate) async fn validate<L: Lookup>(
    reviewed: ReviewedKind,
    request: &Request<'_>,
    lookup: &L,
    policy: &Policy,
    deadline: Instant,
) -> Result<Verdict, Refusal> {
    is_about(reviewed, request)?;
    match (reviewed, &*request.operation) {
        (_, "UPDATE") if request.keeps_spec() => Ok(Verdict::default()),
        (ReviewedKind::Workspace, "CREATE" | "UPDATE") => workspace::decide(request, lookup, policy).await,
        (ReviewedKind::WorkspaceKind, "CREATE" | "UPDATE") => {
            workspace_kind::decide(request, &SpecChange::of_parts(request)?, lookup, policy, deadline).await
        }
        _ => other_operation(reviewed, request, lookup).await,
    }
}

/// Validates a request that stores nothing.
async fn other_operation<L: Lookup, Spec>(
    reviewed: ReviewedKind,
    request: &Request<'_, Spec>,
    lookup: &L,
) -> Result<Verdict, Refusal> {
    match (reviewed, &*request.operation) {
        (ReviewedKind::WorkspaceKind, "DELETE") => workspace_kind::decide_delete(request, lookup).await,
        (ReviewedKind::Workspace, "DELETE") | (_, "CONNECT") => Ok(Verdict::default()),
        (_, other) => Err(Refusal::BadRequest(format!("operation {} is not supported", crate::field::quoted(other)))),
    }
}

/// The code of a refusal, its faults, and why it is none of the object.
fn parts(refusal: &Refusal) -> (u16, &[Fault], &str) {
    match refusal {
        Refusal::Invalid { faults, .. } => (422, faults, ""),
        Refusal::Conflict { fault, .. } => (409, std::slice::from_ref(&**fault), ""),
        // The text may quote the object.
        Refusal::BadRequest(_) => (400, &[], "the review does not decode"),
        Refusal::Unavailable(why) => (503, &[], why),
        Refusal::Internal(why) => (500, &[], why),
    }
}

/// One line for a refusal: which fields, what sort of fault and which rule; never a value. The span says which object.
fn log(verdict: &Verdict) {
    let Some(refusal) = &verdict.refusal else {
        tracing::debug!("accepted");
        return;
    };
    let (code, faults, why) = parts(refusal);
    // A kind may have thousands of faults.
    let count = faults.len();
    let described = |fault: &Fault| format!("{} {} {}", fault.field, fault.fault_type.reason(), fault.rule.id());
    let faults: Vec<String> = faults.iter().take(SHOWN_MAX).map(described).collect();
    macro_rules! refused {
        ($level:expr) => {
            tracing::event!($level, code, count, ?faults, why, "refused")
        };
    }
    match code {
        // To be expected while the caches fill or the API server is slow; the client retries.
        503 => refused!(tracing::Level::WARN),
        500.. => refused!(tracing::Level::ERROR),
        _ => refused!(tracing::Level::INFO),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::time::Duration;

    use crds::testing::Generator;
    use serde_json::{Value, json};

    use super::*;
    use crate::question::Question;
    use crate::testing::FakeLookup;

    /// The verdict on kinds that decode, and the one on the same kinds when each part is decoded by itself.
    async fn verdicts(review: &Value, lookup: &FakeLookup) -> [Result<Verdict, Refusal>; 2] {
        let (body, policy, deadline) = (review.to_string(), Policy::default(), Instant::now() + Duration::from_mins(1));
        let Body::Kinds(whole) = request::read(ReviewedKind::WorkspaceKind, body.as_bytes()) else { panic!("{body}") };
        let parts: Envelope<'_> = serde_json::from_str(&body).unwrap();
        [
            validate_kind(&whole.request, lookup, &policy, deadline).await,
            validate(ReviewedKind::WorkspaceKind, &parts.request, lookup, &policy, deadline).await,
        ]
    }

    #[tokio::test]
    async fn a_kind_gets_the_same_verdict_whole_and_in_parts() {
        let mut generator = Generator::new(5);
        let mut refused = [0, 0];
        for round in 0..300 {
            let [mut old, mut new] = [(); 2].map(|()| json!(generator.workspace_kind()));
            if round % 2 == 0 {
                // Options that Workspaces use are changed and removed; the others stay the same.
                new = old.clone();
                new["spec"]["podTemplate"]["options"]["podConfig"]["values"][0]["spec"]["nodeSelector"] =
                    json!({"a": "b"});
                new["spec"]["podTemplate"]["options"]["imageConfig"]["values"].as_array_mut().unwrap().remove(0);
            }
            if round % 3 == 0 {
                old["spec"]["podTemplate"]["serviceAccount"] = json!({"clusterRoles": [{"name": "view"}]});
            }
            for kind in [&mut old, &mut new] {
                kind["metadata"]["name"] = json!("kind");
            }
            let mut user = json!(crds::testing::workspace("ns", "user", if round % 4 < 2 { "kind" } else { "other" }));
            user["spec"]["podTemplate"]["options"] = json!({"imageConfig": "image-0", "podConfig": "pod-0"});
            let lookup = FakeLookup { may_bind: Some(Vec::new()), ..FakeLookup::new(&[], &[user]).unwrap() };
            let deleted = Question::delete(&old).review("u");
            for review in [Question::create(&new).review("u"), Question::update(&new, &old).review("u"), deleted] {
                let [whole, parts] = verdicts(&review, &lookup).await;
                assert_eq!(whole, parts, "round {round}: {review}");
                refused[usize::from(whole.is_ok_and(|verdict| verdict.refusal.is_none()))] += 1;
            }
        }
        assert!(refused.iter().all(|count| *count > 100), "{refused:?}");
    }

    #[tokio::test]
    async fn odd_requests_get_the_same_verdict_whole_and_in_parts() {
        let kind = json!(crds::testing::workspace_kind("kind"));
        let mut other = kind.clone();
        other["spec"]["spawner"]["description"] = json!("Another one");
        let objects = [Value::Null, json!({}), json!({"spec": null}), kind, other];
        let lookup = FakeLookup::default();
        for operation in ["CREATE", "UPDATE", "DELETE", "CONNECT", "PATCH"] {
            for (object, old) in objects.iter().flat_map(|object| objects.iter().map(move |old| (object, old))) {
                for kind in ["WorkspaceKind", "Workspace"] {
                    let review = json!({"request": {
                        "uid": "u", "operation": operation, "kind": {"group": crds::GROUP, "kind": kind}, "name": "kind",
                        "object": object, "oldObject": old,
                    }});
                    let [whole, parts] = verdicts(&review, &lookup).await;
                    assert_eq!(whole, parts, "{review}");
                }
            }
        }
    }
}
