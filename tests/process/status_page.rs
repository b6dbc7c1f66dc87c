//! The status page of the running program, from outside: what is served, to whom, with which headers.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::binary::{Binary, Running};
use crate::client::{Answer, connect, connector, exchange};

async fn ask(address: SocketAddr, request: &str) -> Answer {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    exchange(&mut stream, request).await.unwrap()
}

async fn get(address: SocketAddr, path: &str, host: &str) -> Answer {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
}

fn started(arguments: &[&str]) -> Running {
    arguments.iter().fold(Binary::new(), |binary, argument| binary.argument(*argument)).start()
}

#[tokio::test]
async fn the_page_says_what_is_wrong_and_lets_nothing_in_or_out() {
    let binary = started(&[]);
    let address = binary.listening().status;
    let page = get(address, "/", "localhost:8082").await;
    assert_eq!(page.status, 200, "{}", page.body);
    let expected = [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ];
    for (name, value) in expected {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    let policy = page.header("content-security-policy").unwrap();
    let style = policy.strip_prefix("default-src 'none'; style-src 'sha256-").unwrap();
    assert!(style.ends_with("='; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"), "{policy}");
    assert_eq!(page.header("access-control-allow-origin"), None);
    assert!(
        page.body.contains("cannot reach the API server") || page.body.contains("waiting for the first list"),
        "{}",
        page.body
    );

    let json = get(address, "/status.json?namespace=a", "127.0.0.1").await;
    assert_eq!((json.status, json.header("content-type")), (200, Some("application/json")));
    let json: Value = serde_json::from_str(&json.body).unwrap();
    assert_eq!((&json["leadership"]["role"], &json["filter"]["namespace"]), (&"off".into(), &"a".into()));
    assert_eq!((&json["readiness"][0]["name"], &json["readiness"][0]["ready"]), (&"certificate".into(), &true.into()));
    assert_eq!(json["perMinute"]["writes"].as_array().unwrap().len(), 60);

    for host in ["evil.example", "localhost.evil.example"] {
        let answer = get(address, "/status.json", host).await;
        assert_eq!(answer.status, 421, "{host}");
        assert!(answer.body.starts_with("this page is for localhost: `kubectl port-forward`"), "{}", answer.body);
    }
    let answer = ask(address, "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(answer.status, 421, "the host of the URL counts");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer =
            ask(address, &format!("{method} / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET,HEAD")), "{method}");
    }
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut head = String::new();
    stream.read_to_string(&mut head).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let other = get(address, "/metrics", "localhost").await;
    assert_eq!((other.status, other.header("cache-control")), (404, Some("no-store")));
}

#[tokio::test]
async fn without_an_answer_of_the_api_server_nobody_is_let_in() {
    let binary = started(&["--status-bind-address=0.0.0.0:0", "--metrics-secure", "--metrics-require-authentication"]);
    let (listening, connector) = (binary.listening(), connector(&binary.ca_pem));
    let status = SocketAddr::from(([127, 0, 0, 1], listening.status.port()));
    for (address, path) in [(status, "/"), (status, "/status.json"), (listening.metrics, "/metrics")] {
        let get = async |authorization: &str| {
            let mut stream = connect(&connector, address).await.unwrap();
            exchange(&mut stream, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}\r\n"))
                .await
                .unwrap()
        };
        let answer = get("").await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{path}");
        assert_eq!(answer.body, "a bearer token is required: Authorization: Bearer TOKEN\n");
        let answer = get("Authorization: Bearer some\r\n").await;
        assert_eq!(
            (answer.status, &*answer.body),
            (503, "the API server could not be asked about the token: try again; the log of the controller says why\n"),
            "{path}"
        );
        let plain = tokio::net::TcpStream::connect(address).await.unwrap();
        let mut plain = plain;
        let answer = exchange(&mut plain, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert!(answer.is_err() || answer.unwrap().status != 200, "it is served in clear");
    }
    let line =
        binary.wait_log("a token cannot be reviewed, so its bearer is refused", std::time::Duration::from_secs(5));
    assert!(line.contains("Connection refused"), "{line}");
    // Once for each of the two listeners, however often it is asked.
    assert_eq!(binary.log().matches("a token cannot be reviewed").count(), 2, "{}", binary.log());
}
