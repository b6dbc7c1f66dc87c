#![allow(clippy::unwrap_used, clippy::panic)]
use webhook::ProtectedKeys;

use crate::cli::{self, Invocation};

use super::*;

fn load(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    let arguments = ["workspaces-controller"].iter().chain(arguments).map(Into::into);
    match cli::parse(arguments, &environment.iter().copied().collect()) {
        Ok(Invocation::Run(settings)) => Ok(*settings),
        Ok(other) => panic!("not a run: {other:?}"),
        Err(errors) => Err(errors.iter().map(SettingError::to_string).collect()),
    }
}

fn good(arguments: &[&str], environment: &[(&str, &str)]) -> Settings {
    load(arguments, environment).unwrap_or_else(|errors| panic!("{arguments:?} {environment:?}: {errors:?}"))
}

/// The only error.
fn error(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let errors = load(arguments, environment).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.into_iter().next().unwrap()
}

#[test]
fn nothing_given_means_the_defaults() {
    let settings = good(&[], &[]);
    assert_eq!(settings.routing, Routing::default());
    assert_eq!(settings.routing.gateways, ["kubeflow/kubeflow-gateway"]);
    assert_eq!(settings.routing.hosts, ["*"]);
    assert_eq!(settings.routing.cluster_domain, "cluster.local");
    assert!(settings.routing.use_istio && !settings.routing.redirect_missing_slash);
    assert_eq!(settings.routing.redirect_scheme, None);
    assert_eq!(settings.policy.dialects, BTreeSet::from([Dialect::PortId, Dialect::Id]));
    assert_eq!(settings.max_concurrent_reconciles, 10);
    assert_eq!(settings.scheduling_patience, Duration::from_mins(5));
    assert!(settings.enable_reconcile && settings.enable_webhooks && !settings.leader_elect);
    assert_eq!(settings.kubeconfig, None);
    assert_eq!(settings.webhook_address, Listen { host: None, port: 9443 });
    assert_eq!(settings.health_address, Some(Listen { host: None, port: 8081 }));
    assert_eq!(settings.metrics_address, Some(Listen { host: None, port: 8080 }));
    assert!(!settings.metrics_secure && settings.needs_certificate());
    assert_eq!(settings.status_address.unwrap().to_string(), "127.0.0.1:8082");
    assert!(!settings.status_is_public() && !settings.metrics_require_authentication && !settings.reviews_tokens());
    assert_eq!(settings.certificate, CertificateSource::Files("/tmp/k8s-webhook-server/serving-certs".into()));
    assert_eq!(
        settings.log.filter,
        "warn,kube_client::client=error,kube_client::client::builder=off,workspaces_controller=info,webhook=info,certs=info,crds=info"
    );
    assert_eq!(settings.log.format, LogFormat::Automatic);
    assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
}

#[test]
fn flags_win_over_the_environment_and_the_environment_over_defaults() {
    let environment = [
        ("USE_ISTIO", "false"),
        ("ISTIO_GATEWAY", "a/b, c/d"),
        ("ISTIO_HOSTS", "one.example.com,two.example.com"),
        ("CLUSTER_DOMAIN", "corp.example"),
        ("CONNECT_PATH_PREFIX", "/notebooks"),
        ("PORT_DIALECTS", "id"),
        ("REDIRECT_MISSING_SLASH", "T"),
        ("MAX_CONCURRENT_RECONCILES", "3"),
        ("SCHEDULING_PATIENCE", "10m"),
        ("ENABLE_RECONCILE", "0"),
        ("KUBECONFIG", "/etc/kubeconfig"),
        ("RUST_LOG", "debug"),
        ("LOG_FORMAT", "json"),
    ];
    let settings = good(&[], &environment);
    assert!(!settings.routing.use_istio && settings.routing.redirect_missing_slash && !settings.enable_reconcile);
    assert_eq!(settings.routing.gateways, ["a/b", "c/d"]);
    assert_eq!(settings.routing.hosts, ["one.example.com", "two.example.com"]);
    assert_eq!(settings.routing.cluster_domain, "corp.example");
    assert_eq!(settings.routing.paths, ConnectPaths::fixed("/notebooks").unwrap());
    assert_eq!(settings.policy.dialects, BTreeSet::from([Dialect::Id]));
    assert_eq!(settings.max_concurrent_reconciles, 3);
    assert_eq!(settings.scheduling_patience, Duration::from_mins(10));
    assert_eq!(settings.kubeconfig, Some("/etc/kubeconfig".into()));
    assert!(settings.log.filter.contains("webhook=debug"), "{}", settings.log.filter);
    assert_eq!(settings.log.format, LogFormat::Json);

    let flags = [
        "--use-istio",
        "--istio-gateway=x/y",
        "--istio-gateway",
        "z/z",
        "--istio-hosts=*.example.org",
        "--cluster-domain=cluster.local",
        "--connect-path-prefix=/w",
        "--port-dialects=portId",
        "--redirect-missing-slash=false",
        "--redirect-scheme=https",
        "--max-concurrent-reconciles=7",
        "--scheduling-patience=90s",
        "--enable-reconcile=True",
        "--kubeconfig=k",
        "--log-level=info,kube=debug",
        "--log-format=text",
    ];
    let settings = good(&flags, &environment);
    assert!(settings.routing.use_istio && !settings.routing.redirect_missing_slash && settings.enable_reconcile);
    assert_eq!(settings.routing.gateways, ["x/y", "z/z"]);
    assert_eq!(settings.routing.hosts, ["*.example.org"]);
    assert_eq!(settings.routing.cluster_domain, "cluster.local");
    assert_eq!(settings.routing.paths.prefix(Dialect::Id), "/w");
    assert_eq!(settings.routing.redirect_scheme, Some(RedirectScheme::Https));
    assert_eq!(settings.policy.dialects, BTreeSet::from([Dialect::PortId]));
    assert_eq!(settings.max_concurrent_reconciles, 7);
    assert_eq!(settings.scheduling_patience, Duration::from_secs(90));
    assert_eq!(settings.kubeconfig, Some("k".into()));
    assert_eq!(settings.log.filter, "info,kube=debug");
    assert_eq!(settings.log.format, LogFormat::Text);
    assert_eq!(settings.warnings, ["--redirect-scheme has no effect without --redirect-missing-slash"]);
}

