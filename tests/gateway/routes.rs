//! G1: the routes of generated kinds that admission accepts.

use std::collections::{BTreeMap, BTreeSet};

use cluster::{exactly, report};

use crate::backend::GREETING;
use crate::expectation::{differences, text};
use crate::generator::{Generator, Port, Subject};
use crate::site::{KINDS, Site, kind_with_headers, path_of, workspaces};
use crate::visitor::{Request, websocket};

const COUNT: usize = 200;
const NAMESPACES: [&str; 6] = [
    "a",
    "team-b",
    "kubeflow-user-example-com",
    "n0",
    "connected",
    "a-namespace-with-as-many-characters-as-its-name-can-possibly",
];
/// What the visitor sends; routes change some of it.
const SENT: [(&str, &str); 8] = [
    ("Cookie", "session=of-the-visitor"),
    ("Authorization", "Bearer of-the-visitor"),
    ("X-Path", "/of/the/visitor"),
    ("Accept", "text/of-the-visitor"),
    ("User-Agent", "visitor/1"),
    ("X-Untouched", "of the visitor"),
    ("kubeflow-userid", "visitor@example.com"),
    ("X-Scheme", "gopher"),
];
/// Where routes lead in the second round.
const ONE_HOST: &str = "notebooks.example.com";
const SECOND_ROUND: [&str; 4] = [
    "--redirect-missing-slash",
    "--redirect-scheme=https",
    "--istio-hosts=notebooks.example.com",
    "--istio-hosts=*.example.org",
];

pub fn check(site: &Site, seed: u64) {
    let rejects = site.rejects();
    let controller = site.controller(&[]);
    let namespaces = NAMESPACES.map(|prefix| site.cluster.namespace(prefix).unwrap());
    let plain = plain_route(site, &namespaces[0]);
    let mut generator = Generator::new(seed);
    let subjects: Vec<Subject> = (0..COUNT).map(|_| generator.subject(&namespaces)).collect();
    let accepted = subjects.iter().filter(|subject| is_accepted(site, subject)).count();
    exactly("G1", "generated kinds that admission accepts", accepted, COUNT);

    let usual = site.usual_headers(&plain);
    let mut found = Vec::new();
    for subject in &subjects {
        let address = wait_ready(site, subject);
        for port in &subject.ports {
            found.push(round_trips(subject, port, &address, &usual));
        }
    }
    summary("routes with path and headers as the contract says", &found);

    let found: Vec<_> = subjects.iter().map(|subject| upgrade(&subject.ports[0])).collect();
    summary("WebSockets with data both ways", &found);

    drop(controller);
    let _controller = site.controller(&SECOND_ROUND);
    let ports = subjects.iter().flat_map(|subject| &subject.ports);
    let found: Vec<_> = ports.map(|port| redirects(site, port)).collect();
    summary("paths without their final slash, redirected on two hosts only", &found);
    let rejects = site.rejects() - rejects;
    report("G1", rejects == 0, rejects, "0: pushes that Envoy rejects");
    assert_eq!(rejects, 0, "{}", site.rejections());
}

/// Prints how many had nothing wrong, and fails unless all had.
fn summary(what: &str, found: &[Vec<String>]) {
    let good = found.iter().filter(|wrong| wrong.is_empty()).count();
    report("G1", good == found.len(), good, format!("{}: {what}", found.len()));
    let wrong: Vec<&String> = found.iter().flatten().take(3).collect();
    assert!(wrong.is_empty(), "{what}: {wrong:#?}");
}

/// A route that changes no header, to see what Envoy adds.
fn plain_route(site: &Site, namespace: &str) -> Request {
    site.create(KINDS, &kind_with_headers("plain", &serde_json::json!({})));
    site.create_workspace(namespace, "plain", "plain");
    Request::get(&path_of(namespace, "plain")).headers(SENT)
}

