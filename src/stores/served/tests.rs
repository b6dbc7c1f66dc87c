#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use kube::client::Body;
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::*;
use crate::stores::captured_log::CapturedLog;

/// Our schemas as API servers publish them.
fn current() -> [Value; 2] {
    [crds::generate::workspace_crd(), crds::generate::workspace_kind_crd()].map(|crd| {
        let version = &crd["spec"]["versions"][0];
        let mut schema = version["schema"]["openAPIV3Schema"].clone();
        if let Some(fields) = version.get("selectableFields") {
            schema["x-kubernetes-selectable-fields"] = fields.clone();
        }
        schema
    })
}

fn remove(schema: &mut Value, path: &str) {
    let (parent, field) = path.rsplit_once('/').unwrap();
    let parent = schema.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    parent.remove(field).unwrap();
}

/// What the schemas of the Go controller lack, and require.
fn older() -> [Value; 2] {
    let [mut workspace, mut kind] = current();
    remove(&mut workspace, "/x-kubernetes-selectable-fields");
    remove(&mut workspace, "/properties/spec/properties/deferUpdates");
    let status = "/properties/status";
    for schema in [&mut workspace, &mut kind] {
        for field in ["conditions", "observedGeneration"] {
            remove(schema, &format!("{status}/properties/{field}"));
        }
    }
    workspace.pointer_mut(status).unwrap()["required"] = json!(["activity", "state"]);
    let template = kind.pointer_mut("/properties/spec/properties/podTemplate").unwrap();
    template["required"].as_array_mut().unwrap().push(json!("ports"));
    let port = template.pointer_mut("/properties/ports/items").unwrap();
    remove(port, "/properties/portId");
    port["required"] = json!(["id", "protocol"]);
    port["properties"]["protocol"]["default"] = json!("HTTP");
    // Inside a type of Kubernetes.
    remove(template, "/properties/securityContext/properties/seLinuxChangePolicy");
    [workspace, kind]
}

fn compared(schemas: [Value; 2]) -> (Served, Vec<String>) {
    let served = Served::default();
    let [workspace, kind] = schemas.map(|schema| serde_json::from_value(schema).unwrap());
    let lines = served.compare(PublishedSchemas { workspace, kind });
    (served, lines.0.iter().map(ToString::to_string).collect())
}

const APPLY: &str = "install the CRDs, with `workspaces-controller crds | kubectl apply --server-side -f -`";

fn older_lines() -> [String; 2] {
    [
        format!(
            "the CRD workspaces.kubeflow.org is older than this version: the API server drops spec.deferUpdates, \
             status.conditions, status.observedGeneration; Workspaces cannot be selected by spec.kind, so all are listed to \
             find those that use a kind or an option; {APPLY}"
        ),
        format!(
            "the CRD workspacekinds.kubeflow.org is older than this version: the API server drops \
             spec.podTemplate.ports[].portId, status.conditions, status.observedGeneration; it requires \
             spec.podTemplate.ports, spec.podTemplate.ports[].id; {APPLY}"
        ),
    ]
}

#[test]
fn the_crds_of_this_version_keep_everything() {
    let (served, lines) = compared(current());
    assert!(lines.is_empty(), "{lines:?}");
    let status = json!({"observedGeneration": 1, "unknown": 1});
    assert_eq!(served.kept(StatusOf::Workspace, status.clone()), status);
}

#[test]
fn an_older_crd_is_one_line_and_what_it_drops_is_not_written() {
    let (served, lines) = compared(older());
    assert_eq!(lines, older_lines());
    let status = json!({
        "activity": {"lastActivity": 0, "unknown": 1},
        "conditions": [{"type": "Ready"}],
        "observedGeneration": 1,
        "podTemplatePod": {"name": "", "containers": [{"name": "main", "unknown": 1}]},
    });
    let kept =
        json!({"activity": {"lastActivity": 0}, "podTemplatePod": {"name": "", "containers": [{"name": "main"}]}});
    assert_eq!(served.kept(StatusOf::Workspace, status), kept);
    let status = json!({"conditions": [{"type": "Ready"}], "observedGeneration": 1, "workspaces": 2});
    assert_eq!(served.kept(StatusOf::WorkspaceKind, status), json!({"workspaces": 2}));
}

