//! Istio's own validation accepts every VirtualService that we render: 5,000 generated kinds that admission accepts.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write as _;
use std::process::{Command, Stdio};

use cluster::Tools;
use crds::ports::ConnectPaths;
use crds::testing::Generator;
use serde::Deserialize;
use serde_json::{Value, json};
use webhook::Policy;
use webhook::workspace::{Candidate, ReferencedKind, Surroundings};
use workspaces_controller::config::{RedirectScheme, Routing};
use workspaces_controller::render::{RenderInput, Route, render};

const KINDS: usize = 5_000;

/// The verdict of the validation on one object.
#[derive(Debug, Deserialize)]
struct IstioVerdict {
    name: String,
    errors: Option<Vec<String>>,
    warnings: Option<Vec<String>>,
}

/// Settings that change the content of a route.
fn routings() -> [Routing; 3] {
    [
        Routing::default(),
        Routing { redirect_missing_slash: true, redirect_scheme: Some(RedirectScheme::Https), ..Routing::default() },
        Routing {
            paths: ConnectPaths::fixed("/a/b.c~d").unwrap(),
            hosts: vec!["*.example.com".to_owned(), "example.org".to_owned()],
            gateways: vec!["istio-system/public".to_owned(), "team/private".to_owned()],
            redirect_missing_slash: true,
            ..Routing::default()
        },
    ]
}

/// VirtualServices of kinds that admission accepts, rendered with each of the routings in turn.
fn virtual_services() -> Vec<Value> {
    let routings = routings();
    let mut all = Vec::with_capacity(KINDS);
    for seed in 0_u64.. {
        if all.len() == KINDS {
            break;
        }
        assert!(seed < 20 * KINDS as u64, "only {} kinds of {seed} were accepted", all.len());
        let mut generator = Generator::new(1_000_000 + seed);
        let kind = generator.workspace_kind();
        let mut workspace = generator.workspace(&kind);
        workspace.metadata.uid = Some(format!("uid-{seed}"));
        let subject = RenderInput::from(&workspace);
        let routing = &routings[all.len() % routings.len()];
        let policy = Policy { paths: routing.paths.clone(), ..Policy::default() };
        let candidate = Candidate { name: subject.name, namespace: subject.namespace, spec: subject.spec };
        if !webhook::workspace_kind::validate(&kind.spec, &policy).faults.is_empty()
            || !webhook::workspace::validate(
                candidate,
                ReferencedKind::Present(&kind),
                &Surroundings::default(),
                &policy,
            )
            .faults
            .is_empty()
        {
            continue;
        }
        let desired = render(subject, &kind.spec, routing).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
        let Route::Wanted(route) = desired.route else { panic!("seed {seed}: {:?}", desired.route) };
        all.push(serde_json::to_value(&route).unwrap());
    }
    all
}

/// Validates each object.
fn verdicts_on(objects: &[Value]) -> Vec<IstioVerdict> {
    let program = Tools::istio_validate().unwrap();
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            for object in objects {
                writeln!(stdin, "{object}").unwrap();
            }
        });
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn istio_accepts_what_we_render() {
    let mut objects = virtual_services();
    // One that must be refused shows that the validation works.
    let mut broken = objects[0].clone();
    broken["spec"]["http"][0]["match"] = json!([{"uri": {"regex": "["}}]);
    objects.push(broken);
    let mut verdicts = verdicts_on(&objects);
    assert_eq!(verdicts.len(), KINDS + 1);
    let broken = verdicts.pop().unwrap();
    assert!(broken.errors.is_some_and(|errors| !errors.is_empty()), "the validation accepts anything");
    let is_fine = |verdict: &IstioVerdict| verdict.errors.iter().chain(&verdict.warnings).flatten().next().is_none();
    let accepted = verdicts.iter().filter(|verdict| is_fine(verdict)).count();
    println!("T4 {} {accepted} {KINDS}", if accepted == KINDS { "pass" } else { "fail" });
    for (verdict, object) in verdicts.iter().zip(&objects) {
        assert!(is_fine(verdict), "{}: {verdict:?}\n{object:#}", verdict.name);
    }
}
