//! H2, H3, H4: slow, broken and greedy clients, and handlers that panic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use webhook::testing::FakeLookup;
use webhook::{Policy, WORKSPACE_PATH};
use workspaces_controller::metrics::Metrics;
use workspaces_controller::serve::ServerLimits;

use crate::binary::Binary;
use crate::client::{TestServer, connect, exchange, post, read_answer, until_closed};
use crate::{exactly, within};

fn admission() -> Router {
    let facts = FakeLookup { panics_at: Some("panic"), ..FakeLookup::default() };
    webhook::router(Arc::new(facts), Arc::new(Policy::default()), Arc::new(Metrics::new()))
}

/// A review of a new Workspace of that kind.
pub fn review(kind: &str) -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "5d6d2bf6-1c9c-4b7e-8f8c-6a5f4d1f0001",
            "kind": {"group": "kubeflow.org", "version": "v1beta1", "kind": "Workspace"},
            "resource": {"group": "kubeflow.org", "version": "v1beta1", "resource": "workspaces"},
            "name": "w", "namespace": "n", "operation": "CREATE", "userInfo": {},
            "object": {
                "apiVersion": "kubeflow.org/v1beta1", "kind": "Workspace",
                "metadata": {"name": "w", "namespace": "n"},
                "spec": {"kind": kind, "podTemplate": {"volumes": {"data": []}, "options": {"imageConfig": "i", "podConfig": "p"}}},
            },
            "oldObject": null, "dryRun": false, "options": null,
        },
    })
    .to_string()
}

