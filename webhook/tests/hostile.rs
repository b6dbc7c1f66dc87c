//! H1: malformed bodies.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use fastrand::Rng;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use webhook::testing::FakeLookup;
use webhook::{Policy, Question, WORKSPACE_KIND_PATH, WORKSPACE_PATH, router};

const BODIES: usize = 10_000;

async fn post(router: &Router, path: &str, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
    let request = Request::post(path).body(Body::from(body)).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let code = response.status();
    (code, response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

/// Replaces a random value somewhere in `value` by one of another type.
fn retype(value: &mut Value, random: &mut Rng) {
    let children: Vec<&mut Value> = match value {
        Value::Object(map) => map.values_mut().collect(),
        Value::Array(list) => list.iter_mut().collect(),
        _ => Vec::new(),
    };
    let count = children.len();
    if let Some(child) = children.into_iter().nth(random.usize(..=count)) {
        return retype(child, random);
    }
    let others =
        [Value::Null, Value::from(-1), Value::from("x"), Value::from(vec![1]), Value::from(1e300), Value::Bool(true)];
    *value = random.choice(others).unwrap();
}

fn deep(levels: usize, random: &mut Rng) -> String {
    if random.bool() {
        "[".repeat(levels) + &"]".repeat(levels)
    } else {
        "{\"a\":".repeat(levels) + "1" + &"}".repeat(levels)
    }
}

/// One malformed body.
fn malformed(valid: &Value, random: &mut Rng) -> Vec<u8> {
    let text = valid.to_string();
    match random.u8(..7) {
        0 => (0..random.usize(..4096)).map(|_| random.u8(..)).collect(),
        1 => text.as_bytes()[..random.usize(..text.len())].to_vec(),
        2 => {
            let places = [
                "\"spec\":{",
                "\"metadata\":{",
                "\"podTemplate\":{",
                "\"options\":{",
                "\"request\":{",
                "\"extraEnv\":[",
            ];
            let place = random.choice(places).unwrap();
            let nested = deep(10_000, random);
            let nested = if place.ends_with('[') { nested + "," } else { format!("\"x\":{nested},") };
            let typed = format!("\"extraEnv\":{},", deep(10_000, random));
            let nested = if place == "\"podTemplate\":{" && random.bool() { typed } else { nested };
            text.replacen(place, &format!("{place}{nested}"), 1).into_bytes()
        }
        3 => {
            let key = random
                .choice(["\"uid\":", "\"object\":", "\"spec\":", "\"request\":", "\"kind\":", "\"name\":"])
                .unwrap();
            text.replacen(key, &format!("{key}null,{key}"), 1).into_bytes()
        }
        4 => {
            let mut bytes = text.into_bytes();
            for _ in 0..random.usize(1..20) {
                let place = random.usize(..bytes.len());
                bytes[place] = random.u8(0x80..);
            }
            bytes
        }
        5 => {
            let mut value = valid.clone();
            for _ in 0..random.usize(1..4) {
                retype(&mut value, random);
            }
            value.to_string().into_bytes()
        }
        _ => {
            let mut bytes = text.into_bytes();
            for _ in 0..random.usize(1..50) {
                let place = random.usize(..bytes.len());
                bytes[place] = random.u8(..);
            }
            bytes
        }
    }
}

/// Resident memory, in pages.
fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse().unwrap()
}

async fn round(router: &Router, valid: &[(&str, Value)], bodies: usize, random: &mut Rng) -> usize {
    let mut answered = 0;
    for _ in 0..bodies {
        let (path, review) = random.choice(valid).unwrap();
        let (code, body) = tokio::time::timeout(Duration::from_secs(10), post(router, path, malformed(review, random)))
            .await
            .expect("an answer within ten seconds");
        match code {
            StatusCode::OK => {
                let answer: Value = serde_json::from_slice(&body).unwrap();
                assert_eq!(answer["kind"], "AdmissionReview");
                assert!(answer["response"]["uid"].as_str().is_some_and(|uid| !uid.is_empty()));
                assert!(answer["response"]["status"]["code"] != 500, "{answer}");
                answered += 1;
            }
            StatusCode::BAD_REQUEST => assert!(body.starts_with(b"the body is not an AdmissionReview")),
            other => panic!("{other}"),
        }
    }
    answered
}

#[tokio::test]
async fn h1_malformed_bodies_neither_crash_nor_leak() {
    let kind = serde_json::to_value(crds::testing::workspace_kind("jupyterlab")).unwrap();
    let workspace = serde_json::to_value(crds::testing::workspace("team", "notebook", "jupyterlab")).unwrap();
    let mut old = kind.clone();
    old["spec"]["spawner"]["displayName"] = Value::from("Old");
    let valid = [
        (WORKSPACE_KIND_PATH, Question::create(&kind).review("u")),
        (WORKSPACE_KIND_PATH, Question::update(&kind, &old).review("u")),
        (WORKSPACE_PATH, Question::create(&workspace).review("u")),
        (WORKSPACE_KIND_PATH, Question::delete(&kind).review("u")),
    ];
    let lookup = FakeLookup::new(std::slice::from_ref(&kind), &[]).unwrap();
    let router =
        router(Arc::new(lookup), Arc::new(Policy::default()), Arc::new(|_: &'static str, _: u16, _: Duration| {}));
    let mut random = Rng::with_seed(1);
    round(&router, &valid, BODIES / 10, &mut random).await;
    let before = resident();
    let answered = round(&router, &valid, BODIES, &mut random).await;
    let grown = resident() / before;
    println!("H1 {} {grown:.3} 1.1", if grown <= 1.1 { "pass" } else { "fail" });
    assert!(grown <= 1.1, "memory has grown {grown:.3} times");
    // The bodies must not all fail at the first byte.
    assert!(answered > BODIES / 4, "{answered} of {BODIES} had a uid");
    for (path, review) in &valid {
        assert_eq!(post(&router, path, review.to_string().into_bytes()).await.0, StatusCode::OK);
    }
}
