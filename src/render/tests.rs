#![allow(clippy::unwrap_used, clippy::panic)]

use crds::ports::ConnectPaths;
use crds::testing;
use crds::{Workspace, WorkspaceKind};
use serde_json::{Value, json};

use super::*;
use crate::config::RedirectScheme;

const UID: &str = "6e0f7a52-0f5e-4a35-9a55-6d1a4f1c2b3d";

fn workspace(change: impl FnOnce(&mut Value)) -> Workspace {
    let mut value = serde_json::to_value(testing::workspace("team-a", "lab", "jupyter")).unwrap();
    value["metadata"]["uid"] = json!(UID);
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

fn kind(change: impl FnOnce(&mut Value)) -> WorkspaceKind {
    let mut value = serde_json::to_value(testing::workspace_kind("jupyter")).unwrap();
    change(&mut value["spec"]["podTemplate"]);
    serde_json::from_value(value).unwrap()
}

fn routing() -> Routing {
    Routing { gateways: vec!["kubeflow/kubeflow-gateway".into()], hosts: vec!["*".into()], ..Routing::default() }
}

fn rendered(workspace: &Workspace, kind: &WorkspaceKind, routing: &Routing) -> Desired {
    render(workspace.into(), &kind.spec, routing).unwrap()
}

fn suffix() -> String {
    let names = names::ChildNames::new("lab", UID);
    names.service.strip_prefix("ws-lab-").unwrap().to_owned()
}

fn metadata(name: &str) -> Value {
    json!({
        "name": name,
        "namespace": "team-a",
        "labels": {"notebooks.kubeflow.org/workspace-name": "lab"},
        "ownerReferences": [{
            "apiVersion": "kubeflow.org/v1beta1", "kind": "Workspace", "name": "lab", "uid": UID,
            "controller": true, "blockOwnerDeletion": true,
        }],
    })
}

fn as_json(object: &impl serde::Serialize) -> Value {
    serde_json::to_value(object).unwrap()
}

fn routes(route: &Route) -> Value {
    match route {
        Route::Wanted(route) => as_json(&route.spec.http),
        other => panic!("no route: {other:?}"),
    }
}

fn main_container(desired: &Desired) -> Value {
    as_json(&desired.stateful_set).pointer("/spec/template/spec/containers/0").unwrap().clone()
}

#[test]
fn the_service_account_is_the_workspaces_own() {
    let desired = rendered(&workspace(|_| {}), &kind(|_| {}), &routing());
    let account = desired.service_account.as_ref().unwrap();
    assert_eq!(as_json(account), json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata("ws-lab")}));
}

#[test]
fn an_existing_service_account_is_used_and_none_is_made() {
    let kind = kind(|template| template["serviceAccount"] = json!({"name": "shared"}));
    let desired = rendered(&workspace(|_| {}), &kind, &routing());
    assert_eq!(desired.service_account, None);
    assert_eq!(
        as_json(&desired.stateful_set).pointer("/spec/template/spec/serviceAccountName"),
        Some(&json!("shared"))
    );
}

#[test]
fn metadata_of_the_stateful_set_is_on_the_set_alone() {
    let plain = rendered(&workspace(|_| {}), &kind(|_| {}), &routing());
    let ours = "notebooks.kubeflow.org/workspace-name";
    let kind = kind(|template| {
        template["statefulSetMetadata"] =
            json!({"labels": {"kueue.x-k8s.io/queue-name": "q", ours: "other"}, "annotations": {"note": "n"}});
    });
    let desired = rendered(&workspace(|_| {}), &kind, &routing());
    let set = as_json(&desired.stateful_set);
    assert_eq!(set["metadata"]["labels"], json!({"kueue.x-k8s.io/queue-name": "q", ours: "lab"}));
    assert_eq!(set["metadata"]["annotations"], json!({"note": "n"}));
    assert_eq!(desired.stateful_set.spec, plain.stateful_set.spec);
    assert_eq!((desired.service, desired.service_account), (plain.service, plain.service_account));
}

#[test]
fn the_scheduler_is_that_of_the_size_or_else_of_the_kind() {
    let scheduler = |of_kind: Value, of_size: Value| {
        let kind = kind(|template| {
            template["schedulerName"] = of_kind;
            template["options"]["podConfig"]["values"][0]["spec"]["schedulerName"] = of_size;
        });
        let set = rendered(&workspace(|_| {}), &kind, &routing()).stateful_set;
        set.spec.unwrap().template.spec.unwrap().scheduler_name
    };
    assert_eq!(scheduler(Value::Null, Value::Null), None);
    assert_eq!(scheduler(json!("kind"), Value::Null).as_deref(), Some("kind"));
    assert_eq!(scheduler(Value::Null, json!("size")).as_deref(), Some("size"));
    assert_eq!(scheduler(json!("kind"), json!("size")).as_deref(), Some("size"));
}

