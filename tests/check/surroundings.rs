//! What is around the webhook: CRDs of Istio, gateways, roles, other controllers, the leader, kinds and Workspaces.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::{Reply, gateway_crd};
use serde_json::{Value, json};

use crate::site::{TIMEOUT, check, check_until, cluster, controller, turn};

const NS: &str = cluster::CONTROLLER_NAMESPACE;
const ISTIO: &str = "/apis/networking.istio.io/v1/namespaces";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn create(path: &str, object: &Value) {
    cluster().api().create(path, object).and_then(Reply::ok).unwrap();
}

fn delete(path: &str) {
    cluster().api().delete(path).and_then(Reply::ok).unwrap();
}

fn warning(step: &str, message: &str, fix: &str) -> [String; 2] {
    [format!("warning  {step}: {message}"), format!("         fix: {fix}")]
}

#[test]
fn what_users_trip_over_is_named_with_what_to_do() {
    let _turn = turn();
    let controller = controller();
    check_until(&["--leader-elect"], |run| run.code == Some(0) && !run.about("admission").is_empty());
    gateways();
    roles();
    kinds_and_workspaces();
    other_controllers();
    replicas();
    controller.terminate(TIMEOUT).unwrap();
    routes_of_the_go_controller();
    leaders();
}

fn gateways() {
    let fix = "install all of Istio's CRDs";
    let lines = warning("Istio", "the API server serves no Gateways, so no route leads anywhere", fix);
    assert_eq!(check(&[]).about("Istio"), lines);
    create(CRDS, &gateway_crd());
    create("/api/v1/namespaces", &json!({"metadata": {"name": "kubeflow"}}));
    let message = "there is no Gateway kubeflow/kubeflow-gateway, so the routes of Workspaces lead nowhere";
    let fix = "create it, or name one that exists: --istio-gateway (settings.istioGateway); kubectl get gateways.networking.istio.io -A";
    let run = check_until(&[], |run| run.about("Istio") == warning("Istio", message, fix));
    assert_eq!(run.code, Some(0));
    let gateway =
        json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"name": "kubeflow-gateway"}});
    create(&format!("{ISTIO}/kubeflow/gateways"), &gateway);
    assert_eq!(check(&[]).about("Istio"), ["ok       Istio: Gateway kubeflow/kubeflow-gateway exists"]);
    assert!(check(&["--use-istio=false"]).about("Istio").is_empty());
}

fn roles() {
    let message = |name: &str, what: &str| {
        warning(
            "users' roles",
            &format!("there is no ClusterRole {name}: whoever has their rights by it may not {what}"),
            "helm upgrade --set userRoles.enabled=true, or bind users to roles of your own",
        )
    };
    let all = [
        message("kubeflow-workspaces-admin", "create workspacekinds"),
        message("kubeflow-workspaces-edit", "create workspaces"),
        message("kubeflow-workspaces-view", "get workspaces"),
    ];
    assert_eq!(check(&[]).about("users' roles"), all.concat());
    assert_eq!(check(&["--fail-on", "warning"]).code, Some(1));
    for (name, resource, verb) in
        [("admin", "workspacekinds", "create"), ("edit", "workspaces", "create"), ("view", "workspaces", "get")]
    {
        let rule = json!({"apiGroups": ["kubeflow.org"], "resources": [resource], "verbs": [verb]});
        let name = format!("kubeflow-workspaces-{name}");
        create(RBAC, &json!({"metadata": {"name": name}, "rules": [rule]}));
    }
    create(RBAC, &json!({"metadata": {"name": "kubeflow-edit"}, "rules": []}));
    let message = "ClusterRole kubeflow-edit does not grant create on workspaces.kubeflow.org";
    let fix = "helm upgrade --set userRoles.aggregateToKubeflow=true labels kubeflow-workspaces-edit so that kubeflow-edit contains it";
    assert_eq!(check(&[]).about("users' roles"), warning("users' roles", message, fix));
    delete(&format!("{RBAC}/kubeflow-edit"));
    let ok = "ok       users' roles: kubeflow-workspaces-admin, kubeflow-workspaces-edit, kubeflow-workspaces-view grant what they should";
    assert_eq!(check(&[]).about("users' roles"), [ok]);
}

