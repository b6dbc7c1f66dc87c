//! Against servers on addresses of this machine, which write the bytes of their answers themselves.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::{Arc, Mutex};

use crds::ports::Dialect;
use crds::testing;
use crds::workspace_kind::HttpProxy;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const BASE: &str = "/workspace/connect/team/lab/jupyter/";
const OLD: &str = "2026-01-02T03:04:05.123456Z";

/// What a server does with a request.
#[derive(Clone)]
enum Answer {
    /// It sends this, and closes the connection.
    Whole(Vec<u8>),
    /// It sends this and no more, and leaves the connection open.
    Unfinished(Vec<u8>),
    /// It sends the first part, and then the second one for ever, a pause between each.
    Endless(&'static str, Vec<u8>, Duration),
    /// It closes the connection without having read the request: that resets it.
    Reset,
}

/// A server, and the heads of the requests that it got.
struct Fake {
    server: JupyterServer,
    requests: Arc<Mutex<Vec<String>>>,
}

fn response(status: &str, headers: &str, body: &str) -> Answer {
    Answer::Whole(format!("HTTP/1.1 {status}\r\n{headers}\r\n{body}").into_bytes())
}

fn json(body: &str) -> Answer {
    response("200 OK", &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()), body)
}

fn kernel(state: &str, last_activity: &str) -> String {
    format!(
        r#"{{"id": "6f", "name": "python3", "last_activity": "{last_activity}", "execution_state": "{state}", "connections": 0}}"#
    )
}