#[test]
fn the_stateful_set_is_exactly_this() {
    let workspace = workspace(|workspace| {
        workspace["spec"]["podTemplate"] = json!({
            "podMetadata": {"labels": {"team": "a", "statefulset": "other"}, "annotations": {"both": "workspace"}},
            "volumes": {
                "home": "home-claim",
                "data": [
                    {"pvcName": "data-claim", "mountPath": "/data/one"},
                    {"pvcName": "shared-claim", "mountPath": "/data/two", "readOnly": true},
                ],
                "secrets": [{"secretName": "token", "mountPath": "/secrets/token", "defaultMode": 0o400}],
            },
            "options": {"imageConfig": "large", "podConfig": "big"},
        });
    });
    let kind = kind(|template| {
        template["podMetadata"] =
            json!({"labels": {"team": "kind", "tier": "kind"}, "annotations": {"both": "kind", "only": "kind"}});
        template["probes"] = json!({"livenessProbe": {"httpGet": {"path": "/live", "port": 8888}}});
        template["securityContext"] = json!({"fsGroup": 100});
        template["containerSecurityContext"] = json!({"runAsNonRoot": true});
        template["extraVolumes"] = json!([{"name": "shm", "emptyDir": {"medium": "Memory"}}]);
        template["extraVolumeMounts"] = json!([{"name": "shm", "mountPath": "/dev/shm"}]);
        template["options"]["imageConfig"]["values"][1]["spec"]["imagePullPolicy"] = json!("Always");
        template["options"]["podConfig"]["values"][1]["spec"] = json!({
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]},
            ]}}},
            "nodeSelector": {"pool": "big"},
            "tolerations": [{"key": "big", "operator": "Exists"}],
            "resources": {"limits": {"cpu": "2"}},
        });
    });
    let name = format!("ws-lab-{}", suffix());
    let selector = json!({"notebooks.kubeflow.org/workspace-name": "lab", "statefulset": "lab"});
    let expected = json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(&name),
        "spec": {
            "replicas": 1,
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {
                    "labels": {"notebooks.kubeflow.org/workspace-name": "lab", "statefulset": "lab", "team": "a", "tier": "kind"},
                    "annotations": {"both": "workspace", "only": "kind"},
                },
                "spec": {
                    "serviceAccountName": "ws-lab",
                    "securityContext": {"fsGroup": 100},
                    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]},
                    ]}}},
                    "nodeSelector": {"pool": "big"},
                    "tolerations": [{"key": "big", "operator": "Exists"}],
                    "containers": [{
                        "name": "main",
                        "image": "registry.example.com/large:1",
                        "imagePullPolicy": "Always",
                        "ports": [
                            {"name": "http-8888", "containerPort": 8888, "protocol": "TCP"},
                            {"name": "http-6006", "containerPort": 6006, "protocol": "TCP"},
                        ],
                        "env": [{"name": "NB_PREFIX", "value": "/workspace/team-a/lab/jupyterlab/"}],
                        "resources": {"limits": {"cpu": "2"}},
                        "livenessProbe": {"httpGet": {"path": "/live", "port": 8888}},
                        "securityContext": {"runAsNonRoot": true},
                        "volumeMounts": [
                            {"name": "home-volume", "mountPath": "/home/jovyan"},
                            {"name": "data-volume-0", "mountPath": "/data/one"},
                            {"name": "data-volume-1", "mountPath": "/data/two", "readOnly": true},
                            {"name": "secret-volume-0", "mountPath": "/secrets/token"},
                            {"name": "shm", "mountPath": "/dev/shm"},
                        ],
                    }],
                    "volumes": [
                        {"name": "home-volume", "persistentVolumeClaim": {"claimName": "home-claim"}},
                        {"name": "data-volume-0", "persistentVolumeClaim": {"claimName": "data-claim"}},
                        {"name": "data-volume-1", "persistentVolumeClaim": {"claimName": "shared-claim", "readOnly": true}},
                        {"name": "secret-volume-0", "secret": {"secretName": "token", "defaultMode": 0o400}},
                        {"name": "shm", "emptyDir": {"medium": "Memory"}},
                    ],
                },
            },
        },
    });
    let desired = rendered(&workspace, &kind, &routing());
    assert_eq!(as_json(&desired.stateful_set), expected);
    assert!(desired.skipped_mounts.is_empty());
}

#[test]
fn an_empty_list_of_claims_is_not_written() {
    let kind = kind(|template| {
        template["options"]["podConfig"]["values"][0]["spec"]["resources"] =
            json!({"claims": [], "requests": {"cpu": 1}});
    });
    let desired = rendered(&workspace(|_| {}), &kind, &routing());
    assert_eq!(main_container(&desired)["resources"], json!({"requests": {"cpu": "1"}}));
}

#[test]
fn a_paused_workspace_has_no_replica_and_keeps_everything_else() {
    let running = rendered(&workspace(|_| {}), &kind(|_| {}), &routing());
    let mut paused =
        rendered(&workspace(|workspace| workspace["spec"]["paused"] = json!(true)), &kind(|_| {}), &routing());
    assert_eq!(paused.stateful_set.spec.as_ref().unwrap().replicas, Some(0));
    paused.stateful_set.spec.as_mut().unwrap().replicas = Some(1);
    assert_eq!(paused, running);
}

