//! What the chart renders, compared with the code that it installs and with the names that others depend on.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use webhook::REGISTRATIONS;
use workspaces_controller::config::Mode;
use workspaces_controller::render::{ChildKind, ChildRow};

use crate::helm::{
    CHART, NAMESPACE, PRESETS, checkout, controller_rules, documents, helm, manifest, objects, only, text,
};

#[test]
fn lints_strictly() {
    for preset in [&[][..], &["--values", PRESETS[0]], &["--values", PRESETS[1]], &["--values", PRESETS[2]]] {
        let args: Vec<&str> = ["lint", "--strict", CHART].iter().chain(preset).copied().collect();
        let answer = helm(&args, None);
        assert!(answer.success, "{}{}", answer.stdout, answer.stderr);
    }
}

/// What a GitOps tool renders has to be the same each time, and to depend on nothing but the values.
#[test]
fn renders_the_same_bytes_twice() {
    let set = [
        "podLabels.b=x",
        "podLabels.a=y",
        "resources.limits.cpu=1",
        "webhook.annotations.b=x",
        "webhook.annotations.a=y",
    ];
    for preset in PRESETS {
        let all: Vec<&str> = set.iter().copied().chain([preset]).collect();
        assert_eq!(manifest(NAMESPACE, &all), manifest(NAMESPACE, &all), "{preset}");
    }
    let changing = [
        "lookup",
        "now",
        "date",
        "env",
        "expandenv",
        "getHostByName",
        "htpasswd",
        "genCA",
        "genPrivateKey",
        "genSelfSignedCert",
        "genSignedCert",
        "randAlpha",
        "randAlphaNum",
        "randAscii",
        "randBytes",
        "randInt",
        "randNumeric",
        "shuffle",
        "uuidv4",
    ];
    for entry in std::fs::read_dir(checkout(&format!("{CHART}/templates"))).unwrap() {
        let path = entry.unwrap().path();
        let template = std::fs::read_to_string(&path).unwrap();
        let actions = template.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap());
        for action in actions.filter(|action| !action.trim_start_matches(['-', ' ']).starts_with("/*")) {
            let words = action
                .split(|character: char| !character.is_ascii_alphanumeric() && !['.', '$', '_'].contains(&character));
            let changing: Vec<&str> = words.filter(|word| changing.contains(word)).collect();
            assert!(changing.is_empty(), "{changing:?} in {}", path.display());
        }
    }
}

/// The CRDs, which are links here, are files in the package.
#[test]
fn the_package_renders_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let packaged = helm(&["package", CHART, "--destination", folder.path().to_str().unwrap()], None);
    assert!(packaged.success, "{}", packaged.stderr);
    let package = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let render = |chart: &str| helm(&["template", "x", chart, "--namespace", NAMESPACE, "--values", PRESETS[1]], None);
    let (of_package, of_folder) = (render(package.to_str().unwrap()), render(CHART));
    assert!(of_package.success, "{}", of_package.stderr);
    assert_eq!(of_package.stdout, of_folder.stdout);
    assert!(of_folder.stdout.contains("kind: CustomResourceDefinition"));
}