#[test]
fn a_flag_hides_even_a_wrong_variable() {
    assert!(good(&["--use-istio=true"], &[("USE_ISTIO", "yes")]).routing.use_istio);
    assert_eq!(
        good(&["--istio-hosts=a.example"], &[("ISTIO_HOSTS", "a"), ("ISTIO_HOST", "b")]).routing.hosts,
        ["a.example"]
    );
}

#[test]
fn an_empty_variable_is_unset() {
    let variables: Vec<(&str, &str)> =
        settings::ALL.iter().flat_map(|setting| setting.env).map(|&name| (name, "")).collect();
    assert!(variables.len() > 10);
    assert_eq!(good(&[], &variables), good(&[], &[]));
}

#[test]
fn either_name_of_the_hosts_will_do() {
    assert_eq!(good(&[], &[("ISTIO_HOST", "a.example")]).routing.hosts, ["a.example"]);
    assert_eq!(good(&[], &[("ISTIO_HOST", "a.example"), ("ISTIO_HOSTS", "a.example")]).routing.hosts, ["a.example"]);
    assert_eq!(good(&[], &[("ISTIO_HOST", "a.example"), ("ISTIO_HOSTS", "")]).routing.hosts, ["a.example"]);
    assert_eq!(
        error(&[], &[("ISTIO_HOST", "a.example"), ("ISTIO_HOSTS", "b.example")]),
        "ISTIO_HOST=\"a.example\": differs from ISTIO_HOSTS=\"b.example\": they are the same setting, set one of them"
    );
}

#[test]
fn booleans_are_those_of_go() {
    for (text, expected) in [("1", true), ("t", true), ("T", true), ("TRUE", true), ("true", true), ("True", true)]
        .into_iter()
        .chain([("0", false), ("f", false), ("F", false), ("FALSE", false), ("false", false), ("False", false)])
    {
        assert_eq!(good(&[&format!("--use-istio={text}")], &[]).routing.use_istio, expected, "{text}");
        assert_eq!(good(&[&format!("-use-istio={text}")], &[]).routing.use_istio, expected, "{text}");
        assert_eq!(good(&[], &[("USE_ISTIO", text)]).routing.use_istio, expected, "{text}");
    }
    let pod = &[("POD_NAMESPACE", "kubeflow")];
    assert!(good(&["--leader-elect"], pod).leader_elect);
    assert!(good(&["-leader-elect"], pod).leader_elect);
    assert!(!good(&["--leader-elect", "--leader-elect=F"], &[]).leader_elect);
    for text in ["yes", "no", "on", "off", "tRUE", "2", " true", "enabled"] {
        let rule = "must be true or false (also 1, t, T, TRUE, True, 0, f, F, FALSE, False)";
        assert_eq!(error(&[], &[("USE_ISTIO", text)]), format!("USE_ISTIO={text:?}: {rule}"));
        assert_eq!(error(&[&format!("--use-istio={text}")], &[]), format!("--use-istio={text:?}: {rule}"));
    }
    assert!(error(&["--use-istio="], &[]).starts_with("--use-istio=\"\": must be true or false"));
    assert_eq!(
        error(&["--leader-elect", "false"], pod),
        "false: unknown command; use crds, validate, render, migrate, rollout, check, cleanup, explain, explain-rules, completion, version or none, and write boolean flags as --flag=false"
    );
}

