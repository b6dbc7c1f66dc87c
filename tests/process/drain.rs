//! H5: shutdown loses no request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::{get, post};
use tokio::task::JoinSet;
use tokio::time::sleep;
use webhook::WORKSPACE_PATH;
use workspaces_controller::serve::{DrainState, ServerLimits};

use crate::binary::Binary;
use crate::client::{TestServer, connect, connector, exchange, post as post_text};
use crate::hostile::review;
use crate::{exactly, within};

const SLOW: usize = 100;
const WORKERS: usize = 20;
/// Each worker sends ten requests a second: 200 a second in all.
const PACE: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h5_a_drain_loses_no_request() {
    let slow = || async {
        sleep(Duration::from_millis(1500)).await;
        "slow"
    };
    let router = Router::new().route("/slow", post(slow)).route("/", get(|| async { "quick" }));
    let mut server = TestServer::start(router, ServerLimits::default());
    let stop = Arc::new(AtomicBool::new(false));
    let announced = Arc::new(AtomicBool::new(false));
    let not_asked_to_go = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let ((connector, address), stop) = (server.way(), Arc::clone(&stop));
        let (announced, not_asked_to_go) = (Arc::clone(&announced), Arc::clone(&not_asked_to_go));
        workers.spawn(async move {
            let (mut kept, mut answered) = (None, 0);
            while !stop.load(Ordering::SeqCst) {
                let mut stream = match kept.take() {
                    Some(stream) => stream,
                    None => connect(&connector, address).await.expect("refused"),
                };
                let draining = announced.load(Ordering::SeqCst);
                let answer = exchange(&mut stream, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("not answered");
                assert_eq!(answer.body, "quick");
                answered += 1;
                if answer.closes() {
                    assert!(announced.load(Ordering::SeqCst), "closed before the drain");
                } else {
                    not_asked_to_go.fetch_add(usize::from(draining), Ordering::SeqCst);
                    kept = Some(stream);
                }
                sleep(PACE).await;
            }
            answered
        });
    }
    sleep(Duration::from_millis(500)).await;

    let mut slow = JoinSet::new();
    let mut streams = Vec::new();
    for _ in 0..SLOW {
        streams.push(server.connect().await.unwrap());
    }
    for mut stream in streams {
        slow.spawn(
            async move { exchange(&mut stream, &post_text("/slow", "{}")).await.expect("not answered").closes() },
        );
    }
    // The drain begins while they are in flight and ends its announcement before they are answered.
    sleep(Duration::from_millis(100)).await;
    announced.store(true, Ordering::SeqCst);
    server.drain.advance(DrainState::Announced);
    sleep(Duration::from_secs(1)).await;
    stop.store(true, Ordering::SeqCst);
    let quick: usize = workers.join_all().await.into_iter().sum();
    server.drain.advance(DrainState::Closing);
    let closing = slow.join_all().await.into_iter().filter(|closes| *closes).count();
    exactly("H5", "slow requests in flight answered, each with Connection: close", closing, SLOW);
    assert!(quick > 100, "{quick} requests");
    println!("H5 pass 0, limit 0: of {quick} other requests refused or cut");
    exactly(
        "H5",
        "answers without Connection: close after the announcement",
        not_asked_to_go.load(Ordering::SeqCst),
        0,
    );
    let began = Instant::now();
    (&mut server.task).await.unwrap();
    within("H5", "end of the server after its last answer", began.elapsed(), Duration::from_secs(2));
    assert!(server.connect().await.is_err(), "still listening");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_do_not_hold_up_a_drain() {
    let server = TestServer::start(Router::new().route("/", get(|| async { "ok" })), ServerLimits::default());
    let mut used = server.connect().await.unwrap();
    exchange(&mut used, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let _unused = server.connect().await.unwrap();
    let began = Instant::now();
    server.drain.advance(DrainState::Closing);
    server.task.await.unwrap();
    within("H5", "end of a server with idle connections", began.elapsed(), Duration::from_secs(3));
}

/// Without an API server reviews wait for the caches until they time out: slow ones, in a real process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h5_sigterm_answers_the_reviews_in_flight_and_exits_with_0() {
    let mut binary = Binary::new().start();
    let listening = binary.listening();
    let connector = connector(&binary.ca_pem);
    let request = post_text(&format!("{WORKSPACE_PATH}?timeout=3s"), &review("k"));
    let mut reviews = JoinSet::new();
    for _ in 0..SLOW {
        let (connector, request) = (connector.clone(), request.clone());
        reviews.spawn(async move {
            let mut stream = connect(&connector, listening.webhook).await.expect("refused");
            exchange(&mut stream, &request).await.expect("not answered")
        });
    }
    loop {
        let (_, text) = binary.get(listening.metrics, "/metrics").await;
        if text.contains(&format!("requests_in_flight{{webhook=\"{WORKSPACE_PATH}\"}} {SLOW}\n")) {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    binary.signal("TERM");
    binary.wait_log("signal received", Duration::from_secs(5));
    let signalled = Instant::now();
    let (status, body) = binary.get(listening.health, "/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains("[-]listener not ready: shutting down"), "{body}");
    assert_eq!(binary.get(listening.health, "/livez").await.0, 200);
    let answers = reviews.join_all().await;
    let good = answers
        .iter()
        .filter(|answer| answer.status == 200 && answer.closes() && answer.body.contains("5d6d2bf6"))
        .count();
    exactly("H5", "reviews in flight at SIGTERM answered, with Connection: close", good, SLOW);
    assert_eq!(binary.wait_exit(Duration::from_secs(10)), 0, "{}", binary.log());
    within("H5", "SIGTERM to exit 0", signalled.elapsed(), Duration::from_secs(10));
}

#[tokio::test]
async fn a_person_at_a_terminal_does_not_wait_and_a_second_signal_ends_it_at_once() {
    let mut binary = Binary::new().start();
    binary.listening();
    let began = Instant::now();
    binary.signal("INT");
    assert_eq!(binary.wait_exit(Duration::from_secs(10)), 0, "{}", binary.log());
    within("H5", "SIGINT to exit 0, nothing in flight", began.elapsed(), Duration::from_secs(2));

    let mut binary = Binary::new().start();
    binary.listening();
    binary.signal("TERM");
    binary.wait_log("signal received", Duration::from_secs(5));
    let began = Instant::now();
    binary.signal("TERM");
    assert_eq!(binary.wait_exit(Duration::from_secs(10)), 1, "{}", binary.log());
    within("H5", "second SIGTERM to the end", began.elapsed(), Duration::from_secs(1));
}

/// A write that fails must not become a panic.
#[test]
fn the_controller_survives_a_closed_log() {
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = dir.path().join("kubeconfig");
    std::fs::write(&kubeconfig, crate::binary::unreachable_kubeconfig()).unwrap();
    let mut program = std::process::Command::new(crate::binary::PROGRAM)
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .args(["--webhook-bind-address=127.0.0.1:0", "--health-probe-bind-address=0", "--metrics-bind-address=0"])
        .arg("--status-bind-address=0")
        .env_clear()
        .stderr(std::io::pipe().unwrap().1)
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(program.try_wait().unwrap(), None);
    let pid = program.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(program.wait().unwrap().code(), Some(0));
}
