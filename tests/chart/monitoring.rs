//! Monitors, alerts and the dashboard: are the series that they name those of the program, do the alerts fire when they should and not
//! before, and does the page that they refer to have a word about each?

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, SystemTime};

use cluster::Tools;
use serde_json::{Value, json};
use workspaces_controller::metrics::{Controller, Metrics, OptionUsers, ReconcileResult, RouteState, WorkspaceCounts};

use crate::helm::{CHART, NAMESPACE, checkout, objects, only, text};

const REGENERATE: &str = "REGENERATE_DOCS";
const RULES: &str = "monitoring.prometheusRule.enabled=true";

/// What Prometheus adds to every series of a target, and the operator by its monitors.
const LABELS_OF_TARGETS: [&str; 5] = ["job", "namespace", "pod", "container", "instance"];

/// A metric as the program describes it, and the labels of its series.
struct Family {
    type_: String,
    help: String,
    labels: BTreeSet<String>,
    /// As Prometheus stores them: of a histogram there are three.
    names: BTreeSet<String>,
}

/// All that the program can serve, in the order of its output.
fn families() -> Vec<Family> {
    let metrics = Metrics::new();
    let second = Duration::from_secs(1);
    for controller in [Controller::Workspace, Controller::Route] {
        metrics.announce_controller(controller, 1);
        metrics.reconcile_started(controller);
        metrics.reconcile_finished(controller, ReconcileResult::Error, second);
        metrics.reconcile_panicked(controller);
        metrics.queue_waited(controller, second);
    }
    metrics.announce_webhook("/path");
    metrics.written("pods", "changed");
    metrics.write_contested("services");
    metrics.activity_probed("jupyter", "success", second);
    metrics.idle_paused("kind", &0, false);
    metrics.unsafe_route_stored();
    metrics.route_state_changed(None, Some(RouteState::Failed));
    metrics.leads("lease", true);
    metrics.certificate_read(true);
    metrics.certificate_expires(SystemTime::now());
    metrics.count_workspaces(|| WorkspaceCounts {
        states: vec![("Running", 1)],
        options: vec![OptionUsers {
            kind: "kind".to_owned(),
            list: "podConfig",
            option: "small".to_owned(),
            workspaces: 1,
        }],
    });
    let mut families: Vec<Family> = Vec::new();
    for line in metrics.encode().unwrap().lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", _, help] => families.push(Family {
                type_: String::new(),
                help: help.trim_end_matches('.').to_owned(),
                labels: BTreeSet::new(),
                names: BTreeSet::new(),
            }),
            ["#", "TYPE", _, type_] => type_.clone_into(&mut families.last_mut().unwrap().type_),
            ["#", ..] => {}
            _ => {
                let family = families.last_mut().unwrap();
                let (name, rest) = line.split_once(['{', ' ']).unwrap();
                family.names.insert(name.to_owned());
                if let Some((inside, _)) = rest.rsplit_once('}') {
                    family.labels.extend(inside.split("\",").map(|label| label.split_once('=').unwrap().0.to_owned()));
                }
            }
        }
    }
    families
}

/// The labels of each series, by the name that Prometheus stores it under.
fn series() -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::from([("up".to_owned(), BTreeSet::new())]);
    for family in families() {
        found.extend(family.names.into_iter().map(|name| (name, family.labels.clone())));
    }
    found
}

/// The name of a metric without what is added for the three series of a histogram.
fn base(name: &str) -> String {
    ["_bucket", "_sum", "_count"].into_iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name).to_owned()
}

/// The page of metrics.
fn page() -> String {
    let mut page = "# Metrics\n\nServed on `/metrics` of `--metrics-bind-address`, in the format of OpenMetrics. Names that controller-runtime, \
                    client-go or the Prometheus clients have are theirs. Generated; `REGENERATE_DOCS=1 cargo test --workspace \
                    --all-features --test chart monitoring` writes it anew. No label has the name of a namespace or a \
                    Workspace.\n\n| series | type | labels | |\n|---|---|---|---|\n"
        .to_owned();
    for Family { type_, help, labels, names } in families() {
        let code = |words: &mut dyn Iterator<Item = &String>| -> String {
            words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
        };
        let labels = code(&mut labels.iter().filter(|label| *label != "le"));
        // Of a histogram the three have one name in front.
        let names: BTreeSet<String> = names.iter().map(|name| base(name)).collect();
        let _ = writeln!(page, "| {} | {type_} | {labels} | {help} |", code(&mut names.iter()));
    }
    page
}