#[test]
fn manifests_of_the_go_controller_work_unchanged() {
    let settings = good(
        &["--leader-elect", "--health-probe-bind-address=:8081", "--metrics-bind-address=0"],
        &[
            ("USE_ISTIO", "true"),
            ("ISTIO_GATEWAY", "istio-system/istio-ingressgateway"),
            ("ISTIO_HOST", "*"),
            ("CLUSTER_DOMAIN", "cluster.local"),
            ("POD_NAMESPACE", "kubeflow-workspaces"),
        ],
    );
    assert_eq!(settings.metrics_address, None);
    assert_eq!(settings.routing.gateways, ["istio-system/istio-ingressgateway"]);
    assert!(settings.leader_elect && settings.warnings.is_empty(), "{:?}", settings.warnings);

    let settings = good(
        &[
            "-metrics-secure",
            "-enable-http2=1",
            "--client-qps=37.5",
            "-client-burst",
            "-1",
            "-watch-warning-events",
            "-zap-devel",
            "-zap-encoder=console",
            "-zap-log-level",
            "5",
            "--zap-stacktrace-level=error",
            "-zap-time-encoding=rfc3339",
            "-max-concurrent-reconciles",
            "4",
        ],
        &[],
    );
    assert!(settings.metrics_secure);
    assert_eq!(settings.max_concurrent_reconciles, 4);
    assert_eq!(settings.log.format, LogFormat::Text);
    assert!(settings.log.filter.ends_with("crds=trace"), "{}", settings.log.filter);
    assert_eq!(
        settings.warnings,
        [
            "--enable-http2 has no effect: webhook and metrics are served over HTTP/1.1",
            "--client-qps (CLIENT_QPS) has no effect in this controller",
            "--client-burst (CLIENT_BURST) has no effect in this controller",
            "--watch-warning-events has no effect in this controller",
            "--zap-devel has no effect in this controller",
            "--zap-stacktrace-level has no effect in this controller",
            "--zap-time-encoding has no effect in this controller",
        ]
    );
    let by_environment = good(&["--watch-warning-events=F"], &[("CLIENT_QPS", "1e3"), ("CLIENT_BURST", "")]);
    assert_eq!(
        by_environment.warnings,
        [
            "--client-qps (CLIENT_QPS) has no effect in this controller",
            "--watch-warning-events has no effect in this controller",
        ]
    );
    let own = good(&["--zap-encoder=console", "--log-format=json", "--zap-log-level=debug"], &[("RUST_LOG", "error")]);
    assert_eq!((own.log.format, own.log.filter.starts_with("error,")), (LogFormat::Json, true));
}

