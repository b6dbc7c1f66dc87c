//! Each hop between API server and webhook, broken for real.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cluster::{PLAIN_USER, Reply};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::site::{CONFIGURATION, Run, WEBHOOK, bundle, check, check_until, cluster, controller, register, run, turn};

const DAY: Duration = Duration::from_hours(24);
const NS: &str = cluster::CONTROLLER_NAMESPACE;
const PATH: &str = webhook::WORKSPACE_KIND_PATH;
const KUBECTL_PODS: &str = "kubectl -n kubeflow-workspaces get pods: are they Running and ready, and does the selector of the Service match \
    them? If they are not ready, kubectl -n kubeflow-workspaces logs deployment/workspaces-controller says why";
const CA_FIX: &str = "with cert-manager: does its cainjector run, and does the annotation cert-manager.io/inject-ca-from name the \
    Certificate? kubectl -n kubeflow-workspaces describe certificate workspaces-serving-cert. With a certificate of your own: helm \
    upgrade --set-file webhook.caBundle=ca.crt. With certificate.mode=selfManaged the log of the pods says why";
const PROVEN: &str =
    "ok       admission: a good WorkspaceKind is accepted and a faulty one refused (dry run: nothing is stored)";
const INSTALL: &str = "the chart makes it: helm upgrade, with settings.enableWebhooks=true (the default)";

/// A server that does nothing but TLS handshakes with this certificate.
fn serve_tls(chain: &str, key: &str) -> u16 {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    serve(move |mut stream| {
        let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
        drop(connection.complete_io(&mut stream));
    })
}

/// A server that does that with each connection and closes it. It ends with the process.
fn serve(answer: impl Fn(std::net::TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap());
        }
    });
    port
}

/// The two lines about a failed step.
fn failed(step: &str, message: &str, fix: &str) -> [String; 2] {
    [format!("failed   {step}: {message}"), format!("         fix: {fix}")]
}

/// Waits until `check` says that of the step, and nothing more.
fn says(step: &str, lines: &[String]) -> Run {
    let run = check_until(&[], |run| run.about(step) == lines);
    assert!(lines.iter().all(|line| !line.starts_with("failed")) || run.code == Some(1), "{run:#?}");
    run
}

/// The call of the webhook at that URL, as the API server quotes it.
fn call(url: &str, error: &str) -> String {
    format!("Post \"{url}{PATH}?timeout=2s\": {error}")
}

#[test]
fn each_hop_that_fails_is_named_with_what_to_do() {
    let _turn = turn();
    let controller = controller();
    says("admission", &[PROVEN.to_owned()]);
    let (url, ca) = (controller.webhook_url(), bundle(controller.ca_pem()));
    services(&ca);
    connections(&ca);
    certificates(&url, &ca);
    what_is_not_asked(&url, &ca);
    what_is_in_the_way(&url, &ca);
    rights_and_crds();
}

fn services(ca: &str) {
    let named = |port: u16| json!({"service": {"name": "webhook", "namespace": NS, "port": port}, "caBundle": ca});
    let url = |port: u16| format!("https://webhook.{NS}.svc:{port}");
    register(&named(443), &json!({}));
    let error = call(&url(443), "service \"webhook\" not found");
    let message = format!("Service {NS}/webhook, port 443 does not exist: {error}");
    let fix = format!(
        "install the chart in namespace {NS} again (helm upgrade), or correct clientConfig.service of the webhook configuration"
    );
    says("Service", &failed("Service", &message, &fix));

    let service = json!({"metadata": {"name": "webhook"}, "spec": {"ports": [{"port": 443, "targetPort": 9443}]}});
    cluster().api().create(&format!("/api/v1/namespaces/{NS}/services"), &service).and_then(Reply::ok).unwrap();
    let error = call(&url(443), "no endpoints available for service \"webhook\"");
    let message = format!("no pod behind Service {NS}/webhook, port 443 is ready: {error}");
    says("Service", &failed("Service", &message, KUBECTL_PODS));

    // Where nothing is asked of it, what can be seen is said.
    register(&named(443), &json!({"failurePolicy": "Ignore"}));
    let message = format!("no pod behind Service {NS}/webhook, port 443 is ready");
    let run = says("Service", &failed("Service", &message, KUBECTL_PODS));
    let message = "a faulty WorkspaceKind is accepted: the webhook cannot be called, and its failurePolicy is Ignore";
    let fix = "set failurePolicy to Fail and run this again: the API server then says why, and nothing invalid is stored meanwhile";
    assert_eq!(run.about("admission"), failed("admission", message, fix));
    let warning = |name: &str| {
        format!(
            "warning  webhook configuration: failurePolicy of {name} in workspaces-validating-webhook-configuration is Ignore: while no \
             replica can be called, everything is stored unvalidated"
        )
    };
    let fix = "         fix: helm upgrade --set webhook.failurePolicy=Fail".to_owned();
    let ok = "ok       webhook configuration: workspaces-validating-webhook-configuration has both webhooks".to_owned();
    let about = run.about("webhook configuration");
    assert_eq!(about, [ok, warning("vworkspace.kb.io"), fix.clone(), warning(WEBHOOK), fix]);

    register(&named(444), &json!({}));
    let error = call(&url(444), "no service port 444 found for service \"webhook\"");
    let message = format!("Service {NS}/webhook, port 444: it has no such port: {error}");
    let fix = "set clientConfig.service.port of the webhook configuration to a port of the Service (443 in the chart)";
    says("Service", &failed("Service", &message, fix));
}

