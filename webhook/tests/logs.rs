//! What is logged about refusals. A process of its own: other tests would register the log's callsites first.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;
use tracing_subscriber::filter::LevelFilter;
use webhook::testing::FakeLookup;
use webhook::{Policy, Question, WORKSPACE_KIND_PATH, router};

/// The span of a review of the kind below.
const SPAN: &str =
    r#"review{requestID="uid-1" kind="WorkspaceKind" namespace="" name="jupyterlab" operation="CREATE"}"#;

/// A log that can be read afterwards.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Field, type and rule of each fault are logged, at any level no value and no body.
#[tokio::test]
async fn logs_name_rules_and_never_values() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber.with_ansi(false).finish());
    let router = router(
        Arc::new(FakeLookup::default()),
        Arc::new(Policy::default()),
        Arc::new(|_: &'static str, _: u16, _: Duration| {}),
    );
    let post = |body: String, expected: StatusCode| {
        let request = Request::post(WORKSPACE_KIND_PATH).body(Body::from(body)).unwrap();
        let response = router.clone().oneshot(request);
        async move { assert_eq!(response.await.unwrap().status(), expected) }
    };
    let create = |kind: &Value| Question::create(kind).review("uid-1").to_string();

    let mut kind = serde_json::to_value(crds::testing::workspace_kind("jupyterlab")).unwrap();
    kind["spec"]["podTemplate"]["ports"][0]["httpProxy"]["requestHeaders"]["set"]["X-Key"] = json!("hunter2");
    post(create(&kind), StatusCode::OK).await;
    kind["spec"]["podTemplate"]["extraEnv"] = json!([{"name": "A", "value": "{{ .hunter2 }}"}]);
    kind["spec"]["podTemplate"]["ports"][0]["httpProxy"]["requestHeaders"]["set"]["X-Key"] = json!("hunter2 %");
    post(create(&kind), StatusCode::OK).await;
    kind["spec"]["podTemplate"]["extraEnv"][0]["value"] = json!({"hunter2": 1});
    post(create(&kind), StatusCode::OK).await;
    post(r#"{"request": {"uid": "u\n2026 ERROR forged", "operation": {"hunter2": 1}}}"#.to_owned(), StatusCode::OK)
        .await;
    post(json!({"request": {"uid": "ü".repeat(1 << 20), "operation": {}}}).to_string(), StatusCode::OK).await;
    post("hunter2".to_owned(), StatusCode::BAD_REQUEST).await;

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let refusal = text.lines().find(|line| line.contains("code=422")).unwrap_or_else(|| panic!("{text}"));
    for part in [
        " INFO ",
        "refused",
        SPAN,
        "\"spec.podTemplate.extraEnv[A].value FieldValueInvalid extra-env-template\"",
        "\"spec.podTemplate.ports[0].httpProxy.requestHeaders.set[X-Key] FieldValueInvalid request-header\"",
    ] {
        assert!(refusal.contains(part), "{part} in {refusal}");
    }
    let broken = text.lines().find(|line| line.contains("does not decode")).unwrap_or_else(|| panic!("{text}"));
    assert!(broken.contains(r#"requestID="u\n2026 ERROR forged""#) && !text.contains("\n2026 ERROR"), "{text}");
    let longest = text.lines().map(str::len).max();
    assert!(longest.is_some_and(|longest| longest < 2_000), "{longest:?}");
    // The request is identified once a line, by the span.
    assert_eq!(refusal.matches("uid-1").count(), 1, "{refusal}");
    assert_eq!(refusal.matches("jupyterlab").count(), 1, "{refusal}");
    let accepted = |line: &&str| line.contains("DEBUG") && line.contains("accepted");
    let accepted = text.lines().find(accepted).unwrap_or_else(|| panic!("{text}"));
    assert!(accepted.contains(SPAN), "{accepted}");
    assert!(!text.contains("hunter2"), "{text}");
}
