//! The status page and the metrics of the running program, on a real control plane: what they say of what is there, and to whom.

use std::net::SocketAddr;
use std::time::Duration;

use cluster::{CONTROLLER_USER, Cluster, ClusterOptions, ControllerOptions, ControllerProcess, Exit, Reply, report};
use serde_json::{Value, json};
use tokio_rustls::TlsConnector;

use crate::binary::PROGRAM;
use crate::client::{Answer, connect, connector, exchange};
use crate::exactly;

const PATIENCE: Duration = Duration::from_mins(1);
const GROUP: &str = "/apis/kubeflow.org/v1beta1";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// A ServiceAccount, and a token of it for these audiences; none for those of the API server.
fn token(cluster: &Cluster, namespace: &str, account: &str, audiences: &[&str]) -> String {
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
    let created = cluster.api().create(&path, &json!({"metadata": {"name": account}})).unwrap();
    assert!([201, 409].contains(&created.status), "{}", created.body);
    let audiences: Option<&[&str]> = (!audiences.is_empty()).then_some(audiences);
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"audiences": audiences.unwrap_or(&[]), "expirationSeconds": 600},
    });
    let answer = cluster.api().create(&format!("{path}/{account}/token"), &request).and_then(Reply::ok).unwrap();
    answer["status"]["token"].as_str().unwrap().to_owned()
}

/// Lets that account `get` the paths.
fn allow(cluster: &Cluster, namespace: &str, account: &str, paths: &[&str]) {
    let role = json!({"metadata": {"name": account}, "rules": [{"nonResourceURLs": paths, "verbs": ["get"]}]});
    cluster.api().create(&format!("{RBAC}/clusterroles"), &role).and_then(Reply::ok).unwrap();
    let binding = json!({
        "metadata": {"name": account},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": account},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    });
    cluster.api().create(&format!("{RBAC}/clusterrolebindings"), &binding).and_then(Reply::ok).unwrap();
}

/// A Workspace that runs, one whose account is somebody else's, and a refused kind.
fn populate(cluster: &Cluster, namespace: &str) {
    let kind = json!(crds::testing::workspace_kind("jupyter"));
    let kinds = format!("{GROUP}/workspacekinds");
    cluster.api().create(&kinds, &kind).and_then(Reply::ok).unwrap();
    let account = json!({"metadata": {"name": "ws-taken"}});
    let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
    cluster.api().create(&accounts, &account).and_then(Reply::ok).unwrap();
    for name in ["runs", "taken"] {
        let mut workspace = json!(crds::testing::workspace(namespace, name, "jupyter"));
        workspace["metadata"] = json!({"namespace": namespace, "name": name});
        let path = format!("{GROUP}/namespaces/{namespace}/workspaces");
        cluster.api().create(&path, &workspace).and_then(Reply::ok).unwrap();
    }
    let mut refused = json!(crds::testing::workspace_kind("refused"));
    let headers = json!({"set": {"X-Token": "hunter2 is 100%"}});
    refused["spec"]["podTemplate"]["ports"][0]["httpProxy"]["requestHeaders"] = headers;
    assert_eq!(cluster.api().create(&kinds, &refused).unwrap().status, 422);
}

/// What listens over TLS.
struct Site {
    address: SocketAddr,
    connector: TlsConnector,
}

impl Site {
    /// That of the field of the log line.
    fn new(controller: &ControllerProcess<'_>, field: &str) -> Self {
        let log = controller.log();
        let line = log.lines().find(|line| line.contains("\"message\":\"listening\"")).unwrap();
        let line: Value = serde_json::from_str(line).unwrap();
        let bound: SocketAddr = line[field].as_str().unwrap().parse().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], bound.port()));
        Self { address, connector: connector(controller.ca_pem()) }
    }

    async fn ask(&self, path: &str, token: Option<&str>) -> Answer {
        let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let mut stream = connect(&self.connector, self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: status.example.com\r\n{authorization}\r\n");
        exchange(&mut stream, &request).await.unwrap()
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        self.ask(path, Some(token)).await
    }
}