/// Sends requests on new connections until stopped; returns the longest response time and the number of requests.
async fn visit_steadily(server: &TestServer, stop: Arc<AtomicBool>) -> (Duration, usize) {
    let request = post(WORKSPACE_PATH, &review("k"));
    let (mut longest, mut count) = (Duration::ZERO, 0);
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let answer = exchange(&mut server.connect().await.unwrap(), &request).await.unwrap();
        assert_eq!(answer.status, 200);
        assert!(answer.body.contains("5d6d2bf6"), "{}", answer.body);
        longest = longest.max(began.elapsed());
        count += 1;
        sleep(Duration::from_millis(50)).await;
    }
    (longest, count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h2_hostile_clients_get_their_limits_and_others_are_served() {
    let server = Arc::new(TestServer::start(admission(), ServerLimits::default()));
    let stop = Arc::new(AtomicBool::new(false));
    let visitor = {
        let (server, stop) = (Arc::clone(&server), Arc::clone(&stop));
        tokio::spawn(async move { visit_steadily(&server, stop).await })
    };
    let mut idle = Vec::new();
    for _ in 0..1000 {
        idle.push(server.connect().await.unwrap());
    }
    println!("H2 pass 1000, limit 1000: idle connections open");

    tokio::join!(too_large_a_body(&server), half_a_body(&server), slow_headers(&server), silent_tls(&server));

    stop.store(true, Ordering::Relaxed);
    let (longest, count) = visitor.await.unwrap();
    assert!(count > 30, "{count} visits");
    within("H2", "longest answer to others meanwhile", longest, Duration::from_secs(2));
    let text = server.metrics.encode().unwrap();
    assert!(text.contains("workspaces_server_connection_faults_total 3\n"), "{text}");
    // All of them were kept: an idle connection does no harm.
    let mut answered = 0;
    for mut stream in idle {
        answered +=
            usize::from(exchange(&mut stream, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap().status == 404);
    }
    exactly("H2", "idle connections still good", answered, 1000);
}

async fn too_large_a_body(server: &TestServer) {
    let began = Instant::now();
    let mut stream = server.connect().await.unwrap();
    let (mut read, mut write) = tokio::io::split(&mut stream);
    let send = async {
        let body = vec![b' '; 8 << 20];
        let head = post(WORKSPACE_PATH, "").replace("Length: 0", &format!("Length: {}", body.len()));
        write.write_all(head.as_bytes()).await?;
        write.write_all(&body).await
    };
    // The server may stop listening half-way; the answer has to arrive all the same.
    let (_, answer) = tokio::join!(send, read_answer(&mut read));
    let answer = answer.unwrap();
    assert_eq!(answer.status, 413, "{answer:?}");
    within("H2", "8 MiB body answered with 413", began.elapsed(), Duration::from_secs(5));
}

async fn half_a_body(server: &TestServer) {
    let mut stream = server.connect().await.unwrap();
    let began = Instant::now();
    let half = post(WORKSPACE_PATH, &"x".repeat(1000));
    stream.write_all(&half.as_bytes()[..half.len() - 500]).await.unwrap();
    let closed = until_closed(&mut stream, began).await;
    assert!(closed > Duration::from_secs(5), "a slow body was given only {closed:?}");
    within("H2", "body that stops half-way closed", closed, Duration::from_secs(10));
}

async fn slow_headers(server: &TestServer) {
    let mut stream = server.connect().await.unwrap();
    let began = Instant::now();
    let (mut read, mut write) = tokio::io::split(&mut stream);
    let drip = async {
        for byte in post(WORKSPACE_PATH, "").bytes() {
            if write.write_all(&[byte]).await.is_err() || write.flush().await.is_err() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
        std::future::pending::<()>().await;
    };
    let closed = tokio::select! {
        closed = until_closed(&mut read, began) => closed,
        () = drip => unreachable!(),
    };
    assert!(closed > Duration::from_secs(3), "slow headers were given only {closed:?}");
    within("H2", "headers one byte a second closed", closed, Duration::from_secs(5));
}

async fn silent_tls(server: &TestServer) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let closed = until_closed(&mut stream, Instant::now()).await;
    assert!(closed > Duration::from_secs(3), "a slow handshake was given only {closed:?}");
    within("H2", "TLS that never speaks closed", closed, Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h2_idle_connections_make_room_when_all_are_taken() {
    let limits =
        ServerLimits { connections: 20, idle_protected: Duration::from_millis(200), ..ServerLimits::default() };
    let server = TestServer::start(admission(), limits);
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(server.connect().await.unwrap());
    }
    let mut longest = Duration::ZERO;
    for _ in 0..100 {
        let began = Instant::now();
        let mut stream = server.connect().await.unwrap();
        let answer = exchange(&mut stream, &post(WORKSPACE_PATH, &review("k"))).await.unwrap();
        assert_eq!(answer.status, 200);
        longest = longest.max(began.elapsed());
        idle.push(stream);
    }
    within("H2", "longest wait with five times more connections than allowed", longest, Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h2_large_bodies_at_the_same_time_are_bounded_and_small_ones_taken() {
    const CLIENTS: usize = 40;
    const KIBIBYTES: usize = 500;
    let limits = ServerLimits { body_bytes: 2_000 << 10, ..ServerLimits::default() };
    let server = TestServer::start(admission(), limits);
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (connector, address) = server.way();
        clients.spawn(async move {
            let mut stream = connect(&connector, address).await.unwrap();
            let (mut read, mut write) = tokio::io::split(&mut stream);
            let head = post(WORKSPACE_PATH, "").replace("Length: 0", &format!("Length: {}", (KIBIBYTES << 10) + 1));
            // All but the last byte: whatever the server takes, it has to keep.
            let send = async {
                let _ = write.write_all(head.as_bytes()).await;
                let _ = write.write_all(&vec![b' '; KIBIBYTES << 10]).await;
                let _ = write.flush().await;
                sleep(Duration::from_secs(4)).await;
            };
            tokio::select! {
                answer = read_answer(&mut read) => Some(answer.unwrap().status),
                () = send => None,
            }
        });
    }
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        let answer = exchange(&mut server.connect().await.unwrap(), &post(WORKSPACE_PATH, &review("k"))).await.unwrap();
        assert_eq!(answer.status, 200);
    }
    let answers = clients.join_all().await;
    let kept = answers.iter().filter(|status| status.is_none()).count();
    let refused = answers.iter().filter(|status| **status == Some(503)).count();
    println!(
        "H2 pass {} KiB, limit 2000 KiB: bodies kept of {CLIENTS} clients that send {KIBIBYTES} KiB each",
        kept * KIBIBYTES
    );
    assert_eq!(kept + refused, CLIENTS, "{answers:?}");
    assert!(kept > 0 && kept * KIBIBYTES <= 2_000, "{kept} bodies are kept");
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_limit_and_is_used_again() {
    let limits = ServerLimits { headers: Duration::from_millis(100), ..ServerLimits::default() };
    let server = TestServer::start(admission(), limits);
    let mut stream = server.connect().await.unwrap();
    for _ in 0..3 {
        sleep(Duration::from_millis(300)).await;
        assert_eq!(exchange(&mut stream, &post(WORKSPACE_PATH, &review("k"))).await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn an_idle_connection_ends_at_its_limit() {
    let limits = ServerLimits { idle: Duration::from_millis(300), ..ServerLimits::default() };
    let server = TestServer::start(admission(), limits);
    let mut stream = server.connect().await.unwrap();
    assert_eq!(exchange(&mut stream, &post(WORKSPACE_PATH, &review("k"))).await.unwrap().status, 200);
    let closed = timeout(Duration::from_secs(5), until_closed(&mut stream, Instant::now())).await.unwrap();
    assert!(closed >= Duration::from_millis(200), "{closed:?}");
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_let_go() {
    let limits = ServerLimits {
        response: Duration::from_millis(500),
        idle: Duration::from_millis(500),
        ..ServerLimits::default()
    };
    let router = Router::new().route("/", get(|| async { "x".repeat(64 << 20) }));
    let server = TestServer::start(router, limits);
    let mut stream = server.connect().await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let gone = async {
        while !server.metrics.encode().unwrap().contains("workspaces_server_connections 0\n") {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.expect("the connection stays");
}

#[tokio::test]
async fn broken_requests_are_refused_and_the_next_client_is_served() {
    let server = TestServer::start(admission(), ServerLimits::default());
    for broken in [
        "\r\n\r\nnonsense\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
    ] {
        let mut stream = server.connect().await.unwrap();
        let answer = timeout(Duration::from_secs(5), exchange(&mut stream, broken)).await.unwrap();
        assert!(answer.as_ref().map_or(true, |answer| answer.status >= 400), "{broken:?}: {answer:?}");
    }
    let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let mut stream = server.connect().await.unwrap();
    let (mut read, mut write) = tokio::io::split(&mut stream);
    let (_, answer) = tokio::join!(write.write_all(long.as_bytes()), read_answer(&mut read));
    assert_eq!(answer.unwrap().status, 431);
    let answer = exchange(&mut server.connect().await.unwrap(), &post(WORKSPACE_PATH, &review("k"))).await.unwrap();
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn h4_a_panic_in_a_handler_is_a_review_coded_500_and_others_go_on() {
    let server = TestServer::start(admission(), ServerLimits::default());
    let mut stream = server.connect().await.unwrap();
    let answer = exchange(&mut stream, &post(WORKSPACE_PATH, &review("panic"))).await.unwrap();
    let parsed: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(parsed["response"]["uid"], "5d6d2bf6-1c9c-4b7e-8f8c-6a5f4d1f0001");
    assert_eq!(parsed["response"]["allowed"], false);
    assert_eq!(parsed["response"]["status"]["code"], 500);
    println!("H4 pass 500, limit 500: code of the review whose handler panicked");
    // On the very same connection.
    assert_eq!(exchange(&mut stream, &post(WORKSPACE_PATH, &review("k"))).await.unwrap().status, 200);
}

#[tokio::test]
async fn h4_a_panic_outside_of_admission_costs_one_connection() {
    async fn broken() -> &'static str {
        panic!("asked for it")
    }
    let server = TestServer::start(
        Router::new().route("/broken", get(broken)).route("/", get(|| async { "ok" })),
        ServerLimits::default(),
    );
    let mut stream = server.connect().await.unwrap();
    assert!(exchange(&mut stream, "GET /broken HTTP/1.1\r\nHost: x\r\n\r\n").await.is_err());
    let answer = exchange(&mut server.connect().await.unwrap(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    assert!(server.metrics.encode().unwrap().contains("workspaces_server_connections 1\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h3_the_accept_loop_survives_without_file_descriptors() {
    let binary = Binary::new().descriptors(48).start();
    let listening = binary.listening();
    let mut taken = Vec::new();
    // Each listener has connections left when the process has no descriptors left.
    for _ in 0..24 {
        for address in [listening.webhook, listening.health, listening.metrics] {
            taken.push(TcpStream::connect(address).await.unwrap());
        }
    }
    binary.wait_log("cannot accept connections (Too many open files", Duration::from_secs(10));
    println!("H3 pass 72, limit 48: connections opened at a process with that many descriptors");
    drop(taken);
    let freed = Instant::now();
    let served = loop {
        let plain = TcpStream::connect(listening.health).await;
        let get = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
        if let Ok(mut stream) = plain
            && let Ok(Ok(answer)) = timeout(Duration::from_millis(200), exchange(&mut stream, get)).await
        {
            break answer;
        }
        assert!(freed.elapsed() < Duration::from_secs(20), "not served again");
    };
    assert_eq!(served.status, 200);
    within("H3", "served again after descriptors were free", freed.elapsed(), Duration::from_secs(1));
    let (connector, address) = (crate::client::connector(&binary.ca_pem), listening.webhook);
    let answer = exchange(&mut connect(&connector, address).await.unwrap(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(answer.unwrap().status, 404);
    binary.must_run();
}