/// One of a newer version, or of an older one with fields that need not be set any longer.
#[test]
fn a_crd_that_only_requires_more_need_not_be_older() {
    let [mut workspace, kind] = current();
    workspace["properties"]["spec"]["required"].as_array_mut().unwrap().push(json!("owner"));
    let (_, lines) = compared([workspace, kind]);
    let expected = "the CRD workspaces.kubeflow.org differs from this version: it requires spec.owner; run the version that \
        it is of, or install the CRDs of this one, with `workspaces-controller crds | kubectl apply --server-side -f -`";
    assert_eq!(lines, [expected]);
}

#[test]
fn many_fields_are_counted() {
    let [mut workspace, kind] = current();
    workspace["properties"]["status"]["properties"] = json!({});
    workspace["properties"]["spec"]["properties"] = json!({});
    let (_, lines) = compared([workspace, kind]);
    let expected = "the CRD workspaces.kubeflow.org is older than this version: the API server drops spec.deferUpdates, \
        spec.displayName, spec.kind, spec.paused, spec.podTemplate, status.activity, status.conditions, status.lastRunningTime, \
        status.observedGeneration, status.pauseTime, status.pendingRestart, status.podTemplateOptions and 3 more; ";
    assert_eq!(lines, [format!("{expected}{APPLY}")]);
}

/// The answers to one request after the other; the last one again and again.
async fn kept(
    seconds: u64,
    answers: impl Fn(usize, &str) -> (u16, Value) + Send + Sync + 'static,
) -> (Vec<String>, bool) {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let answers = Arc::new(answers);
    let began = Instant::now();
    let service = tower::service_fn({
        let requests = requests.clone();
        move |request: Request<Body>| {
            let path = request.uri().to_string();
            let mut requests = requests.lock().unwrap();
            let (code, body) = answers(requests.len(), &path);
            requests.push(format!("{} {path}", began.elapsed().as_secs()));
            let body = Body::from(body.to_string().into_bytes());
            std::future::ready(http::Response::builder().status(code).body(body))
        }
    });
    let served = Served::default();
    drop(timeout(Duration::from_secs(seconds), served.keep(Client::new(service, "default"), || {})).await);
    let requests = requests.lock().unwrap().clone();
    (requests, *served.known.borrow())
}

fn index(hash: &str) -> (u16, Value) {
    let url = format!("/openapi/v3/apis/kubeflow.org/v1beta1?hash={hash}");
    (
        200,
        json!({"paths": {"api/v1": {"serverRelativeURL": "x"}, "apis/kubeflow.org/v1beta1": {"serverRelativeURL": url}}}),
    )
}

fn document([workspace, kind]: [Value; 2]) -> (u16, Value) {
    let schemas = json!({"org.kubeflow.v1beta1.Workspace": workspace, "org.kubeflow.v1beta1.WorkspaceKind": kind});
    (200, json!({"components": {"schemas": schemas}}))
}

#[tokio::test(start_paused = true)]
async fn older_crds_are_reported_once_and_so_is_their_end() {
    let log = CapturedLog::start();
    let (requests, known) = kept(100, |number, path| match number {
        0 | 2 => index("old"),
        3 | 5 => index("new"),
        _ if path.ends_with("hash=old") => document(older()),
        _ => document(current()),
    })
    .await;
    let document = "/openapi/v3/apis/kubeflow.org/v1beta1?hash=";
    let expected = [
        "0 /openapi/v3".to_owned(),
        format!("0 {document}old"),
        "30 /openapi/v3".to_owned(),
        "60 /openapi/v3".to_owned(),
        format!("60 {document}new"),
        "90 /openapi/v3".to_owned(),
    ];
    assert_eq!((requests, known), (expected.to_vec(), true));
    let [workspace, kind] = older_lines();
    let expected =
        [format!("WARN {workspace}"), format!("WARN {kind}"), "INFO the CRDs are those of this version now".to_owned()];
    assert_eq!(log.lines(), expected);
}

