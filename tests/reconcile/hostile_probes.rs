//! Jupyter servers that are not as they should be: none of them is taken for idle, and none delays the others.

use cluster::Reply;
use serde_json::{Value, json};

use crate::jupyter::{
    Answer, FakeJupyter, LONG_AGO, create_kind, free_port, kernel, milliseconds, pause_after_16s, wait_probed_after,
};
use crate::world::{Child, WorkspaceHandle, World};

/// What a server does, and what the status says of it.
struct Hostile {
    name: &'static str,
    path: &'static str,
    answer: Answer,
    result: &'static str,
    message: &'static str,
}

fn chunked() -> &'static str {
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
}

fn hostile(elsewhere: u16) -> Vec<Hostile> {
    let failure = |name, path, answer, message| Hostile { name, path, answer, result: "Failure", message };
    let timeout = |name, answer| {
        let message = "the probe did not finish in time";
        Hostile { name, path: "api/kernels", answer, result: "Timeout", message }
    };
    let bytes = |text: String| Answer::Bytes(text.into_bytes());
    let redirect = format!("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{elsewhere}/api/status\r\n\r\n");
    let mebibyte = " ".repeat(1 << 20);
    vec![
        failure(
            "refuses",
            "api/kernels",
            Answer::Json(403, json!({"message": "secret words"})),
            "Jupyter probe failed: api/kernels: 403 Forbidden (is a token or a password set? the probe has none)",
        ),
        failure(
            "redirects",
            "api/status",
            bytes(redirect),
            "Jupyter probe failed: api/status: 302 Found (redirects are not followed)",
        ),
        failure(
            "talks",
            "api/kernels",
            bytes(format!("HTTP/1.1 200 OK\r\n\r\n[]{mebibyte}")),
            "Jupyter probe failed: api/kernels: the answer has more than 1 MiB",
        ),
        failure("resets", "api/status", Answer::Reset, "Jupyter probe failed: api/status: connection reset"),
        failure(
            "speaks-tls",
            "api/status",
            bytes("\u{15}\u{3}\u{3}\u{0}\u{2}\u{2}\u{28}".to_owned()),
            "Jupyter probe failed: api/status: the answer is not HTTP/1",
        ),
        timeout("drips", Answer::Endless(chunked(), "1\r\n \r\n")),
        timeout("hangs", Answer::Silence),
    ]
}

/// Gives the pod an address, as its kubelet does.
fn set_address(lab: &WorkspaceHandle<'_>, ip: &str) {
    let status = json!({"status": {"podIP": ip, "podIPs": [{"ip": ip}]}});
    lab.world.cluster.api().merge_patch(&format!("{}/status", lab.pod_path()), &status).and_then(Reply::ok).unwrap();
}

#[test]
fn no_server_that_misbehaves_is_taken_for_an_idle_one() {
    let (world, port, elsewhere) = (World::empty("hostile"), free_port(), free_port());
    create_kind(&world, port, pause_after_16s());
    let other = FakeJupyter::start_at([127, 0, 0, 1].into(), elsewhere, []);
    let hostile: Vec<_> =
        hostile(elsewhere).into_iter().map(|hostile| (world.create(hostile.name, |_| {}), hostile)).collect();
    let [busy, ahead, over_ipv6, idle] = ["busy", "ahead", "over-ipv6", "idle"].map(|name| world.create(name, |_| {}));
    for lab in hostile.iter().map(|(lab, _)| lab).chain([&busy, &ahead, &over_ipv6, &idle]) {
        lab.wait_running();
    }
    let _hostile: Vec<_> = hostile
        .iter()
        .map(|(lab, hostile)| FakeJupyter::start_with(lab, port, [(hostile.path, hostile.answer.clone())]))
        .collect();
    let future = Answer::Json(200, json!({"last_activity": "2999-01-01T00:00:00Z"}));
    let _others = [
        FakeJupyter::start(&busy, port, kernel("busy")),
        FakeJupyter::start_with(&ahead, port, [("api/status", future)]),
        FakeJupyter::start(&idle, port, kernel("idle")),
    ];
    set_address(&over_ipv6, "::1");
    let ipv6 = FakeJupyter::start_at("::1".parse().unwrap(), port, [("api/kernels", kernel("busy"))]);

    idle.wait_state("Paused");
    let still_runs = |lab: &WorkspaceHandle<'_>| -> Value {
        // A probe after the time from which on it would have been paused, had it been taken for idle.
        let since = milliseconds(&lab.get()["status"]["lastRunningTime"]);
        let status = wait_probed_after(lab, since + 16_000);
        assert_eq!((&status["state"], &lab.get()["spec"]["paused"]), (&json!("Running"), &json!(false)), "{status}");
        status["activity"].clone()
    };
    for (lab, hostile) in &hostile {
        let activity = still_runs(lab);
        let probe = &activity["lastProbe"];
        assert_eq!((&probe["result"], &probe["message"]), (&json!(hostile.result), &json!(hostile.message)));
        assert_eq!(activity["lastActivity"], 0, "{}: {activity}", lab.name);
    }
    for lab in [&busy, &ahead, &over_ipv6] {
        let activity = still_runs(lab);
        let (found, ended) = (&activity["lastActivity"], &activity["lastProbe"]["endTime"]);
        assert_eq!((found, &activity["lastProbe"]["result"]), (ended, &json!("Success")), "{}: {activity}", lab.name);
    }
    assert!(!ipv6.requests().is_empty());
    assert_eq!(other.requests(), Vec::<String>::new(), "a redirect was followed");
    let long_ago = LONG_AGO.parse::<k8s_openapi::jiff::Timestamp>().unwrap().as_millisecond();
    assert_eq!(idle.get()["status"]["activity"]["lastActivity"], long_ago);
}

/// Two kinds, for of one at most half of the probes that may run at a time.
#[test]
fn fifty_probes_that_hang_hold_up_no_reconcile() {
    let (port, worlds) = (free_port(), ["hangs", "hangs-too"].map(World::empty));
    let servers: Vec<FakeJupyter> = worlds
        .iter()
        .flat_map(|world| {
            create_kind(world, port, pause_after_16s());
            let labs: Vec<_> = (0..25).map(|number| world.create(&format!("lab-{number}"), |_| {})).collect();
            labs.into_iter().map(|lab| {
                lab.wait_running();
                FakeJupyter::start_with(&lab, port, [("api/status", Answer::Silence)])
            })
        })
        .collect();
    let world = &worlds[0];
    world.wait("all to be probed", || {
        let probed = servers.iter().filter(|server| !server.requests().is_empty()).count();
        if probed == 50 { Ok(()) } else { Err(probed.to_string()) }
    });
    let lab = world.create("one-more", |_| {});
    lab.wait_running();
    assert!(lab.find_child(Child::VirtualService).is_some());
}