impl Fake {
    /// One on this address, below [`BASE`], that answers as an idle one but for these paths.
    async fn start_at(ip: IpAddr, answers: &[(&'static str, Answer)]) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut known = BTreeMap::from([
            (
                "api/status",
                json(&format!(r#"{{"started": "{OLD}", "last_activity": "{OLD}", "connections": 0, "kernels": 1}}"#)),
            ),
            ("api/kernels", json(&format!("[{}]", kernel("idle", OLD)))),
            ("api/terminals", json("[]")),
        ]);
        known.extend(answers.iter().cloned());
        let requests = Arc::default();
        tokio::spawn(serve(listener, known, Arc::clone(&requests)));
        Self { server: JupyterServer { ip, port, base_path: BASE.to_owned() }, requests }
    }

    async fn start(answers: &[(&'static str, Answer)]) -> Self {
        Self::start_at("127.11.0.7".parse().unwrap(), answers).await
    }

    async fn found(&self) -> Result<Found, ProbeFailure> {
        let report = probe(&self.server, TIMEOUT).await;
        assert!(report.started <= report.ended);
        report.result
    }

    fn requested(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|head| head.lines().next().unwrap().to_owned()).collect()
    }
}

async fn serve(listener: TcpListener, answers: BTreeMap<&'static str, Answer>, requests: Arc<Mutex<Vec<String>>>) {
    let answers = Arc::new(answers);
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(respond(stream, Arc::clone(&answers), Arc::clone(&requests)));
    }
}

async fn respond(
    mut stream: TcpStream,
    answers: Arc<BTreeMap<&'static str, Answer>>,
    requests: Arc<Mutex<Vec<String>>>,
) {
    if answers.values().any(|answer| matches!(answer, Answer::Reset)) {
        stream.readable().await.unwrap();
        return;
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().split('?').next().unwrap().to_owned();
    requests.lock().unwrap().push(head);
    let answer = answers.iter().find(|(known, _)| path.ends_with(*known)).map(|(_, answer)| answer.clone());
    match answer.unwrap_or_else(|| response("404 Not Found", "Content-Length: 0\r\n", "")) {
        Answer::Whole(bytes) => {
            // The client may not wait for the end.
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Answer::Unfinished(bytes) => {
            stream.write_all(&bytes).await.unwrap();
            std::future::pending::<()>().await;
        }
        Answer::Endless(start, part, pause) => {
            stream.write_all(start.as_bytes()).await.unwrap();
            while stream.write_all(&part).await.is_ok() {
                tokio::time::sleep(pause).await;
            }
        }
        Answer::Reset => {}
    }
}

fn at(time: &str) -> Found {
    Found::LastActive(time.parse().unwrap())
}

fn failed(message: &str) -> Result<Found, ProbeFailure> {
    Err(ProbeFailure::Failed(format!("Jupyter probe failed: {message}")))
}

#[tokio::test]
async fn a_kernel_that_computes_is_activity_now() {
    for state in ["busy", "starting"] {
        let kernels = format!("[{}, {}]", kernel("idle", OLD), kernel(state, "2020-01-01T00:00:00Z"));
        let fake = Fake::start(&[("api/kernels", json(&kernels))]).await;
        assert_eq!(fake.found().await, Ok(Found::ActiveNow), "{state}");
    }
    let fake = Fake::start(&[("api/kernels", json(&format!("[{}]", kernel("dead", OLD))))]).await;
    assert_eq!(fake.found().await, Ok(at(OLD)));
}

#[tokio::test]
async fn the_newest_activity_of_server_kernels_and_terminals_counts() {
    let status = |time: &str| json(&format!(r#"{{"last_activity": "{time}"}}"#));
    let kernels = |time: &str| json(&format!("[{}, {}]", kernel("idle", OLD), kernel("idle", time)));
    let terminals = |time: &str| json(&format!(r#"[{{"name": "1", "last_activity": "{time}"}}]"#));
    let new = "2026-01-02T03:04:05.123457Z";
    for answers in [
        [("api/status", status(new)), ("api/kernels", kernels(OLD)), ("api/terminals", terminals(OLD))],
        [("api/status", status(OLD)), ("api/kernels", kernels(new)), ("api/terminals", terminals(OLD))],
        [("api/status", status(OLD)), ("api/kernels", kernels(OLD)), ("api/terminals", terminals(new))],
        // The same time elsewhere.
        [
            ("api/status", status("2026-01-02T05:04:05.123457+02:00")),
            ("api/kernels", json("[]")),
            ("api/terminals", json(r#"[{"name": "1", "last_activity": null}, {"name": "2"}]"#)),
        ],
    ] {
        let fake = Fake::start(&answers).await;
        assert_eq!(fake.found().await, Ok(at(new)));
    }
}

#[tokio::test]
async fn a_server_without_terminals_has_none() {
    let fake = Fake::start(&[("api/terminals", response("404 Not Found", "", "no such page"))]).await;
    assert_eq!(fake.found().await, Ok(at(OLD)));
    let fake = Fake::start(&[("api/terminals", response("500 Internal Server Error", "", ""))]).await;
    assert_eq!(fake.found().await, failed("api/terminals: 500 Internal Server Error"));
}

#[tokio::test]
async fn kernels_that_cannot_be_read_are_not_idle() {
    let undecodable = "api/kernels: the answer is not one of a Jupyter server";
    for (answer, message) in [
        (
            response("403 Forbidden", "", r#"{"message": "secret"}"#),
            "api/kernels: 403 Forbidden (is a token or a password set? the probe has none)",
        ),
        (
            response("404 Not Found", "", ""),
            "api/kernels: 404 Not Found (is the base URL of the server /workspace/connect/team/lab/jupyter/?)",
        ),
        (response("503 Service Unavailable", "", ""), "api/kernels: 503 Service Unavailable"),
        (response("204 No Content", "", ""), "api/kernels: 204 No Content"),
        (json("<html>secret</html>"), undecodable),
        (json(""), undecodable),
        (json("{}"), undecodable),
        (json(r#"[{"id": "6f"}]"#), undecodable),
        (json(r#"[{"id": "6f", "execution_state": null}]"#), undecodable),
        (json(&format!("[{}]", kernel("idle", "yesterday"))), undecodable),
        (json(&"[".repeat(100_000)), undecodable),
    ] {
        let fake = Fake::start(&[("api/kernels", answer)]).await;
        assert_eq!(fake.found().await, failed(message));
    }
}

#[tokio::test]
async fn a_server_that_does_not_say_when_it_was_active_is_not_idle() {
    for body in ["{}", r#"{"last_activity": null}"#, r#"{"last_activity": "2026-01-02T03:04:05"}"#] {
        let fake = Fake::start(&[("api/status", json(body))]).await;
        assert_eq!(fake.found().await, failed("api/status: the answer is not one of a Jupyter server"), "{body}");
    }
    let fake = Fake::start(&[("api/status", response("403 Forbidden", "", ""))]).await;
    let message = "api/status: 403 Forbidden (is a token or a password set? the probe has none)";
    assert_eq!(fake.found().await, failed(message));
    assert_eq!(fake.requested().len(), 1);
}

#[tokio::test]
async fn a_time_in_the_future_is_now() {
    let fake = Fake::start(&[("api/status", json(r#"{"last_activity": "2999-01-01T00:00:00Z"}"#))]).await;
    let report = probe(&fake.server, TIMEOUT).await;
    assert_eq!(report.result, Ok(Found::LastActive(report.ended)));
}

/// The `Date` of a server says what time it has.
#[tokio::test]
async fn a_server_whose_clock_is_behind_is_corrected() {
    let rfc2822 = rfc2822::DateTimePrinter::new();
    let dated = |clock: Timestamp, last: Timestamp| {
        let body = format!(r#"{{"last_activity": "{last}"}}"#);
        let date = rfc2822.timestamp_to_rfc9110_string(&clock).unwrap();
        response("200 OK", &format!("Date: {date}\r\nContent-Length: {}\r\n", body.len()), &body)
    };
    let (hour, minute) = (SignedDuration::from_hours(1), SignedDuration::from_mins(1));
    for (clock_ahead, expected) in [(-hour, -minute), (SignedDuration::ZERO, -minute), (hour, SignedDuration::ZERO)] {
        let now = Timestamp::now();
        let clock = now + clock_ahead;
        let answers = [("api/status", dated(clock, clock - minute)), ("api/kernels", json("[]"))];
        let Ok(Found::LastActive(time)) = Fake::start(&answers).await.found().await else { panic!() };
        let off = time.duration_since(now + expected);
        assert!(off.abs() < SignedDuration::from_secs(10), "{clock_ahead}: {off}");
    }
    let undated = [("api/status", response("200 OK", "Date: now\r\n", &format!(r#"{{"last_activity": "{OLD}"}}"#)))];
    assert_eq!(Fake::start(&undated).await.found().await, Ok(at(OLD)));
}

#[tokio::test]
async fn an_answer_has_at_most_a_mebibyte() {
    let kernels = |length: usize| {
        let kernels = format!("[{}]", kernel("busy", OLD));
        json(&(kernels.clone() + &" ".repeat(length - kernels.len())))
    };
    let fake = Fake::start(&[("api/kernels", kernels(1 << 20))]).await;
    assert_eq!(fake.found().await, Ok(Found::ActiveNow));
    let too_long = failed("api/kernels: the answer has more than 1 MiB");
    let fake = Fake::start(&[("api/kernels", kernels((1 << 20) + 1))]).await;
    assert_eq!(fake.found().await, too_long);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000)).into_bytes();
    let fake = Fake::start(&[("api/kernels", Answer::Endless(chunked, chunk, Duration::ZERO))]).await;
    assert_eq!(fake.found().await, too_long);
    let header = format!("X-Long: {}\r\n", "x".repeat(4 * BUFFER));
    let fake = Fake::start(&[("api/kernels", response("200 OK", &header, "[]"))]).await;
    assert_eq!(fake.found().await, failed("api/kernels: the answer is not HTTP/1"));
}

#[tokio::test]
async fn a_server_that_does_not_finish_times_out() {
    let slowly = Duration::from_millis(20);
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n";
    for answer in [
        Answer::Unfinished(Vec::new()),
        Answer::Unfinished(chunked.to_vec()),
        Answer::Unfinished(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[]".to_vec()),
        // Without a length it is complete when the connection is closed.
        Answer::Unfinished(b"HTTP/1.0 200 OK\r\n\r\n[]".to_vec()),
        Answer::Endless("HTTP/1.1 200 OK\r\n", b"X: y\r\n".to_vec(), slowly),
        Answer::Endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n".to_vec(), slowly),
        Answer::Endless("", b"HTTP/1.1 102 Processing\r\n\r\n".to_vec(), slowly),
    ] {
        let fake = Fake::start(&[("api/kernels", answer)]).await;
        let report = probe(&fake.server, Duration::from_millis(500)).await;
        assert_eq!(report.result, Err(ProbeFailure::Timeout));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Fake::start_at("127.11.0.8".parse().unwrap(), &[]).await;
    for (status, shown) in [
        ("301 Moved Permanently", "301 Moved Permanently"),
        ("302 Found", "302 Found"),
        ("308 X", "308 Permanent Redirect"),
    ] {
        let location =
            format!("Location: http://127.11.0.8:{}/api/status\r\nContent-Length: 0\r\n", elsewhere.server.port);
        let fake = Fake::start(&[("api/status", response(status, &location, ""))]).await;
        let message = format!("api/status: {shown} (redirects are not followed)");
        assert_eq!(fake.found().await, failed(&message));
        assert_eq!(fake.requested().len(), 1);
    }
    assert_eq!(elsewhere.requested(), Vec::<String>::new());
}

#[tokio::test]
async fn connections_that_fail_are_named_by_their_class() {
    let fake = Fake::start(&[("api/status", Answer::Reset)]).await;
    assert_eq!(fake.found().await, failed("api/status: connection reset"));

    let closed = JupyterServer { port: unused_port().await, ..fake.server };
    let result = probe(&closed, TIMEOUT).await.result;
    assert_eq!(result, failed("api/status: connection refused"));

    for (bytes, message) in [
        ("", "api/kernels: the connection was closed before the answer was complete"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[]",
            "api/kernels: the connection was closed before the answer was complete",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n[]", "api/kernels: the answer is not one of a Jupyter server"),
        ("\u{15}\u{3}\u{1} a TLS alert \r\n\r\n", "api/kernels: the answer is not HTTP/1"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n[]",
            "api/kernels: the answer is not HTTP/1",
        ),
    ] {
        let fake = Fake::start(&[("api/kernels", Answer::Whole(bytes.into()))]).await;
        assert_eq!(fake.found().await, failed(message), "{bytes:?}");
    }
}

/// A port of that address that nobody listens on.
async fn unused_port() -> u16 {
    TcpListener::bind("127.11.0.7:0").await.unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn an_http_1_0_server_is_understood() {
    let old = |body: &str| Answer::Whole(format!("HTTP/1.0 200 OK\r\n\r\n{body}").into_bytes());
    let status = format!(r#"{{"last_activity": "{OLD}"}}"#);
    let fake =
        Fake::start(&[("api/status", old(&status)), ("api/kernels", old("[]")), ("api/terminals", old("[]"))]).await;
    assert_eq!(fake.found().await, Ok(at(OLD)));
}

#[tokio::test]
async fn it_is_asked_below_its_path_and_not_to_count_that() {
    let fake = Fake::start(&[]).await;
    assert_eq!(fake.found().await, Ok(at(OLD)));
    let line = |base: &str, path: &str| format!("GET {base}{path}?no_track_activity=1 HTTP/1.1");
    let lines = |base: &str| ["api/status", "api/kernels", "api/terminals"].map(|path| line(base, path));
    assert_eq!(fake.requested(), lines(BASE));
    let expected = format!(
        "{}\r\nhost: 127.11.0.7:{}\r\nuser-agent: {AGENT}\r\naccept: application/json\r\nconnection: close\r\n\r\n",
        line(BASE, "api/status"),
        fake.server.port
    );
    assert_eq!(fake.requests.lock().unwrap()[0], expected);

    let mut fake = Fake::start(&[]).await;
    fake.server.base_path = "/".to_owned();
    assert_eq!(fake.found().await, Ok(at(OLD)));
    assert_eq!(fake.requested(), lines("/"));
}

#[tokio::test]
async fn an_ipv6_address_stands_in_brackets() {
    let fake = Fake::start_at(Ipv6Addr::LOCALHOST.into(), &[]).await;
    assert_eq!(fake.found().await, Ok(at(OLD)));
    let host = format!("host: [::1]:{}", fake.server.port);
    assert!(fake.requests.lock().unwrap().iter().all(|head| head.lines().any(|line| line == host)));
}

#[test]
fn the_base_path_is_that_of_the_port() {
    let mut template = testing::workspace_kind("kind").spec.pod_template;
    let path = |template: &PodTemplate, paths: &ConnectPaths| base_path(template, "jupyter", paths, "team", "lab");
    template.ports = None;
    assert_eq!(path(&template, &ConnectPaths::by_dialect()), "/workspace/team/lab/jupyter/");
    let entry = |proxy: Option<HttpProxy>| {
        let entry = ProxiedPort { id: Some("jupyter".to_owned()), http_proxy: proxy, ..ProxiedPort::default() };
        Some(vec![entry])
    };
    template.ports = entry(Some(HttpProxy::default()));
    assert_eq!(template.dialect(), Dialect::Id);
    assert_eq!(path(&template, &ConnectPaths::by_dialect()), BASE);
    assert_eq!(path(&template, &ConnectPaths::fixed("/notebooks").unwrap()), "/notebooks/team/lab/jupyter/");
    template.ports = entry(Some(HttpProxy { remove_path_prefix: true, ..HttpProxy::default() }));
    assert_eq!(path(&template, &ConnectPaths::by_dialect()), "/");
}