fn connections(ca: &str) {
    let at = |port: u16| {
        (format!("https://127.0.0.1:{port}"), json!({"url": format!("https://127.0.0.1:{port}"), "caBundle": ca}))
    };
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let (url, client) = at(nobody);
    register(&client, &json!({}));
    let error = call(&url, &format!("dial tcp 127.0.0.1:{nobody}: connect: connection refused"));
    says("TCP", &failed("TCP", &format!("nothing listens at {url}: {error}"), KUBECTL_PODS));

    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (url, client) = at(silent.local_addr().unwrap().port());
    register(&client, &json!({}));
    let error = call(&url, "context deadline exceeded");
    let fix = "if the pods are ready (kubectl -n kubeflow-workspaces get pods), a firewall between control plane and nodes or a \
        NetworkPolicy keeps the API server out: open the webhook's port (9443), or see \"Where the API server does not reach the \
        webhook\" in docs/install.md";
    says("TCP", &failed("TCP", &format!("{url} does not answer in time: {error}"), fix));

    let (url, client) = at(serve(|mut stream| drop(stream.read(&mut [0]))));
    register(&client, &json!({}));
    let start = format!("failed   TCP: {url} closes the connection: Post \"{url}{PATH}?timeout=2s\": ");
    check_until(&[], |run| run.about("TCP").first().is_some_and(|line| line.starts_with(&start)));

    let (url, client) = at(serve(|mut stream| {
        use std::io::Write as _;
        drop(stream.read(&mut [0; 1024]));
        drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"));
        drop(stream.read(&mut [0; 1024]));
    }));
    register(&client, &json!({}));
    let fix = "let the Service lead to the port of --webhook-bind-address (9443 in the chart), not to that of the probes or the metrics";
    let message = format!("what listens at {url} does not serve TLS: ");
    let error = call(&url, "http: server gave HTTP response to HTTPS client");
    says("TLS", &failed("TLS", &format!("{message}{error}"), fix));
}

fn certificates(url: &str, ca: &str) {
    let now = SystemTime::now();
    let other = certs::Ca::issue("other", now - 10 * DAY, 30 * DAY).unwrap();
    let unknown = call(url, "tls: failed to verify certificate: x509: certificate signed by unknown authority");
    register(&json!({"url": url, "caBundle": bundle(&other.cert_pem())}), &json!({}));
    let message = "the caBundle of the webhook configuration does not verify the certificate that is served";
    says("caBundle", &failed("caBundle", &format!("{message}: {unknown}"), CA_FIX));
    register(&json!({"url": url}), &json!({}));
    let message =
        "the webhook configuration has no caBundle, and no CA of the API server's system verifies the certificate";
    says("caBundle", &failed("caBundle", &format!("{message}: {unknown}"), CA_FIX));
    register(&json!({"url": url, "caBundle": bundle("no PEM")}), &json!({}));
    let message = "the caBundle of the webhook configuration is no certificate: could not get REST client: unable to load root \
        certificates: unable to parse bytes as PEM block";
    says("caBundle", &failed("caBundle", message, CA_FIX));

    let serve = |names: &[certs::SubjectAltName], since: SystemTime| {
        let leaf = other.issue_leaf(names, since, DAY).unwrap();
        let url = format!("https://127.0.0.1:{}", serve_tls(&leaf.chain_pem, &leaf.key_pem));
        register(&json!({"url": url, "caBundle": bundle(&other.cert_pem())}), &json!({}));
        url
    };
    let elsewhere = serve(&["elsewhere.example.com".into()], now);
    let error = call(
        &elsewhere,
        "tls: failed to verify certificate: x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs",
    );
    let fix = "issue one with the subject alternative name 127.0.0.1; see the Secret of the certificate in namespace kubeflow-workspaces";
    let message = format!("the certificate that is served is not valid for 127.0.0.1: {error}");
    says("TLS", &failed("TLS", &message, fix));

    let expired = serve(&["127.0.0.1".into()], now - 5 * DAY);
    let error = call(
        &expired,
        "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time ",
    );
    let start = format!(
        "failed   TLS: the certificate that is served has expired, or is not valid yet by the API server's clock: {error}"
    );
    let fix = "         fix: renew it: kubectl -n kubeflow-workspaces describe certificate workspaces-serving-cert with cert-manager, else \
        replace the content of its Secret; if it is new, compare the clocks";
    check_until(&[], |run| matches!(run.about("TLS")[..], [line, given] if line.starts_with(&start) && given == fix));

    let nowhere = format!("{url}/nowhere");
    register(&json!({"url": nowhere, "caBundle": ca}), &json!({}));
    let fix = "correct Service, port and path of the webhook configuration; the chart has the right ones";
    let message =
        format!("what answers at {nowhere} is not this webhook: the server could not find the requested resource");
    says("path", &failed("path", &message, fix));
}

