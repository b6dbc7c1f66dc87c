//! Requests while a starting process still lists objects.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use cluster::{ControllerOptions, ControllerProcess, Flow, Relay, Reply};
use serde_json::json;

use crate::stage::{
    BEHIND_RELAY, KINDS, Turn, cluster, fixture, kind, options, refusal_message, workspace, workspaces,
};
use crate::{TIMEOUT, report};

/// The bytes of the API server's answers that pass: less than the list of Workspaces, more than everything else at a
/// start.
const LET_THROUGH: usize = 512 << 10;
/// Bytes added to the stored objects, so that the list is long enough.
const PADDING: usize = 1 << 20;
/// Concurrent requests.
const CLIENTS: usize = 24;

/// A9: no request is wrongly refused or admitted because the caches have not synced yet.
#[test]
fn nobody_is_refused_wrongly_while_a_start_lists() {
    let _turn = Turn::take();
    let namespace = cluster().namespace("start").unwrap();
    let there = workspaces(&namespace);
    let stored = 5_000;
    fixture().create(KINDS, &kind("start")).unwrap().ok().unwrap();
    store_workspaces(&there, stored);

    let relay = Relay::to_api_server(cluster()).unwrap();
    relay.set(Flow::HeldAfter(LET_THROUGH));
    let slow = ControllerOptions {
        kubeconfig: Some(relay.kubeconfig(&cluster().kubeconfig(BEHIND_RELAY).unwrap()).unwrap()),
        register_webhooks: false,
        wait_ready: false,
        ..options()
    };
    let controller = ControllerProcess::start(cluster(), &slow).unwrap();
    controller.wait_for("a list that hangs", TIMEOUT, || relay.is_holding().then_some(())).unwrap();
    controller.wait_for("the health server", TIMEOUT, || controller.health("/livez")).unwrap();
    let (status, body) = controller.health("/readyz").unwrap();
    assert!(status == 503 && body.contains("[-]caches not ready: "), "{status} {body}");

    controller.register_webhooks().unwrap();
    // Nothing is stored meanwhile; a retryable answer shows that the webhook is called.
    let asked = controller.wait_for("the webhook to be asked", TIMEOUT, || {
        let reply = cluster().api().create(&format!("{there}?dryRun=All"), &workspace("start", "asked")).unwrap();
        if reply.status == 503 { Ok(()) } else { Err(format!("{} {}", reply.status, reply.body)) }
    });
    asked.unwrap();

    let retried = AtomicUsize::new(0);
    let wrong: Vec<String> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (there, controller, retried) = (&there, &controller, &retried);
                scope.spawn(move || client(number, there, controller, retried).err())
            })
            .collect();
        let kubectl = scope.spawn(|| {
            let mut object = workspace("start", "with-kubectl");
            object["metadata"]["namespace"] = json!(namespace);
            cluster().kubectl_stdin(&["apply", "-f", "-"], &object.to_string()).unwrap().ok().unwrap()
        });
        // Some have got a 503 and the others wait when the list continues.
        let both = controller.wait_for("a request that was put off, and one that waits", TIMEOUT, || {
            let (put_off, waiting) = (retried.load(Ordering::Relaxed), in_flight(&controller));
            if put_off > 0 && waiting > 0 { Ok(()) } else { Err(format!("{put_off} put off, {waiting} waiting")) }
        });
        let (status, body) = controller.health("/readyz").unwrap();
        relay.set(Flow::Open);
        both.unwrap();
        assert_eq!(status, 503, "{body}");
        let wrong = clients.into_iter().filter_map(|client| client.join().unwrap()).collect();
        assert_eq!(kubectl.join().unwrap(), "workspace.kubeflow.org/with-kubectl created\n");
        wrong
    });
    controller.wait_ready(TIMEOUT).unwrap();
    let retried = retried.into_inner();
    let figure = format!("{} wrong of {CLIENTS}, {retried} put off, {stored} objects", wrong.len());
    report("A9", wrong.is_empty(), figure, "0 wrong");
    assert!(wrong.is_empty(), "{wrong:#?}");
    drop(controller);
    let list = cluster().api().get(&there).unwrap().ok().unwrap();
    let good = (0..CLIENTS).filter(|number| matches!(Wish::of(*number), Wish::Create)).count();
    assert_eq!(list["items"].as_array().unwrap().len(), stored + good + 1);
    // The processes of other tests need not reconcile them.
    fixture().delete(&there).unwrap().ok().unwrap();
}

/// Stores Workspaces without the webhooks, several at a time.
fn store_workspaces(there: &str, count: usize) {
    const WRITERS: usize = 8;
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                let api = fixture();
                for number in (writer..count).step_by(WRITERS) {
                    let mut object = workspace("start", &format!("old-{number}"));
                    object["metadata"]["annotations"] = json!({"padding": "x".repeat(PADDING / count)});
                    api.create(there, &object).unwrap().ok().unwrap();
                }
            });
        }
    });
}

fn in_flight(controller: &ControllerProcess<'_>) -> usize {
    let gauge = "controller_runtime_webhook_requests_in_flight";
    let value = controller.metric(gauge, &[("webhook", webhook::WORKSPACE_PATH)]).unwrap().unwrap_or_default();
    format!("{value:.0}").parse().unwrap()
}

/// The request of a client.
#[derive(Clone, Copy)]
enum Wish {
    /// A Workspace of the kind that exists.
    Create,
    /// A Workspace of a kind that does not exist.
    CreateWithoutKind,
    /// To delete the kind in use.
    DeleteKind,
}

impl Wish {
    fn of(client: usize) -> Self {
        match client % 12 {
            0 => Self::DeleteKind,
            odd if odd % 2 == 1 => Self::Create,
            _ => Self::CreateWithoutKind,
        }
    }

    /// The code of the only right answer.
    fn code(self) -> u16 {
        match self {
            Self::Create => 201,
            Self::CreateWithoutKind => 422,
            Self::DeleteKind => 409,
        }
    }
}

/// Retries as long as the answer is a retryable 503.
fn client(number: usize, there: &str, controller: &ControllerProcess<'_>, retried: &AtomicUsize) -> Result<(), String> {
    let api = cluster().api();
    let wish = Wish::of(number);
    let ask = || match wish {
        Wish::Create => api.create(there, &workspace("start", &format!("new-{number}"))).unwrap(),
        Wish::CreateWithoutKind => api.create(there, &workspace("stop", &format!("new-{number}"))).unwrap(),
        Wish::DeleteKind => api.delete(&format!("{KINDS}/start")).unwrap(),
    };
    let answered = controller.wait_for("an answer that is no 503", TIMEOUT, || {
        let reply = ask();
        if reply.status != 503 {
            return Ok(Ok(reply));
        }
        // A 503 that is not the webhook's, or not retryable.
        if refusal_message(&reply).is_none() || reply.json()["details"]["retryAfterSeconds"] != 1 {
            return Ok(Err(reply.body));
        }
        retried.fetch_add(1, Ordering::Relaxed);
        Err(reply.body)
    });
    let reply = answered.map_err(|error| error.to_string())??;
    if reply.status == wish.code() { Ok(()) } else { Err(wrong(&reply)) }
}

fn wrong(reply: &Reply) -> String {
    format!("{} {}", reply.status, reply.body)
}
