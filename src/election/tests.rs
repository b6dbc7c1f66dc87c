//! Elections on paused time, with an API server that has one Lease and loses answers.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::future::{pending, ready};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::config::LeaseTimes;
use crate::metrics::Metrics;

const NAME: &str = "kubeflow-workspace-controller";

/// The Lease of an API server that has no watches.
#[derive(Clone, Default)]
struct Server {
    lease: Arc<Mutex<Option<Value>>>,
    versions: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    /// How many writes are done, but not answered.
    unanswered: Arc<AtomicUsize>,
    /// What writes are answered, where they are not done.
    refuses: Arc<AtomicU16>,
    /// Whether watches get no answer at all; else they are refused.
    watches_hang: Arc<AtomicBool>,
}

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        Client::new(tower::service_fn(move |request| server.clone().serve(request)), "default")
    }

    async fn serve(self, request: Request<Body>) -> Result<Response<Body>, kube::Error> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let (parts, body) = request.into_parts();
        if parts.uri.query().is_some_and(|query| query.contains("watch=true")) {
            if self.watches_hang.load(Ordering::SeqCst) {
                return pending().await;
            }
            return Ok(answer(500, &json!({})));
        }
        if parts.method == Method::GET {
            return Ok(self
                .lease
                .lock()
                .unwrap()
                .as_ref()
                .map_or_else(|| answer(404, &json!({})), |lease| answer(200, lease)));
        }
        let code = self.refuses.load(Ordering::SeqCst);
        if code != 0 {
            return Ok(answer(code, &json!({})));
        }
        let mut lease: Value = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap();
        {
            let mut held = self.lease.lock().unwrap();
            let is_expected = held.as_ref().map(|held| &held["metadata"]["resourceVersion"])
                == Some(&lease["metadata"]["resourceVersion"]).filter(|version| !version.is_null());
            if !is_expected {
                return Ok(answer(409, &json!({})));
            }
            lease["metadata"]["resourceVersion"] = json!(self.versions.fetch_add(1, Ordering::SeqCst).to_string());
            *held = Some(lease.clone());
        }
        let is_lost =
            self.unanswered.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if is_lost { pending().await } else { Ok(answer(200, &lease)) }
    }

    fn holder(&self) -> Value {
        self.lease.lock().unwrap().as_ref().map_or(Value::Null, |lease| lease["spec"]["holderIdentity"].clone())
    }

    fn elector(&self) -> (Elector, Leadership) {
        let leadership = Leadership::default();
        let metrics = Arc::new(Metrics::new());
        (Elector::new(self.client(), ("ns", NAME), LeaseTimes::default(), leadership.clone(), metrics), leadership)
    }
}

fn answer(code: u16, object: &Value) -> Response<Body> {
    let reason = if code == 404 { "NotFound" } else { "Conflict" };
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
                        "reason": reason, "message": "made by the test"});
    let body = if code < 400 { object } else { &status };
    Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap()
}

