#![allow(clippy::unwrap_used)]
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// An API server that knows the tokens `reader` and `other`, of which the first may get /metrics; it counts its answers.
/// With `down` it answers nothing but 503.
fn reviewer(down: bool) -> (TokenReviewer, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&asked);
    let service = tower::service_fn(move |request: Request<Body>| {
        let notes = Arc::clone(&notes);
        async move {
            let resource = request.uri().path().rsplit('/').next().unwrap().to_owned();
            let review: Value =
                serde_json::from_slice(&request.into_body().collect().await.unwrap().to_bytes()).unwrap();
            let spec = &review["spec"];
            let status = if resource == "tokenreviews" {
                assert_eq!(*spec, json!({"token": spec["token"]}), "no audience is asked for");
                match spec["token"].as_str().unwrap() {
                    name @ ("reader" | "other") => json!({
                        "authenticated": true,
                        "user": {"username": name, "uid": "1", "groups": ["g"], "extra": {"e": ["x"]}},
                    }),
                    _ => json!({"authenticated": false, "error": "token is unknown"}),
                }
            } else {
                let user = spec["user"].as_str().unwrap();
                let attributes = json!({"path": "/metrics", "verb": "get"});
                let expected = json!({"user": user, "uid": "1", "groups": ["g"], "extra": {"e": ["x"]}, "nonResourceAttributes": attributes});
                assert_eq!(*spec, expected);
                json!({"allowed": user == "reader"})
            };
            notes.lock().unwrap().push(resource);
            let answer = json!({"metadata": {}, "spec": {"token": "", "user": ""}, "status": status});
            let failure = json!({"status": "Failure", "message": "etcd is down", "code": 503});
            let (code, body) = if down { (503, failure) } else { (201, answer) };
            let body = Body::from(body.to_string().into_bytes());
            Ok::<_, tower::BoxError>(Response::builder().status(code).body(body).unwrap())
        }
    });
    (TokenReviewer::new(Client::new(service, "default")), asked)
}

fn count(asked: &Mutex<Vec<String>>) -> usize {
    asked.lock().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn a_verdict_is_asked_for_once_and_holds_for_a_short_time() {
    let (reviewer, asked) = reviewer(false);
    let get = |token: &'static str| reviewer.may_get(token, "/metrics");
    let forbidden = || Err(TokenRefusal::Forbidden { user: "other".to_owned(), path: "/metrics" });
    for _ in 0..3 {
        assert_eq!(get("reader").await, Ok(()));
        assert_eq!(get("other").await, forbidden());
        assert_eq!(get("stranger").await, Err(TokenRefusal::Unknown));
    }
    let once = ["tokenreviews", "subjectaccessreviews", "tokenreviews", "subjectaccessreviews", "tokenreviews"];
    assert_eq!(*asked.lock().unwrap(), once);
    tokio::time::advance(REFUSED_FOR).await;
    assert_eq!((get("other").await, get("reader").await), (forbidden(), Ok(())));
    assert_eq!(count(&asked), 7, "who was allowed is asked about later");
    tokio::time::advance(ALLOWED_FOR).await;
    assert_eq!(get("reader").await, Ok(()));
    assert_eq!(count(&asked), 9);
    let text = forbidden().unwrap_err().to_string();
    assert_eq!(
        text,
        r#"other may not get /metrics: allow it with a ClusterRole whose rules have {nonResourceURLs: ["/metrics"], verbs: ["get"]}"#
    );
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_tokens_is_limited_and_does_not_lock_out_those_that_are_known() {
    let (reviewer, asked) = reviewer(false);
    assert_eq!(reviewer.may_get("reader", "/metrics").await, Ok(()));
    tokio::time::advance(ALLOWED_FOR).await;
    let mut limited = 0;
    for number in 0..1000 {
        let verdict = reviewer.may_get(&format!("guess {number}"), "/metrics").await;
        limited += usize::from(verdict == Err(TokenRefusal::TooMany));
    }
    assert_eq!((limited, count(&asked)), (990, 2 + 10));
    assert_eq!(reviewer.may_get("reader", "/metrics").await, Ok(()), "its verdict has to be renewed");
    assert_eq!(count(&asked), 2 + 10 + 2);
    tokio::time::advance(Duration::from_secs(1)).await;
    let mut verdicts = Vec::new();
    for number in 0..6 {
        verdicts.push(reviewer.may_get(&format!("later {number}"), "/metrics").await.unwrap_err());
    }
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == TokenRefusal::Unknown).count(), 5, "five a second");
    assert!(reviewer.memory.lock().unwrap().verdicts.len() <= REMEMBERED);
}

#[tokio::test(start_paused = true)]
async fn what_the_api_server_does_not_answer_is_not_remembered() {
    let (reviewer, asked) = reviewer(true);
    for times in 1..4 {
        assert_eq!(reviewer.may_get("reader", "/metrics").await, Err(TokenRefusal::NotAsked));
        assert_eq!(count(&asked), times);
    }
}

#[test]
fn of_many_verdicts_those_of_the_refused_are_forgotten_first() {
    let now = Instant::now();
    let mut memory = TokenMemory::new(now);
    let shown = |number: u16| {
        let mut hash = [0; 32];
        hash[..2].copy_from_slice(&number.to_le_bytes());
        Shown { hash, path: "/metrics" }
    };
    memory.answered(shown(0), Ok(TokenVerdict::Allowed), now);
    for number in 1..1000 {
        memory.answered(shown(number), Ok(TokenVerdict::Unknown), now);
    }
    assert_eq!(memory.verdicts.len(), REMEMBERED);
    assert_eq!(memory.recall(shown(0), now), Recalled::Verdict(TokenVerdict::Allowed));
    assert_eq!(memory.recall(shown(999), now), Recalled::Verdict(TokenVerdict::Unknown));
    assert_eq!(memory.recall(shown(1), now), Recalled::Ask);
}

#[test]
fn the_token_of_one_path_is_none_for_another() {
    let now = Instant::now();
    let mut memory = TokenMemory::new(now);
    let shown = |path| Shown { hash: [1; 32], path };
    memory.answered(shown("/metrics"), Ok(TokenVerdict::Allowed), now);
    assert_eq!(memory.recall(shown("/metrics"), now), Recalled::Verdict(TokenVerdict::Allowed));
    assert_eq!(memory.recall(shown("/status"), now), Recalled::Ask);
}
