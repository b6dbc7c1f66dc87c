//! The webhooks through their router, without a socket.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod cases;
mod lookups;
mod mechanics;
mod size;
mod updates;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use webhook::testing::{Cause, Expected, FakeLookup};
use webhook::{Lookup, Policy, Question, WORKSPACE_KIND_PATH, router};

/// A valid kind.
fn kind() -> Value {
    serde_json::to_value(crds::testing::workspace_kind("jupyterlab")).unwrap()
}

/// A valid Workspace of it.
fn workspace() -> Value {
    serde_json::to_value(crds::testing::workspace("team", "notebook", "jupyterlab")).unwrap()
}

/// A router with an observer that does nothing.
fn serving<L: Lookup>(lookup: L, policy: Policy) -> Router {
    router(Arc::new(lookup), Arc::new(policy), Arc::new(|_: &'static str, _: u16, _: Duration| {}))
}

/// A router over a lookup.
fn serving_facts(kinds: &[Value], workspaces: &[Value]) -> Router {
    serving(FakeLookup::new(kinds, workspaces).unwrap(), Policy::default())
}

/// Posts a body and returns the code and the bytes of the answer.
async fn post(router: &Router, uri: &str, body: impl Into<Body>) -> (StatusCode, Vec<u8>) {
    let request = Request::post(uri).header("content-type", "application/json").body(body.into()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let code = response.status();
    (code, response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

/// Posts a review that must be answered, and returns the answer.
async fn ask(router: &Router, uri: &str, review: &Value) -> Value {
    let (code, body) = post(router, uri, review.to_string()).await;
    assert_eq!(code, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["kind"], "AdmissionReview");
    assert_eq!(answer["apiVersion"], review["apiVersion"]);
    assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
    answer
}

/// The verdict of an answer.
fn verdict(answer: &Value) -> Expected {
    let response = &answer["response"];
    let status = &response["status"];
    let allowed = response["allowed"].as_bool().unwrap();
    let refused = status["code"].as_u64().map(|code| u16::try_from(code).unwrap());
    assert_eq!(allowed, refused.is_none(), "{answer}");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    Expected {
        refused,
        causes: list(&status["details"]["causes"])
            .into_iter()
            .map(|cause| serde_json::from_value::<Cause>(cause).unwrap())
            .collect(),
        warnings: list(&response["warnings"]).iter().map(|warning| warning.as_str().unwrap().to_owned()).collect(),
    }
}

/// The verdict on creating a kind, or updating it from `old`.
async fn ask_kind(router: &Router, object: &Value, old: Option<&Value>) -> Expected {
    let review = Question { object: Some(object), old }.review("uid");
    verdict(&ask(router, WORKSPACE_KIND_PATH, &review).await)
}

/// Posts a review that must be refused, and returns the `metav1.Status`.
async fn refusal_with(lookup: impl Lookup, path: &str, review: &Value) -> Value {
    let answer = ask(&serving(lookup, Policy::default()), path, review).await;
    assert_eq!(answer["response"]["allowed"], false);
    answer["response"]["status"].clone()
}