/// Works until `stop`.
fn lead(elector: Elector, stop: oneshot::Receiver<()>) -> impl Future<Output = Result<(), ()>> {
    let stop = stop.map(drop).shared();
    let until = stop.clone();
    run(elector, ready(()), move || until.clone().map(Ok), stop)
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_released_whatever_became_of_the_last_renewal() {
    let server = Server::default();
    let (elector, leadership) = server.elector();
    let (stop, stopped) = oneshot::channel();
    let leading = tokio::spawn(lead(elector, stopped));
    sleep(Duration::from_secs(1)).await;
    assert!(leadership.until().is_some());
    server.unanswered.store(1, Ordering::SeqCst);
    let written = server.versions.load(Ordering::SeqCst);
    while server.versions.load(Ordering::SeqCst) == written {
        sleep(Duration::from_millis(10)).await;
    }
    stop.send(()).unwrap();
    leading.await.unwrap().unwrap();
    assert_eq!((server.holder(), leadership.until()), (json!(""), None));
}

/// Also of a replica that was about to lead.
#[tokio::test(start_paused = true)]
async fn the_lease_is_released_whatever_became_of_its_acquisition() {
    let server = Server::default();
    server.unanswered.store(1, Ordering::SeqCst);
    let (elector, leadership) = server.elector();
    let (stop, stopped) = oneshot::channel();
    let leading = tokio::spawn(lead(elector, stopped));
    sleep(Duration::from_secs(1)).await;
    assert!(leadership.until().is_none() && server.holder() != json!(""), "{}", server.holder());
    stop.send(()).unwrap();
    leading.await.unwrap().unwrap();
    assert_eq!(server.holder(), json!(""));
}

#[tokio::test(start_paused = true)]
async fn without_watches_a_standby_polls_and_follows_a_release_or_an_expired_lease() {
    let server = Server::default();
    let ((first, leads_first), (second, leads_second), (third, leads_third)) =
        (server.elector(), server.elector(), server.elector());
    let [(stop, stopped), (_never, never), (_nor, nor)] = [(); 3].map(|()| oneshot::channel());
    let first = tokio::spawn(lead(first, stopped));
    sleep(Duration::from_secs(1)).await;
    let second = tokio::spawn(lead(second, never));
    sleep(Duration::from_mins(1)).await;
    assert!(leads_first.until().is_some() && leads_second.until().is_none());
    stop.send(()).unwrap();
    first.await.unwrap().unwrap();
    sleep(Duration::from_millis(2100)).await;
    assert!(leads_second.until().is_some(), "{}", server.holder());

    let third = tokio::spawn(lead(third, nor));
    sleep(Duration::from_secs(30)).await;
    second.abort();
    let died = Instant::now();
    while leads_third.until().is_none() {
        sleep(Duration::from_millis(100)).await;
    }
    // The Lease lasts 15 s from a renewal that was up to 2 s ago, and is seen up to 2 s later.
    let took = died.elapsed().as_secs_f64();
    assert!((13.0..=17.0).contains(&took), "{took}");
    third.abort();
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_gets_no_answer_ends_no_term() {
    let server = Server::default();
    server.watches_hang.store(true, Ordering::SeqCst);
    let (elector, leadership) = server.elector();
    let (_stop, stopped) = oneshot::channel();
    let leading = tokio::spawn(lead(elector, stopped));
    sleep(Duration::from_secs(1)).await;
    for second in 0..60 {
        sleep(Duration::from_secs(1)).await;
        let left = leadership.until().map(|until| until.saturating_duration_since(Instant::now()));
        assert!(left.is_some_and(|left| left > Duration::from_secs(6)), "{left:?} in second {second}");
    }
    leading.abort();
}

/// No namespace, no right to write: it is tried again, but not at once.
#[tokio::test(start_paused = true)]
async fn who_may_not_write_the_lease_does_not_hammer_it() {
    for code in [403, 404, 500] {
        let server = Server::default();
        server.refuses.store(code, Ordering::SeqCst);
        let (elector, leadership) = server.elector();
        let (_stop, stopped) = oneshot::channel();
        let leading = tokio::spawn(lead(elector, stopped));
        sleep(Duration::from_mins(1)).await;
        let requests = server.requests.load(Ordering::SeqCst);
        // A read and a write every two seconds.
        assert!(leadership.until().is_none() && requests <= 62, "{code}: {requests}");
        server.refuses.store(0, Ordering::SeqCst);
        sleep(Duration::from_secs(3)).await;
        assert!(leadership.until().is_some(), "{code}");
        leading.abort();
    }
}

/// Who may not renew any longer does not lead, nor does who is named in a Lease that has expired.
#[tokio::test(start_paused = true)]
async fn an_expired_lease_has_no_leader_whoever_it_names() {
    let server = Server::default();
    let ((first, leads), (second, stands_by)) = (server.elector(), server.elector());
    let [(_stop, stopped), (_never, never)] = [(); 2].map(|()| oneshot::channel());
    let tasks = [tokio::spawn(lead(first, stopped)), tokio::spawn(lead(second, never))];
    sleep(Duration::from_secs(5)).await;
    let now = Instant::now();
    assert!(leads.state().is_leader(now) && leads.state().trouble.is_none());
    assert_eq!((stands_by.state().is_leader(now), stands_by.state().expired_for(now)), (false, None));
    server.refuses.store(403, Ordering::SeqCst);
    sleep(Duration::from_secs(40)).await;
    let now = Instant::now();
    for leadership in [leads.state(), stands_by.state()] {
        assert!(!leadership.is_leader(now) && leadership.holder.is_some(), "{leadership:?}");
        assert!(leadership.expired_for(now).is_some_and(|ago| ago > Duration::from_secs(20)), "{leadership:?}");
        assert!(leadership.trouble.unwrap().starts_with("the Lease cannot be acquired: "));
    }
    server.refuses.store(0, Ordering::SeqCst);
    sleep(Duration::from_secs(5)).await;
    let now = Instant::now();
    let leaders = [&leads, &stands_by].map(|leadership| leadership.state().is_leader(now));
    assert!(leaders[0] != leaders[1] && leads.state().trouble.is_none(), "{leaders:?}");
    assert_eq!(stands_by.state().expired_for(now), None);
    for task in tasks {
        task.abort();
    }
}

/// Whoever writes the Lease all the time: neither a leader nor a standby answers each write with one of its own.
#[tokio::test(start_paused = true)]
async fn nobody_hammers_a_lease_that_somebody_else_keeps_writing() {
    let server = Server::default();
    let (elector, leadership) = server.elector();
    let (_stop, stopped) = oneshot::channel();
    let leading = tokio::spawn(lead(elector, stopped));
    sleep(Duration::from_secs(1)).await;
    let others = server.clone();
    let writer = tokio::spawn(async move {
        loop {
            sleep(Duration::from_millis(1)).await;
            let version = others.versions.fetch_add(1, Ordering::SeqCst);
            others.lease.lock().unwrap().as_mut().unwrap()["metadata"]["resourceVersion"] = json!(version.to_string());
        }
    });
    let before = server.requests.load(Ordering::SeqCst);
    timeout(Duration::from_mins(1), pending::<()>()).await.unwrap_err();
    let requests = server.requests.load(Ordering::SeqCst) - before;
    assert!(leadership.until().is_some(), "it is still the leader");
    // A renewal every two seconds: one that conflicts, a read, one that does not, and an attempt to start a watch.
    assert!(requests <= 30 * 4 + 10, "{requests}");
    writer.abort();
    leading.abort();
}
