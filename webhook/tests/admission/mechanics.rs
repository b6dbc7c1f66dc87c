//! Answers apart from the rules: uid, codes, deadlines, order, limits, logs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use http::StatusCode;
use serde_json::{Value, json};
use webhook::testing::{Behaviour, FakeLookup};
use webhook::{BODY_MAX, Observer, Policy, Question, RefusedReview, WORKSPACE_KIND_PATH, WORKSPACE_PATH, router};

use crate::{ask, ask_kind, kind, post, refusal_with, serving, serving_facts, verdict, workspace};

/// A valid kind with another `extraEnv`.
fn kind_with_env(variables: Value) -> Value {
    let mut kind = kind();
    kind["spec"]["podTemplate"]["extraEnv"] = variables;
    kind
}

/// A1: uid and apiVersion are returned whatever happens to the request.
#[tokio::test(start_paused = true)]
async fn a1_every_request_with_a_uid_gets_its_answer() {
    let (kind, workspace) = (kind(), workspace());
    let create = |object: &Value| Question::create(object).review("u-1");
    let mut undecodable = create(&workspace);
    undecodable["request"]["object"]["spec"] = json!({"kind": 7});
    let mut unreadable_metadata = create(&workspace);
    unreadable_metadata["request"]["object"]["metadata"] = json!(7);
    let mut other_version = create(&workspace);
    other_version["apiVersion"] = json!("admission.k8s.io/v1beta1");
    let mut operation = create(&workspace);
    operation["request"]["operation"] = json!("PATCH");
    let known = std::slice::from_ref(&kind);
    let lookup = || FakeLookup::new(known, &[]).unwrap();
    let unused = || FakeLookup::default();
    let bad_kind = kind_with_env(json!([{"name": "A", "value": "{{"}]));
    let delete = Question::delete(&kind).review("u-1");

    let mut codes = vec![
        ask(&serving(lookup(), Policy::default()), WORKSPACE_PATH, &create(&workspace)).await,
        ask(&serving(lookup(), Policy::default()), WORKSPACE_PATH, &other_version).await,
        ask(&serving(unused(), Policy::default()), WORKSPACE_KIND_PATH, &delete).await,
    ]
    .into_iter()
    .map(|answer| verdict(&answer).refused.unwrap_or(200))
    .collect::<Vec<_>>();
    let users = FakeLookup::new(&[], std::slice::from_ref(&workspace)).unwrap();
    let wrong_path = create(&kind);
    for status in [
        refusal_with(unused(), WORKSPACE_PATH, &create(&workspace)).await,
        refusal_with(unused(), WORKSPACE_KIND_PATH, &create(&bad_kind)).await,
        refusal_with(users, WORKSPACE_KIND_PATH, &delete).await,
        refusal_with(FakeLookup::behaving(Behaviour::Panics), WORKSPACE_PATH, &create(&workspace)).await,
        refusal_with(FakeLookup::behaving(Behaviour::Fails), WORKSPACE_PATH, &create(&workspace)).await,
        refusal_with(FakeLookup::behaving(Behaviour::Unavailable), WORKSPACE_KIND_PATH, &delete).await,
        refusal_with(FakeLookup::behaving(Behaviour::Hangs), WORKSPACE_PATH, &create(&workspace)).await,
        refusal_with(lookup(), WORKSPACE_PATH, &undecodable).await,
        refusal_with(lookup(), WORKSPACE_PATH, &unreadable_metadata).await,
        refusal_with(lookup(), WORKSPACE_PATH, &wrong_path).await,
        refusal_with(lookup(), WORKSPACE_PATH, &operation).await,
        refusal_with(lookup(), WORKSPACE_PATH, &json!({"apiVersion": "v", "request": {"uid": "u-1"}})).await,
        refusal_with(
            lookup(),
            WORKSPACE_PATH,
            &json!({"apiVersion": "v", "request": {"uid": "u", "operation": "CREATE"}}),
        )
        .await,
    ] {
        assert_eq!(status["status"], "Failure");
        codes.push(u16::try_from(status["code"].as_u64().unwrap()).unwrap());
    }
    let expected = [200, 200, 200, 422, 422, 409, 500, 500, 503, 503, 422, 400, 400, 400, 400, 422];
    let right = codes.iter().zip(expected).filter(|(found, expected)| *found == expected).count();
    println!("A1 {} {right} {}", if codes == expected { "pass" } else { "fail" }, expected.len());
    assert_eq!(codes, expected);

    let router = serving(lookup(), Policy::default());
    for body in ["", "null", "{}", r#"{"request": null}"#, r#"{"request": {"uid": 7}}"#, "\u{0}", "[[["] {
        let (code, text) = post(&router, WORKSPACE_PATH, body).await;
        assert_eq!(code, StatusCode::BAD_REQUEST, "{body}");
        assert!(text.starts_with(b"the body is not an AdmissionReview whose request.uid can be read: "));
    }
}

