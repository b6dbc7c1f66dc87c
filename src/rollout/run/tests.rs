#![allow(clippy::unwrap_used, clippy::panic)]

//! Orders of events that no control plane brings about on request: lost answers, changes between a read and a write, hours. The API
//! server is a map of Workspaces here, with resourceVersions; time is tokio's.

mod probes;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use http::{Method, Request, Response};
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::fmt::rfc2822::DateTimePrinter;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;

/// What becomes of a write before and after it is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Done,
    /// It is done, but the answer does not come.
    AnswerLost,
    /// Just before, its user pauses the Workspace.
    Overtaken,
    /// Nothing comes of it, and no answer.
    Lost,
}

/// What the last probe of a Workspace found, in seconds since the start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Probed {
    ended: i64,
    last_active: i64,
    is_success: bool,
}

/// What the last probe of this Workspace has found at that second.
type Probes = Box<dyn Fn(&str, i64) -> Probed + Send>;

struct Server {
    start: Instant,
    workspaces: BTreeMap<String, Value>,
    /// Them as they are sent.
    texts: BTreeMap<String, String>,
    version: u64,
    /// The second of each write that was tried, and the name.
    tried: Vec<(i64, String)>,
    /// How often each Workspace was restarted.
    restarts: BTreeMap<String, usize>,
    fates: Vec<Fate>,
    /// Whether those that are restarted come back.
    is_image_good: bool,
    probes: Option<Probes>,
    /// The last probe that is in the status.
    probed: BTreeMap<String, Probed>,
    /// How often they were listed.
    lists: usize,
}

impl Server {
    fn new(start: Instant, fates: &[Fate], is_image_good: bool) -> Self {
        Self {
            start,
            workspaces: BTreeMap::new(),
            texts: BTreeMap::new(),
            version: 0,
            tried: Vec::new(),
            restarts: BTreeMap::new(),
            fates: fates.iter().rev().copied().collect(),
            is_image_good,
            probes: None,
            probed: BTreeMap::new(),
            lists: 0,
        }
    }

    fn seconds(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_secs()).unwrap()
    }

    /// As the controller does, at the end of each probe.
    fn probe(&mut self, name: &str) {
        let Some(probes) = &self.probes else { return };
        let found = probes(name, self.seconds());
        let Probed { ended, last_active, is_success } = found;
        if self.restarts.contains_key(name) || self.probed.insert(name.to_owned(), found) == Some(found) {
            return;
        }
        let millis = |seconds: i64| at(seconds).as_millisecond();
        let result = if is_success { "Success" } else { "Failure" };
        let probe = json!({"startTime": millis(ended), "endTime": millis(ended), "result": result, "message": ""});
        self.changed(name, |workspace| {
            let activity = &mut workspace["status"]["activity"];
            activity["lastProbe"] = probe;
            if is_success {
                activity["lastActivity"] = json!(millis(last_active));
                activity["lastUpdate"] = json!(millis(ended));
            }
        });
    }

    fn changed(&mut self, name: &str, change: impl FnOnce(&mut Value)) {
        self.version += 1;
        let workspace = self.workspaces.get_mut(name).unwrap();
        change(workspace);
        workspace["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.texts.insert(name.to_owned(), workspace.to_string());
    }

    /// Its pod is replaced at once, as the controller does.
    fn restart(&mut self, name: &str, body: &Value) {
        let is_good = self.is_image_good;
        let at = body["metadata"]["annotations"]["notebooks.kubeflow.org/restart-at"].clone();
        assert_eq!(at, self::at(self.seconds()).to_string());
        *self.restarts.entry(name.to_owned()).or_default() += 1;
        self.changed(name, |workspace| {
            workspace["metadata"]["annotations"] = json!({"notebooks.kubeflow.org/restart-at": at});
            workspace["status"]["pendingRestart"] = json!(false);
            workspace["status"]["lastRunningTime"] = json!(2);
            workspace["status"]["conditions"] = json!([]);
            if !is_good {
                workspace["status"]["state"] = json!("Error");
                workspace["status"]["stateMessage"] = json!("ImagePullBackOff");
            }
        });
    }

    fn patch(&mut self, name: &str, body: &Value) -> (u16, String) {
        let metadata = &self.workspaces[name]["metadata"];
        if body["metadata"]["resourceVersion"] != metadata["resourceVersion"]
            || body["metadata"]["uid"] != metadata["uid"]
        {
            let message = "the object has been modified";
            let conflict = json!({"kind": "Status", "code": 409, "reason": "Conflict", "message": message});
            return (409, conflict.to_string());
        }
        self.restart(name, body);
        (200, self.texts[name].clone())
    }
}