#[tokio::test(start_paused = true)]
async fn older_crds_that_come_back_are_reported_and_what_they_drop_is_not_written() {
    let log = CapturedLog::start();
    let service = tower::service_fn({
        let requests = std::sync::atomic::AtomicUsize::new(0);
        move |request: Request<Body>| {
            let (_, body) = match requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0 => index("new"),
                1 => document(current()),
                _ if request.uri().query().is_none() => index("old"),
                _ => document(older()),
            };
            std::future::ready(Ok::<_, std::io::Error>(http::Response::new(Body::from(body.to_string().into_bytes()))))
        }
    });
    let served = Served::default();
    let status = json!({"observedGeneration": 1, "state": "Running"});
    let keeping = served.keep(Client::new(service, "default"), || {});
    let observing = async {
        served.wait_known().await;
        let before = served.kept(StatusOf::Workspace, status.clone());
        sleep(LOOK_AGAIN + RETRY).await;
        (before, served.kept(StatusOf::Workspace, status.clone()))
    };
    let (before, after) = tokio::select! {
        () = keeping => unreachable!("it never returns"),
        observed = observing => observed,
    };
    assert_eq!((before, after), (status.clone(), json!({"state": "Running"})));
    assert_eq!(log.lines(), older_lines().map(|line| format!("WARN {line}")));
}

#[tokio::test(start_paused = true)]
async fn the_reconciler_waits_half_a_minute_where_there_is_no_answer() {
    let silent = tower::service_fn(|_: Request<Body>| std::future::pending::<std::io::Result<http::Response<Body>>>());
    let served = Served::default();
    let began = Instant::now();
    tokio::select! {
        () = served.keep(Client::new(silent, "default"), || {}) => {}
        () = served.wait_known() => {}
    }
    assert_eq!(began.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn crds_that_are_not_published_yet_are_asked_for_again() {
    let (requests, known) = kept(10, |number, _| match number {
        0 => (503, json!({"kind": "Status", "apiVersion": "v1", "code": 503, "status": "Failure"})),
        1 => (200, json!({"paths": {}})),
        2 => index("new"),
        _ => document(current()),
    })
    .await;
    assert_eq!((requests.len(), known), (4, true), "{requests:?}");
    assert_eq!(requests[2], "6 /openapi/v3");
}

#[tokio::test(start_paused = true)]
async fn a_document_that_has_changed_since_its_index_is_asked_for_again() {
    let (requests, known) = kept(10, |number, _| match number {
        0 => index("old"),
        1 => (301, json!("<a href=\"/openapi/v3/apis/kubeflow.org/v1beta1?hash=new\">Moved Permanently</a>.")),
        2 => index("new"),
        _ => document(current()),
    })
    .await;
    let document = "/openapi/v3/apis/kubeflow.org/v1beta1?hash=";
    let expected = [
        "0 /openapi/v3".to_owned(),
        format!("0 {document}old"),
        "3 /openapi/v3".to_owned(),
        format!("3 {document}new"),
    ];
    assert_eq!((requests, known), (expected.to_vec(), true));
}

#[tokio::test(start_paused = true)]
async fn the_reconciler_does_not_wait_for_what_is_not_shown() {
    let status = |code: u16| (code, json!({"kind": "Status", "apiVersion": "v1", "code": code, "status": "Failure"}));
    let (requests, known) = kept(1, move |_, _| status(403)).await;
    assert_eq!((requests.len(), known), (1, true));
    let (_, known) = kept(20, move |_, _| status(503)).await;
    assert!(!known);
    let (_, known) = kept(40, move |_, _| status(503)).await;
    assert!(known);
}
