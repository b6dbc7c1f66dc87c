//! The NetworkPolicy, judged as a network plugin does: what must come in and go out does, and the rest does not.
//!
//! There is no plugin on the control plane of the tests; the semantics are those of the API's documentation of NetworkPolicySpec.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::helm::{objects, only};

/// Who is at the other end of a connection.
struct Peer {
    address: IpAddr,
    /// The labels of the pod and of its namespace; none of what is no pod.
    pod: Option<(Value, Value)>,
    in_namespace_of_policy: bool,
}

impl Peer {
    fn address(address: &str) -> Self {
        Self { address: address.parse().unwrap(), pod: None, in_namespace_of_policy: false }
    }

    fn pod(pod: Value, namespace: Value) -> Self {
        Self { pod: Some((pod, namespace)), ..Self::address("10.244.3.4") }
    }
}

/// Whether the policy allows a connection, in the direction of its field `ingress` or `egress`.
fn allows(policy: &Value, direction: &str, peer: &Peer, port: u16, protocol: &str) -> bool {
    let type_ = if direction == "ingress" { "Ingress" } else { "Egress" };
    if !policy["spec"]["policyTypes"].as_array().unwrap().contains(&json!(type_)) {
        return true;
    }
    let peers = if direction == "ingress" { "from" } else { "to" };
    // An empty or missing list matches everything; a rule needs both.
    let any = |list: &Value, matches: &dyn Fn(&Value) -> bool| {
        list.as_array().filter(|list| !list.is_empty()).is_none_or(|list| list.iter().any(matches))
    };
    let rules = policy["spec"][direction].as_array().unwrap();
    rules.iter().any(|rule| {
        any(&rule["ports"], &|allowed| is_port(allowed, port, protocol))
            && any(&rule[peers], &|allowed| is_peer(allowed, peer))
    })
}

fn is_port(allowed: &Value, port: u16, protocol: &str) -> bool {
    let is_number = allowed.get("port").is_none_or(|allowed| allowed == port);
    is_number && allowed["protocol"].as_str().unwrap_or("TCP") == protocol
}

fn is_peer(allowed: &Value, peer: &Peer) -> bool {
    if let Some(block) = allowed.get("ipBlock") {
        let is_in = |block: &Value| is_in_block(block.as_str().unwrap(), peer.address);
        return is_in(&block["cidr"]) && !block["except"].as_array().is_some_and(|except| except.iter().any(is_in));
    }
    let Some((pod, namespace)) = &peer.pod else { return false };
    let is_namespace = match allowed.get("namespaceSelector") {
        Some(selector) => matches(selector, namespace),
        None => peer.in_namespace_of_policy,
    };
    is_namespace && allowed.get("podSelector").is_none_or(|selector| matches(selector, pod))
}

fn matches(selector: &Value, labels: &Value) -> bool {
    let equal = selector["matchLabels"].as_object().into_iter().flatten().all(|(key, value)| &labels[key] == value);
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    let exist = expressions.into_iter().all(|expression| {
        assert_eq!(expression["operator"], "Exists");
        labels.get(expression["key"].as_str().unwrap()).is_some()
    });
    equal && exist
}

fn is_in_block(block: &str, address: IpAddr) -> bool {
    let (network, length) = block.split_once('/').unwrap();
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let (network, address) = (bits(network.parse().unwrap()), bits(address));
    let length: u32 = length.parse().unwrap();
    network.1 == address.1 && (length == 0 || (network.0 ^ address.0) >> (128 - length) == 0)
}

fn policy(set: &[&str]) -> Value {
    let set: Vec<&str> = ["networkPolicy.enabled=true"].iter().chain(set).copied().collect();
    let objects = objects(&set);
    let policy = only(&objects, "NetworkPolicy").clone();
    assert_eq!(policy["spec"]["podSelector"], only(&objects, "Deployment")["spec"]["selector"]);
    policy
}

/// The connections of one policy: direction, peer, port, protocol, and whether it is allowed.
fn assert_allows(policy: &Value, connections: &[(&str, &Peer, u16, &str, bool)]) {
    for (direction, peer, port, protocol, expected) in connections {
        let allowed = allows(policy, direction, peer, *port, protocol);
        assert_eq!(allowed, *expected, "{direction} {:?} {} {protocol} {port}", peer.pod, peer.address);
    }
}

