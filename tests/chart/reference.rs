//! The page of values, made of `values.yaml` and its comments; and whether each value is documented, has a place in the schema and
//! changes what is rendered.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::helm::{CHART, NAMESPACE, SOME_CA, checkout, documents, manifest, text};

/// Values that are not the defaults, and which others have to be set for them to count.
const OTHERS: &[(&str, &str, &[&str])] = &[
    ("check.waitSeconds", "1", &[]),
    ("check.failOn", "warning", &[]),
    ("global.imageRegistry", "mirror.example.com", &[]),
    ("global.imagePullSecrets", r#"[{"name": "shared"}]"#, &[]),
    ("image.registry", "registry.example.com", &[]),
    ("image.repository", "other", &[]),
    ("image.tag", "v2", &[]),
    ("image.digest", "sha256:0000000000000000000000000000000000000000000000000000000000000000", &[]),
    ("image.pullPolicy", "Always", &[]),
    ("imagePullSecrets", r#"["registry"]"#, &[]),
    ("replicas", "0", &[]),
    ("settings.istioGateway", r#"["istio-system/public"]"#, &[]),
    ("settings.istioHosts", r#"["notebooks.example.com"]"#, &[]),
    ("settings.clusterDomain", "cluster.example", &[]),
    ("settings.connectPathPrefix", "/notebooks", &[]),
    ("settings.portDialects", r#"["id"]"#, &[]),
    ("settings.checkClusterRoleBind", "warn", &[]),
    ("settings.protectedPodMetadata", "[]", &[]),
    ("settings.redirectScheme", "https", &["settings.redirectMissingSlash=true"]),
    ("settings.namespaceSelector", "team=a", &[]),
    ("settings.takeOverRoutes", "true", &["settings.onlyRoutes=true"]),
    ("settings.maxConcurrentReconciles", "20", &[]),
    ("settings.schedulingPatience", "10m", &[]),
    ("settings.leaderElect", "false", &["replicas=1"]),
    ("settings.leaderElectLeaseDuration", "30s", &[]),
    ("settings.leaderElectRenewDeadline", "12s", &[]),
    ("settings.leaderElectRetryPeriod", "3s", &[]),
    ("settings.metricsRequireAuthentication", "true", &["settings.metricsSecure=true"]),
    ("settings.statusBindAddress", "0", &[]),
    ("settings.logLevel", "debug", &[]),
    ("settings.logFormat", "text", &[]),
    ("ports.webhook", "10250", &[]),
    ("ports.health", "18081", &[]),
    ("ports.metrics", "18080", &[]),
    ("certificate.mode", "existingSecret", &["webhook.annotations.injector=mine"]),
    ("certificate.secretName", "mine", &[]),
    ("certificate.mountPath", "/certificates", &[]),
    ("certificate.certManager.issuerRef.name", "company", &[]),
    ("certificate.certManager.issuerRef.kind", "ClusterIssuer", &["certificate.certManager.issuerRef.name=company"]),
    ("certificate.certManager.issuerRef.group", "example.com", &["certificate.certManager.issuerRef.name=company"]),
    ("certificate.certManager.duration", "4320h", &[]),
    ("certificate.certManager.renewBefore", "360h", &[]),
    ("certificate.selfManaged.secretName", "mine", &["certificate.mode=selfManaged"]),
    ("certificate.selfManaged.caDuration", "17520h", &["certificate.mode=selfManaged"]),
    ("certificate.selfManaged.leafDuration", "2160h", &["certificate.mode=selfManaged"]),
    ("webhook.clientCA.configMap", "clients", &[]),
    ("webhook.clientCA.key", "ca.pem", &["webhook.clientCA.configMap=clients"]),
    ("webhook.clientCA.allowedNames", r#"["kube-apiserver"]"#, &["webhook.clientCA.configMap=clients"]),
    ("webhook.failurePolicy", "Ignore", &[]),
    ("webhook.timeoutSeconds", "10", &[]),
    ("webhook.caBundle", SOME_CA, &["certificate.mode=existingSecret", "webhook.annotations.injector=mine"]),
    ("webhook.url", "https://10.0.0.1:9443", &[]),
    ("webhook.annotations", r#"{"injector": "mine"}"#, &[]),
    ("crds.annotations", r#"{"owner": "platform"}"#, &[]),
    ("userRoles.kindViewers", r#"["system:authenticated"]"#, &[]),
    ("serviceAccount.annotations", r#"{"team": "notebooks"}"#, &[]),
    ("resources", r#"{"limits": {"cpu": "1"}}"#, &[]),
    ("commonLabels", r#"{"team": "notebooks"}"#, &[]),
    ("podLabels", r#"{"team": "notebooks"}"#, &[]),
    ("podAnnotations", r#"{"team": "notebooks"}"#, &[]),
    ("runAsUser", "1000", &[]),
    ("runAsGroup", "1000", &[]),
    ("fsGroup", "1000", &[]),
    ("preStopSleepSeconds", "0", &[]),
    ("terminationGracePeriodSeconds", "60", &[]),
    ("priorityClassName", "system-cluster-critical", &[]),
    ("nodeSelector", r#"{"disk": "ssd"}"#, &[]),
    ("tolerations", r#"[{"operator": "Exists"}]"#, &[]),
    ("affinity", r#"{"podAntiAffinity": {}}"#, &[]),
    ("topologySpreadConstraints", "[]", &[]),
    ("podDisruptionBudget.maxUnavailable", "2", &[]),
    ("monitoring.serviceMonitor.labels", r#"{"release": "prometheus"}"#, &["monitoring.serviceMonitor.enabled=true"]),
    ("monitoring.serviceMonitor.interval", "10s", &["monitoring.serviceMonitor.enabled=true"]),
    ("monitoring.serviceMonitor.scrapeTimeout", "5s", &["monitoring.serviceMonitor.enabled=true"]),
    ("monitoring.podMonitor.labels", r#"{"release": "prometheus"}"#, &["monitoring.podMonitor.enabled=true"]),
    ("monitoring.podMonitor.interval", "10s", &["monitoring.podMonitor.enabled=true"]),
    ("monitoring.podMonitor.scrapeTimeout", "5s", &["monitoring.podMonitor.enabled=true"]),
    ("monitoring.caKey", "", &["monitoring.podMonitor.enabled=true", "settings.metricsSecure=true"]),
    ("monitoring.tokenSecret.name", "scraper", &["monitoring.podMonitor.enabled=true"]),
    ("monitoring.tokenSecret.key", "t", &["monitoring.podMonitor.enabled=true", "monitoring.tokenSecret.name=scraper"]),
    ("monitoring.prometheusRule.labels", r#"{"release": "prometheus"}"#, &["monitoring.prometheusRule.enabled=true"]),
    ("monitoring.prometheusRule.alertLabels", r#"{"team": "platform"}"#, &["monitoring.prometheusRule.enabled=true"]),
    ("monitoring.prometheusRule.disabled", r#"["WorkspacesInError"]"#, &["monitoring.prometheusRule.enabled=true"]),
    ("monitoring.prometheusRule.certificateExpirySeconds", "86400", &["monitoring.prometheusRule.enabled=true"]),
    (
        "monitoring.prometheusRule.runbookUrl",
        "https://example.com/runbooks",
        &["monitoring.prometheusRule.enabled=true"],
    ),
    ("monitoring.dashboard.labels", r#"{"dashboards": "yes"}"#, &["monitoring.dashboard.enabled=true"]),
    ("monitoring.dashboard.annotations", r#"{"folder": "Kubeflow"}"#, &["monitoring.dashboard.enabled=true"]),
    ("networkPolicy.webhookFrom", r#"[{"ipBlock": {"cidr": "10.0.0.1/32"}}]"#, &["networkPolicy.enabled=true"]),
    ("networkPolicy.metricsFrom", r#"[{"podSelector": {}}]"#, &["networkPolicy.enabled=true"]),
    ("networkPolicy.egress.enabled", "false", &["networkPolicy.enabled=true"]),
    ("networkPolicy.egress.apiServerPorts", "[16443]", &["networkPolicy.enabled=true"]),
    ("networkPolicy.egress.apiServerBlocks", r#"["10.0.0.1/32"]"#, &["networkPolicy.enabled=true"]),
    ("networkPolicy.egress.extra", r#"[{"to": [{"podSelector": {}}]}]"#, &["networkPolicy.enabled=true"]),
    ("extraArgs", r#"["--log-level=debug"]"#, &[]),
    ("extraEnv", r#"[{"name": "A", "value": "b"}]"#, &[]),
    ("extraVolumes", r#"[{"name": "a", "emptyDir": {}}]"#, &[]),
    ("extraVolumeMounts", r#"[{"name": "a", "mountPath": "/a"}]"#, &[]),
    ("extraObjects", r#"["{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}"]"#, &[]),
];

const REGENERATE: &str = "REGENERATE_DOCS";

/// A key of `values.yaml`, and what is above it.
struct Key {
    /// The keys that lead to it and itself, joined by dots.
    path: String,
    /// In one line.
    comment: String,
}

/// Keys in the order of the file: groups of values, and values.
struct Keys {
    groups: Vec<Key>,
    values: Vec<Key>,
}

fn schema() -> Value {
    serde_json::from_str(&text(&format!("{CHART}/values.schema.json"))).unwrap()
}

fn defaults() -> Value {
    documents(&text(&format!("{CHART}/values.yaml"))).remove(0)
}

/// What a path leads to in the schema, if it lists the keys on the way.
fn schema_at<'a>(schema: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(schema, |node, key| node["properties"].get(key))
}

fn value_at<'a>(values: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(values, |value, key| &value[key])
}

fn keys() -> Keys {
    let schema = schema();
    let mut keys = Keys { groups: Vec::new(), values: Vec::new() };
    for key in lines() {
        // What has the form of an object of Kubernetes, such as `resources`, is one value.
        let is_group = |path: &str| schema_at(&schema, path).is_some_and(|node| node.get("required").is_some());
        if is_group(&key.path) {
            keys.groups.push(key);
        } else if key.path.rsplit_once('.').is_none_or(|(parent, _)| is_group(parent)) {
            keys.values.push(key);
        }
    }
    keys
}

/// Every line of the file with a key.
fn lines() -> Vec<Key> {
    let mut found = Vec::new();
    let mut parents: Vec<(usize, String)> = Vec::new();
    let mut comment = Vec::new();
    for line in text(&format!("{CHART}/values.yaml")).lines() {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if let Some(words) = content.strip_prefix('#') {
            comment.push(words.trim().to_owned());
            continue;
        }
        let comment = std::mem::take(&mut comment).join(" ");
        let is_key = |key: &str| !key.is_empty() && key.chars().all(char::is_alphanumeric);
        let Some((key, _)) = content.split_once(':').filter(|(key, _)| is_key(key)) else { continue };
        parents.retain(|(of, _)| *of < indent);
        parents.push((indent, key.to_owned()));
        let path = parents.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>().join(".");
        found.push(Key { path, comment });
    }
    found
}

fn page() -> String {
    let Keys { groups, values } = keys();
    let defaults = defaults();
    let mut page = "# Values of the chart\n\nGenerated from `values.yaml` and the comments in it; `REGENERATE_DOCS=1 cargo test --workspace \
                    --all-features --test chart reference` writes it anew. What is not here is refused, and so is a value of another \
                    type. [install.md](install.md) says which ones are set when.\n"
        .to_owned();
    let rows = |page: &mut String, is_in: &dyn Fn(&str) -> bool| {
        *page += "\n| value | default | |\n|---|---|---|\n";
        for Key { path, comment } in values.iter().filter(|value| is_in(&value.path)) {
            let default = value_at(&defaults, path).to_string().replace('|', "\\|");
            let _ = writeln!(page, "| `{path}` | `{default}` | {} |", as_text(comment));
        }
    };
    rows(&mut page, &|path| !path.contains('.'));
    for Key { path: name, comment } in groups.iter().filter(|group| !group.path.contains('.')) {
        let _ = write!(page, "\n## {name}\n\n{}\n", as_text(comment));
        rows(&mut page, &|path| path.split_once('.').is_some_and(|(first, _)| first == name));
    }
    page
}

/// For Markdown.
fn as_text(comment: &str) -> String {
    comment.replace('|', "\\|").replace('<', "&lt;").replace('*', "\\*")
}

#[test]
fn the_page_of_values_is_generated() {
    let path = checkout("docs/values.md");
    let expected = page();
    if std::env::var_os(REGENERATE).is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == expected,
        "docs/values.md is out of date: {REGENERATE}=1 cargo test --workspace --all-features --test chart reference"
    );
}

/// A value without a place in the schema could not be set; one without a default would not be on the page.
#[test]
fn every_value_is_in_the_schema_and_explained() {
    let (schema, defaults) = (schema(), defaults());
    let names = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let Keys { groups, values } = keys();
    let root = ("", &schema, &defaults);
    let below =
        groups.iter().map(|Key { path, .. }| (&**path, schema_at(&schema, path).unwrap(), value_at(&defaults, path)));
    for (path, node, value) in [root].into_iter().chain(below) {
        let required: BTreeSet<String> =
            node["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect();
        let may_be_removed = |name: &String| {
            node["properties"][name]["type"].as_array().is_some_and(|types| types.contains(&"null".into()))
        };
        let given: BTreeSet<String> = names(value).into_iter().filter(|name| !may_be_removed(name)).collect();
        assert_eq!(given, required, "{path:?}: the defaults, and what the schema requires");
        assert_eq!(names(value), names(&node["properties"]), "{path:?}: the defaults, and what the schema knows");
    }
    let all = groups.iter().chain(&values);
    let silent: Vec<&str> = all.filter(|key| key.comment.is_empty()).map(|key| key.path.as_str()).collect();
    assert!(silent.is_empty(), "without a comment in values.yaml: {silent:?}");
}

/// What nothing uses would be set in vain. Booleans are set to the other one.
#[test]
fn every_value_changes_what_is_rendered() {
    let defaults = defaults();
    let mut changes = Vec::new();
    for Key { path, .. } in keys().values {
        let other = OTHERS.iter().find(|(of, ..)| *of == path);
        let (other, with) = match (value_at(&defaults, &path), other) {
            (_, Some((_, other, with))) => ((*other).to_owned(), *with),
            (Value::Bool(default), None) => ((!default).to_string(), &[][..]),
            _ => panic!("{path}: another value is missing here"),
        };
        changes.push((format!("{path}={other}"), with));
    }
    let unknown =
        OTHERS.iter().filter(|(path, ..)| !changes.iter().any(|(change, _)| change.starts_with(&format!("{path}="))));
    assert_eq!(unknown.map(|(path, ..)| path).collect::<Vec<_>>(), Vec::<&&str>::new(), "no longer in values.yaml");
    let bases: BTreeSet<&[&str]> = changes.iter().map(|(_, with)| *with).collect();
    let bases: BTreeMap<&[&str], String> = bases.into_iter().map(|with| (with, manifest(NAMESPACE, with))).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((change, with)) = changes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let all: Vec<&str> = with.iter().copied().chain([change.as_str()]).collect();
                    assert_ne!(manifest(NAMESPACE, &all), bases[with], "{change} changes nothing");
                }
            });
        }
    });
}

/// What the documentation and the notes call a value is one.
#[test]
fn values_that_are_written_about_exist() {
    let Keys { groups, values } = keys();
    let known: BTreeSet<&str> = groups.iter().chain(&values).map(|key| key.path.as_str()).collect();
    let tops: BTreeSet<&str> =
        groups.iter().map(|group| group.path.as_str()).filter(|path| !path.contains('.')).collect();
    let mut found = 0;
    // Others have fields of kinds that are called the same.
    for page in [
        "docs/install.md",
        "docs/local.md",
        "docs/moving.md",
        "docs/operations.md",
        "docs/runbooks.md",
        "charts/workspaces-controller/README.md",
    ]
    .map(checkout)
    {
        let text = std::fs::read_to_string(&page).unwrap();
        for code in text.split('`').skip(1).step_by(2) {
            let path: String =
                code.chars().take_while(|character| character.is_ascii_alphanumeric() || *character == '.').collect();
            let top = path.split('.').next().unwrap();
            let rest = &code[path.len()..];
            // `image.repository` is one, `image:` and `settings` are words of other things too.
            if !tops.contains(top) || !path.contains('.') || rest.starts_with(['[', '/', '(']) {
                continue;
            }
            let is_known = known.contains(path.as_str())
                || values.iter().any(|value| path.starts_with(&format!("{}.", value.path)));
            assert!(is_known, "{code} in {}", page.display());
            found += 1;
        }
    }
    assert!(found > 30, "{found}");
}