/// Flag or variable, value, and what the error has to say about it.
const REFUSED: &[(&str, &str, &str)] = &[
    ("--istio-gateway", "", "must be NAMESPACE/NAME"),
    ("--istio-gateway", "kubeflow-gateway", "must be NAMESPACE/NAME"),
    ("--istio-gateway", "mesh", "must be NAMESPACE/NAME"),
    ("--istio-gateway", "a/b/c", "\"a/b/c\" must be NAMESPACE/NAME"),
    ("--istio-gateway", "/b", "must be NAMESPACE/NAME"),
    ("--istio-gateway", "A/b", "must be NAMESPACE/NAME"),
    ("--istio-gateway", "a/b.c", "must be NAMESPACE/NAME"),
    ("--istio-gateway", "a/b,,c/d", "\"\" must be NAMESPACE/NAME"),
    ("--istio-gateway", "a/b,a/b", "\"a/b\" is listed twice"),
    ("ISTIO_GATEWAY", "a/b c/d", "must be NAMESPACE/NAME"),
    ("--istio-hosts", "*.*", "must be a DNS name"),
    ("--istio-hosts", "a.*.example", "must be a DNS name"),
    ("--istio-hosts", "*a.example", "must be a DNS name"),
    ("--istio-hosts", "a_b.example", "must be a DNS name"),
    ("--istio-hosts", "https://a.example", "must be a DNS name"),
    ("--istio-hosts", "a.example:443", "must be a DNS name"),
    ("--istio-hosts", "a.example.", "must be a DNS name"),
    ("--istio-hosts", "1.2.3", "must be a DNS name"),
    ("--istio-hosts", "a.example,A.example", "\"A.example\" is listed twice"),
    ("--istio-hosts", "*,a.example", "\"*\" and \"a.example\" overlap"),
    ("--istio-hosts", "a.example,*", "\"a.example\" and \"*\" overlap"),
    ("--istio-hosts", "*.example.com,b.a.example.com", "overlap"),
    ("--istio-hosts", "*.a.example.com,*.example.com", "overlap"),
    ("--cluster-domain", "", "must be a DNS domain"),
    ("--cluster-domain", ".cluster.local", "must be a DNS domain"),
    ("--cluster-domain", "cluster.local.", "must be a DNS domain"),
    ("CLUSTER_DOMAIN", "Cluster.Local", "must be a DNS domain"),
    ("CONNECT_PATH_PREFIX", "workspace", "must start with '/'"),
    ("CONNECT_PATH_PREFIX", "/", "must start with '/'"),
    ("CONNECT_PATH_PREFIX", "/a/../b", "must start with '/'"),
    ("--connect-path-prefix", "", "must start with '/'"),
    ("PORT_DIALECTS", "A", "must be portId, id or portId,id"),
    ("PORT_DIALECTS", "id,", "must be portId, id or portId,id"),
    (
        "PROTECTED_POD_METADATA",
        "a b/*",
        "must consist of letters, digits, '-', '_', '.', '/' and the wildcards '*' and '?'",
    ),
    (
        "--protected-pod-metadata",
        "a,",
        "must consist of letters, digits, '-', '_', '.', '/' and the wildcards '*' and '?'",
    ),
    ("REDIRECT_MISSING_SLASH", "maybe", "must be true or false"),
    ("--redirect-scheme", "ftp", "must be http or https"),
    ("--client-qps", "abc", "must be a number"),
    ("CLIENT_QPS", "50/s", "must be a number"),
    ("--client-qps", "", "must be a number"),
    ("--client-burst", "1.5", "must be a whole number"),
    ("CLIENT_BURST", "many", "must be a whole number"),
    ("--watch-warning-events", "yes", "must be true or false"),
    ("ENABLE_WEBHOOKS", "no", "must be true or false"),
    ("ENABLE_RECONCILE", "no", "must be true or false"),
    ("MAX_CONCURRENT_RECONCILES", "0", "must be a whole number from 1 to 1000"),
    ("MAX_CONCURRENT_RECONCILES", "ten", "must be a whole number from 1 to 1000"),
    ("--max-concurrent-reconciles", "-1", "must be a whole number from 1 to 1000"),
    ("--max-concurrent-reconciles", "1001", "must be a whole number from 1 to 1000"),
    ("SCHEDULING_PATIENCE", "5", "must be a duration such as 90s, 5m or 1h30m, from 0 to 24h"),
    ("SCHEDULING_PATIENCE", "five minutes", "must be a duration such as 90s, 5m or 1h30m, from 0 to 24h"),
    ("--scheduling-patience", "", "must be a duration such as 90s, 5m or 1h30m, from 0 to 24h"),
    ("--scheduling-patience", "-1m", "must be a duration such as 90s, 5m or 1h30m, from 0 to 24h"),
    ("--scheduling-patience", "5 m", "must be a duration such as 90s, 5m or 1h30m, from 0 to 24h"),
    ("--scheduling-patience", "m", "must be a duration such as 90s, 5m or 1h30m, from 0 to 24h"),
    ("--scheduling-patience", ".s", "must be a duration such as 90s, 5m or 1h30m, from 0 to 24h"),
    ("--scheduling-patience", "1d", "must be a duration such as 90s, 5m or 1h30m, from 0 to 24h"),
    ("--scheduling-patience", "1m30", "must be a duration such as 90s, 5m or 1h30m, from 0 to 24h"),
    ("--scheduling-patience", "24h1ns", "must be a duration such as 90s, 5m or 1h30m, from 0 to 24h"),
    ("--scheduling-patience", "99999999999999999999h", "must be a duration such as 90s, 5m or 1h30m, from 0 to 24h"),
    ("--webhook-bind-address", "0", "must be :PORT or IP:PORT"),
    ("--webhook-bind-address", "9443", "must be :PORT or IP:PORT"),
    ("--webhook-bind-address", ":65536", "must be :PORT or IP:PORT"),
    ("--webhook-bind-address", ":+1", "must be :PORT or IP:PORT"),
    ("--webhook-bind-address", "example.com:9443", "must be :PORT or IP:PORT"),
    ("--health-probe-bind-address", "::1:8081", "or 0 to disable it"),
    ("--metrics-bind-address", "off", "or 0 to disable it"),
    ("--metrics-require-authentication", "yes", "must be true or false"),
    ("--status-bind-address", "status.example.com:8082", "or 0 to disable it"),
    ("--kubeconfig", "", "must be a path"),
    ("--webhook-cert-dir", "", "must be a path"),
    ("--log-level", "verbose", "must be off, error, warn, info, debug or trace"),
    ("RUST_LOG", "kube=loud", "must be off, error, warn, info, debug or trace"),
    ("LOG_FORMAT", "xml", "must be text or json"),
    ("--zap-log-level", "loud", "must be debug, info, error, panic"),
    ("--zap-encoder", "xml", "must be json or console"),
];