/// A2: the same review gets the same bytes, with causes in the order of the document.
#[tokio::test]
async fn a2_the_same_review_gets_the_same_bytes() {
    let mut kind = kind_with_env(json!([{"name": "Z", "value": "{{"}, {"name": "A", "value": "{{ . }}"}]));
    let ports = &mut kind["spec"]["podTemplate"]["ports"];
    ports[0]["httpProxy"]["requestHeaders"] =
        json!({"set": {"b": "%", "a": "%", "Z": "%"}, "add": {"TE": "1"}, "remove": ["host", "a b"]});
    kind["spec"]["podTemplate"]["options"]["podConfig"]["spawner"]["default"] = json!("gone");
    let router = serving_facts(&[], &[]);
    let body = Question::create(&kind).review("u").to_string();
    let (_, first) = post(&router, WORKSPACE_KIND_PATH, body.clone()).await;
    let mut same = 0;
    for _ in 0..1000 {
        same += usize::from(post(&router, WORKSPACE_KIND_PATH, body.clone()).await.1 == first);
    }
    println!("A2 {} {same} 1000", if same == 1000 { "pass" } else { "fail" });
    assert_eq!(same, 1000);
    let fields: Vec<String> =
        verdict(&serde_json::from_slice(&first).unwrap()).causes.into_iter().map(|cause| cause.field).collect();
    let headers = "spec.podTemplate.ports[0].httpProxy.requestHeaders";
    assert_eq!(
        fields,
        [
            "spec.podTemplate.extraEnv[Z].value".to_owned(),
            "spec.podTemplate.extraEnv[A].value".to_owned(),
            format!("{headers}.set[Z]"),
            format!("{headers}.set[a]"),
            format!("{headers}.set[b]"),
            format!("{headers}.add[TE]"),
            format!("{headers}.remove[0]"),
            format!("{headers}.remove[1]"),
            "spec.podTemplate.options.podConfig.spawner.default".to_owned(),
        ]
    );
}

/// H4, the part of the webhook: a panic is answered with its uid, and the next request is served.
#[tokio::test]
async fn h4_a_panic_is_answered_and_others_are_served() {
    let router = serving(FakeLookup::behaving(Behaviour::Panics), Policy::default());
    let status =
        ask(&router, WORKSPACE_PATH, &Question::create(&workspace()).review("u-9")).await["response"]["status"].clone();
    let passed = status["code"] == 500 && status["reason"] == "InternalError";
    println!("H4 {} {} 500", if passed { "pass" } else { "fail" }, status["code"]);
    assert_eq!(status["message"], "internal webhook error (bug): the object could not be reviewed");
    assert!(passed, "{status}");
    assert_eq!(ask_kind(&router, &kind(), None).await.refused, None);
}

#[tokio::test]
async fn a_refusal_is_written_as_kubernetes_writes_it() {
    let kind = kind_with_env(json!([{"name": "A", "value": "{{ if }}"}]));
    let status = refusal_with(FakeLookup::default(), WORKSPACE_KIND_PATH, &Question::create(&kind).review("u")).await;
    let cause =
        "Invalid value: \"{{ if }}\": failed to parse template \"{{ if }}\": template: value:1: missing value for if";
    assert_eq!(
        status,
        json!({
            "metadata": {}, "status": "Failure", "code": 422, "reason": "Invalid",
            "message": format!("WorkspaceKind.kubeflow.org \"jupyterlab\" is invalid: spec.podTemplate.extraEnv[A].value: {cause}"),
            "details": {
                "group": "kubeflow.org", "kind": "WorkspaceKind", "name": "jupyterlab",
                "causes": [{"field": "spec.podTemplate.extraEnv[A].value", "reason": "FieldValueInvalid", "message": cause}],
            },
        })
    );
}

