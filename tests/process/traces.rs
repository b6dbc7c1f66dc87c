//! Traces: what a collector gets, and that no collector can hold up the process.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster::{Cluster, ClusterOptions, ControllerOptions, ControllerProcess, Exit, Reply};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::{Value, json};

use crate::binary::PROGRAM;
use crate::exactly;

const PATIENCE: Duration = Duration::from_mins(1);
const KINDS: &str = "/apis/kubeflow.org/v1beta1/workspacekinds";
const WORKSPACES: &str = "/apis/kubeflow.org/v1beta1/namespaces/default/workspaces";
/// Part of what a user writes, and so of what is rendered out of it.
const SECRET: &str = "hunter2";

/// A collector for OTLP over HTTP.
#[derive(Clone, Default)]
struct Collector {
    /// The bodies of the requests.
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Collector {
    /// Listens; the second value is the address.
    fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let collector = Self::default();
        let bodies = Arc::clone(&collector.bodies);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, bodies) = (stream.unwrap(), Arc::clone(&bodies));
                std::thread::spawn(move || take_requests(stream, &bodies));
            }
        });
        (collector, address)
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let bodies = self.bodies.lock().unwrap();
        bodies.iter().map(|body| ExportTraceServiceRequest::decode(body.as_slice()).unwrap()).collect()
    }

    fn spans(&self) -> Vec<Span> {
        let resources = self.requests().into_iter().flat_map(|request| request.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }
}

/// Answers the requests of one connection.
fn take_requests(stream: TcpStream, bodies: &Mutex<Vec<Vec<u8>>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut head) = (0, Vec::new());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or_default() == 0 {
                return;
            }
            let line = line.trim_end().to_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(text) = line.strip_prefix("content-length:") {
                length = text.trim().parse().unwrap();
            }
            head.push(line);
        }
        assert_eq!(head[0], "post /v1/traces http/1.1");
        assert!(head.contains(&"content-type: application/x-protobuf".to_owned()), "{head:?}");
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        bodies.lock().unwrap().push(body);
        reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    }
}

fn attributes(of: &[KeyValue]) -> BTreeMap<&str, String> {
    of.iter()
        .map(|attribute| {
            let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
            let text = match value {
                Some(Attribute::StringValue(text)) => text.clone(),
                Some(Attribute::IntValue(number)) => number.to_string(),
                other => format!("{other:?}"),
            };
            (attribute.key.as_str(), text)
        })
        .collect()
}

/// A kind and a Workspace, whose header and variable hold the secret.
fn create(cluster: &Cluster) {
    let mut kind = serde_json::to_value(crds::testing::workspace_kind("jupyterlab")).unwrap();
    let template = &mut kind["spec"]["podTemplate"];
    template["ports"][0]["httpProxy"]["requestHeaders"]["set"] =
        json!({"X-Key": format!("{SECRET}-{{{{ httpPathPrefix \"jupyterlab\" }}}}")});
    template["extraEnv"] = json!([{"name": "KEY", "value": SECRET}]);
    cluster.api().create(KINDS, &kind).and_then(Reply::ok).unwrap();
    let mut workspace = serde_json::to_value(crds::testing::workspace("default", "lab", "jupyterlab")).unwrap();
    workspace["metadata"] = json!({"name": "lab"});
    cluster.api().create(WORKSPACES, &workspace).and_then(Reply::ok).unwrap();
}

fn wait_running(cluster: &Cluster, controller: &ControllerProcess<'_>) {
    let running = controller.wait_for("the Workspace to run", PATIENCE, || {
        let status = cluster.api().get(&format!("{WORKSPACES}/lab")).unwrap().json()["status"].clone();
        if status["state"] == "Running" { Ok(()) } else { Err(status.to_string()) }
    });
    running.unwrap();
}

fn traced_to(endpoint: &str) -> ControllerOptions {
    ControllerOptions::new(PROGRAM)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
        .env("RUST_LOG", "trace")
}

/// A control plane whose API server traces each request, and sends its spans nowhere.
fn tracing_cluster() -> (Cluster, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tracing.yaml");
    let config = json!({
        "apiVersion": "apiserver.config.k8s.io/v1beta1", "kind": "TracingConfiguration",
        "endpoint": "127.0.0.1:1", "samplingRatePerMillion": 1_000_000,
    });
    std::fs::write(&file, config.to_string()).unwrap();
    let api_server_args = vec![format!("--tracing-config-file={}", file.display())];
    (Cluster::start(ClusterOptions { api_server_args, ..ClusterOptions::default() }).unwrap(), dir)
}