#[test]
fn names_are_the_documented_ones_whatever_the_release_is_called() {
    let render = |release: &str| {
        helm(&["template", release, "charts/workspaces-controller", "--namespace", NAMESPACE], None).stdout
    };
    assert_eq!(render("one"), render("two"));
    let named: BTreeSet<String> = documents(&render("one"))
        .iter()
        .map(|object| format!("{} {}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap()))
        .collect();
    let expected = [
        "Certificate workspaces-ca",
        "Certificate workspaces-serving-cert",
        "ClusterRole aggregate-to-kubeflow-workspaces-admin",
        "ClusterRole aggregate-to-kubeflow-workspaces-edit",
        "ClusterRole aggregate-to-kubeflow-workspaces-view",
        "ClusterRole kubeflow-workspaces-admin",
        "ClusterRole kubeflow-workspaces-edit",
        "ClusterRole kubeflow-workspaces-view",
        "ClusterRole workspaces-controller-check",
        "ClusterRole workspaces-manager-role",
        "ClusterRoleBinding workspaces-controller-check",
        "ClusterRoleBinding workspaces-manager-rolebinding",
        "CustomResourceDefinition workspacekinds.kubeflow.org",
        "CustomResourceDefinition workspaces.kubeflow.org",
        "Deployment workspaces-controller",
        "Issuer workspaces-ca-issuer",
        "Issuer workspaces-selfsigned-issuer",
        "Pod workspaces-controller-test",
        "PodDisruptionBudget workspaces-controller",
        "Role workspaces-controller-check",
        "Role workspaces-leader-election-role",
        "RoleBinding workspaces-controller-check",
        "RoleBinding workspaces-leader-election-rolebinding",
        "Service workspaces-webhook-service",
        "ServiceAccount workspaces-controller",
        "ServiceAccount workspaces-controller-check",
        "ValidatingWebhookConfiguration workspaces-validating-webhook-configuration",
    ];
    assert_eq!(named, expected.map(str::to_owned).into());
}

#[test]
fn deployment_service_and_account_fit_together() {
    let objects = objects(&[]);
    let (deployment, service) = (only(&objects, "Deployment"), only(&objects, "Service"));
    let labels = json!({
        "app": "workspaces-controller",
        "app.kubernetes.io/name": "workspaces-controller",
        "app.kubernetes.io/part-of": "kubeflow-workspaces",
        "app.kubernetes.io/component": "controller-manager",
    });
    let template = &deployment["spec"]["template"];
    assert_eq!(deployment["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(service["spec"]["selector"], labels);
    for (label, value) in labels.as_object().unwrap() {
        assert_eq!(&template["metadata"]["labels"][label], value);
    }
    let container = &template["spec"]["containers"][0];
    assert_eq!(container["name"], "manager");
    assert_eq!(container["command"], json!(["/manager"]));
    assert_eq!(
        service["spec"]["ports"],
        json!([{"name": "https-webhook", "port": 443, "targetPort": 9443, "protocol": "TCP"}])
    );
    assert_eq!(container["ports"][0]["containerPort"], 9443);
    assert_eq!(template["spec"]["volumes"][0]["secret"]["secretName"], "webhook-server-cert");
    assert_eq!(template["spec"]["serviceAccountName"], "workspaces-controller");
    assert_eq!(only(&objects, "ServiceAccount")["automountServiceAccountToken"], false);
    for object in &objects {
        let namespaced =
            !["ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "ValidatingWebhookConfiguration"]
                .contains(&object["kind"].as_str().unwrap());
        assert_eq!(object["metadata"]["namespace"] == NAMESPACE, namespaced, "{}", object["kind"]);
    }
}

#[test]
fn the_image_is_put_together_from_registry_repository_and_tag() {
    let digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
    let by_digest = format!("image.digest={digest}");
    let image = |set: &[&str]| {
        let objects = objects(set);
        only(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
    };
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(image(&[]), format!("workspaces-controller:{version}"));
    assert_eq!(image(&["image.registry=a.example.com/", "image.tag=v2"]), "a.example.com/workspaces-controller:v2");
    let mirrored = [
        "image.registry=a.example.com",
        "global.imageRegistry=b.example.com:5000/m",
        "image.repository=team/w",
        "image.tag=x",
    ];
    assert_eq!(image(&mirrored), "b.example.com:5000/m/team/w:x");
    assert_eq!(image(&[&by_digest, "image.tag=x"]), format!("workspaces-controller@{digest}"));
}

#[test]
fn common_labels_are_on_every_object_and_in_no_selector() {
    let objects = objects(&[PRESETS[1], "commonLabels.team=platform", "userRoles.kindViewers={a}"]);
    for object in &objects {
        assert_eq!(object["metadata"]["labels"]["team"], "platform", "{}", object["metadata"]["name"]);
    }
    assert!(only(&objects, "Deployment")["spec"]["selector"]["matchLabels"].get("team").is_none());
}

#[test]
fn what_an_administrator_adds_to_the_pod_is_added() {
    let set = [
        "imagePullSecrets={mine,both}",
        r#"global.imagePullSecrets=["both", {"name": "shared"}]"#,
        r#"extraArgs=["--log-level=debug", "--zap-devel"]"#,
        r#"extraEnv=[{"name": "A", "value": "b"}]"#,
        r#"extraVolumes=[{"name": "a", "emptyDir": {}}]"#,
        r#"extraVolumeMounts=[{"name": "a", "mountPath": "/a"}]"#,
    ];
    let with_certificate = objects(&set);
    let pod = &only(&with_certificate, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "mine"}, {"name": "both"}, {"name": "shared"}]));
    let container = &pod["containers"][0];
    let args: Vec<&str> = container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    assert_eq!(args[args.len() - 2..], ["--log-level=debug", "--zap-devel"]);
    assert!(args.contains(&"--log-level=info"));
    assert_eq!(container["env"].as_array().unwrap().last().unwrap(), &json!({"name": "A", "value": "b"}));
    let names = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&pod["volumes"]), ["cert", "a"]);
    assert_eq!(names(&container["volumeMounts"]), ["cert", "a"]);
    let alone: Vec<&str> = set.iter().copied().chain(["settings.enableWebhooks=false"]).collect();
    let alone = objects(&alone);
    let pod = &only(&alone, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(names(&pod["volumes"]), ["a"]);
    assert_eq!(names(&pod["containers"][0]["volumeMounts"]), ["a"]);
}

/// A drain never waits for a pod that is not ready, and the pods are on different nodes if there are any.
#[test]
fn replicas_are_spread_and_never_hold_up_a_drain() {
    let by_default = objects(&[]);
    let (budget, deployment) = (only(&by_default, "PodDisruptionBudget"), only(&by_default, "Deployment"));
    assert_eq!(
        budget["spec"],
        json!({"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow", "selector": deployment["spec"]["selector"]})
    );
    let spread = &deployment["spec"]["template"]["spec"]["topologySpreadConstraints"];
    let expected = json!([{
        "topologyKey": "kubernetes.io/hostname", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": deployment["spec"]["selector"], "matchLabelKeys": ["pod-template-hash"],
    }]);
    assert_eq!(spread, &expected);
    let of_preset = objects(&[PRESETS[1]]);
    let spread = &only(&of_preset, "Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"];
    assert_eq!(spread[0]["whenUnsatisfiable"], "DoNotSchedule");
    // On the network of its node a second pod finds the ports taken.
    let strategy = |set: &[&str]| only(&objects(set), "Deployment")["spec"]["strategy"]["rollingUpdate"].clone();
    assert_eq!(strategy(&[]), json!({"maxSurge": 1, "maxUnavailable": 0}));
    assert_eq!(strategy(&["hostNetwork=true"]), json!({"maxSurge": 0, "maxUnavailable": 1}));
}

#[test]
fn webhooks_are_the_ones_that_the_code_serves() {
    let objects = objects(&[]);
    let configuration = only(&objects, "ValidatingWebhookConfiguration");
    let rendered = configuration["webhooks"].as_array().unwrap();
    assert_eq!(rendered.len(), REGISTRATIONS.len());
    for registration in REGISTRATIONS {
        let webhook = rendered.iter().find(|webhook| webhook["name"] == registration.name).unwrap();
        let conditions: Vec<Value> = registration
            .match_conditions
            .iter()
            .map(|(name, expression)| json!({"name": name, "expression": expression}))
            .collect();
        let mut rule = webhook["rules"][0].clone();
        rule.as_object_mut().unwrap().remove("scope");
        assert_eq!(webhook["rules"].as_array().unwrap().len(), 1);
        assert_eq!(
            rule,
            json!({
                "apiGroups": [registration.group],
                "apiVersions": [registration.version],
                "operations": registration.operations,
                "resources": [registration.resource],
            })
        );
        assert_eq!(webhook["matchConditions"], json!(conditions));
        assert_eq!(webhook["failurePolicy"], registration.failure_policy);
        assert_eq!(webhook["sideEffects"], registration.side_effects);
        assert_eq!(webhook["timeoutSeconds"], registration.timeout_seconds);
        assert_eq!(webhook["admissionReviewVersions"], json!(registration.admission_review_versions));
        assert_eq!(
            webhook["clientConfig"]["service"],
            json!({"name": "workspaces-webhook-service", "namespace": NAMESPACE, "path": registration.path, "port": 443})
        );
    }
}

#[test]
fn a_url_takes_the_place_of_the_service() {
    let objects = objects(&["webhook.url=https://10.1.2.3:9443/"]);
    for (webhook, registration) in
        only(&objects, "ValidatingWebhookConfiguration")["webhooks"].as_array().unwrap().iter().zip(REGISTRATIONS)
    {
        assert_eq!(webhook["clientConfig"], json!({"url": format!("https://10.1.2.3:9443{}", registration.path)}));
    }
    let served: Vec<_> =
        objects.iter().filter(|object| object["metadata"]["name"] == "workspaces-serving-cert").collect();
    assert_eq!(served[0]["spec"]["ipAddresses"], json!(["10.1.2.3"]));
}

/// The links in the chart name every generated file and nothing else, and rendering changes only labels and
/// annotations.
#[test]
fn crds_are_the_generated_ones_and_stay_on_uninstall() {
    let names = |folder: &str| -> BTreeSet<String> {
        let paths = std::fs::read_dir(checkout(folder)).unwrap().map(|entry| entry.unwrap().path());
        let yaml = paths.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        yaml.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let generated = names("crds");
    assert_eq!(names("charts/workspaces-controller/files/crds"), generated);
    assert!(!generated.is_empty());
    let objects = objects(&[]);
    for file in &generated {
        let source = documents(&text(&format!("crds/{file}"))).remove(0);
        let mut rendered = objects
            .iter()
            .find(|object| {
                object["kind"] == "CustomResourceDefinition" && object["metadata"]["name"] == source["metadata"]["name"]
            })
            .unwrap()
            .clone();
        assert_eq!(rendered["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
        rendered["metadata"] = source["metadata"].clone();
        assert_eq!(rendered, source, "{file}");
    }
    let annotated = self::objects(&["crds.annotations.owner=platform"]);
    let crds: Vec<&Value> = annotated.iter().filter(|object| object["kind"] == "CustomResourceDefinition").collect();
    assert_eq!(crds.len(), generated.len());
    for crd in crds {
        let annotations = &crd["metadata"]["annotations"];
        assert_eq!(
            (&annotations["owner"], &annotations["helm.sh/resource-policy"]),
            (&json!("platform"), &json!("keep"))
        );
    }
}

/// The Lease that the program takes in each mode, by its name, and no other.
#[test]
fn the_lease_of_each_mode_is_granted() {
    let of_election = |set: &[&str]| -> Vec<Value> {
        let is_it = |object: &Value| {
            object["kind"] == "Role" && object["metadata"]["name"].as_str().unwrap().ends_with("-leader-election-role")
        };
        objects(set).into_iter().filter(is_it).collect()
    };
    let namespaces = Mode::Namespaces("a".to_owned());
    let routes = Mode::OnlyRoutes { selector: None, take_over: false };
    let modes: [(&[&str], Mode); 3] = [
        (&[], Mode::Everything),
        (&["settings.namespaceSelector=a"], namespaces),
        (&["settings.onlyRoutes=true"], routes),
    ];
    for (set, mode) in modes {
        let leases =
            |verbs: &[&str]| json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": verbs});
        let mut named = leases(&["get", "watch", "update"]);
        named["resourceNames"] = json!([mode.lease_name()]);
        let [role] = &of_election(set)[..] else { panic!("not one Role: {set:?}") };
        assert_eq!(role["rules"], json!([named, leases(&["create"])]), "{set:?}");
    }
    assert!(of_election(&["settings.enableReconcile=false"]).is_empty());
    assert!(of_election(&["replicas=1", "settings.leaderElect=false"]).is_empty());
}

/// Without reconcile only reads and reviews are granted, without webhooks no reviews.
#[test]
fn what_is_switched_off_is_not_installed() {
    let validating = objects(&["settings.enableReconcile=false", "replicas=3"]);
    let rules = controller_rules(&validating);
    let (asking, reading): (Vec<&Value>, Vec<&Value>) =
        rules.iter().partition(|rule| rule["apiGroups"] == json!(["authorization.k8s.io"]));
    assert_eq!(asking.len(), 1);
    assert_eq!(asking[0]["resources"], json!(["subjectaccessreviews"]));
    for verb in reading.iter().flat_map(|rule| rule["verbs"].as_array().unwrap()) {
        assert!(["get", "list", "watch"].iter().any(|reads| verb == reads), "{verb}");
    }
    assert!(reading.iter().all(|rule| rule["apiGroups"] == json!(["kubeflow.org"])));
    let reconciling = objects(&["settings.enableWebhooks=false"]);
    for kind in ["ValidatingWebhookConfiguration", "Service", "Certificate", "Issuer"] {
        assert!(reconciling.iter().all(|object| object["kind"] != kind), "{kind}");
    }
    let pod = &only(&reconciling, "Deployment")["spec"]["template"]["spec"];
    assert!(pod.get("volumes").is_none() && pod["containers"][0].get("volumeMounts").is_none());
}

fn kinds_and_names(objects: &[Value]) -> BTreeSet<String> {
    let named = |object: &Value| {
        format!("{} {}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
    };
    objects.iter().map(named).collect()
}

/// Beside the Go controller, whose objects have the other names, and select pods by the other label.
#[test]
fn routes_alone_are_another_installation_with_few_rights() {
    let objects = objects(&["settings.onlyRoutes=true"]);
    let expected = [
        "ClusterRole workspaces-route-controller-role",
        "ClusterRoleBinding workspaces-route-controller-rolebinding",
        "Deployment workspaces-route-controller",
        "PodDisruptionBudget workspaces-route-controller",
        "Role workspaces-route-controller-leader-election-role",
        "RoleBinding workspaces-route-controller-leader-election-rolebinding",
        "ServiceAccount workspaces-route-controller",
    ];
    assert_eq!(kinds_and_names(&objects), expected.map(str::to_owned).into());
    let all = ["get", "list", "watch", "create", "patch", "delete"];
    let rule = |group: &str, resource: &str, verbs: &[&str]| json!({"apiGroups": [group], "resources": [resource], "verbs": verbs});
    assert_eq!(
        only(&objects, "ClusterRole")["rules"],
        json!([
            rule("kubeflow.org", "workspacekinds", &["list", "watch"]),
            rule("kubeflow.org", "workspaces", &["get", "list", "watch"]),
            rule("kubeflow.org", "workspaces/finalizers", &["update"]),
            rule("", "services", &["list", "watch"]),
            rule("networking.istio.io", "virtualservices", &all),
        ])
    );
    let binding = only(&objects, "ClusterRoleBinding");
    assert_eq!(binding["roleRef"]["name"], "workspaces-route-controller-role");
    assert_eq!(binding["subjects"][0]["name"], "workspaces-route-controller");
    let deployment = only(&objects, "Deployment");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["app.kubernetes.io/name"], "workspaces-route-controller");
    assert_eq!(deployment["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"], "workspaces-route-controller");
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], "workspaces-route-controller");
    assert!(pod.get("volumes").is_none());
    assert_eq!(pod["containers"][0]["env"], json!([{"name": "ENABLE_WEBHOOKS", "value": "false"}]));

    // Of some namespaces: the same installation, which reads namespaces too.
    let some = self::objects(&["settings.onlyRoutes=true", "settings.namespaceSelector=!moving"]);
    assert!(kinds_and_names(&some).contains("Deployment workspaces-route-controller"));
    let mut rules = only(&objects, "ClusterRole")["rules"].clone();
    rules.as_array_mut().unwrap().insert(4, rule("", "namespaces", &["list", "watch"]));
    assert_eq!(only(&some, "ClusterRole")["rules"], rules);
    let args = &only(&some, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"];
    assert!(args.as_array().unwrap().contains(&json!("--namespace-selector=!moving")), "{args}");
}

/// Beside the Go controller too: all rights on what belongs to Workspaces, none to write what kinds are.
#[test]
fn selected_namespaces_are_another_installation_that_leaves_kinds_alone() {
    let objects = objects(&["settings.namespaceSelector=team=a"]);
    let expected = [
        "ClusterRole workspaces-namespace-controller-role",
        "ClusterRoleBinding workspaces-namespace-controller-rolebinding",
        "Deployment workspaces-namespace-controller",
        "PodDisruptionBudget workspaces-namespace-controller",
        "Role workspaces-namespace-controller-leader-election-role",
        "RoleBinding workspaces-namespace-controller-leader-election-rolebinding",
        "ServiceAccount workspaces-namespace-controller",
    ];
    assert_eq!(kinds_and_names(&objects), expected.map(str::to_owned).into());
    let rights = |objects: &[Value]| -> BTreeSet<String> {
        let rules = controller_rules(objects);
        let each = |rule: &Value| {
            let resources = rule["resources"].as_array().unwrap().iter().map(|resource| resource.as_str().unwrap());
            let verbs = rule["verbs"].as_array().unwrap().iter().map(|verb| verb.as_str().unwrap());
            let verbs: Vec<&str> = verbs.collect();
            resources
                .flat_map(|resource| verbs.iter().map(move |verb| format!("{verb} {resource}")))
                .collect::<Vec<_>>()
        };
        rules.iter().flat_map(each).collect()
    };
    let (of_selected, of_all) = (rights(&objects), rights(&self::objects(&["settings.enableWebhooks=false"])));
    let less: Vec<&String> = of_all.difference(&of_selected).collect();
    let of_kinds = [
        "get workspacekinds",
        "list configmaps",
        "patch workspacekinds",
        "patch workspacekinds/status",
        "watch configmaps",
    ];
    assert_eq!(less, of_kinds);
    assert!(of_selected.is_subset(&of_all), "{of_selected:?}");
    let args = &only(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"];
    assert!(args.as_array().unwrap().contains(&json!("--namespace-selector=team=a")), "{args}");
}

/// Each policy adds the permissions that it needs, and only then.
#[test]
fn policies_bring_their_rights() {
    let granted = |set: &[&str]| -> BTreeSet<String> {
        let objects = objects(set);
        let rules = controller_rules(&objects);
        let text = |word: &Value| word.as_str().unwrap().to_owned();
        let pairs = rules.iter().flat_map(|rule| {
            let words = |part: &str| rule[part].as_array().unwrap().iter().map(text).collect::<Vec<_>>();
            let verbs = words("verbs");
            words("resources").into_iter().flat_map(move |resource| {
                verbs.iter().map(move |verb| format!("{verb} {resource}")).collect::<Vec<_>>()
            })
        });
        pairs.collect()
    };
    let always = granted(&["settings.checkClusterRoleBind=off"]);
    for (set, resources) in [
        ("settings.checkClusterRoleBind=warn", &["create subjectaccessreviews"][..]),
        ("settings.enforceFilterRules=true", &["create subjectaccessreviews", "get namespaces"]),
        (
            "settings.enforceCanMount=true",
            &["create subjectaccessreviews", "get persistentvolumeclaims", "get secrets"],
        ),
    ] {
        let more: Vec<String> = granted(&[set]).difference(&always).cloned().collect();
        assert_eq!(more, resources, "{set}");
    }
    let reviews = ["create subjectaccessreviews", "create tokenreviews"];
    let secure = ["settings.checkClusterRoleBind=off", "settings.metricsSecure=true"];
    let demanding = ["settings.metricsRequireAuthentication=true", "settings.statusBindAddress=:8082"];
    for set in demanding.into_iter().chain(["settings.statusBindAddress=[2001:db8::1]:8082"]) {
        let more: Vec<String> = granted(&[secure[0], secure[1], set]).difference(&always).cloned().collect();
        assert_eq!(more, reviews, "{set}");
    }
    for local in ["0", "127.0.0.1:1", "127.8.0.1:1", "[::1]:1", "localhost:1"] {
        assert_eq!(granted(&[secure[0], &format!("settings.statusBindAddress={local}")]), always, "{local}");
    }
    let off = "settings.checkClusterRoleBind=off";
    for (set, resources) in [
        ("rbac.podExec=false", &["create pods/exec", "get pods/exec"][..]),
        ("settings.dryRunPausing=true", &["patch workspaces"]),
    ] {
        let less: Vec<String> = always.difference(&granted(&[off, set])).cloned().collect();
        assert_eq!(less, resources, "{set}");
    }
}

/// Who scrapes is bound to a role of the chart, which exists only where a token is asked for.
#[test]
fn readers_of_metrics_and_status_have_a_role_where_they_need_one() {
    let readers = |set: &[&str]| -> Vec<Value> {
        let roles = objects(set).into_iter().filter(|object| object["kind"] == "ClusterRole");
        let readers = roles.filter(|role| role["metadata"]["name"].as_str().unwrap().ends_with("-reader"));
        readers.map(|role| json!([role["metadata"]["name"], role["rules"]])).collect()
    };
    assert!(readers(&["settings.metricsSecure=true"]).is_empty());
    let rules = |url: &str| json!([{"nonResourceURLs": [url], "verbs": ["get"]}]);
    assert_eq!(
        readers(&[
            "settings.metricsSecure=true",
            "settings.metricsRequireAuthentication=true",
            "settings.statusBindAddress=:8082"
        ]),
        [
            json!(["workspaces-metrics-reader", rules("/metrics")]),
            json!(["workspaces-status-reader", rules("/status")]),
        ]
    );
    let beside = readers(&["settings.onlyRoutes=true", "settings.statusBindAddress=:8082"]);
    assert_eq!(beside, [json!(["workspaces-route-controller-status-reader", rules("/status")])]);
}

/// What the reconciler needs for each child, and no more.
#[test]
fn the_rights_on_children_follow_from_their_list() {
    let objects = objects(&[]);
    let rules = controller_rules(&objects);
    for kind in ChildKind::ALL {
        let row = kind.row();
        let is_about = |rule: &&Value| {
            rule["apiGroups"] == json!([row.group])
                && rule["resources"].as_array().unwrap().contains(&json!(row.plural))
        };
        let verbs: Vec<&Value> =
            rules.iter().filter(is_about).flat_map(|rule| rule["verbs"].as_array().unwrap()).collect();
        assert_eq!(verbs, ChildRow::VERBS, "{}", row.plural);
    }
    let scale = rules.iter().filter(|rule| rule["resources"] == json!(["statefulsets/scale"])).collect::<Vec<_>>();
    assert_eq!(scale, [&json!({"apiGroups": ["apps"], "resources": ["statefulsets/scale"], "verbs": ["patch"]})]);
}

#[test]
fn rights_are_spelt_out() {
    let objects = objects(&[]);
    let rules = controller_rules(&objects);
    let words = rules
        .iter()
        .flat_map(|rule| ["apiGroups", "resources", "verbs"].map(|part| &rule[part]))
        .flat_map(|words| words.as_array().unwrap());
    for word in words {
        assert_ne!(word, "*");
    }
    assert!(rules.iter().all(|rule| !rule["resources"].as_array().unwrap().contains(&json!("secrets"))));
}
