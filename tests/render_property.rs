//! What admission accepts can be rendered: 10,000 random WorkspaceKinds and Workspaces of both dialects.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;

use crds::ports::ConnectPaths;
use crds::testing::Generator;
use crds::workspace::{DataVolume, SecretVolume};
use crds::{Workspace, WorkspaceKind};
use webhook::Policy;
use webhook::workspace::{Candidate, ReferencedKind, Surroundings};
use workspaces_controller::config::Routing;
use workspaces_controller::istio::{StringMatch, VirtualService};
use workspaces_controller::render::{Desired, RenderInput, Route, render};

const CASES: u64 = 10_000;

fn is_accepted(kind: &WorkspaceKind, workspace: &Workspace, policy: &Policy) -> bool {
    let subject = RenderInput::from(workspace);
    let candidate = Candidate { name: subject.name, namespace: subject.namespace, spec: subject.spec };
    webhook::workspace_kind::validate(&kind.spec, policy).faults.is_empty()
        && webhook::workspace::validate(candidate, ReferencedKind::Present(kind), &Surroundings::default(), policy)
            .faults
            .is_empty()
}

/// The routing of a case: both kinds of prefixes, with and without redirects.
fn routing(seed: u64) -> Routing {
    let paths =
        if seed.is_multiple_of(5) { ConnectPaths::fixed("/notebooks").unwrap() } else { ConnectPaths::by_dialect() };
    Routing { paths, redirect_missing_slash: seed.is_multiple_of(3), ..Routing::default() }
}

fn add_volumes(seed: u64, workspace: &mut Workspace) {
    let volumes = &mut workspace.spec.pod_template.volumes;
    for index in 0..seed % 3 {
        let mount_path = format!("/data/{index}");
        volumes.data.push(DataVolume { pvc_name: "data".to_owned(), mount_path, read_only: index == 1 });
    }
    for index in 0..seed % 4 {
        let mount_path = format!("/secrets/{index}");
        volumes.secrets.push(SecretVolume { secret_name: "token".to_owned(), mount_path, default_mode: 0o400 });
    }
}

#[test]
fn what_admission_accepts_renders() {
    let mut accepted = 0;
    for seed in 0..CASES {
        let mut generator = Generator::new(seed);
        let kind = generator.workspace_kind();
        let mut workspace = generator.workspace(&kind);
        workspace.metadata.uid = Some(format!("uid-{seed}"));
        add_volumes(seed, &mut workspace);
        let routing = routing(seed);
        let policy = Policy { paths: routing.paths.clone(), ..Policy::default() };
        if !is_accepted(&kind, &workspace, &policy) {
            continue;
        }
        accepted += 1;
        let subject = RenderInput::from(&workspace);
        let desired = render(subject, &kind.spec, &routing).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
        let Route::Wanted(route) = &desired.route else { panic!("seed {seed}: {:?}", desired.route) };
        assert!(desired.skipped_mounts.is_empty(), "seed {seed}: {:?}", desired.skipped_mounts);
        check_names(seed, &desired, route);
        check_routes(seed, subject, &kind, &routing, route);
        check_pod(seed, &desired);
        assert_eq!(desired, render(subject, &kind.spec, &routing).unwrap(), "seed {seed}: rendered twice");
    }
    // A generator of faulty objects only would prove nothing.
    assert!(accepted > CASES / 4, "only {accepted} of {CASES} were accepted");
    println!("{accepted} of {CASES} were accepted and rendered");
}

fn check_names(seed: u64, desired: &Desired, route: &VirtualService) {
    let set = desired.stateful_set.metadata.name.as_deref().unwrap();
    let service = desired.service.metadata.name.as_deref().unwrap();
    assert!(set.len() <= 52 && service.len() <= 63, "seed {seed}: {set} {service}");
    assert!(crds::labels::is_dns_label(set) && crds::labels::is_dns_label(service), "seed {seed}: {set} {service}");
    assert_eq!(route.metadata.name.as_deref(), Some(service), "seed {seed}");
}

/// One route for each port of the selected image, in its order, to the Service; with redirects one more before each.
fn check_routes(seed: u64, subject: RenderInput<'_>, kind: &WorkspaceKind, routing: &Routing, route: &VirtualService) {
    let template = &kind.spec.pod_template;
    let selected = &subject.spec.pod_template.options.image_config;
    let image = template.options.image_config.values.iter().find(|value| value.id == *selected).unwrap();
    let prefix = format!("{}/{}/{}", routing.paths.prefix(template.dialect()), subject.namespace, subject.name);
    let mut expected = Vec::new();
    for port in &image.spec.ports {
        if routing.redirect_missing_slash {
            expected.push((StringMatch::Exact(format!("{prefix}/{}", port.id)), None));
        }
        expected.push((StringMatch::Prefix(format!("{prefix}/{}/", port.id)), Some(port.port)));
    }
    let host = format!("{}.{}.svc.cluster.local", route.metadata.name.as_deref().unwrap(), subject.namespace);
    let found: Vec<(StringMatch, Option<i32>)> = route
        .spec
        .http
        .iter()
        .map(|http| {
            assert!(http.route.iter().all(|route| route.destination.host == host), "seed {seed}");
            assert_ne!(http.route.is_empty(), http.redirect.is_none(), "seed {seed}: a route or a redirect");
            (http.matches[0].uri.clone(), http.route.first().map(|route| route.destination.port.number))
        })
        .collect();
    assert_eq!(found, expected, "seed {seed}");
    for headers in route.spec.http.iter().filter_map(|http| http.headers.as_ref()) {
        let values = headers.request.set.values().chain(headers.request.add.values());
        assert!(values.into_iter().all(|value| !value.contains(['\n', '\r', '\0'])), "seed {seed}");
        assert!(headers.request.set.values().all(|value| !value.is_empty()), "seed {seed}: an empty value in set");
    }
}

/// Every mount has its volume, no path has two mounts, and no claim or Secret two volumes.
fn check_pod(seed: u64, desired: &Desired) {
    let pod = desired.stateful_set.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
    let volumes: BTreeSet<&str> = pod.volumes.iter().flatten().map(|volume| volume.name.as_str()).collect();
    let mut paths = BTreeSet::new();
    for mount in pod.containers[0].volume_mounts.iter().flatten() {
        assert!(volumes.contains(mount.name.as_str()), "seed {seed}: {}", mount.name);
        assert!(paths.insert(&mount.mount_path), "seed {seed}: {}", mount.mount_path);
    }
    let mut sources = BTreeSet::new();
    for volume in pod.volumes.iter().flatten() {
        let claim = volume.persistent_volume_claim.iter().map(|claim| claim.claim_name.as_str());
        let secret = volume.secret.iter().filter_map(|secret| secret.secret_name.as_deref());
        for source in claim.chain(secret) {
            assert!(sources.insert(source), "seed {seed}: {source}");
        }
    }
}