fn kinds_and_workspaces() {
    let kinds = "/apis/kubeflow.org/v1beta1/workspacekinds";
    let kind = include_str!("../../docs/examples/jupyterlab-kind.yaml");
    cluster().api().create_yaml(kinds, kind).and_then(Reply::ok).unwrap();
    check_until(&[], |run| run.about("kinds") == ["ok       kinds: 1 WorkspaceKinds, each Ready"]);
    let workspace = json!({
        "apiVersion": "kubeflow.org/v1beta1", "kind": "Workspace", "metadata": {"name": "lab"},
        "spec": {"kind": "jupyterlab", "podTemplate": {
            "options": {"imageConfig": "jupyter-scipy_v1.10.0", "podConfig": "small"},
            "volumes": {"home": "none-of-that-name"},
        }},
    });
    let account = json!({"metadata": {"name": "ws-lab"}});
    create("/api/v1/namespaces/default/serviceaccounts", &account);
    create("/apis/kubeflow.org/v1beta1/namespaces/default/workspaces", &workspace);
    let start = "warning  Workspaces: 1 of 1 Workspaces are not Ready: default/lab: ";
    let why = "(Workspace ServiceAccount ws-lab already exists and is not owned by the Workspace)";
    let fix = "         fix: kubectl describe says more, and docs/troubleshooting.md; kubectl get workspaces -A";
    check_until(
        &[],
        |run| matches!(run.about("Workspaces")[..], [line, given] if line.starts_with(start) && line.ends_with(why) && given == fix),
    );

    let labels = json!({"app.kubernetes.io/part-of": "kubeflow-workspaces", "app.kubernetes.io/component": "api"});
    create(&format!("/apis/apps/v1/namespaces/{NS}/deployments"), &deployment("workspaces-backend", &labels));
    let message = format!(
        "1 WorkspaceKind is of dialect portId, which Deployment {NS}/workspaces-backend of Kubeflow does not know, so that its list of kinds \
         fails: jupyterlab"
    );
    let fix = "name the ports of these kinds with id, and set --port-dialects=id (settings.portDialects)";
    assert_eq!(check(&[]).about("dialects"), warning("dialects", &message, fix));
}

fn deployment(name: &str, labels: &Value) -> Value {
    let container = json!({"name": "manager", "image": "example.com/none"});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
        },
    })
}

fn other_controllers() {
    const STEP: &str = "other controllers";
    assert_eq!(check(&[]).about(STEP), ["ok       other controllers: none is known"]);
    let labels = json!({"app.kubernetes.io/part-of": "kubeflow-workspaces", "app.kubernetes.io/component": "controller-manager"});
    let deployments = format!("/apis/apps/v1/namespaces/{NS}/deployments");
    create(&deployments, &deployment("workspaces-controller", &labels));
    let message = format!(
        "Deployment {NS}/workspaces-controller was not made by this chart: if it is the Go controller, both reconcile the same objects"
    );
    let fix = format!("kubectl -n {NS} scale deployment workspaces-controller --replicas=0, see docs/moving.md");
    assert_eq!(check(&[]).about(STEP), warning(STEP, &message, &fix));
    let stopped = json!({"spec": {"replicas": 0}});
    cluster().api().merge_patch(&format!("{deployments}/workspaces-controller"), &stopped).and_then(Reply::ok).unwrap();
    assert_eq!(check(&[]).about(STEP), ["ok       other controllers: none is known"]);
}

/// Of the chart: its Deployment, whose pod finds no node at first.
fn replicas() {
    const STEP: &str = "replicas";
    let args = ["--namespace", NS];
    assert!(check(&args).about(STEP).is_empty(), "none is of the chart");
    let labels = json!({
        "app.kubernetes.io/part-of": "kubeflow-workspaces", "app.kubernetes.io/component": "controller-manager",
        "helm.sh/chart": "workspaces-controller-0.1.0",
    });
    let mut release = deployment("of-the-chart", &labels);
    release["spec"]["template"]["spec"]["nodeSelector"] = json!({"example.com/none": "here"});
    let deployments = format!("/apis/apps/v1/namespaces/{NS}/deployments");
    create(&deployments, &release);
    let failed = [
        format!("failed   replicas: 0 of 1 of Deployment {NS}/of-the-chart are ready"),
        format!(
            "         fix: kubectl -n {NS} describe deployment of-the-chart, and kubectl -n {NS} logs POD of one that is not: the log says \
             what it waits for, as /readyz does"
        ),
    ];
    let run = check(&args);
    assert_eq!((run.about(STEP), run.code), (failed.iter().map(String::as_str).collect(), Some(1)));
    assert_eq!(run.about("other controllers"), ["ok       other controllers: none is known"]);
    let anywhere = json!({"spec": {"template": {"spec": {"nodeSelector": null}}}});
    cluster().api().merge_patch(&format!("{deployments}/of-the-chart"), &anywhere).and_then(Reply::ok).unwrap();
    let ready = format!("ok       replicas: 1 of 1 of Deployment {NS}/of-the-chart are ready");
    check_until(&args, |run| run.about(STEP) == [&*ready]);
    delete(&format!("{deployments}/of-the-chart"));
}