#[test]
fn the_service_selects_our_own_pod_only() {
    let name = format!("ws-lab-{}", suffix());
    let desired = rendered(&workspace(|_| {}), &kind(|_| {}), &routing());
    let expected = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(&name),
        "spec": {
            "type": "ClusterIP",
            "ports": [{"name": "http-8888", "port": 8888, "protocol": "TCP", "targetPort": 8888}],
            "selector": {
                "notebooks.kubeflow.org/workspace-name": "lab",
                "statefulset": "lab",
                "statefulset.kubernetes.io/pod-name": format!("{name}-0"),
            },
        },
    });
    assert_eq!(as_json(&desired.service), expected);
}

#[test]
fn the_virtual_service_is_exactly_this() {
    let kind = kind(|template| {
        template["ports"] = json!([
            {"portId": "tensorboard", "httpProxy": {"removePathPrefix": true}},
            {"portId": "jupyterlab", "httpProxy": {"requestHeaders": {
                "set": {"X-Path": "{{ httpPathPrefix \"jupyterlab\" }}", "X-Gone": ""},
                "add": {"X-Board": "{{ httpPathPrefix \"tensorboard\" }}"},
                "remove": ["Cookie"],
            }}},
        ]);
    });
    let workspace = workspace(|workspace| workspace["spec"]["podTemplate"]["options"]["imageConfig"] = json!("large"));
    let routing = Routing {
        hosts: vec!["a.example.com".into(), "b.example.com".into()],
        cluster_domain: "example.local".into(),
        ..routing()
    };
    let name = format!("ws-lab-{}", suffix());
    let host = format!("{name}.team-a.svc.example.local");
    let expected = json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": metadata(&name),
        "spec": {
            "gateways": ["kubeflow/kubeflow-gateway"],
            "hosts": ["a.example.com", "b.example.com"],
            "http": [
                {
                    "match": [{"uri": {"prefix": "/workspace/team-a/lab/jupyterlab/"}}],
                    "headers": {"request": {
                        "set": {"X-Path": "/workspace/team-a/lab/jupyterlab/"},
                        "add": {"X-Board": "/workspace/team-a/lab/tensorboard/"},
                        "remove": ["Cookie", "X-Gone"],
                    }},
                    "route": [{"destination": {"host": host, "port": {"number": 8888}}}],
                },
                {
                    "match": [{"uri": {"prefix": "/workspace/team-a/lab/tensorboard/"}}],
                    "rewrite": {"uri": "/"},
                    "route": [{"destination": {"host": host, "port": {"number": 6006}}}],
                },
            ],
        },
    });
    let Route::Wanted(route) = rendered(&workspace, &kind, &routing).route else { panic!("no route") };
    assert_eq!(as_json(&route), expected);
}

#[test]
fn each_port_gets_a_redirect_to_its_final_slash_before_its_own_route() {
    let expected = |scheme: Option<&str>| {
        let mut redirect = json!({"uri": "/workspace/team-a/lab/jupyterlab/", "redirectCode": 307});
        if let Some(scheme) = scheme {
            redirect["scheme"] = json!(scheme);
        }
        json!({"match": [{"uri": {"exact": "/workspace/team-a/lab/jupyterlab"}}], "redirect": redirect})
    };
    let routing = Routing { redirect_missing_slash: true, ..routing() };
    let http = routes(&rendered(&workspace(|_| {}), &kind(|_| {}), &routing).route);
    assert_eq!(http.as_array().unwrap().len(), 2);
    assert_eq!(http[0], expected(None));
    assert_eq!(http[1]["match"], json!([{"uri": {"prefix": "/workspace/team-a/lab/jupyterlab/"}}]));
    let routing = Routing { redirect_scheme: Some(RedirectScheme::Https), ..routing };
    assert_eq!(routes(&rendered(&workspace(|_| {}), &kind(|_| {}), &routing).route)[0], expected(Some("https")));
}