#[test]
fn refuses_each_wrong_value_with_its_name_the_value_and_what_is_allowed() {
    for (name, value, rule) in REFUSED {
        let found = match name.strip_prefix("--") {
            Some(_) => error(&[&format!("{name}={value}")], &[]),
            None => error(&[], &[(name, value)]),
        };
        assert!(found.starts_with(&format!("{name}={value:?}: ")), "{found}");
        assert!(found.contains(rule), "{name}={value}: {found}");
        assert_eq!(found.lines().count(), 1, "{found}");
    }
}

#[test]
fn accepts_what_is_unusual_but_right() {
    for (flag, values) in [
        ("--istio-gateway", vec!["a/b", "1/2", "a-b/c-d", "a/b, c/d"]),
        (
            "--istio-hosts",
            vec!["*", "a", "A.Example", "*.example.com,example.com", "10.0.0.1", "::1", "*.a.example,*.b.example"],
        ),
        ("--cluster-domain", vec!["local", "a.b.c", "k8s-1.example"]),
        ("--connect-path-prefix", vec!["/a", "/a/b.c~d_e-f"]),
        ("--port-dialects", vec!["portId", "id,portId", "id,id"]),
        ("--protected-pod-metadata", vec!["", "*", "a.example/b-?,c"]),
        ("--max-concurrent-reconciles", vec!["1", "1000"]),
        ("--webhook-bind-address", vec!["127.0.0.1:0", ":0", "[::1]:9443", "localhost:1", "0.0.0.0:9443", "[::]:9443"]),
        ("--log-level", vec!["off", "ERROR", "debug,kube=trace", "warn,webhook=debug"]),
    ] {
        for value in values {
            good(&[flag, value], &[]);
        }
    }
}

/// As Go's `time.ParseDuration` reads them.
#[test]
fn durations_are_those_of_go() {
    for (value, milliseconds) in [
        ("0", 0),
        ("0s", 0),
        ("5m", 300_000),
        ("+1h30m", 5_400_000),
        ("1.5h", 5_400_000),
        (".5s", 500),
        ("1.s", 1_000),
        ("1m1s1ms", 61_001),
        ("1000000ns1000us1000µs1000μs", 4),
        ("24h", 86_400_000),
    ] {
        let settings = good(&["--scheduling-patience", value], &[]);
        assert_eq!(settings.scheduling_patience, Duration::from_millis(milliseconds), "{value}");
    }
}

#[test]
fn protected_keys_can_be_none() {
    assert_eq!(good(&["--protected-pod-metadata="], &[]).policy.protected_pod_metadata, ProtectedKeys::default());
    // As for every variable, empty is unset.
    let patterns = good(&[], &[("PROTECTED_POD_METADATA", "")]).policy.protected_pod_metadata;
    assert_eq!(patterns.patterns(), ProtectedKeys::DEFAULT);
}

#[test]
fn all_faults_are_found_at_once() {
    let errors = load(
        &["--istio-gateway=x", "--colour", "--metrics-bind-address=here", "--istio-host=a"],
        &[("USE_ISTIO", "yes"), ("MAX_CONCURRENT_RECONCILES", "many"), ("RUST_LOG", "loud")],
    )
    .unwrap_err();
    let names: Vec<&str> = errors.iter().map(|error| error.split([':', '=']).next().unwrap()).collect();
    let expected = [
        "--colour",
        "--istio-host",
        "USE_ISTIO",
        "--istio-gateway",
        "MAX_CONCURRENT_RECONCILES",
        "--metrics-bind-address",
        "RUST_LOG",
    ];
    assert_eq!(names, expected, "{errors:?}");
    assert_eq!(errors[1], "--istio-host: unknown flag, did you mean --istio-hosts? (--help lists all)");
}

#[test]
fn settings_that_exclude_each_other_are_named() {
    let nothing = error(&["--enable-reconcile=false"], &[("ENABLE_WEBHOOKS", "false")]);
    assert!(
        nothing.starts_with("--enable-reconcile=\"false\": disables everything, since ENABLE_WEBHOOKS"),
        "{nothing}"
    );
    assert_eq!(
        error(&["--metrics-bind-address=:8081"], &[]),
        "--metrics-bind-address=\":8081\": must differ from --health-probe-bind-address (:8081)"
    );
    error(&["--metrics-bind-address=127.0.0.1:9443"], &[]);
    good(&["--metrics-bind-address=127.0.0.1:0", "--health-probe-bind-address=127.0.0.1:0"], &[]);
    good(&["--metrics-bind-address=127.0.0.1:1", "--health-probe-bind-address=127.0.0.2:1"], &[]);
    good(&["--metrics-bind-address=:9443"], &[("ENABLE_WEBHOOKS", "false")]);
}