/// The API server, which answers in no time.
struct Fixture {
    server: Arc<Mutex<Server>>,
    client: Client,
    start: Instant,
}

impl Fixture {
    fn new(names: &[String], fates: &[Fate], is_image_good: bool) -> Self {
        let start = Instant::now();
        let server = Arc::new(Mutex::new(Server::new(start, fates, is_image_good)));
        for name in names {
            let mut server = server.lock().unwrap();
            server.workspaces.insert(name.clone(), workspace(name));
            server.changed(name, |_| {});
        }
        let shared = Arc::clone(&server);
        let client = Client::new(service_fn(move |request| answer(Arc::clone(&shared), request)), "default");
        Self { server, client, start }
    }

    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap()
    }

    /// Rolls out to all of them.
    async fn roll_out(&self, arguments: &Rollout) -> (Result<(), Stop>, Tally) {
        let (_signals, receiver) = mpsc::channel(1);
        self.roll_out_until(arguments, receiver).await
    }

    /// With Ctrl-C after so many seconds.
    async fn stopped_after(&self, seconds: u64, arguments: &Rollout) -> (Result<(), Stop>, Tally) {
        let (signals, receiver) = mpsc::channel(1);
        let stopping = async {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            signals.send(StopSignal::Interrupt).await.unwrap();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = self.roll_out_until(arguments, receiver) => ended,
            () = stopping => unreachable!(),
        }
    }

    async fn roll_out_until(
        &self,
        arguments: &Rollout,
        signals: mpsc::Receiver<StopSignal>,
    ) -> (Result<(), Stop>, Tally) {
        let idle = arguments.idle_for.map(|at_least| IdleRule { at_least, interval: probes::INTERVAL });
        let mut screen = Screen::new(Box::new(std::io::sink()), true);
        let workspaces = Workspaces { client: &self.client };
        let (listed, now) = (workspaces.list(arguments).await.unwrap(), workspaces.now().await.unwrap());
        let first = plan(listed, &Done::default(), idle, now);
        let mut run = Run::new(arguments, workspaces, idle, signals, &mut screen);
        let ended = run.restart_all(first).await;
        (ended, run.tally)
    }
}

fn workspace(name: &str) -> Value {
    let workspace = crds::testing::workspace("team-a", name, "jupyterlab");
    let mut workspace = serde_json::to_value(&workspace).unwrap();
    workspace["metadata"] = json!({"namespace": "team-a", "name": name, "uid": name, "generation": 1});
    let pending = json!({
        "type": "PendingRestart", "status": "True", "reason": "TemplateChanged", "message": "m",
        "lastTransitionTime": "2026-01-01T10:00:00Z",
    });
    workspace["status"] = json!({
        "observedGeneration": 1, "state": "Running", "stateMessage": "Workspace is running", "pendingRestart": true,
        "lastRunningTime": 1, "conditions": [pending],
    });
    workspace
}

/// That second since the start.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second("2026-01-01T12:00:00Z".parse::<Timestamp>().unwrap().as_second() + seconds).unwrap()
}

async fn answer(
    server: Arc<Mutex<Server>>,
    request: Request<Body>,
) -> Result<Response<Body>, std::convert::Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect_bytes().await.unwrap();
    let path = parts.uri.path().to_owned();
    let name = path.rsplit('/').next().unwrap();
    let (mut is_lost, mut code, mut object) = (false, 200, "{}".to_owned());
    let date = {
        let mut server = server.lock().unwrap();
        match (&parts.method, name) {
            (&Method::GET, "version") => {}
            (&Method::GET, "workspaces") => {
                server.lists += 1;
                for name in server.workspaces.keys().cloned().collect::<Vec<_>>() {
                    server.probe(&name);
                }
                let items: Vec<&str> = server.texts.values().map(String::as_str).collect();
                object = format!(r#"{{"metadata": {{}}, "items": [{}]}}"#, items.join(","));
            }
            (&Method::GET, name) => {
                server.probe(name);
                object = server.texts[name].clone();
            }
            (&Method::PATCH, name) => {
                server.probe(name);
                let second = server.seconds();
                server.tried.push((second, name.to_owned()));
                let fate = server.fates.pop().unwrap_or(Fate::Done);
                if fate == Fate::Overtaken {
                    server.changed(name, |workspace| workspace["spec"]["paused"] = json!(true));
                }
                if fate != Fate::Lost {
                    (code, object) = server.patch(name, &serde_json::from_slice(&body).unwrap());
                }
                is_lost = matches!(fate, Fate::Lost | Fate::AnswerLost);
            }
            other => panic!("{other:?}"),
        }
        DateTimePrinter::new().timestamp_to_rfc9110_string(&at(server.seconds())).unwrap()
    };
    if is_lost {
        std::future::pending::<()>().await;
    }
    let answer = Response::builder().status(code).header("date", date);
    Ok(answer.body(Body::from(object.into_bytes())).unwrap())
}