/// Waits for a span with these attributes.
fn wait_span(collector: &Collector, controller: &ControllerProcess<'_>, name: &str, wanted: &[(&str, &str)]) -> Span {
    let found = controller.wait_for(&format!("a span {name} {wanted:?}"), PATIENCE, || {
        let spans = collector.spans();
        let has = |span: &&Span| {
            let attributes = attributes(&span.attributes);
            let is_so = |(key, value): &(&str, &str)| attributes.get(key).is_some_and(|found| found == value);
            span.name == name && wanted.iter().all(is_so)
        };
        spans
            .iter()
            .find(has)
            .cloned()
            .ok_or_else(|| format!("{:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>()))
    });
    found.unwrap()
}

#[test]
fn reviews_reconciles_and_requests_are_traced_without_what_users_wrote() {
    let (cluster, _config) = tracing_cluster();
    let (collector, endpoint) = Collector::start();
    let controller = ControllerProcess::start(&cluster, &traced_to(&endpoint)).unwrap();
    create(&cluster);
    wait_running(&cluster, &controller);

    let review = wait_span(
        &collector,
        &controller,
        "review",
        &[("kind", "Workspace"), ("name", "lab"), ("operation", "CREATE")],
    );
    assert_eq!(attributes(&review.attributes)["requestID"].len(), 36);
    assert_eq!(review.parent_span_id.len(), 8, "its parent is a span of the API server");

    let reconcile = [("controller", "workspace"), ("namespace", "default"), ("name", "lab"), ("generation", "1")];
    wait_span(&collector, &controller, "reconcile", &reconcile);
    let path = "/apis/apps/v1/namespaces/default/statefulsets";
    let applied = controller.wait_for("a request of the reconcile", PATIENCE, || {
        let spans = collector.spans();
        let of = |name: &str| spans.iter().filter(|span| span.name == name).cloned().collect::<Vec<_>>();
        let is_applied = |request: &&Span| {
            let attributes = attributes(&request.attributes);
            attributes["url.path"].starts_with(path) && attributes["http.response.status_code"] == "201"
        };
        let request = of("PATCH").iter().find(is_applied).cloned().ok_or("none applied")?;
        let parent = of("reconcile").into_iter().find(|span| span.span_id == request.parent_span_id);
        parent.map(|parent| (parent, request)).ok_or("its reconcile has not ended")
    });
    let (parent, request) = applied.unwrap();
    assert_eq!((&parent.trace_id, request.kind), (&request.trace_id, 3));
    assert_eq!(attributes(&parent.attributes)["name"], "lab");
    let messages: Vec<&str> = parent.events.iter().map(|event| event.name.as_str()).collect();
    assert!(messages.contains(&"created"), "{messages:?}");

    assert_eq!(controller.terminate(PATIENCE).unwrap(), Exit::Code(0));
    let requests = collector.requests();
    let resource = requests[0].resource_spans[0].resource.as_ref().unwrap();
    let resource = attributes(&resource.attributes);
    assert_eq!(resource["service.name"], "workspaces-controller");
    let kubeconfig = std::fs::read_to_string(
        cluster.as_service_account(cluster::CONTROLLER_NAMESPACE, cluster::CONTROLLER_ACCOUNT).unwrap().kubeconfig,
    )
    .unwrap();
    let config: Value = serde_json::from_str(&kubeconfig).unwrap();
    let token = config["users"][0]["user"]["token"].as_str().unwrap();
    let bodies = collector.bodies.lock().unwrap().concat();
    let count = |text: &str| bodies.windows(text.len()).filter(|window| *window == text.as_bytes()).count();
    assert!(count("reconcileID") > 0 && token.len() > 8);
    exactly(
        "traces",
        &format!("values of users and tokens in {} KiB of traces", bodies.len() / 1024),
        count(SECRET) + count("Bearer") + count(token),
        0,
    );
}

/// One that accepts connections and never answers, and one that is not there.
#[test]
fn no_collector_holds_up_reviews_reconciles_or_the_end() {
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (address, hangs) in [(hanging.local_addr().unwrap(), true), (gone, false)] {
        let cluster = Cluster::start(ClusterOptions::default()).unwrap();
        // So that the queue is full at once.
        let options = traced_to(&format!("http://{address}"))
            .env("OTEL_BSP_MAX_QUEUE_SIZE", "8")
            .env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4");
        let controller = ControllerProcess::start(&cluster, &options).unwrap();
        create(&cluster);
        wait_running(&cluster, &controller);
        if !hangs {
            let waited = controller.wait_for("the line about it", PATIENCE, || {
                if controller.log().contains("the collector does not take the traces") {
                    Ok(())
                } else {
                    Err("no line")
                }
            });
            waited.unwrap();
        }
        let began = std::time::Instant::now();
        assert_eq!(controller.terminate(PATIENCE).unwrap(), Exit::Code(0));
        // A request to the collector may take ten seconds.
        assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
        assert!(controller.log().matches("the collector does not take the traces").count() <= 1);
    }
}

#[test]
fn what_cannot_be_used_is_an_error_in_the_log_and_the_process_runs() {
    let cluster = Cluster::shared();
    let options = ControllerOptions { register_webhooks: false, ..traced_to("https://127.0.0.1:1") };
    let controller = ControllerProcess::start(cluster, &options).unwrap();
    let log = controller.log();
    let line = log.lines().find(|line| line.contains("there are no traces")).unwrap();
    assert!(line.contains("OTEL_EXPORTER_OTLP_CERTIFICATE has to name a file"), "{line}");
    assert_eq!(controller.terminate(PATIENCE).unwrap(), Exit::Code(0));
}
