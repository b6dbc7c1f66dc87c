//! Workspaces that cannot be made as their users want, among others: the status says why, they are tried less and less
//! often or not at all, and the others do not notice.

use std::time::{Duration, Instant};

use cluster::{Request, Requests, report};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::world::{Child, WorkspaceHandle, World, condition};

/// From an edit of another Workspace to the write of its StatefulSet.
const WITHIN: Duration = Duration::from_secs(1);
/// Later than its time a try is not, on a busy machine either.
const LATE: f64 = 2.0;

/// A template that executes more nodes than it may.
const TOO_MUCH: &str = "{{ range 20000 }}{{ end }}";

/// What is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    /// It selects an image that its kind does not have.
    NoImage,
    /// A template of its kind exceeds a limit, which an older webhook may have let through.
    TooMuch,
    /// The API server refuses what is rendered.
    Refused,
}

const FAULTS: [Fault; 3] = [Fault::NoImage, Fault::TooMuch, Fault::Refused];

impl Fault {
    fn of_kind(self, template: &mut Value) {
        match self {
            Self::NoImage => {}
            Self::TooMuch => template["extraEnv"] = json!([{"name": "LONG", "value": TOO_MUCH}]),
            Self::Refused => {
                let both = json!({"httpGet": {"port": 8888}, "tcpSocket": {"port": 8888}});
                template["probes"] = json!({"livenessProbe": both});
            }
        }
    }

    fn of_workspace(self, spec: &mut Value) {
        if self == Self::NoImage {
            spec["podTemplate"]["options"]["imageConfig"] = json!("missing");
        }
    }

    /// The message of the state.
    fn message(self, lab: &WorkspaceHandle<'_>) -> String {
        let set = &lab.names.stateful_set;
        match self {
            Self::NoImage => "Workspace has invalid imageConfig: imageConfig with id \"missing\" not found".to_owned(),
            Self::TooMuch => format!(
                "Workspace failed to generate StatefulSet with error: failed to render extraEnv \"LONG\": failed to \
                 execute template \"{TOO_MUCH}\": template: value:1:9: executing \"value\" at <20000>: the template \
                 executes more than 10000 nodes"
            ),
            Self::Refused => format!(
                "Workspace StatefulSet {set} was refused: StatefulSet.apps \"{set}\" is invalid: \
                 spec.template.spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 \
                 handler type"
            ),
        }
    }
}

/// The seconds between the tries of the StatefulSet.
fn pauses(lab: &WorkspaceHandle<'_>, writes: &Requests) -> Vec<f64> {
    let tries = writes.clone().resource("statefulsets").name(&lab.names.stateful_set);
    let times: Vec<Timestamp> = tries.0.iter().map(|request| request.received.parse().unwrap()).collect();
    times.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs_f64()).collect()
}

/// The user of each selects another size; how long that takes until it is applied at most.
fn edit_each(healthy: &[WorkspaceHandle<'_>]) -> Duration {
    let edit = |lab: &WorkspaceHandle<'_>| {
        let started = Instant::now();
        lab.patch(&json!({"podTemplate": {"podMetadata": {"labels": {"edited": "yes"}}}}));
        lab.world.wait("the edit to be applied", || {
            let set = lab.child(Child::StatefulSet);
            let labels = &set["spec"]["template"]["metadata"]["labels"];
            if labels["edited"] == "yes" { Ok(started.elapsed()) } else { Err(labels.to_string()) }
        })
    };
    healthy.iter().map(edit).max().unwrap()
}

/// W14. Waits until those that the API server refuses are tried once in so many seconds.
fn faults_concern_nobody_else(workspaces: usize, faulty: usize, longest: f64) {
    let world = World::new("faulty", |_| {});
    let worlds = FAULTS.map(|fault| {
        let kind = format!("{}-{}", world.kind, format!("{fault:?}").to_lowercase());
        let other = World { kind, cluster: world.cluster, namespace: world.namespace.clone() };
        other.create_kind(|template| fault.of_kind(template));
        (fault, other)
    });
    let mark = world.mark();
    let faulty: Vec<(Fault, WorkspaceHandle<'_>)> = (0..faulty)
        .map(|number| {
            let (fault, world) = &worlds[number % FAULTS.len()];
            (*fault, world.create(&format!("faulty-{number}"), |spec| fault.of_workspace(spec)))
        })
        .collect();
    let healthy: Vec<_> =
        (faulty.len()..workspaces).map(|number| world.create(&format!("lab-{number}"), |_| {})).collect();
    for lab in &healthy {
        lab.wait_running();
    }
    for (fault, lab) in &faulty {
        let message = fault.message(lab);
        let status = lab.wait_status(&message, |status| {
            status["stateMessage"] == message && condition(status, "Stalled")["status"] == "True"
        });
        assert_eq!(status["state"], "Error", "{status}");
        assert_eq!(condition(&status, "Ready")["message"], message, "{status}");
    }
    let slowest = edit_each(&healthy[..healthy.len().min(20)]);
    for lab in &healthy {
        lab.wait_running();
        lab.wait_restart_recorded();
    }

    let refused: Vec<&WorkspaceHandle<'_>> =
        faulty.iter().filter(|(fault, _)| *fault == Fault::Refused).map(|(_, lab)| lab).collect();
    let quiet = world.mark();
    let timeout = Duration::from_secs_f64(longest * 4.0);
    let waited = world.cluster.wait_for("the pause to grow", timeout, || {
        let writes = world.writes(quiet);
        let last: Vec<_> = refused.iter().map(|lab| pauses(lab, &writes).last().copied()).collect();
        if last.iter().all(|last| last.is_some_and(|last| last >= longest)) { Ok(()) } else { Err(format!("{last:?}")) }
    });
    waited.unwrap();
    // Those that cannot be rendered are tried when they or their kind change, and the others have nothing to do.
    let is_refused = |request: &Request| refused.iter().any(|lab| lab.names.stateful_set == request.name);
    let writes = world.writes(quiet).filter(|request| !is_refused(request));
    assert!(writes.is_empty(), "{writes:?}");
    // As long as the queue is full of new Workspaces a try may be late.
    let writes = world.writes(quiet);
    for lab in &refused {
        let pauses = pauses(lab, &writes);
        for pair in pauses.windows(2) {
            let expected = (pair[0].floor() * 2.0).min(300.0);
            assert!((expected - 0.1..expected + LATE).contains(&pair[1]), "{pauses:?}");
        }
    }
    let writes = world.writes(mark);
    let most = refused.iter().map(|lab| pauses(lab, &writes).len() + 1).max().unwrap_or_default();
    let figure = format!("{} ms, {most} tries until the pause is {longest} s", slowest.as_millis());
    let limit = format!("1000 ms for an edit of others, of {workspaces} with {} faulty ones", faulty.len());
    report("W14", slowest < WITHIN, figure, limit);
    assert!(slowest < WITHIN, "{slowest:?}");
}

#[test]
fn three_faulty_workspaces_of_twenty_concern_nobody_else() {
    faults_concern_nobody_else(20, 3, 8.0);
}

#[test]
#[ignore = "long: make test-long"]
fn fifty_faulty_workspaces_of_five_hundred_concern_nobody_else_and_wait_for_five_minutes() {
    faults_concern_nobody_else(500, 50, 300.0);
}