#[test]
fn beside_the_go_controller_only_a_part_is_done() {
    let routes = good(&["--only-routes"], &[]);
    assert_eq!(routes.mode, Mode::OnlyRoutes { selector: None, take_over: false });
    assert!(routes.enable_reconcile && !routes.enable_webhooks && !routes.needs_certificate());
    assert_eq!(
        good(&["--only-routes", "--take-over-routes", "--namespace-selector=!moving"], &[]).mode,
        Mode::OnlyRoutes { selector: Some("!moving".to_owned()), take_over: true }
    );
    good(&["--only-routes"], &[("ENABLE_WEBHOOKS", "false")]);
    assert_eq!(
        error(&["--only-routes"], &[("ENABLE_WEBHOOKS", "true")]),
        "ENABLE_WEBHOOKS=\"true\": the Go controller serves the webhooks, for all namespaces: set it to false, or leave it unset"
    );
    assert_eq!(
        error(&["--only-routes", "--enable-reconcile=false"], &[]),
        "--enable-reconcile=\"false\": disables everything, since the webhooks are not served either"
    );
    assert_eq!(
        error(&["--only-routes"], &[("USE_ISTIO", "false")]),
        "USE_ISTIO=\"false\": disables everything, since --only-routes makes nothing but routes"
    );
    let some = good(&["--namespace-selector", "team in (b, a),!old"], &[]);
    assert_eq!(some.mode, Mode::Namespaces("team in (a,b),!old".to_owned()));
    assert!(some.enable_reconcile && !some.enable_webhooks && !some.needs_certificate());
    assert_eq!(
        error(&["--namespace-selector=team=a,"], &[]),
        "--namespace-selector=\"team=a,\": a requirement is empty: must be such as team=a, team!=a, team in (a,b), team notin \
         (a,b), team or !team, joined by commas"
    );
    let alone = good(&["--take-over-routes"], &[]);
    assert_eq!(alone.mode, Mode::Everything);
    assert_eq!(alone.warnings, ["--take-over-routes has no effect without --only-routes"]);
}

#[test]
fn a_certificate_is_needed_only_by_what_is_on() {
    let off = [("ENABLE_WEBHOOKS", "false")];
    assert!(!good(&[], &off).needs_certificate());
    assert!(good(&["--metrics-secure"], &off).needs_certificate());
    assert!(!good(&["--metrics-secure", "--metrics-bind-address=0"], &off).needs_certificate());
}

#[test]
fn tokens_are_demanded_where_others_can_connect_and_never_travel_in_clear() {
    let off = [("ENABLE_WEBHOOKS", "false")];
    for address in ["0", "127.0.0.1:1", "127.5.5.5:1", "[::1]:0", "localhost:1"] {
        let settings = good(&[&format!("--status-bind-address={address}")], &off);
        assert!(!settings.reviews_tokens() && !settings.needs_certificate(), "{address}");
    }
    for address in [":1", "0.0.0.0:1", "10.0.0.1:1", "[::]:1", "[2001:db8::1]:1"] {
        let argument = format!("--status-bind-address={address}");
        let settings = good(&[&argument, "--webhook-cert-dir=/certs"], &off);
        assert!(settings.reviews_tokens() && settings.needs_certificate(), "{address}");
        assert!(good(&[&argument], &[]).reviews_tokens(), "with the certificate of the webhooks");
        let expected = format!(
            "--status-bind-address={address:?}: must be a loopback address, such as 127.0.0.1:8082, while there is no \
             certificate: on others bearer tokens are demanded, over TLS. Set --webhook-cert-dir to the directory of one, or \
             serve the webhooks"
        );
        assert_eq!(error(&[&argument], &off), expected);
    }
    assert_eq!(
        error(&["--metrics-require-authentication"], &[]),
        "--metrics-require-authentication=\"true\": needs --metrics-secure=true: bearer tokens must not travel in clear"
    );
    assert!(good(&["--metrics-require-authentication", "--metrics-secure"], &[]).reviews_tokens());
    assert!(!good(&["--metrics-require-authentication", "--metrics-bind-address=0"], &[]).reviews_tokens());
    assert_eq!(
        error(&["--status-bind-address=:8080"], &[]),
        "--status-bind-address=\":8080\": must differ from --metrics-bind-address (:8080)"
    );
}

#[test]
fn a_value_cannot_break_the_line_or_flood_it() {
    let found = error(&[], &[("CLUSTER_DOMAIN", &format!("a\nb{}", "x".repeat(1000)))]);
    assert_eq!(found.lines().count(), 1);
    assert!(found.len() < 500, "{found}");
}

#[test]
fn a_variable_that_is_not_text_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let bytes = std::ffi::OsString::from_vec(vec![b'a', 0xff]);
    let environment: Environment = [("CLUSTER_DOMAIN", bytes)].into_iter().collect();
    let errors = cli::parse(["x".into()], &environment).unwrap_err();
    assert_eq!(
        errors.iter().map(SettingError::to_string).collect::<Vec<_>>(),
        ["CLUSTER_DOMAIN=\"a\u{fffd}\": must be UTF-8"]
    );
}