#[test]
fn what_has_to_connect_may_and_the_rest_may_not() {
    let (api_server, kubelet) = (Peer::address("172.16.0.2"), Peer::address("10.0.0.7"));
    let workspace = Peer::pod(json!({"notebooks.kubeflow.org/workspace-name": "lab"}), json!({"team": "a"}));
    let prometheus = Peer::pod(json!({"app": "prometheus"}), json!({"kubernetes.io/metadata.name": "monitoring"}));
    let stranger = Peer::pod(json!({"app": "stranger"}), json!({"team": "a"}));
    let (dns, internet) = (Peer::pod(json!({"k8s-app": "kube-dns"}), json!({})), Peer::address("203.0.113.9"));
    let service = Peer::address("10.96.0.1");
    let connections = [
        ("ingress", &api_server, 9443, "TCP", true),
        ("ingress", &kubelet, 8081, "TCP", true),
        ("ingress", &prometheus, 8080, "TCP", true),
        // Nobody but kubectl port-forward, which comes from within the pod.
        ("ingress", &stranger, 8082, "TCP", false),
        ("ingress", &stranger, 22, "TCP", false),
        ("egress", &dns, 53, "UDP", true),
        ("egress", &dns, 53, "TCP", true),
        ("egress", &api_server, 6443, "TCP", true),
        ("egress", &service, 443, "TCP", true),
        ("egress", &workspace, 8888, "TCP", true),
        ("egress", &workspace, 31337, "TCP", true),
        ("egress", &stranger, 8888, "TCP", false),
        ("egress", &internet, 80, "TCP", false),
    ];
    assert_allows(&policy(&[]), &connections);

    let strict = policy(&[
        r#"networkPolicy.webhookFrom=[{"ipBlock": {"cidr": "172.16.0.0/28"}}]"#,
        r#"networkPolicy.metricsFrom=[{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]"#,
        "networkPolicy.egress.apiServerBlocks={172.16.0.0/28,10.96.0.1/32}",
        "networkPolicy.egress.apiServerPorts={443,6443}",
    ]);
    let elsewhere = Peer::address("172.16.0.99");
    assert_allows(
        &strict,
        &[
            ("ingress", &api_server, 9443, "TCP", true),
            ("ingress", &elsewhere, 9443, "TCP", false),
            ("ingress", &stranger, 9443, "TCP", false),
            ("ingress", &prometheus, 8080, "TCP", true),
            ("ingress", &stranger, 8080, "TCP", false),
            ("ingress", &kubelet, 8081, "TCP", true),
            ("egress", &api_server, 6443, "TCP", true),
            ("egress", &service, 443, "TCP", true),
            ("egress", &internet, 443, "TCP", false),
            ("egress", &workspace, 8888, "TCP", true),
        ],
    );
}

/// What does not listen is not opened, and what probes nothing reaches no pod.
#[test]
fn the_policy_follows_the_settings() {
    let workspace = Peer::pod(json!({"notebooks.kubeflow.org/workspace-name": "lab"}), json!({}));
    let anyone = Peer::address("10.0.0.7");
    let reconcile_only = policy(&["settings.enableWebhooks=false", "ports.metrics=0", "ports.health=18081"]);
    assert_allows(
        &reconcile_only,
        &[
            ("ingress", &anyone, 9443, "TCP", false),
            ("ingress", &anyone, 8080, "TCP", false),
            ("ingress", &anyone, 18081, "TCP", true),
        ],
    );
    assert_allows(&reconcile_only, &[("ingress", &anyone, 8082, "TCP", false)]);
    let public_status = policy(&["settings.statusBindAddress=0.0.0.0:18082"]);
    assert_allows(&public_status, &[("ingress", &anyone, 18082, "TCP", true)]);
    for without_probes in ["settings.enableReconcile=false", "settings.onlyRoutes=true"] {
        assert_allows(&policy(&[without_probes]), &[("egress", &workspace, 8888, "TCP", false)]);
    }
    let more = policy(&[
        r#"networkPolicy.egress.extra=[{"ports": [{"port": 4317}]}]"#,
        "networkPolicy.egress.apiServerPorts={16443}",
    ]);
    let collector = [
        ("egress", &anyone, 4317, "TCP", true),
        ("egress", &anyone, 16443, "TCP", true),
        ("egress", &anyone, 6443, "TCP", false),
    ];
    assert_allows(&more, &collector);
    assert_allows(&policy(&["networkPolicy.egress.enabled=false"]), &[("egress", &anyone, 1, "UDP", true)]);
}

/// Kubeflow's namespace denies everything that is not allowed; the Go controller's own policy has the same name.
#[test]
fn the_preset_for_kubeflow_lets_the_api_server_in() {
    let objects = objects(&[crate::helm::PRESETS[2]]);
    let policy = only(&objects, "NetworkPolicy");
    assert_eq!(policy["metadata"]["name"], "workspaces-controller");
    let anyone = Peer::address("10.0.0.7");
    assert_allows(policy, &[("ingress", &anyone, 9443, "TCP", true), ("egress", &anyone, 6443, "TCP", true)]);
}