#[tokio::test]
async fn who_may_read_the_status_sees_what_is_there_and_nobody_else_does() {
    let cluster = &Cluster::start(ClusterOptions::default()).unwrap();
    let namespace = &cluster.namespace("status").unwrap();
    let options = ControllerOptions::new(PROGRAM)
        .arg("--status-bind-address=0.0.0.0:0")
        .arg("--metrics-secure")
        .arg("--metrics-require-authentication");
    let controller = ControllerProcess::start(cluster, &options).unwrap();
    populate(cluster, namespace);
    let reader = &token(cluster, namespace, "reader", &[]);
    let stranger = &token(cluster, namespace, "stranger", &[]);
    let elsewhere = &token(cluster, namespace, "reader", &["vault"]);
    allow(cluster, namespace, "reader", &["/status", "/metrics"]);
    let (status, metrics) = (Site::new(&controller, "status_address"), Site::new(&controller, "metrics_address"));

    let mut said = Value::Null;
    let began = std::time::Instant::now();
    while began.elapsed() < PATIENCE
        && (said["workspaces"]["stuck"] != 1 || said["workspaces"]["states"][4]["count"] != 1)
    {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let answer = status.get(&format!("/status.json?namespace={namespace}"), reader).await;
        // RBAC follows its watch.
        said = if answer.status == 200 { serde_json::from_str(&answer.body).unwrap() } else { json!(answer.body) };
    }
    assert_eq!(
        (&said["workspaces"]["stuck"], &said["workspaces"]["states"][4]),
        (&json!(1), &json!({"state": "Running", "count": 1})),
        "{said}"
    );
    let rows = &said["workspaces"]["rows"];
    assert_eq!((&rows[0]["name"], &rows[0]["reason"]), (&json!("taken"), &json!("ForeignObject")), "{said}");
    assert_eq!(
        rows[0]["message"],
        "Workspace ServiceAccount ws-taken already exists and is not owned by the Workspace"
    );
    assert_eq!((&rows[1]["name"], &rows[1]["route"]), (&json!("runs"), &json!("in place")), "{said}");
    assert_eq!(
        rows[1]["ports"],
        json!([{"text": "jupyterlab", "path": format!("/workspace/{namespace}/runs/jupyterlab/")}])
    );
    assert_eq!(
        (&said["kinds"]["rows"][0]["name"], &said["kinds"]["rows"][0]["workspaces"]),
        (&json!("jupyter"), &json!(2)),
        "{said}"
    );
    let refusals = said["refusals"].as_array().unwrap();
    let refusal = refusals.iter().find(|refusal| refusal["name"] == "refused").unwrap();
    assert_eq!(refusal["fields"], json!(["spec.podTemplate.ports[0].httpProxy.requestHeaders.set[X-Token]"]));
    assert_eq!((&refusal["rule"], &refusal["kind"]), (&json!("WSK003"), &json!("WorkspaceKind")));
    assert!(!said.to_string().contains("hunter2"), "{said}");
    let total = |what: &str| {
        said["perMinute"][what].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum::<u64>()
    };
    assert!(total("writes") >= 8 && total("reviews") >= 4, "{said}");
    assert!(
        said["caches"]
            .as_array()
            .unwrap()
            .iter()
            .any(|cache| cache["resource"] == "pods" && cache["progress"] == "synced")
    );
    assert!(
        said["certificate"]["left"].is_string()
            && said["readiness"].as_array().unwrap().iter().all(|check| check["ready"] == true)
    );

    let page = status.get("/", reader).await;
    assert!(
        page.status == 200 && page.body.contains("ForeignObject") && !page.body.contains("hunter2"),
        "{}",
        page.body
    );
    let text = metrics.get("/metrics", reader).await;
    assert!(text.status == 200 && text.body.contains("workspaces_workspaces{state=\"Running\"} 1"), "{}", text.body);

    for (site, path, right) in
        [(&status, "/", "/status"), (&status, "/status.json", "/status"), (&metrics, "/metrics", "/metrics")]
    {
        assert_eq!(site.ask(path, None).await.status, 401, "{path}");
        assert_eq!(site.get(path, "nonsense").await.status, 401, "{path}");
        assert_eq!(site.get(path, elsewhere).await.status, 401, "{path}: a token for another audience");
        let answer = site.get(path, stranger).await;
        let expected = format!(
            "system:serviceaccount:{namespace}:stranger may not get {right}: allow it with a ClusterRole whose rules have \
             {{nonResourceURLs: [\"{right}\"], verbs: [\"get\"]}}\n"
        );
        assert_eq!((answer.status, answer.body), (403, expected), "{path}");
    }

    let mark = cluster.audit().mark().unwrap();
    for _ in 0..50 {
        assert_eq!(status.get("/status.json", reader).await.status, 200);
    }
    let reviews = cluster.audit().since(mark).unwrap().by(CONTROLLER_USER).resource("tokenreviews").count();
    // A minute may have passed since the last one.
    report("tokens", reviews <= 1, reviews, "1: TokenReviews for 50 requests with one token");
    assert!(reviews <= 1, "{reviews} reviews of one token");
    let asked = cluster.audit().all().unwrap().by(CONTROLLER_USER);
    let refused = asked.clone().filter(|request| request.code >= 400 && request.resource.ends_with("reviews"));
    exactly("tokens", "reviews of tokens and access that the API server refused", refused.count(), 0);
    let log = controller.log();
    assert!(![reader, stranger, elsewhere].iter().any(|token| log.contains(&***token)), "a token is in the log");
    assert_eq!(controller.terminate(PATIENCE).unwrap(), Exit::Code(0));
}
