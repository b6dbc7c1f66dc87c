//! The chart's values: unknown ones are refused with a reason, and there is one for each setting of the program.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use webhook::ProtectedKeys;
use workspaces_controller::config::settings::{self, Setting, Shape};

use crate::helm::{NAMESPACE, SOME_CA, documents, helm, objects, only, template, text};

/// Settings that the chart sets by other means than a value of the same name, or not at all.
const NOT_VALUES: [&str; 14] = [
    // ports and certificate.mountPath
    "webhook-bind-address",
    "health-probe-bind-address",
    "metrics-bind-address",
    "webhook-cert-dir",
    // A pod uses its own account.
    "kubeconfig",
    // certificate.mode, certificate.selfManaged, and the names of other objects of the chart.
    "webhook-cert-source",
    "dynamic-serving-dns-names",
    "dynamic-serving-secret-name",
    "dynamic-serving-ca-duration",
    "dynamic-serving-leaf-duration",
    "validating-webhook-configuration-name",
    // webhook.clientCA
    "webhook-client-ca-file",
    "webhook-client-allowed-names",
    // The kubelet mounts it with the token of the account.
    "POD_NAMESPACE",
];

/// Its flag, or its variable where it has none.
fn id(setting: &Setting) -> &'static str {
    if setting.flag.is_empty() { setting.env[0] } else { setting.flag }
}

fn value_name(setting: &Setting) -> String {
    let words =
        if setting.flag.is_empty() { setting.env[0].to_lowercase().replace('_', "-") } else { setting.flag.to_owned() };
    let mut name = String::new();
    for (index, word) in words.split('-').enumerate() {
        let (first, rest) = word.split_at(1);
        name += &if index == 0 { first.to_owned() } else { first.to_uppercase() };
        name += rest;
    }
    name
}

fn settings_of_the_chart() -> BTreeMap<String, &'static Setting> {
    let compatibility = settings::ALL.iter().find(|setting| setting.flag == "zap-devel").unwrap().group;
    let wanted =
        settings::ALL.iter().filter(|setting| setting.group != compatibility && !NOT_VALUES.contains(&id(setting)));
    wanted.map(|setting| (value_name(setting), *setting)).collect()
}

fn default_values() -> Value {
    documents(&text("charts/workspaces-controller/values.yaml")).remove(0)
}

#[test]
fn every_setting_is_a_value_with_the_same_default() {
    let values = default_values();
    let values = values["settings"].as_object().unwrap();
    let expected = settings_of_the_chart();
    assert_eq!(values.keys().collect::<BTreeSet<_>>(), expected.keys().collect::<BTreeSet<_>>());
    for (name, setting) in expected {
        let default = match &values[&name] {
            Value::String(text) => text.clone(),
            Value::Array(list) => list.iter().map(|item| item.as_str().unwrap()).collect::<Vec<_>>().join(","),
            other => other.to_string(),
        };
        let expected = match name.as_str() {
            // The log of a pod is not read on a terminal.
            "logFormat" => "json",
            // There are two replicas.
            "leaderElect" => "true",
            _ => setting.default,
        };
        assert_eq!(default, expected, "{name}");
    }
}