#[test]
fn help_names_every_flag_variable_and_default() {
    let Ok(Invocation::Print(help)) = cli::parse(["x".into(), "--help".into()], &Environment::default()) else {
        panic!("no help");
    };
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for setting in settings::ALL {
        assert!(setting.flag.is_empty() || words.contains(&format!("--{}", setting.flag)), "{}", setting.name());
        for variable in setting.env {
            assert!(words.contains(variable), "{variable} is missing in\n{help}");
        }
        if !setting.default.is_empty() {
            assert!(
                words.contains(&format!("[default: {}]", setting.default)),
                "{}: default is missing in\n{help}",
                setting.name()
            );
        }
    }
    assert!(words.contains("Examples:") && words.contains("Routing:") && words.contains("Serving:"), "{help}");
}

#[test]
fn commands_other_than_run() {
    let parse = |arguments: &[&str]| cli::parse(arguments.iter().map(Into::into), &Environment::default());
    assert_eq!(parse(&["x", "crds"]), Ok(Invocation::Crds { dir: None }));
    assert_eq!(parse(&["x", "crds", "--dir", "here"]), Ok(Invocation::Crds { dir: Some("here".into()) }));
    assert_eq!(parse(&["x", "crds", "-dir=here"]), Ok(Invocation::Crds { dir: Some("here".into()) }));
    for arguments in [["x", "version"], ["x", "--version"]] {
        let Ok(Invocation::Print(text)) = parse(&arguments) else { panic!("{arguments:?}") };
        assert_eq!(text, format!("workspaces-controller {}\n", env!("CARGO_PKG_VERSION")));
    }
    assert!(parse(&["x", "serve"]).unwrap_err()[0].to_string().starts_with("serve: unknown command"));
    assert!(parse(&["x", "crds", "--nope"]).is_err());
    let both = parse(&["x", "--leader-elect", "crds"]).unwrap_err();
    assert_eq!(both[0].to_string(), "crds: cannot be used together with flags");
}

#[test]
fn the_own_namespace_is_a_setting_of_its_own() {
    assert_eq!(good(&[], &[("POD_NAMESPACE", "team-a")]).namespace.as_deref(), Some("team-a"));
    let expected = "POD_NAMESPACE=\"team a\": must be a namespace: at most 63 lower-case letters, digits and '-', such as kubeflow-workspaces";
    assert_eq!(error(&[], &[("POD_NAMESPACE", "team a")]), expected);
}

#[test]
fn the_times_of_leader_election_fit_together() {
    let pod = &[("POD_NAMESPACE", "kubeflow")];
    let times = |args: &[&str]| good(args, pod).lease_times;
    assert_eq!(times(&["--leader-elect"]), LeaseTimes::default());
    let seconds = Duration::from_secs;
    let given = times(&[
        "--leader-elect-lease-duration=60s",
        "--leader-elect-renew-deadline=40s",
        "--leader-elect-retry-period=5s",
    ]);
    assert_eq!(given, LeaseTimes { duration: seconds(60), renew_deadline: seconds(40), retry_period: seconds(5) });
    let rows = [
        ("--leader-elect-lease-duration=10s", "must be longer than --leader-elect-renew-deadline (10s)"),
        ("--leader-elect-lease-duration=1500ms", "must be whole seconds, at least 1s"),
        ("--leader-elect-lease-duration=0", "must be whole seconds, at least 1s"),
        ("--leader-elect-lease-duration=15", "must be a duration such as 90s, 5m or 1h30m, from 0 to 24h"),
        ("--leader-elect-retry-period=5000000000000000h", "must be a duration such as 90s, 5m or 1h30m, from 0 to 24h"),
        ("--leader-elect-renew-deadline=2400ms", "must be longer than 1.2 times --leader-elect-retry-period (2s)"),
        ("--leader-elect-retry-period=0", "must be longer than 0"),
    ];
    for (argument, rule) in rows {
        let (flag, value) = argument.split_once('=').unwrap();
        assert_eq!(error(&[argument], pod), format!("{flag}={value:?}: {rule}"));
    }
    assert_eq!(
        error(&["--leader-elect"], &[]),
        "POD_NAMESPACE: not set, and not running in a pod with a service account: the Lease of --leader-elect is in the \
         namespace of this process, so set it"
    );
    let without = good(&["--leader-elect", "--enable-reconcile=false"], &[]);
    assert_eq!(without.warnings, ["--leader-elect has no effect with --enable-reconcile=false"]);
}

/// Controllers that do different parts of the work do not exclude each other.
#[test]
fn each_part_of_the_work_has_a_lease() {
    let lease = |args: &[&str]| good(args, &[]).mode.lease_name();
    assert_eq!(lease(&[]), "kubeflow-workspace-controller");
    assert_eq!(lease(&["--namespace-selector=a=b"]), "workspaces-namespace-controller");
    assert_eq!(lease(&["--only-routes"]), "workspaces-route-controller");
    assert_eq!(lease(&["--only-routes", "--namespace-selector=a=b"]), "workspaces-route-controller");
}