fn arguments(max: &str) -> Rollout {
    Rollout {
        kind: "jupyterlab".to_owned(),
        kubeconfig: None,
        namespace: None,
        max: max.parse().unwrap(),
        idle_for: None,
        max_unavailable: 5,
        progress_deadline: Duration::from_mins(10),
        dry_run: false,
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("lab-{number:03}")).collect()
}

#[tokio::test(start_paused = true)]
async fn eight_hundred_take_two_hours_and_forty_minutes_at_five_a_minute() {
    let names = names(800);
    let fixture = Fixture::new(&names, &[], true);
    let (ended, tally) = fixture.roll_out(&arguments("5/min")).await;
    assert_eq!((ended, tally.restarted, tally.away.len(), tally.remaining), (Ok(()), 800, 0, 0));
    let server = fixture.server();
    let expected: Vec<_> = names.iter().zip(0..).map(|(name, number)| (number * 12, name.clone())).collect();
    assert_eq!(server.tried, expected);
    assert!(server.restarts.values().all(|times| *times == 1));
}

#[tokio::test(start_paused = true)]
async fn an_image_that_does_not_start_stops_it_after_five() {
    let fixture = Fixture::new(&names(800), &[], false);
    let (ended, tally) = fixture.roll_out(&arguments("5/min")).await;
    assert_eq!((ended, tally.restarted, tally.remaining), (Err(Stop::NotAvailable), 5, 795));
    let away = (Key::new("team-a", "lab-004"), "ImagePullBackOff".to_owned());
    assert_eq!((tally.away.len(), &tally.away[4]), (5, &away));
    // The last restart, and ten minutes.
    let took = fixture.start.elapsed().as_secs();
    assert!((48 + 600..48 + 610).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_is_not_repeated() {
    let fixture = Fixture::new(&names(3), &[Fate::AnswerLost, Fate::Lost], true);
    let (ended, tally) = fixture.roll_out(&arguments("5/min")).await;
    assert_eq!((ended, tally.restarted), (Ok(()), 3));
    let server = fixture.server();
    assert!(server.restarts.values().all(|times| *times == 1), "{:?}", server.restarts);
    let tried: Vec<&str> = server.tried.iter().map(|(_, name)| &**name).collect();
    assert_eq!(tried, ["lab-000", "lab-001", "lab-001", "lab-002"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_between_the_look_and_the_write_is_respected() {
    let fixture = Fixture::new(&names(2), &[Fate::Overtaken], true);
    let (ended, tally) = fixture.roll_out(&arguments("5/min")).await;
    assert_eq!((ended, tally.restarted), (Ok(()), 1));
    assert_eq!(tally.left, LeftBy::from([(Left::Paused, vec![Key::new("team-a", "lab-000")])]));
    let server = fixture.server();
    assert_eq!(server.restarts, BTreeMap::from([("lab-001".to_owned(), 1)]));
    // One that is left costs no time.
    assert_eq!(server.tried, [(0, "lab-000".to_owned()), (0, "lab-001".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_never_answers_stops_it_after_two_minutes() {
    let fixture = Fixture::new(&names(3), &[Fate::Lost; 100], true);
    let (ended, tally) = fixture.roll_out(&arguments("5/min")).await;
    let why = "the API server did not answer in time".to_owned();
    assert_eq!((ended, tally.restarted, tally.remaining), (Err(Stop::Unanswered(why)), 0, 3));
    let took = fixture.start.elapsed().as_secs();
    assert!((120..150).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_signal_stops_it_before_the_next_write() {
    let fixture = Fixture::new(&names(3), &[], true);
    let (ended, tally) = fixture.stopped_after(13, &arguments("5/min")).await;
    assert_eq!((ended, tally.restarted, tally.remaining), (Err(Stop::Signal), 2, 1));
    assert_eq!(fixture.start.elapsed().as_secs(), 13);
}