#[test]
fn the_page_of_metrics_is_generated() {
    let path = checkout("docs/metrics.md");
    let expected = page();
    if std::env::var_os(REGENERATE).is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == expected,
        "docs/metrics.md is out of date: {REGENERATE}=1 cargo test --workspace --all-features --test chart monitoring"
    );
}

/// A metric of which this file makes no series would be missing on the page: its name is a literal beside its registration.
#[test]
fn every_metric_of_the_sources_is_on_the_page() {
    let prefixes = [
        "certwatcher_",
        "controller_runtime_",
        "leader_election_",
        "process_",
        "rest_client_",
        "workqueue_",
        "workspaces_",
    ];
    let names: BTreeSet<String> = families().into_iter().flat_map(|family| family.names).collect();
    let mut files: Vec<_> =
        std::fs::read_dir(checkout("src/metrics")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.push(checkout("src/metrics.rs"));
    files.retain(|path| !path.ends_with("tests.rs"));
    let mut found = 0;
    for path in files {
        let source = std::fs::read_to_string(&path).unwrap();
        let literals = source.split('"').skip(1).step_by(2);
        for name in literals.filter(|literal| prefixes.iter().any(|prefix| literal.starts_with(prefix))) {
            let is_there = names.iter().any(|series| {
                let suffix = series.strip_prefix(name);
                suffix.is_some_and(|suffix| ["", "_total", "_info", "_count"].contains(&suffix))
            });
            assert!(is_there, "{name} of {}: add it to `families`", path.display());
            found += 1;
        }
    }
    assert!(found > 35, "{found}");
}

/// The selectors in an expression: the name, and what is in the braces. None of ours is without braces.
fn selectors(expression: &str) -> Vec<(String, String)> {
    let parts: Vec<&str> = expression.split('{').collect();
    let name = |before: &str| -> String {
        let start = before.rfind(|character: char| !character.is_ascii_alphanumeric() && character != '_');
        before[start.map_or(0, |start| start + 1)..].to_owned()
    };
    let inside = |after: &str| after.split_once('}').unwrap().0.to_owned();
    parts.windows(2).map(|pair| (name(pair[0]), inside(pair[1]))).collect()
}

/// The labels of `by (…)`.
fn grouping(expression: &str) -> impl Iterator<Item = &str> {
    let lists = expression.split("by (").skip(1).map(|after| after.split_once(')').unwrap().0);
    lists.flat_map(|list| list.split(',')).map(str::trim)
}

#[track_caller]
fn assert_known(expression: &str, series: &BTreeMap<String, BTreeSet<String>>) {
    let selectors = selectors(expression);
    assert!(!selectors.is_empty(), "{expression}");
    let mut labels: BTreeSet<&str> = LABELS_OF_TARGETS.into();
    for (name, matchers) in &selectors {
        let of_series = series.get(name).unwrap_or_else(|| panic!("{name} does not exist: {expression}"));
        labels.extend(of_series.iter().map(String::as_str));
        for matcher in matchers.split(',') {
            let (label, _) = matcher.split_once(['=', '!']).unwrap();
            let is_known = LABELS_OF_TARGETS.contains(&label) || of_series.contains(label);
            assert!(is_known, "{name} has no label {label}: {expression}");
        }
        assert!(matchers.starts_with("job=") && matchers.contains("namespace="), "of other programs too: {expression}");
    }
    let unknown: Vec<&str> = grouping(expression).filter(|label| !labels.contains(label)).collect();
    assert!(unknown.is_empty(), "{unknown:?}: {expression}");
}

fn alerts() -> Vec<Value> {
    let objects = objects(&[RULES]);
    let groups = only(&objects, "PrometheusRule")["spec"]["groups"].clone();
    groups[0]["rules"].as_array().unwrap().clone()
}

#[test]
fn alerts_and_dashboard_name_series_of_the_program() {
    let series = series();
    for alert in alerts() {
        assert_known(alert["expr"].as_str().unwrap(), &series);
    }
    let dashboard: Value = serde_json::from_str(&text(&format!("{CHART}/files/dashboard.json"))).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(expressions.len() > 20);
    for expression in &expressions {
        assert_known(expression, &series);
    }
    // What nobody can see would not be counted. Of a histogram one of three is enough; what only alerts are about is named here.
    let shown: BTreeSet<String> =
        expressions.iter().flat_map(|expression| selectors(expression)).map(|(name, _)| name).collect();
    let shown: BTreeSet<String> = shown.iter().map(|name| base(name)).collect();
    let hidden: BTreeSet<String> = series.keys().map(|name| base(name)).filter(|name| !shown.contains(name)).collect();
    let expected = [
        "certwatcher_read_certificate_errors_total",
        "certwatcher_read_certificate_total",
        "controller_runtime_max_concurrent_reconciles",
        "process_max_fds",
        "process_start_time_seconds",
        "workqueue_adds_total",
        "workqueue_retries_total",
        "workspaces_activity_probe_duration_seconds",
        "workspaces_activity_unknown_total",
        "workspaces_certificate_ca_expiry_timestamp_seconds",
        "workspaces_certificate_last_read_successful",
        "workspaces_certificate_trusted",
        "workspaces_unsafe_virtual_services_stored_total",
    ];
    assert_eq!(hidden, expected.map(str::to_owned).into());
}

#[test]
fn the_dashboard_is_in_the_config_map_as_it_is() {
    let objects = objects(&["monitoring.dashboard.enabled=true"]);
    let map = objects.iter().find(|object| object["kind"] == "ConfigMap").unwrap();
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    let rendered = map["data"]["workspaces-controller.json"].as_str().unwrap();
    assert_eq!(rendered, text(&format!("{CHART}/files/dashboard.json")).trim());
    // A ConfigMap may have 1 MiB, and kubectl apply keeps a copy of 256 KiB in an annotation.
    assert!(rendered.len() < 100_000);
}

/// The monitors select the labels of what they scrape, and nothing else in the namespace.
#[test]
fn monitors_find_the_pods() {
    let by_service = objects(&["monitoring.serviceMonitor.enabled=true", "ports.metrics=18080"]);
    let monitor = only(&by_service, "ServiceMonitor");
    let selects = |service: &&Value| {
        let labels = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap();
        labels.iter().all(|(label, value)| &service["metadata"]["labels"][label] == value)
    };
    let services: Vec<&Value> =
        by_service.iter().filter(|object| object["kind"] == "Service").filter(selects).collect();
    assert_eq!(services.len(), 1);
    let service = services[0];
    assert_eq!(service["metadata"]["name"], "workspaces-controller-metrics-service");
    assert_eq!(service["spec"]["ports"][0]["port"], 18080);
    let pod = &only(&by_service, "Deployment")["spec"]["template"];
    for (label, value) in service["spec"]["selector"].as_object().unwrap() {
        assert_eq!(&pod["metadata"]["labels"][label], value);
    }
    let port = |port: &Value| json!({"name": port["name"], "port": port["containerPort"]});
    let ports: Vec<Value> = pod["spec"]["containers"][0]["ports"].as_array().unwrap().iter().map(port).collect();
    assert!(ports.contains(&json!({"name": "metrics", "port": 18080})), "{ports:?}");
    let endpoint = &monitor["spec"]["endpoints"][0];
    assert_eq!(endpoint, &json!({"port": "metrics", "path": "/metrics", "scheme": "http"}));
    // The alerts select by the name of the job.
    assert_eq!(monitor["spec"]["jobLabel"], "app.kubernetes.io/name");
    assert_eq!(service["metadata"]["labels"]["app.kubernetes.io/name"], "workspaces-controller");

    let by_pod = objects(&["monitoring.podMonitor.enabled=true"]);
    let monitor = only(&by_pod, "PodMonitor");
    assert_eq!(monitor["spec"]["jobLabel"], "app.kubernetes.io/name");
    let deployment = only(&by_pod, "Deployment");
    assert_eq!(monitor["spec"]["selector"], deployment["spec"]["selector"]);
    assert_eq!(deployment["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"], "workspaces-controller");
}

/// With the webhook's certificate, which has its Service's name.
#[test]
fn secure_metrics_are_verified_with_the_ca() {
    let secure = ["monitoring.podMonitor.enabled=true", "settings.metricsSecure=true"];
    let endpoint = |more: &[&str]| {
        let set: Vec<&str> = secure.iter().chain(more).copied().collect();
        only(&objects(&set), "PodMonitor")["spec"]["podMetricsEndpoints"][0].clone()
    };
    let verified = endpoint(&["monitoring.tokenSecret.name=scraper"]);
    assert_eq!(
        verified,
        json!({
            "port": "metrics", "path": "/metrics", "scheme": "https",
            "tlsConfig": {
                "serverName": format!("workspaces-webhook-service.{NAMESPACE}.svc"),
                "ca": {"secret": {"name": "webhook-server-cert", "key": "ca.crt"}},
            },
            "authorization": {"type": "Bearer", "credentials": {"name": "scraper", "key": "token"}},
        })
    );
    let certificate =
        objects(&secure).into_iter().find(|object| object["metadata"]["name"] == "workspaces-serving-cert");
    assert_eq!(certificate.unwrap()["spec"]["dnsNames"][0], verified["tlsConfig"]["serverName"]);
    assert_eq!(endpoint(&["monitoring.caKey="])["tlsConfig"], json!({"insecureSkipVerify": true}));
}

#[test]
fn every_alert_has_a_runbook() {
    let page = text("docs/runbooks.md");
    let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let alerts = alerts();
    let names: Vec<&str> = alerts.iter().map(|alert| alert["alert"].as_str().unwrap()).collect();
    assert_eq!(headings, names);
    for alert in &alerts {
        let name = alert["alert"].as_str().unwrap();
        // GitHub makes the anchor of a heading so.
        let anchor = format!("docs/runbooks.md#{}", name.to_lowercase());
        assert_eq!(alert["annotations"]["runbook_url"], anchor.as_str());
        assert!(["critical", "warning"].iter().any(|severity| alert["labels"]["severity"] == *severity), "{name}");
        // Only a metric that rises may be told at once.
        let has_patience = alert["for"] != "0m";
        let counts =
            ["increase(", "changes("].iter().any(|function| alert["expr"].as_str().unwrap().starts_with(function));
        assert_ne!(has_patience, counts, "{name}");
    }
    let without = objects(&[RULES, "monitoring.prometheusRule.disabled={WorkspacesInError}"]);
    let rules = &only(&without, "PrometheusRule")["spec"]["groups"][0]["rules"];
    assert!(rules.as_array().unwrap().iter().all(|rule| rule["alert"] != "WorkspacesInError"));
    assert_eq!(rules.as_array().unwrap().len(), alerts.len() - 1);
}

/// Prometheus' own tool evaluates the rules of `alerts.yaml`, each of which has a case for and a case against.
#[test]
fn alerts_fire_when_they_should() {
    let promtool = Tools::promtool().unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::tempdir().unwrap();
    let objects = objects(&[RULES]);
    let rules = serde_saphyr::to_string(&only(&objects, "PrometheusRule")["spec"]).unwrap();
    let cases = text("tests/chart/alerts.yaml");
    std::fs::write(folder.path().join("rules.yaml"), rules).unwrap();
    std::fs::write(folder.path().join("alerts.yaml"), &cases).unwrap();
    for args in [&["check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"][..], &["test", "rules", "alerts.yaml"]]
    {
        let output = Command::new(&promtool).args(args).current_dir(folder.path()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&text));
    }
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let asked = cases.matches(&format!("alertname: {name}\n")).count();
        assert!(
            asked >= 2,
            "{name} is asked for {asked} times: it takes one case in which it fires, and one in which it does not"
        );
    }
}