#[test]
fn a_self_managed_certificate_needs_a_namespace_and_names() {
    let pod = [("POD_NAMESPACE", "team-a")];
    let source = "--webhook-cert-source=self-managed";
    let settings = good(&[source, "--dynamic-serving-dns-names=a.team-a.svc,127.0.0.1"], &pod);
    let expected = SelfManaged {
        namespace: "team-a".to_owned(),
        secret: "workspaces-webhook-ca".to_owned(),
        names: vec!["a.team-a.svc".into(), "127.0.0.1".into()],
        schedule: certs::Schedule::new(Duration::from_hours(8760), Duration::from_hours(720)).unwrap(),
        configuration: "workspaces-validating-webhook-configuration".to_owned(),
    };
    assert_eq!(settings.certificate, CertificateSource::SelfManaged(expected));
    assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);

    let name = "--dynamic-serving-dns-names=a";
    let table = [
        (
            &[source][..],
            "--dynamic-serving-dns-names: must have the names that the webhook is called by, such as \
             workspaces-webhook-service.kubeflow-workspaces.svc, with --webhook-cert-source=self-managed",
        ),
        (
            &[source, "--dynamic-serving-dns-names=a b"],
            "--dynamic-serving-dns-names=\"a b\": \"a b\" is not a host name or address; use letters, digits, '-' and '.', \
             no wildcard",
        ),
        (&["--webhook-cert-source=secret"], "--webhook-cert-source=\"secret\": must be files or self-managed"),
        (
            &[source, name, "--dynamic-serving-leaf-duration=2000h", "--dynamic-serving-ca-duration=7999h"],
            "--dynamic-serving-ca-duration=\"7999h\": a CA has to be valid for at least 4 times as long as its certificates",
        ),
        (
            &[source, name, "--dynamic-serving-leaf-duration=9s"],
            "--dynamic-serving-leaf-duration=\"9s\": must be a duration such as 720h or 8760h, of at least 10s and at most a \
             hundred years",
        ),
        (
            &[source, name, "--dynamic-serving-secret-name=A"],
            "--dynamic-serving-secret-name=\"A\": must be the name of an object: at most 253 lower-case letters, digits, '-' \
             and '.'",
        ),
    ];
    for (arguments, message) in table {
        assert_eq!(error(arguments, &pod), message);
    }
    let nowhere = "POD_NAMESPACE: must be set outside of a pod, with --webhook-cert-source=self-managed: the Secret is in this namespace";
    assert_eq!(error(&[source, name], &[]), nowhere);
}

#[test]
fn settings_of_the_other_source_have_no_effect() {
    let of_self_managed = good(&["--dynamic-serving-leaf-duration=1h", "--dynamic-serving-dns-names=a"], &[]);
    let expected = [
        "--dynamic-serving-dns-names has no effect without --webhook-cert-source=self-managed",
        "--dynamic-serving-leaf-duration has no effect without --webhook-cert-source=self-managed",
    ];
    assert_eq!(of_self_managed.warnings, expected);
    let of_files = ["--webhook-cert-source=self-managed", "--dynamic-serving-dns-names=a", "--webhook-cert-dir=/certs"];
    let expected = ["--webhook-cert-dir has no effect with --webhook-cert-source=self-managed"];
    assert_eq!(good(&of_files, &[("POD_NAMESPACE", "a")]).warnings, expected);
}

#[test]
fn clients_are_named_only_beside_their_ca() {
    assert_eq!(good(&[], &[]).webhook_clients, None);
    let file = "--webhook-client-ca-file=/client-ca/ca.crt";
    let clients = |names: &[&str]| {
        let allowed_names = names.iter().map(|&name| name.to_owned()).collect();
        Some(WebhookClients { ca_file: "/client-ca/ca.crt".into(), allowed_names })
    };
    assert_eq!(good(&[file], &[]).webhook_clients, clients(&[]));
    assert_eq!(good(&[file, "--webhook-client-allowed-names="], &[]).webhook_clients, clients(&[]));
    let names = ["--webhook-client-allowed-names=a,b", "--webhook-client-allowed-names=c d"];
    assert_eq!(good(&[file, names[0], names[1]], &[]).webhook_clients, clients(&["a", "b", "c d"]));
    assert_eq!(
        error(&[names[1]], &[]),
        "--webhook-client-allowed-names=\"c d\": needs --webhook-client-ca-file: without it everybody is served"
    );
    assert_eq!(
        error(&[file, "--webhook-client-allowed-names=a,,b"], &[]),
        "--webhook-client-allowed-names=\"a,,b\": must not have an empty name"
    );
}