fn is_accepted(site: &Site, subject: &Subject) -> bool {
    let reply = site.cluster.api().create(KINDS, &subject.kind).unwrap();
    if reply.status != 201 {
        println!("{} {}\n{:#}", reply.status, reply.body, subject.kind);
        return false;
    }
    site.create(&workspaces(&subject.namespace), &subject.workspace);
    true
}

/// Waits until all routes of a Workspace answer; the address of its pod.
fn wait_ready(site: &Site, subject: &Subject) -> String {
    for port in &subject.ports {
        site.arrives(&Request::get(&port.path));
    }
    site.pod_address(&subject.namespace, &subject.name)
}

/// Sends requests through a route, and compares what arrives.
fn round_trips(subject: &Subject, port: &Port, address: &str, usual: &BTreeSet<String>) -> Vec<String> {
    let path = &port.path;
    let sub = |rest: &str| if port.removes_prefix { format!("/{rest}") } else { format!("{path}{rest}") };
    let mut wrong = Vec::new();
    for (request, target, body) in [
        (Request::get(path), sub(""), ""),
        (Request::get(&format!("{path}api/kernels?x=1&y=%20/")), sub("api/kernels?x=1&y=%20/"), ""),
        (Request::post(&format!("{path}files/a%2Fb.txt"), "some content"), sub("files/a%2Fb.txt"), "some content"),
    ] {
        let request = request.headers(SENT);
        let sent: Vec<_> =
            [("Host".to_owned(), request.host.clone())].into_iter().chain(request.headers.clone()).collect();
        let answer = request.send().unwrap();
        let mut found = Vec::new();
        match answer.received() {
            Err(why) => found.push(why),
            Ok(received) => {
                let mut expected: BTreeMap<_, _> = port.operations.applied_to(&sent);
                if !body.is_empty() && !expected.contains_key("content-length") {
                    expected.insert("content-length".to_owned(), vec![text(&body.len().to_string())]);
                }
                found.extend(differences(&received, &expected, &port.operations.names(), usual, answer.from));
                let at = format!("{address}:{}", port.number);
                if (&received.at, &received.target, received.body.as_str()) != (&at, &target, body)
                    || received.method != request.method
                {
                    found.push(format!("arrived as {received:?} instead of {target} at {at}"));
                }
            }
        }
        let kind = &subject.kind["spec"]["podTemplate"]["ports"];
        wrong.extend(found.into_iter().map(|what| format!("{} {}: {what}\n{kind}", request.method, request.target)));
    }
    // A path that only begins alike is nobody's, nor is the one without a final slash, unless it is to be redirected.
    let without_slash = path.trim_end_matches('/');
    for nobody in [without_slash.to_owned(), format!("{without_slash}x/")] {
        let status = Request::get(&nobody).send().unwrap().status;
        if status != 404 {
            wrong.push(format!("{nobody}: answered with {status}"));
        }
    }
    wrong
}

/// What is wrong with a WebSocket through a route.
fn upgrade(port: &Port) -> Vec<String> {
    let data = b"data of the visitor";
    match websocket(&format!("{}api/kernels/1/channels", port.path), data, GREETING.len()) {
        Ok((before, after)) if before == GREETING && after == data => Vec::new(),
        other => vec![format!("{}: {other:?}", port.path)],
    }
}

/// What is wrong with the redirect of a path without its final slash.
fn redirects(site: &Site, port: &Port) -> Vec<String> {
    // Until now any host would do.
    site.answers(&Request::get(&port.path), 404);
    let without_slash = port.path.trim_end_matches('/');
    let mut wrong = Vec::new();
    for host in [ONE_HOST, "a.b.example.org"] {
        let answer = Request::get(&format!("{without_slash}?x=1&y=2")).host(host).send().unwrap();
        let expected = format!("https://{host}{}?x=1&y=2", port.path);
        if answer.status != 307 || answer.header("location").as_ref() != Some(&expected) {
            wrong.push(format!("{without_slash}: {answer:?} instead of {expected}"));
        }
        site.arrives(&Request::get(&port.path).host(host));
    }
    wrong
}