fn what_is_not_asked(url: &str, ca: &str) {
    let client = json!({"url": url, "caBundle": ca});
    let never = json!({"matchConditions": [{"name": "never", "expression": "false"}]});
    register(&client, &never);
    let message = format!(
        "a faulty WorkspaceKind is accepted: what answers at {url} is not this version's webhook, or its match conditions exclude it"
    );
    let fix = "is the Go controller, or an older version, still behind it? kubectl get pods -A -l \
        app.kubernetes.io/name=workspaces-controller";
    let run = says("admission", &failed("admission", &message, fix));
    let warning = "warning  webhook configuration: the match condition \"never\" of vworkspacekind.kb.io in \
        workspaces-validating-webhook-configuration is not this version's: what it excludes is not validated";
    assert!(run.about("webhook configuration").contains(&warning), "{run:#?}");

    cluster().api().delete(CONFIGURATION).and_then(Reply::ok).unwrap();
    let message = "a faulty WorkspaceKind is accepted: no webhook of this version is called";
    let run = says("admission", &failed("admission", message, INSTALL));
    let lines = [("vworkspace.kb.io", "workspaces"), (WEBHOOK, "workspacekinds")].map(|(name, resource)| {
        let message = format!("none has the webhook {name} for {resource}.kubeflow.org, so nothing is validated there");
        failed("webhook configuration", &message, INSTALL)
    });
    assert_eq!(run.about("webhook configuration"), lines.concat());
}

/// There is no webhook configuration when it begins to wait.
fn waits_until_it_passes(url: &str, ca: &str) {
    let run = std::thread::scope(|scope| {
        let mut waiting = Command::new(env!("CARGO_BIN_EXE_workspaces-controller"))
            .args(["check", "--wait=60s"])
            .env_clear()
            .env("KUBECONFIG", cluster().kubeconfig(cluster::ADMIN).unwrap())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let note = "note: not yet; trying again for up to 60 s";
        let mut lines = BufReader::new(waiting.stderr.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), note);
        scope.spawn(|| register(&json!({"url": url, "caBundle": ca}), &json!({})));
        waiting.wait_with_output().unwrap()
    });
    let stdout = String::from_utf8(run.stdout).unwrap();
    assert_eq!(
        (run.status.code(), stdout.matches(PROVEN).count(), stdout.matches("API server: ").count()),
        (Some(0), 1, 1),
        "{stdout}"
    );
}