/// The Workspaces that use a kind are counted on the API server.
#[tokio::test]
async fn a_deletion_counts_the_users_on_the_api_server() {
    let workspace = crds::testing::workspace("team", "notebook", "jupyterlab");
    let delete = Question::delete(&kind()).review("u");
    let unknown = FakeLookup { live_workspaces: Some(vec![workspace.clone()]), ..FakeLookup::default() };
    let found = verdict(&ask(&serving(unknown, Policy::default()), WORKSPACE_KIND_PATH, &delete).await);
    assert_eq!(found.refused, Some(409));
    assert_eq!(found.causes[0].message, "WorkspaceKind is used by 1 workspace(s): team/notebook");
    let left = FakeLookup { workspaces: vec![workspace], live_workspaces: Some(Vec::new()), ..FakeLookup::default() };
    assert_eq!(verdict(&ask(&serving(left, Policy::default()), WORKSPACE_KIND_PATH, &delete).await).refused, None);
}

/// Not even decoded: the stored object may be from before a field became required.
#[tokio::test]
async fn an_update_that_keeps_the_spec_is_not_validated() {
    let router = serving(FakeLookup::behaving(Behaviour::Fails), Policy::default());
    let mut old = workspace();
    old["spec"] = json!({"kind": 7});
    let mut new = old.clone();
    new["metadata"]["labels"] = json!({"a": "b"});
    let answer = ask(&router, WORKSPACE_PATH, &Question::update(&new, &old).review("u")).await;
    assert_eq!(verdict(&answer).refused, None);
}

#[tokio::test]
async fn an_update_that_keeps_the_spec_warns_of_nothing() {
    let kind = kind_with_env(json!([{"name": "A", "value": "{{ httpPathPrefix \"tensorboard\" }}"}]));
    let router = serving_facts(&[], &[]);
    let mut labelled = kind.clone();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    let mut changed = kind.clone();
    changed["spec"]["spawner"]["displayName"] = json!("Changed");
    assert_eq!(ask_kind(&router, &kind, None).await.warnings.len(), 1);
    assert_eq!(ask_kind(&router, &changed, Some(&kind)).await.warnings.len(), 1);
    assert!(ask_kind(&router, &labelled, Some(&kind)).await.warnings.is_empty());
}

/// The API server puts the generated name into the object, not into the request.
#[tokio::test]
async fn the_generated_name_is_validated() {
    let router = serving_facts(&[kind()], &[]);
    let mut object = workspace();
    object["metadata"]["generateName"] = json!("my.");
    object["metadata"]["name"] = json!("my.x7k2p");
    let mut create = Question::create(&object).review("u");
    create["request"].as_object_mut().unwrap().remove("name");
    let status = ask(&router, WORKSPACE_PATH, &create).await["response"]["status"].clone();
    assert_eq!(status["details"]["name"], "my.x7k2p");
    assert_eq!(status["details"]["causes"][0]["field"], "metadata.name");
}