/// Every value reaches the program: as an argument with its flag, or in its environment variable.
#[test]
fn every_setting_reaches_the_program() {
    let set = [
        "settings.connectPathPrefix=/notebooks",
        "settings.redirectMissingSlash=true",
        "settings.redirectScheme=https",
        "settings.namespaceSelector=team=a",
        "settings.istioGateway={a/b,c/d}",
        "settings.istioHosts={one.example.com,two.example.com}",
    ];
    let objects = objects(&set);
    let container = &only(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    let args: Vec<&str> = container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    let env: Vec<&str> =
        container["env"].as_array().unwrap().iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    let given = |flag: &str| args.iter().filter(|arg| arg.starts_with(&format!("--{flag}="))).count();
    for setting in settings_of_the_chart().values() {
        let times = match setting.shape {
            Shape::List if setting.flag == "protected-pod-metadata" => ProtectedKeys::DEFAULT.len(),
            Shape::List if setting.flag != "port-dialects" => 2,
            _ => 1,
        };
        if setting.flag.is_empty() {
            assert!(env.contains(&setting.env[0]), "{}", setting.name());
        } else {
            assert_eq!(given(setting.flag), times, "{}", setting.name());
        }
    }
    for flag in &NOT_VALUES[..4] {
        assert_eq!(given(flag), 1, "--{flag}");
    }
    assert!(args.contains(&"--istio-gateway=c/d") && args.contains(&"--redirect-scheme=https"));
}

#[test]
fn protected_keys_can_be_none() {
    let none = ["template", "x", "charts/workspaces-controller", "--set-json", "settings.protectedPodMetadata=[]"];
    let answer = helm(&none, None);
    let objects = documents(&answer.stdout);
    assert!(answer.success, "{}", answer.stderr);
    let arguments = &only(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"];
    assert!(arguments.as_array().unwrap().contains(&"--protected-pod-metadata=".into()), "{arguments}");
}

/// The error of helm for a wrong value, with the part that an administrator needs.
#[test]
#[allow(clippy::too_many_lines)] // a table
fn wrong_values_are_refused_with_the_reason() {
    let long_host = format!("settings.clusterDomain={}", "a".repeat(254));
    let cases: &[(&[&str], &str)] = &[
        (&["sttings.useIstio=false"], "additional properties 'sttings' not allowed"),
        (&["image.tags=1"], "at '/image': additional properties 'tags' not allowed"),
        (&["settings.leaderElected=true"], "at '/settings': additional properties 'leaderElected' not allowed"),
        (&["settings.leaderElectRetryPeriod=2"], "at '/settings/leaderElectRetryPeriod': got number, want string"),
        (&["settings.useIstio=yes"], "at '/settings/useIstio': got string, want boolean"),
        (&["settings.istioGateway={gateway}"], "at '/settings/istioGateway/0'"),
        (&["settings.istioHosts="], "at '/settings/istioHosts': got string, want array"),
        (&[&long_host], "at '/settings/clusterDomain'"),
        (&["settings.connectPathPrefix=/a/"], "at '/settings/connectPathPrefix'"),
        (&["settings.portDialects={A}"], "at '/settings/portDialects/0': value must be one of 'portId', 'id'"),
        (&["settings.checkClusterRoleBind=yes"], "at '/settings/checkClusterRoleBind': value must be one of"),
        (&["settings.protectedPodMetadata={a b}"], "at '/settings/protectedPodMetadata/0'"),
        (&["settings.enforceCanMount=1"], "at '/settings/enforceCanMount': got number, want boolean"),
        (&["settings.redirectScheme=ftp"], "at '/settings/redirectScheme'"),
        (&["settings.maxConcurrentReconciles=0"], "at '/settings/maxConcurrentReconciles': minimum: got 0, want 1"),
        (&["settings.schedulingPatience=5"], "at '/settings/schedulingPatience': got number, want string"),
        (&["settings.schedulingPatience=five minutes"], "at '/settings/schedulingPatience'"),
        (&["settings.metricsRequireAuthentication=true"], "requires settings.metricsSecure=true"),
        (&["settings.statusBindAddress=status.example.com:80"], "at '/settings/statusBindAddress'"),
        (&["settings.logFormat=xml"], "at '/settings/logFormat'"),
        (&["settings=null"], "missing property 'settings'"),
        (&["ports.webhook=443"], "at '/ports/webhook': minimum: got 443, want 1,024"),
        (
            &["ports.health=9443"],
            "ports.webhook, ports.health, ports.metrics and the port of settings.statusBindAddress must differ",
        ),
        (
            &["ports.metrics=8082"],
            "ports.webhook, ports.health, ports.metrics and the port of settings.statusBindAddress must differ",
        ),
        (
            &[
                "certificate.mode=selfManaged",
                "webhook.annotations.service\\.beta\\.openshift\\.io/inject-cabundle=yes",
            ],
            "lets another program do so",
        ),
        (
            &["certificate.mode=self"],
            "at '/certificate/mode': value must be one of 'certManager', 'existingSecret', 'selfManaged'",
        ),
        (&["certificate.mode=existingSecret"], "give the CA of the Secret webhook-server-cert"),
        (&["webhook.caBundle=LS0tLS1"], "webhook.caBundle is for certificate.mode=existingSecret: with certManager"),
        (
            &["webhook.caBundle=LS0tLS1", "certificate.mode=selfManaged"],
            "webhook.caBundle is for certificate.mode=existingSecret: with selfManaged, the controller writes the CA",
        ),
        (&["certificate.selfManaged.leafDuration=long"], "at '/certificate/selfManaged/leafDuration'"),
        (&["webhook.caBundle=nonsense"], "at '/webhook/caBundle'"),
        (&["webhook.url=http://10.0.0.1"], "at '/webhook/url'"),
        (&["webhook.failurePolicy=Maybe"], "at '/webhook/failurePolicy'"),
        (&["webhook.timeoutSeconds=31"], "at '/webhook/timeoutSeconds': maximum: got 31, want 30"),
        (&["settings.leaderElect=false"], "replicas is 2: more than one requires settings.leaderElect=true"),
        (&["settings.enableReconcile=false", "settings.enableWebhooks=false"], "there is nothing to run"),
        (&["settings.redirectScheme=https"], "settings.redirectScheme has no effect without"),
        (&["settings.onlyRoutes=true", "settings.useIstio=false"], "settings.onlyRoutes makes nothing but routes"),
        (
            &["settings.onlyRoutes=true", "settings.enableReconcile=false"],
            "settings.onlyRoutes makes nothing but routes",
        ),
        (&["settings.namespaceSelector=a", "settings.enableReconcile=false"], "is about what is reconciled"),
        (&["settings.namespaceSelector=1"], "at '/settings/namespaceSelector': got number, want string"),
        (&["settings.takeOverRoutes=true"], "settings.takeOverRoutes has no effect without settings.onlyRoutes=true"),
        (
            &["settings.onlyRoutes=true", "settings.leaderElect=false"],
            "more than one requires settings.leaderElect=true",
        ),
        (&["resources.requests.cpu=lots"], "at '/resources/requests/cpu'"),
        (&["runAsUser=0"], "at '/runAsUser': minimum: got 0, want 1"),
        (&["tolerations[0].efect=NoSchedule"], "at '/tolerations/0': additional properties 'efect' not allowed"),
        (&["affinity.podAffinty=1"], "additional properties 'podAffinty' not allowed"),
        (&["crds.install=false"], "at '/crds': additional properties 'install' not allowed"),
        (
            &["userRoles.aggregateToDefault=true"],
            "at '/userRoles': additional properties 'aggregateToDefault' not allowed",
        ),
        (&["global.imagePullSecrets[0].nam=a"], "at '/global/imagePullSecrets/0': 'anyOf' failed"),
        (&["extraArgs={log-level=debug}"], "at '/extraArgs/0': 'log-level=debug' does not match pattern '^-'"),
        (&["extraEnv[0].name=A", "extraEnv[0].vlaue=b"], "at '/extraEnv/0': additional properties 'vlaue' not allowed"),
        (
            &["extraVolumes[0].name=cert", "extraVolumes[0].emptyDir.medium=Memory"],
            "at '/extraVolumes/0/name': 'not' failed",
        ),
        (
            &["extraVolumes[0].name=a", "extraVolumes[0].nfs.server=b"],
            "at '/extraVolumes/0': additional properties 'nfs' not allowed",
        ),
        (&["extraVolumeMounts[0].name=a", "extraVolumeMounts[0].path=/a"], "missing property 'mountPath'"),
        (&["extraObjects[0].kind=ConfigMap"], "missing property 'apiVersion'"),
        (&["monitoring.podMonitor.enabled=true", "ports.metrics=0"], "there is nothing to scrape with ports.metrics=0"),
        (
            &["monitoring.podMonitor.enabled=true", "monitoring.serviceMonitor.enabled=true"],
            "are both enabled: everything would be counted twice",
        ),
        (&["monitoring.serviceMonitor.interval=often"], "at '/monitoring/serviceMonitor/interval'"),
        (&["monitoring.prometheusRule.disabled={Everything}"], "at '/monitoring/prometheusRule/disabled/0'"),
        (&["networkPolicy.webhookFrom[0].ipBlok.cidr=10.0.0.0/8"], "additional properties 'ipBlok' not allowed"),
        (&["networkPolicy.egress.apiServerPorts={}"], "at '/networkPolicy/egress/apiServerPorts'"),
        (
            &[
                "monitoring.podMonitor.enabled=true",
                "settings.metricsSecure=true",
                "settings.metricsRequireAuthentication=true",
            ],
            "name the Secret with the bearer token of Prometheus in monitoring.tokenSecret.name",
        ),
        (&["hostNetwork=true", "networkPolicy.enabled=true"], "networkPolicy has no effect with hostNetwork=true"),
        (&["hostNetwork=true", "ports.webhook=10250"], "which with hostNetwork=true the kubelet has"),
        (&["podLabels.app=mine"], "at '/podLabels/app': false schema"),
        (&[r#"commonLabels={"helm.sh/chart": "mine"}"#], "at '/commonLabels/helm.sh~1chart': false schema"),
        (&["podDisruptionBudget.maxUnavailable=one"], "at '/podDisruptionBudget/maxUnavailable'"),
    ];
    for (set, reason) in cases {
        let answer = template(NAMESPACE, set);
        assert!(!answer.success, "{set:?} was taken");
        assert!(answer.stderr.contains(reason), "{set:?}: expected {reason:?} in\n{}", answer.stderr);
    }
}

#[test]
fn an_old_cluster_is_refused() {
    let args = ["template", "x", "charts/workspaces-controller", "--kube-version", "1.30.9"];
    let answer = crate::helm::helm(&args, None);
    assert!(
        !answer.success && answer.stderr.contains("Kubernetes v1.30.9 is too old: 1.31 is required"),
        "{}",
        answer.stderr
    );
}

#[test]
fn a_ca_is_taken_as_pem_and_as_base64() {
    let bundle = |value: &str| {
        let objects = objects(&["certificate.mode=existingSecret", &format!("webhook.caBundle={value}")]);
        let webhooks = &only(&objects, "ValidatingWebhookConfiguration")["webhooks"];
        webhooks[0]["clientConfig"]["caBundle"].as_str().unwrap().to_owned()
    };
    let encoded = bundle(SOME_CA);
    assert!(encoded.starts_with("LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUIK"), "{encoded}");
    assert_eq!(bundle(&encoded), encoded);
}

/// Every object of the schema lists its properties, or sets the type of all of them.
#[test]
fn the_schema_is_closed_everywhere() {
    let schema: Value = serde_json::from_str(&text("charts/workspaces-controller/values.schema.json")).unwrap();
    let mut open = Vec::new();
    find_open(&schema, "", &mut open);
    // An object of any kind, which the API server validates. A parent chart puts what it likes into `global`, and helm hands it on to
    // every subchart.
    assert_eq!(open, ["/properties/extraObjects/items/anyOf/1", "/properties/global"]);
}

fn find_open(schema: &Value, path: &str, open: &mut Vec<String>) {
    if schema["type"] == "object" {
        let rest = &schema["additionalProperties"];
        if *rest != Value::Bool(false) && !rest.is_object() {
            open.push(path.to_owned());
        }
    }
    match schema {
        Value::Object(map) => map.iter().for_each(|(key, value)| find_open(value, &format!("{path}/{key}"), open)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, value)| find_open(value, &format!("{path}/{index}"), open));
        }
        _ => {}
    }
}
