//! Fake Jupyter servers on the addresses of pods, and kinds whose Workspaces are probed every second.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use cluster::Reply;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::world::{WorkspaceHandle, World};

pub const LONG_AGO: &str = "2026-01-01T00:00:00.000000Z";

/// What a server does with a request.
#[derive(Clone)]
pub enum Answer {
    /// It answers with this status code and this JSON.
    Json(u16, Value),
    /// It sends these bytes, and closes the connection.
    Bytes(Vec<u8>),
    /// It sends the first part, and then the second one for ever.
    Endless(&'static str, &'static str),
    /// It keeps the connection, and sends nothing.
    Silence,
    /// It closes the connection without having read the request, which resets it, as the proxy of a mesh does that demands TLS.
    Reset,
}

/// A Jupyter server. Its own activity is long ago, and it has no terminals.
pub struct FakeJupyter {
    answers: Arc<Mutex<BTreeMap<&'static str, Answer>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl FakeJupyter {
    /// Serves at the address of the pod of the Workspace.
    pub fn start(lab: &WorkspaceHandle<'_>, port: u16, kernels: Answer) -> Self {
        Self::start_with(lab, port, [("api/kernels", kernels)])
    }

    /// The same with these answers below its base URL.
    pub fn start_with<const N: usize>(
        lab: &WorkspaceHandle<'_>,
        port: u16,
        answers: [(&'static str, Answer); N],
    ) -> Self {
        Self::start_at(pod_address(lab), port, answers)
    }

    pub fn start_at<const N: usize>(ip: IpAddr, port: u16, answers: [(&'static str, Answer); N]) -> Self {
        assert!(ip.is_loopback(), "{ip}");
        let listener = TcpListener::bind((ip, port)).unwrap();
        let status = Answer::Json(200, json!({"last_activity": LONG_AGO, "kernels": 1}));
        let mut known = BTreeMap::from([("api/status", status), ("api/kernels", kernel("idle"))]);
        known.extend(answers);
        let server = Self { answers: Arc::new(Mutex::new(known)), requests: Arc::default() };
        let (answers, requests) = (server.answers.clone(), server.requests.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (answers, requests) = (answers.clone(), requests.clone());
                thread::spawn(move || serve(stream.unwrap(), &answers, &requests));
            }
        });
        server
    }

    pub fn set_kernels(&self, kernels: Answer) {
        self.answers.lock().unwrap().insert("api/kernels", kernels);
    }

    /// The paths that were requested.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A client that has gone is none of the test's business.
fn serve(mut stream: TcpStream, answers: &Mutex<BTreeMap<&'static str, Answer>>, requests: &Mutex<Vec<String>>) {
    let resets = answers.lock().unwrap().values().any(|answer| matches!(answer, Answer::Reset));
    if resets {
        // Until there is something to be left unread.
        drop(stream.peek(&mut [0]));
        return;
    }
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(first)) = lines.next() else { return };
    let path = first.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    // The head ends with an empty line, and there is no body.
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let known = answers.lock().unwrap().iter().find(|(end, _)| path.ends_with(*end)).map(|(_, answer)| answer.clone());
    requests.lock().unwrap().push(path);
    match known.unwrap_or(Answer::Json(404, json!({}))) {
        Answer::Json(code, body) => {
            let body = body.to_string();
            let length = body.len();
            drop(write!(stream, "HTTP/1.1 {code} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"));
        }
        Answer::Bytes(bytes) => drop(stream.write_all(&bytes)),
        Answer::Endless(start, part) => {
            let mut sent = stream.write_all(start.as_bytes());
            while sent.is_ok() {
                thread::sleep(Duration::from_millis(50));
                sent = stream.write_all(part.as_bytes());
            }
        }
        Answer::Silence => drop(lines.next()),
        Answer::Reset => {}
    }
}

pub fn pod_address(lab: &WorkspaceHandle<'_>) -> IpAddr {
    lab.world.get(&lab.pod_path())["status"]["podIP"].as_str().unwrap().parse().unwrap()
}

pub fn kernel(state: &str) -> Answer {
    Answer::Json(200, json!([{"execution_state": state, "last_activity": LONG_AGO}]))
}

/// A port that nothing listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Creates a kind whose Jupyter server is probed every second, with these rules.
pub fn create_kind(world: &World, port: u16, rules: Value) {
    create_kind_with(world, rules, |template| {
        template["options"]["imageConfig"]["values"][0]["spec"]["ports"][0]["port"] = json!(port);
        template["activityProbe"] =
            probe_every_second("jupyter", &json!({"lastActivity": true, "portId": "jupyterlab"}));
    });
}

pub fn create_kind_with(world: &World, rules: Value, change: impl FnOnce(&mut Value)) {
    let mut kind = serde_json::to_value(crds::testing::workspace_kind(&world.kind)).unwrap();
    kind["spec"]["activityRules"] = rules;
    change(&mut kind["spec"]["podTemplate"]);
    world.cluster.api().create("/apis/kubeflow.org/v1beta1/workspacekinds", &kind).and_then(Reply::ok).unwrap();
}

pub fn probe_every_second(kind: &str, probe: &Value) -> Value {
    json!({"probeIntervalSeconds": 1, "minProbeIntervalSeconds": 1, kind: probe})
}

pub fn pause_after_16s() -> Value {
    json!([{"config": {"secondsSinceActive": 16}, "effect": {"pauseWorkspace": true}}])
}

pub fn milliseconds(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

/// Waits until the last probe has that result.
pub fn wait_probed(lab: &WorkspaceHandle<'_>, result: &str) -> Value {
    lab.wait_status(&format!("probed: {result}"), |status| status["activity"]["lastProbe"]["result"] == result)
}

/// Waits until a probe that starts from now on has ended.
pub fn wait_probed_again(lab: &WorkspaceHandle<'_>) -> Value {
    wait_probed_after(lab, Timestamp::now().as_millisecond())
}

/// Waits until a probe that started after that time, in milliseconds since 1970, has ended.
pub fn wait_probed_after(lab: &WorkspaceHandle<'_>, time: i64) -> Value {
    lab.wait_status("probed again", |status| milliseconds(&status["activity"]["lastProbe"]["startTime"]) > time)
}