/// As the Go controller makes them: by a program called manager. No controller of ours runs that would take them over.
fn routes_of_the_go_controller() {
    let metadata = json!({"name": "ws-gone-xyz", "labels": {"notebooks.kubeflow.org/workspace-name": "gone"}});
    let route = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata, "spec": {"hosts": ["*"]},
    });
    create(&format!("{ISTIO}/default/virtualservices?fieldManager=manager"), &route);
    let message = "1 VirtualService is written by the Go controller and by nobody else: default/ws-gone-xyz";
    let fix =
        "if it still runs, stop it or set its USE_ISTIO to false; with --leader-elect only one of the two reconciles";
    assert_eq!(check(&["--namespace", NS]).about("other controllers"), warning("other controllers", message, fix));
}

/// No controller of ours runs any longer.
fn leaders() {
    const STEP: &str = "leader";
    let failed = |what: &str| {
        [
            format!("failed   leader: no replica leads, so nothing is reconciled: {what}"),
            format!(
                "         fix: kubectl -n {NS} get pods: is one Running? Then kubectl -n {NS} logs deployment/workspaces-controller says \
                 what keeps it from being elected"
            ),
        ]
    };
    let args = ["--leader-elect", "--namespace", NS];
    let released = check(&args);
    assert_eq!(released.about(STEP), failed(&format!("nobody holds the Lease in namespace {NS}")));
    let lease = format!("/apis/coordination.k8s.io/v1/namespaces/{NS}/leases/kubeflow-workspace-controller");
    delete(&lease);
    assert_eq!(check(&args).about(STEP), failed(&format!("there is no Lease in namespace {NS}")));
    let none = format!("ok       leader: there is no Lease in namespace {NS}: none is elected (--leader-elect=false)");
    assert_eq!(check(&["--namespace", NS]).about(STEP), [none]);

    let held = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "kubeflow-workspace-controller"},
        "spec": {"holderIdentity": "workspaces-controller-1_a", "leaseDurationSeconds": 1, "renewTime": "2026-01-01T00:00:00.000000Z"},
    });
    let (collection, _) = lease.rsplit_once('/').unwrap();
    create(collection, &held);
    let dead = format!("workspaces-controller-1_a, which the Lease in namespace {NS} names, does not renew it");
    assert_eq!(check(&args).about(STEP), failed(&dead));

    // The Go controller renews it.
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for second in (1..).take_while(|_| !is_over.load(Ordering::SeqCst)) {
                let renewed = format!("2026-01-01T00:{:02}:{:02}.000000Z", second / 60 % 60, second % 60);
                let path = format!("{lease}?fieldManager=manager");
                cluster()
                    .api()
                    .merge_patch(&path, &json!({"spec": {"renewTime": renewed}}))
                    .and_then(Reply::ok)
                    .unwrap();
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let run =
            check_until(&args, |run| run.about(STEP).first().is_some_and(|line| line.contains("another controller")));
        is_over.store(true, Ordering::SeqCst);
        let message = format!(
            "failed   leader: another controller leads, and this one waits: the Lease {NS}/kubeflow-workspace-controller is held by \
             workspaces-controller-1_a, and was written by the program \"manager\""
        );
        let fix =
            "         fix: stop it (scale its Deployment to 0), see docs/moving.md; the next leader follows by itself";
        assert_eq!(run.about(STEP), [&*message, fix]);
    });
    delete(&lease);
}