#[tokio::test]
async fn a_body_over_the_limit_is_not_read() {
    let router = serving_facts(&[], &[]);
    let (code, text) = post(&router, WORKSPACE_PATH, vec![b' '; BODY_MAX + 1]).await;
    assert_eq!(code, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(String::from_utf8(text).unwrap(), "the body may not be more than 7340032 bytes");
    let chunks = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 1 << 20]));
    let (code, _) = post(&router, WORKSPACE_PATH, Body::from_stream(chunks)).await;
    assert_eq!(code, StatusCode::PAYLOAD_TOO_LARGE);
    let (code, _) = post(&router, WORKSPACE_PATH, vec![b' '; BODY_MAX]).await;
    assert_eq!(code, StatusCode::BAD_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_half_way_is_given_up() {
    let router = serving_facts(&[], &[]);
    let start = tokio::time::Instant::now();
    let half = futures::stream::once(async { Ok::<_, std::io::Error>("{") });
    let body = Body::from_stream(futures::StreamExt::chain(half, futures::stream::pending()));
    let (code, _) = post(&router, WORKSPACE_PATH, body).await;
    assert_eq!(code, StatusCode::REQUEST_TIMEOUT);
    assert!(start.elapsed() <= Duration::from_secs(10));
}

/// Each template stays within its limits, all of them together would take seconds.
#[tokio::test]
async fn templates_that_take_too_long_together_are_refused() {
    let slow = "{{ range 9000 }}{{ end }}";
    let variables: Vec<Value> = (0..5_000).map(|index| json!({"name": format!("V{index}"), "value": slow})).collect();
    let kind = kind_with_env(json!(variables));
    let mut old = kind.clone();
    old["spec"]["spawner"]["displayName"] = json!("Old");
    let router = serving_facts(&[], &[]);
    for review in [Question::create(&kind).review("u"), Question::update(&kind, &old).review("u")] {
        let found = verdict(&ask(&router, &format!("{WORKSPACE_KIND_PATH}?timeout=200ms"), &review).await);
        assert_eq!(found.causes.len(), 1, "{:?}", found.causes);
        assert_eq!(found.causes[0].field, "spec.podTemplate");
        assert_eq!(
            found.causes[0].message,
            "Forbidden: the templates of extraEnv and requestHeaders take too long to render for every imageConfig value"
        );
    }
}

/// Records what it observes.
#[derive(Default)]
struct Notes(Mutex<Vec<(&'static str, u16)>>);

impl Observer for Notes {
    fn started(&self, path: &'static str) {
        self.0.lock().unwrap().push((path, 0));
    }
    fn finished(&self, path: &'static str, code: u16, _: Duration) {
        self.0.lock().unwrap().push((path, code));
    }
}

#[tokio::test]
async fn the_observer_hears_of_the_start_and_end_of_every_request() {
    let notes = Arc::new(Notes::default());
    let served = router(Arc::new(FakeLookup::default()), Arc::default(), notes.clone());
    ask(&served, WORKSPACE_PATH, &Question::create(&workspace()).review("u")).await;
    post(&served, WORKSPACE_KIND_PATH, "no JSON").await;
    // A client that disconnects.
    let hanging = router(Arc::new(FakeLookup::behaving(Behaviour::Hangs)), Arc::default(), notes.clone());
    let review = Question::create(&workspace()).review("u");
    let dropped = tokio::time::timeout(Duration::ZERO, ask(&hanging, WORKSPACE_PATH, &review)).await;
    assert!(dropped.is_err());
    assert_eq!(
        *notes.0.lock().unwrap(),
        [
            (WORKSPACE_PATH, 0),
            (WORKSPACE_PATH, 200),
            (WORKSPACE_KIND_PATH, 0),
            (WORKSPACE_KIND_PATH, 400),
            (WORKSPACE_PATH, 0),
            (WORKSPACE_PATH, 499),
        ]
    );
}

/// Records the refusals.
#[derive(Default)]
struct Refused(Mutex<Vec<String>>);

impl Observer for Refused {
    fn finished(&self, _: &'static str, _: u16, _: Duration) {}
    fn refused(&self, review: &RefusedReview<'_>) {
        self.0.lock().unwrap().push(format!("{review:?}"));
    }
}

#[tokio::test]
async fn the_observer_hears_which_rule_refused_which_field_and_of_no_value() {
    let refused = Arc::new(Refused::default());
    let served = router(Arc::new(FakeLookup::default()), Arc::default(), refused.clone());
    ask(&served, WORKSPACE_PATH, &Question::create(&workspace()).review("u")).await;
    let kind = kind_with_env(json!([{"name": "SECRET", "value": "{{ hunter2 }}"}]));
    ask(&served, WORKSPACE_KIND_PATH, &Question::create(&kind).review("u")).await;
    let undecodable = json!({"apiVersion": "v", "request": {"uid": "u", "operation": 1}});
    ask(&served, WORKSPACE_PATH, &undecodable).await;
    let of = |kind, namespace, name, faults| {
        format!(
            "RefusedReview {{ kind: {kind}, operation: \"CREATE\", namespace: {namespace:?}, name: {name:?}, code: 422, faults: [{faults}] }}"
        )
    };
    let expected = [
        of("Workspace", "team", "notebook", r#"(WorkspaceKindExists, "spec.kind")"#),
        of("WorkspaceKind", "", "jupyterlab", r#"(ExtraEnvTemplate, "spec.podTemplate.extraEnv[SECRET].value")"#),
    ];
    assert_eq!(*refused.0.lock().unwrap(), expected);
}