fn what_is_in_the_way(url: &str, ca: &str) {
    waits_until_it_passes(url, ca);
    let admission = "/apis/admissionregistration.k8s.io/v1";
    let policy = json!({
        "metadata": {"name": "tuesdays"},
        "spec": {
            "matchConstraints": {"resourceRules": [{
                "apiGroups": ["kubeflow.org"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["workspacekinds"],
            }]},
            "validations": [{"expression": "false", "message": "only on Tuesdays"}],
        },
    });
    let binding =
        json!({"metadata": {"name": "all"}, "spec": {"policyName": "tuesdays", "validationActions": ["Deny"]}});
    let create = |plural: &str, object: &Value| {
        cluster().api().create(&format!("{admission}/{plural}"), object).and_then(Reply::ok).unwrap();
    };
    create("validatingadmissionpolicies", &policy);
    create("validatingadmissionpolicybindings", &binding);
    let denied =
        "is forbidden: ValidatingAdmissionPolicy 'tuesdays' with binding 'all' denied request: only on Tuesdays";
    let fix = "         fix: let the ValidatingAdmissionPolicy except WorkspaceKinds, or what this one would be";
    let run = check_until(
        &[],
        |run| matches!(run.about("policy")[..], [line, given] if line.ends_with(denied) && given == fix),
    );
    assert_eq!(run.code, Some(1));
    for object in ["validatingadmissionpolicybindings/all", "validatingadmissionpolicies/tuesdays"] {
        cluster().api().delete(&format!("{admission}/{object}")).and_then(Reply::ok).unwrap();
    }

    let rule = json!({"apiGroups": ["kubeflow.org"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]});
    let other = json!({"metadata": {"name": "other"}, "webhooks": [{
        "name": "images.example.com", "admissionReviewVersions": ["v1"], "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [rule], "sideEffects": "None", "timeoutSeconds": 2,
    }]});
    create("validatingwebhookconfigurations", &other);
    let message = "\"images.example.com\", which is not part of this installation, cannot be called: Post \
        \"https://127.0.0.1:1/?timeout=2s\": dial tcp 127.0.0.1:1: connect: connection refused";
    let fix = "repair or remove it: kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations";
    says("another webhook", &failed("another webhook", message, fix));
    cluster().api().delete(&format!("{admission}/validatingwebhookconfigurations/other")).and_then(Reply::ok).unwrap();
    says("admission", &[PROVEN.to_owned()]);
}

fn rights_and_crds() {
    let unknown = |step: &str, resource: &str, verb: &str, group: &str, at: &str, rule: &str| {
        let message =
            format!("User \"{PLAIN_USER}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {at}");
        (format!("unknown  {step}: "), message, rule.to_owned())
    };
    let run = run(&["check", "--namespace", NS], PLAIN_USER);
    assert_eq!(run.code, Some(3), "{run:#?}");
    let all = "at the cluster scope";
    let expected = [
        unknown(
            "webhook configuration",
            "validatingwebhookconfigurations",
            "list",
            "admissionregistration.k8s.io",
            all,
            r#"["list"]"#,
        ),
        unknown("rights", "workspacekinds", "create", "kubeflow.org", all, r#"["create"]"#),
        unknown(
            "leader",
            "leases",
            "get",
            "coordination.k8s.io",
            "in the namespace \"kubeflow-workspaces\"",
            r#"["get", "list"]"#,
        ),
        unknown("other controllers", "deployments", "list", "apps", all, r#"["list"]"#),
        unknown("kinds", "workspacekinds", "list", "kubeflow.org", all, r#"["list"]"#),
        unknown("Workspaces", "workspaces", "list", "kubeflow.org", all, r#"["list"]"#),
    ];
    for (start, message, verbs) in expected {
        let line = run.stdout.lines().position(|line| line.starts_with(&start) && line.ends_with(&message));
        let line = line.unwrap_or_else(|| panic!("{start}{message}\n{}", run.stdout));
        let fix = run.stdout.lines().nth(line + 1).unwrap();
        assert!(
            fix.contains("add to the rules of a ClusterRole: {apiGroups: [")
                && fix.ends_with(&format!("verbs: {verbs}}}")),
            "{fix}"
        );
    }

    for name in ["workspaces", "workspacekinds"] {
        let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}.kubeflow.org");
        cluster().api().delete(&path).and_then(Reply::ok).unwrap();
    }
    let message =
        "the API server does not serve workspaces.kubeflow.org and workspacekinds.kubeflow.org, or one of them";
    let fix = "workspaces-controller crds | kubectl apply --server-side -f -";
    let lines = failed("CRDs", message, fix);
    let is_silent = |run: &Run| ["admission", "kinds", "Workspaces"].iter().all(|step| run.about(step).is_empty());
    let run = check_until(&[], |run| run.about("CRDs") == lines && is_silent(run));
    assert_eq!(run.code, Some(1));
    let json: Value = serde_json::from_str(&check(&["-o", "json"]).stdout).unwrap();
    let finding = json!({"state": "failed", "step": "CRDs", "message": message, "fix": fix});
    assert_eq!((&json["failed"], &json["findings"][1]), (&json!(1), &finding));
    cluster().install_product_crds().unwrap();
}