#[test]
fn an_image_port_without_an_entry_is_routed_plainly_in_dialect_port_id_only() {
    let large = workspace(|workspace| workspace["spec"]["podTemplate"]["options"]["imageConfig"] = json!("large"));
    let prefixes = |kind: &WorkspaceKind| {
        let http = routes(&rendered(&large, kind, &routing()).route);
        http.as_array()
            .unwrap()
            .iter()
            .map(|route| route["match"][0]["uri"]["prefix"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let dialect_port_id = kind(|template| template["ports"] = json!([{"portId": "jupyterlab"}]));
    assert_eq!(prefixes(&dialect_port_id), ["/workspace/team-a/lab/jupyterlab/", "/workspace/team-a/lab/tensorboard/"]);
    let no_list = kind(|template| template["ports"] = Value::Null);
    assert_eq!(prefixes(&no_list), prefixes(&dialect_port_id));
    let dialect_id = kind(|template| template["ports"] = json!([{"id": "jupyterlab"}]));
    assert_eq!(prefixes(&dialect_id), ["/workspace/connect/team-a/lab/jupyterlab/"]);
    let elsewhere = kind(|template| template["ports"] = json!([{"id": "rstudio"}]));
    assert_eq!(rendered(&large, &elsewhere, &routing()).route, Route::Refused(RouteFault::NoPorts));
}

#[test]
fn unsafe_headers_stop_the_route_name_the_field_and_leave_the_pod() {
    let kind = kind(|template| {
        template["ports"] = json!([
            {"portId": "rstudio"},
            {"portId": "jupyterlab", "httpProxy": {"requestHeaders": {
                "set": {"X-Secret": "s3cr3t {{", "X-Bad": "%BAD%"}, "add": {"Content-Length": "3"}, "remove": ["Host"],
            }}},
        ]);
    });
    let desired = rendered(&workspace(|_| {}), &kind, &routing());
    let Route::Refused(fault) = desired.route else { panic!("a route") };
    assert!(matches!(fault.action::<()>(), Action::KeepExisting));
    let text = fault.to_string();
    let field = "spec.podTemplate.ports[1].httpProxy.requestHeaders.";
    for place in ["set[X-Secret]", "set[X-Bad]", "add[Content-Length]", "remove[0]"] {
        let RouteFault::Headers(headers) = &fault else { panic!("{fault:?}") };
        assert!(headers.iter().any(|header| header.field == format!("{field}{place}")), "{place}: {fault:?}");
    }
    assert!(text.contains("and 1 more"), "{text}");
    assert!(!format!("{fault:?}").contains("s3cr3t"), "a value is quoted: {fault:?}");
    assert_eq!(desired.stateful_set.spec.unwrap().replicas, Some(1));
}

#[test]
fn namespace_connect_is_refused_while_both_default_prefixes_are_in_force() {
    let connect = workspace(|workspace| workspace["metadata"]["namespace"] = json!("connect"));
    let route = |kind: &WorkspaceKind, routing: &Routing| rendered(&connect, kind, routing).route;
    assert_eq!(route(&kind(|_| {}), &routing()), Route::Refused(RouteFault::ConnectNamespace));
    assert!(matches!(RouteFault::ConnectNamespace.action::<()>(), Action::Delete));
    let fixed = Routing { paths: ConnectPaths::fixed("/notebooks").unwrap(), ..routing() };
    assert_eq!(
        routes(&route(&kind(|_| {}), &fixed))[0]["match"][0]["uri"]["prefix"],
        "/notebooks/connect/lab/jupyterlab/"
    );
    let dialect_id = kind(|template| template["ports"] = json!([{"id": "jupyterlab"}]));
    assert!(matches!(route(&dialect_id, &routing()), Route::Wanted(_)));
}

#[test]
fn without_istio_there_is_no_route() {
    let routing = Routing { use_istio: false, ..routing() };
    assert_eq!(rendered(&workspace(|_| {}), &kind(|_| {}), &routing).route, Route::Off);
}

#[test]
fn the_users_mounts_win_over_the_kinds() {
    let workspace = workspace(|workspace| {
        workspace["spec"]["podTemplate"]["volumes"] = json!({
            "home": "home-claim",
            "data": [{"pvcName": "mine", "mountPath": "/data/"}, {"pvcName": "lost", "mountPath": "/home/jovyan/."}],
        });
    });
    let kind = kind(|template| {
        template["extraVolumes"] =
            json!([{"name": "cache", "emptyDir": {}}, {"name": "data-volume-0", "emptyDir": {}}]);
        template["extraVolumeMounts"] = json!([
            {"name": "cache", "mountPath": "/data"},
            {"name": "cache", "mountPath": "/cache"},
            {"name": "home-volume", "mountPath": "/work", "subPath": "work"},
        ]);
    });
    let desired = rendered(&workspace, &kind, &routing());
    let skipped_mounts = |path: &str, volume: &str, kept: &str| SkippedMount {
        path: path.into(),
        volume: volume.into(),
        kept: kept.into(),
    };
    assert_eq!(
        desired.skipped_mounts,
        [
            skipped_mounts("/home/jovyan", "data-volume-1", "home-volume"),
            skipped_mounts("/data", "cache", "data-volume-0")
        ]
    );
    assert_eq!(
        main_container(&desired)["volumeMounts"],
        json!([
            {"name": "home-volume", "mountPath": "/home/jovyan"},
            {"name": "data-volume-0", "mountPath": "/data/"},
            {"name": "cache", "mountPath": "/cache"},
            {"name": "home-volume", "mountPath": "/work", "subPath": "work"},
        ])
    );
    let volumes = as_json(&desired.stateful_set).pointer("/spec/template/spec/volumes").unwrap().clone();
    let names: Vec<&str> = volumes.as_array().unwrap().iter().map(|volume| volume["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["home-volume", "data-volume-0", "cache"]);
    assert_eq!(volumes[1]["persistentVolumeClaim"]["claimName"], "mine");
}

#[test]
fn a_mount_of_home_is_left_out_without_home_and_a_mount_on_its_path_takes_its_place() {
    let kind = kind(|template| {
        template["extraVolumes"] = json!([{"name": "scratch", "emptyDir": {}}]);
        template["extraVolumeMounts"] = json!([
            {"name": "home-volume", "mountPath": "/work"},
            {"name": "scratch", "mountPath": "/home/jovyan"},
        ]);
    });
    let desired = rendered(&workspace(|_| {}), &kind, &routing());
    assert_eq!(main_container(&desired)["volumeMounts"], json!([{"name": "scratch", "mountPath": "/home/jovyan"}]));
    assert!(desired.skipped_mounts.is_empty());
    let home = workspace(|workspace| workspace["spec"]["podTemplate"]["volumes"]["home"] = json!("claim"));
    let mounts = main_container(&rendered(&home, &kind, &routing()))["volumeMounts"].clone();
    assert_eq!(
        mounts,
        json!([{"name": "home-volume", "mountPath": "/home/jovyan"}, {"name": "home-volume", "mountPath": "/work"}])
    );
}

/// Volumes and mounts of the pod of a Workspace with these `volumes`, and of a kind changed by `extra`.
fn volumes_and_mounts(volumes: &Value, extra: impl FnOnce(&mut Value)) -> (Value, Value) {
    let workspace = workspace(|workspace| workspace["spec"]["podTemplate"]["volumes"] = volumes.clone());
    let desired = rendered(&workspace, &kind(extra), &routing());
    let spec = as_json(&desired.stateful_set).pointer("/spec/template/spec").unwrap().clone();
    (spec["volumes"].clone(), spec["containers"][0]["volumeMounts"].clone())
}

#[test]
fn a_claim_has_one_volume_however_many_mounts() {
    let claims = json!({"home": "h", "data": [
        {"pvcName": "d", "mountPath": "/data"},
        {"pvcName": "r", "mountPath": "/read", "readOnly": true},
        {"pvcName": "d", "mountPath": "/backup", "readOnly": true},
        {"pvcName": "h", "mountPath": "/old-home", "readOnly": true},
        {"pvcName": "r", "mountPath": "/read-too", "readOnly": true},
    ]});
    let (volumes, mounts) = volumes_and_mounts(&claims, |_| {});
    let expected = json!([
        {"name": "home-volume", "persistentVolumeClaim": {"claimName": "h"}},
        {"name": "data-volume-0", "persistentVolumeClaim": {"claimName": "d"}},
        {"name": "data-volume-1", "persistentVolumeClaim": {"claimName": "r", "readOnly": true}},
    ]);
    assert_eq!(volumes, expected);
    let expected = json!([
        {"name": "home-volume", "mountPath": "/home/jovyan"},
        {"name": "data-volume-0", "mountPath": "/data"},
        {"name": "data-volume-1", "mountPath": "/read", "readOnly": true},
        {"name": "data-volume-0", "mountPath": "/backup", "readOnly": true},
        {"name": "home-volume", "mountPath": "/old-home", "readOnly": true},
        {"name": "data-volume-1", "mountPath": "/read-too", "readOnly": true},
    ]);
    assert_eq!(mounts, expected);
}

#[test]
fn a_claim_that_is_written_once_can_be_written_whatever_the_order() {
    let claims = json!({"data": [
        {"pvcName": "d", "mountPath": "/backup", "readOnly": true},
        {"pvcName": "d", "mountPath": "/data"},
    ]});
    let (volumes, mounts) = volumes_and_mounts(&claims, |_| {});
    assert_eq!(volumes, json!([{"name": "data-volume-0", "persistentVolumeClaim": {"claimName": "d"}}]));
    let expected = json!([
        {"name": "data-volume-0", "mountPath": "/backup", "readOnly": true},
        {"name": "data-volume-0", "mountPath": "/data"},
    ]);
    assert_eq!(mounts, expected);
}

/// A mode is that of a volume: two of them need two volumes, which the kubelet can mount.
#[test]
fn a_secret_has_one_volume_for_each_mode() {
    let secrets = json!({"secrets": [
        {"secretName": "s", "mountPath": "/a"},
        {"secretName": "s", "mountPath": "/b", "defaultMode": 0o400},
        {"secretName": "s", "mountPath": "/c", "defaultMode": 0o644},
        {"secretName": "t", "mountPath": "/d"},
    ]});
    let (volumes, mounts) = volumes_and_mounts(&secrets, |template| {
        template["extraVolumes"] = json!([
            {"name": "whole", "secret": {"secretName": "s"}},
            {"name": "part", "secret": {"secretName": "s", "items": [{"key": "k", "path": "k"}]}},
            {"name": "perhaps", "secret": {"secretName": "s", "optional": true}},
        ]);
        template["extraVolumeMounts"] = json!([
            {"name": "whole", "mountPath": "/whole"},
            {"name": "part", "mountPath": "/part"},
            {"name": "perhaps", "mountPath": "/perhaps"},
        ]);
    });
    let expected = json!([
        {"name": "secret-volume-0", "secret": {"secretName": "s", "defaultMode": 0o644}},
        {"name": "secret-volume-1", "secret": {"secretName": "s", "defaultMode": 0o400}},
        {"name": "secret-volume-3", "secret": {"secretName": "t", "defaultMode": 0o644}},
        {"name": "part", "secret": {"secretName": "s", "items": [{"key": "k", "path": "k"}]}},
        {"name": "perhaps", "secret": {"secretName": "s", "optional": true}},
    ]);
    assert_eq!(volumes, expected);
    let expected = json!([
        {"name": "secret-volume-0", "mountPath": "/a"},
        {"name": "secret-volume-1", "mountPath": "/b"},
        {"name": "secret-volume-0", "mountPath": "/c"},
        {"name": "secret-volume-3", "mountPath": "/d"},
        {"name": "secret-volume-0", "mountPath": "/whole"},
        {"name": "part", "mountPath": "/part"},
        {"name": "perhaps", "mountPath": "/perhaps"},
    ]);
    assert_eq!(mounts, expected);
}

#[test]
fn an_extra_volume_of_a_claim_that_has_one_is_mounted_from_that() {
    let claims = json!({"home": "h", "data": [{"pvcName": "d", "mountPath": "/data", "readOnly": true}]});
    let (volumes, mounts) = volumes_and_mounts(&claims, |template| {
        template["extraVolumes"] = json!([
            {"name": "same", "persistentVolumeClaim": {"claimName": "d"}},
            {"name": "read-home", "persistentVolumeClaim": {"claimName": "h", "readOnly": true}},
            {"name": "first", "persistentVolumeClaim": {"claimName": "k", "readOnly": true}},
            {"name": "second", "persistentVolumeClaim": {"claimName": "k"}},
            {"name": "alone", "persistentVolumeClaim": {"claimName": "a", "readOnly": true}},
        ]);
        template["extraVolumeMounts"] = json!([
            {"name": "same", "mountPath": "/same", "subPath": "part"},
            {"name": "read-home", "mountPath": "/read-home"},
            {"name": "first", "mountPath": "/first"},
            {"name": "second", "mountPath": "/second"},
            {"name": "alone", "mountPath": "/alone"},
        ]);
    });
    let expected = json!([
        {"name": "home-volume", "persistentVolumeClaim": {"claimName": "h"}},
        {"name": "data-volume-0", "persistentVolumeClaim": {"claimName": "d"}},
        {"name": "first", "persistentVolumeClaim": {"claimName": "k"}},
        {"name": "alone", "persistentVolumeClaim": {"claimName": "a", "readOnly": true}},
    ]);
    assert_eq!(volumes, expected);
    let expected = json!([
        {"name": "home-volume", "mountPath": "/home/jovyan"},
        {"name": "data-volume-0", "mountPath": "/data", "readOnly": true},
        {"name": "data-volume-0", "mountPath": "/same", "subPath": "part"},
        {"name": "home-volume", "mountPath": "/read-home", "readOnly": true},
        {"name": "first", "mountPath": "/first", "readOnly": true},
        {"name": "first", "mountPath": "/second"},
        {"name": "alone", "mountPath": "/alone"},
    ]);
    assert_eq!(mounts, expected);
}

/// The kubelet ignores volumes without a mount, so a claim or a Secret that only those share is mounted once.
#[test]
fn a_volume_without_a_mount_that_is_made_stays_as_written() {
    let written = json!({
        "home": "h",
        "data": [{"pvcName": "models", "mountPath": "/models", "readOnly": true}],
        "secrets": [{"secretName": "s", "mountPath": "/s"}],
    });
    let (volumes, mounts) = volumes_and_mounts(&written, |template| {
        template["extraVolumes"] = json!([
            {"name": "m", "persistentVolumeClaim": {"claimName": "models"}},
            {"name": "unused", "persistentVolumeClaim": {"claimName": "h"}},
            {"name": "idle", "persistentVolumeClaim": {"claimName": "k"}},
            {"name": "used", "persistentVolumeClaim": {"claimName": "k", "readOnly": true}},
            {"name": "explicit", "persistentVolumeClaim": {"claimName": "e", "readOnly": false}},
            {"name": "token", "secret": {"secretName": "s"}},
        ]);
        template["extraVolumeMounts"] = json!([
            {"name": "m", "mountPath": "/models/"},
            {"name": "used", "mountPath": "/used"},
            {"name": "explicit", "mountPath": "/explicit"},
            {"name": "token", "mountPath": "/s"},
        ]);
    });
    let expected = json!([
        {"name": "home-volume", "persistentVolumeClaim": {"claimName": "h"}},
        {"name": "data-volume-0", "persistentVolumeClaim": {"claimName": "models", "readOnly": true}},
        {"name": "secret-volume-0", "secret": {"secretName": "s", "defaultMode": 0o644}},
        {"name": "m", "persistentVolumeClaim": {"claimName": "models"}},
        {"name": "unused", "persistentVolumeClaim": {"claimName": "h"}},
        {"name": "idle", "persistentVolumeClaim": {"claimName": "k"}},
        {"name": "used", "persistentVolumeClaim": {"claimName": "k", "readOnly": true}},
        {"name": "explicit", "persistentVolumeClaim": {"claimName": "e", "readOnly": false}},
        {"name": "token", "secret": {"secretName": "s"}},
    ]);
    assert_eq!(volumes, expected);
    let expected = json!([
        {"name": "home-volume", "mountPath": "/home/jovyan"},
        {"name": "data-volume-0", "mountPath": "/models", "readOnly": true},
        {"name": "secret-volume-0", "mountPath": "/s"},
        {"name": "used", "mountPath": "/used"},
        {"name": "explicit", "mountPath": "/explicit"},
    ]);
    assert_eq!(mounts, expected);
}

#[test]
fn a_read_only_volume_of_a_claim_stays_so_unless_a_mount_writes() {
    let claims = json!({"data": [{"pvcName": "d", "mountPath": "/data", "readOnly": true}]});
    let rendered = |read_only: bool| {
        volumes_and_mounts(&claims, |template| {
            template["extraVolumes"] = json!([
                {"name": "same", "persistentVolumeClaim": {"claimName": "d"}},
                {"name": "third", "persistentVolumeClaim": {"claimName": "d", "readOnly": true}},
            ]);
            template["extraVolumeMounts"] = json!([
                {"name": "third", "mountPath": "/third"},
                {"name": "same", "mountPath": "/same", "readOnly": read_only},
            ]);
        })
    };
    let (volumes, mounts) = rendered(true);
    let expected = json!([{"name": "data-volume-0", "persistentVolumeClaim": {"claimName": "d", "readOnly": true}}]);
    assert_eq!(volumes, expected);
    let expected = json!([
        {"name": "data-volume-0", "mountPath": "/data", "readOnly": true},
        {"name": "data-volume-0", "mountPath": "/third"},
        {"name": "data-volume-0", "mountPath": "/same", "readOnly": true},
    ]);
    assert_eq!(mounts, expected);
    let (volumes, mounts) = rendered(false);
    assert_eq!(volumes, json!([{"name": "data-volume-0", "persistentVolumeClaim": {"claimName": "d"}}]));
    let expected = json!([
        {"name": "data-volume-0", "mountPath": "/data", "readOnly": true},
        {"name": "data-volume-0", "mountPath": "/third", "readOnly": true},
        {"name": "data-volume-0", "mountPath": "/same", "readOnly": false},
    ]);
    assert_eq!(mounts, expected);
}

#[test]
fn the_volume_of_a_claim_is_named_after_its_first_mount_that_is_made() {
    let volumes = json!({
        "home": "h",
        "data": [
            {"pvcName": "d", "mountPath": "/home/jovyan/"},
            {"pvcName": "d", "mountPath": "/data", "readOnly": true},
            {"pvcName": "d", "mountPath": "/data/", "readOnly": false},
            {"pvcName": "d", "mountPath": "/too", "readOnly": true},
            {"pvcName": "other", "mountPath": "/too"},
        ],
    });
    let workspace = workspace(|workspace| workspace["spec"]["podTemplate"]["volumes"] = volumes);
    let desired = rendered(&workspace, &kind(|_| {}), &routing());
    let skipped = |path: &str, volume: &str, kept: &str| SkippedMount {
        path: path.into(),
        volume: volume.into(),
        kept: kept.into(),
    };
    let expected = [
        skipped("/home/jovyan", "data-volume-0", "home-volume"),
        skipped("/data", "data-volume-2", "data-volume-1"),
        skipped("/too", "data-volume-4", "data-volume-1"),
    ];
    assert_eq!(desired.skipped_mounts, expected);
    let spec = as_json(&desired.stateful_set).pointer("/spec/template/spec").unwrap().clone();
    let expected = json!([
        {"name": "home-volume", "persistentVolumeClaim": {"claimName": "h"}},
        {"name": "data-volume-1", "persistentVolumeClaim": {"claimName": "d", "readOnly": true}},
    ]);
    assert_eq!(spec["volumes"], expected);
    let expected = json!([
        {"name": "home-volume", "mountPath": "/home/jovyan"},
        {"name": "data-volume-1", "mountPath": "/data", "readOnly": true},
        {"name": "data-volume-1", "mountPath": "/too", "readOnly": true},
    ]);
    assert_eq!(spec["containers"][0]["volumeMounts"], expected);
}

#[test]
fn stored_templates_render_as_go_would() {
    let kind = kind(|template| {
        template["extraEnv"] = json!([
            {"name": "UNKNOWN", "value": "[{{ httpPathPrefix \"nowhere\" }}]"},
            {"name": "OTHER_IMAGE", "value": "[{{ httpPathPrefix \"tensorboard\" }}]"},
            {"name": "NO_VALUE", "value": "{{ . }}"},
            {"name": "EMPTY", "value": ""},
            {"name": "FROM", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ]);
    });
    assert_eq!(
        main_container(&rendered(&workspace(|_| {}), &kind, &routing()))["env"],
        json!([
            {"name": "UNKNOWN", "value": "[]"},
            {"name": "OTHER_IMAGE", "value": "[]"},
            {"name": "NO_VALUE", "value": "<no value>"},
            {"name": "EMPTY", "value": ""},
            {"name": "FROM", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ])
    );
}

#[test]
fn says_why_it_cannot_render_in_words_that_people_know() {
    let fault = |workspace: &Workspace, kind: &WorkspaceKind| {
        render(workspace.into(), &kind.spec, &routing()).unwrap_err().to_string()
    };
    let image = workspace(|workspace| workspace["spec"]["podTemplate"]["options"]["imageConfig"] = json!("none"));
    assert_eq!(
        fault(&image, &kind(|_| {})),
        "Workspace has invalid imageConfig: imageConfig with id \"none\" not found"
    );
    let pod = workspace(|workspace| workspace["spec"]["podTemplate"]["options"]["podConfig"] = json!("none"));
    assert_eq!(fault(&pod, &kind(|_| {})), "Workspace has invalid podConfig: podConfig with id \"none\" not found");
    let twice = kind(|template| {
        template["options"]["imageConfig"]["values"][0]["spec"]["ports"] =
            json!([{"id": "a", "port": 80}, {"id": "b", "port": 80}]);
    });
    assert_eq!(
        fault(&workspace(|_| {}), &twice),
        "Workspace failed to generate StatefulSet with error: duplicate port number 80 in imageConfig"
    );
    let env = kind(|template| template["extraEnv"] = json!([{"name": "A", "value": "{{ range 9 }}"}]));
    let text = fault(&workspace(|_| {}), &env);
    assert!(
        text.starts_with("Workspace failed to generate StatefulSet with error: failed to render extraEnv \"A\": "),
        "{text}"
    );
    let dots = workspace(|workspace| workspace["metadata"]["name"] = json!("a.b"));
    assert!(fault(&dots, &kind(|_| {})).contains("DNS label"));
}

#[test]
fn redirects_are_told_and_change_nothing() {
    let kind = kind(|template| {
        template["options"]["imageConfig"]["values"][0]["redirect"] = json!({"to": "large"});
        template["options"]["podConfig"]["values"][0]["redirect"] = json!({"to": "big"});
        template["options"]["podConfig"]["values"][1]["redirect"] = json!({"to": "tiny"});
    });
    let workspace = workspace(|_| {});
    assert_eq!(main_container(&rendered(&workspace, &kind, &routing()))["image"], "registry.example.com/small:1");
    let selected = &workspace.spec.pod_template.options;
    let (status, fault) = resolve_options(&kind.spec.pod_template, selected);
    assert_eq!(
        as_json(&status),
        json!({"imageConfig": {"desired": "large", "redirectChain": [{"source": "small", "target": "large"}]}, "podConfig": {}})
    );
    assert_eq!(
        fault.unwrap().to_string(),
        "Workspace has invalid podConfig: podConfig with id \"big\" has a circular redirect"
    );
    let lost =
        self::kind(|template| template["options"]["imageConfig"]["values"][0]["redirect"] = json!({"to": "gone"}));
    let (_, fault) = resolve_options(&lost.spec.pod_template, selected);
    assert_eq!(
        fault.unwrap().to_string(),
        "Workspace has invalid imageConfig: imageConfig with id \"gone\" not found, was redirected from \"small\""
    );
}

/// Each action is about an object of its own kind, and only routes are ever kept or deleted.
#[test]
fn actions_are_about_their_kinds_and_only_routes_are_deleted() {
    let bad = kind(|template| {
        template["ports"][0]["httpProxy"] = json!({"requestHeaders": {"set": {"X-Bad": "%BAD%"}}});
    });
    let no_ports = kind(|template| template["ports"] = json!([{"id": "rstudio"}]));
    let off = Routing { use_istio: false, ..routing() };
    let mut seen = Vec::new();
    for (kind, routing) in
        [(&kind(|_| {}), &routing()), (&bad, &routing()), (&no_ports, &routing()), (&kind(|_| {}), &off)]
    {
        let actions = rendered(&workspace(|_| {}), kind, routing).into_actions();
        let kinds: Vec<_> = actions.iter().map(|child| child.kind as usize).collect();
        assert!(kinds.is_sorted(), "{kinds:?}");
        for child in &actions {
            let row = child.kind.row();
            match &child.action {
                Action::Apply(object) => {
                    let object = object.value();
                    assert_eq!(object["metadata"]["name"], json!(child.name));
                    let version = [row.group, row.version].join("/");
                    assert_eq!(
                        (&object["kind"], &object["apiVersion"]),
                        (&json!(row.kind), &json!(version.trim_start_matches('/')))
                    );
                }
                Action::KeepExisting | Action::Delete => assert_eq!(row.serves, Serves::Route),
            }
        }
        let route = actions.iter().find(|child| child.kind == ChildKind::VirtualService);
        seen.push(match route.map(|route| &route.action) {
            Some(Action::Apply(_)) => "apply",
            Some(Action::KeepExisting) => "keep",
            Some(Action::Delete) => "delete",
            None => "nothing",
        });
    }
    assert_eq!(seen, ["apply", "keep", "delete", "nothing"]);
}

fn granting(account: &Value) -> WorkspaceKind {
    kind(|template| template["serviceAccount"] = account.clone())
}

#[test]
fn each_cluster_role_has_a_role_binding() {
    let roles = json!({"clusterRoles": [{"name": "view"}, {"name": "system:aggregate-to-edit"}]});
    let desired = rendered(&workspace(|_| {}), &granting(&roles), &routing());
    let binding = |name: &str, role: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata(name),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": "ws-lab", "namespace": "team-a"}],
        })
    };
    let names = [names::role_binding("lab", "view"), names::role_binding("lab", "system:aggregate-to-edit")];
    let expected = json!([binding(&names[0], "view"), binding(&names[1], "system:aggregate-to-edit")]);
    assert_eq!(as_json(&desired.role_bindings), expected);
    let template = granting(&roles).spec.pod_template;
    assert_eq!(role_binding_names("lab", &template).collect::<Vec<_>>(), names);
}

#[test]
fn an_existing_account_is_granted_nothing() {
    // The CRD forbids both; older ones did not.
    for account in [json!({"name": "shared"}), json!({"name": "shared", "clusterRoles": [{"name": "view"}]})] {
        let desired = rendered(&workspace(|_| {}), &granting(&account), &routing());
        assert_eq!((desired.service_account, desired.role_bindings), (None, Vec::new()));
    }
}
