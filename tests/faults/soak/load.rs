//! Reviews at an even rate: dry runs of all sorts, and Workspaces that are created, edited, paused and deleted.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cluster::{Api, Reply, Result};
use fastrand::Rng;
use serde_json::{Value, json};

use super::site::{Site, locked};
use super::verdict::{Expected, Failure, Fault, judge};

/// How many requests may be under way.
const CLIENTS: usize = 24;
/// Longer than the API server waits for the webhook; one that has just started may leave a request without an answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How many Workspaces a client has at most.
const OWN: usize = 6;
/// Workspaces that nobody edits.
pub const RESIDENTS: usize = 10;

/// The load so far.
pub struct Load<'a> {
    site: &'a Site,
    seed: u64,
    per_second: u32,
    pub began: Instant,
    next: Mutex<Instant>,
    pub reviews: AtomicUsize,
    pub failures: Mutex<Vec<Failure>>,
    /// How often a user asked for a restart of the pod of a Workspace.
    pub asked_restarts: Mutex<BTreeMap<String, usize>>,
}

/// A Workspace that a client has asked for.
struct Own {
    name: String,
    older: bool,
    paused: bool,
    /// Whether it exists: nobody knows where its create got no answer.
    certain: bool,
}

impl<'a> Load<'a> {
    pub fn new(site: &'a Site, seed: u64) -> Self {
        Self {
            site,
            seed,
            per_second: site.form.reviews_per_second,
            began: Instant::now(),
            next: Mutex::new(Instant::now()),
            reviews: AtomicUsize::new(0),
            failures: Mutex::default(),
            asked_restarts: Mutex::default(),
        }
    }

    /// Sends requests until it is over.
    pub fn run(&self, is_over: &AtomicBool) {
        thread::scope(|scope| {
            for client in 0..CLIENTS {
                scope.spawn(move || self.client(client, is_over));
            }
        });
    }

    fn client(&self, client: usize, is_over: &AtomicBool) {
        let mut rng = Rng::with_seed(self.seed ^ (0xC11E_0000 + client as u64));
        let api = self.site.cluster.api_as(cluster::ADMIN).unwrap().within(TIMEOUT);
        let (mut own, mut created) = (Vec::new(), 0);
        while !is_over.load(Ordering::SeqCst) {
            self.wait_turn();
            // One review in ten is of a Workspace that lives; deletions are none.
            match rng.u8(..100) {
                0..4 if own.len() < OWN => {
                    let name = format!("w{client:02}-{created:05}");
                    created += 1;
                    own.push(self.create(&api, name));
                }
                4..7 if !own.is_empty() => {
                    let index = rng.usize(..own.len());
                    self.edit(&api, &mut own[index], rng.bool());
                }
                7..10 if own.len() > OWN / 2 => {
                    let gone = own.remove(rng.usize(..own.len()));
                    self.delete(&api, &gone);
                }
                number => self.dry_run(&api, number, &mut rng),
            }
        }
    }

    /// At an even rate. Turns that nobody took, because all were waiting, are lost.
    fn wait_turn(&self) {
        let turn = {
            let mut next = locked(&self.next);
            let earliest = Instant::now().checked_sub(Duration::from_millis(200)).unwrap_or(*next);
            *next = (*next).max(earliest) + Duration::from_secs(1) / self.per_second;
            *next
        };
        thread::sleep(turn.saturating_duration_since(Instant::now()));
    }

    fn create(&self, api: &Api, name: String) -> Own {
        let from = Instant::now();
        let answer = api.create(&self.site.workspaces_path(), &workspace(&name));
        let certain = self.record(from, Expected::Admit, &answer);
        Own { name, older: false, paused: false, certain }
    }

    /// Pauses or starts it, or selects another image, which restarts the pod of one that runs.
    fn edit(&self, api: &Api, own: &mut Own, restart: bool) {
        let change = if restart {
            own.older = !own.older;
            *locked(&self.asked_restarts).entry(own.name.clone()).or_default() += 1;
            json!({"spec": {"podTemplate": {"options": {"imageConfig": image(own.older)}}}})
        } else {
            own.paused = !own.paused;
            json!({"spec": {"paused": own.paused}})
        };
        let from = Instant::now();
        let answer = api.merge_patch(&format!("{}/{}", self.site.workspaces_path(), own.name), &change);
        let is_gone = !own.certain && answer.as_ref().is_ok_and(|reply| reply.status == 404);
        if !is_gone {
            own.certain |= self.record(from, Expected::Admit, &answer);
        }
    }

    /// No review: only the API server can fail here.
    fn delete(&self, api: &Api, own: &Own) {
        let from = Instant::now();
        let answer = api.delete(&format!("{}/{}", self.site.workspaces_path(), own.name));
        let text = match answer {
            Ok(reply) if reply.status < 300 || reply.status == 404 => return,
            Ok(reply) => reply.body,
            Err(error) => error.to_string(),
        };
        self.fail(from, Fault::ApiServer, format!("delete: {text}"));
    }

    fn dry_run(&self, api: &Api, number: u8, rng: &mut Rng) {
        let path = self.site.workspaces_path();
        let mut object = workspace(&format!("d-{:x}", rng.u32(..)));
        let from = Instant::now();
        let (expected, answer) = match number {
            0..50 => (Expected::Admit, api.create(&format!("{path}?dryRun=All"), &object)),
            50..75 => {
                object["spec"]["podTemplate"]["options"]["imageConfig"] = json!("no-such-image");
                (Expected::Refuse, api.create(&format!("{path}?dryRun=All"), &object))
            }
            _ => {
                let name = &residents()[rng.usize(..RESIDENTS)];
                let change = json!({"spec": {"podTemplate": {"options": {"imageConfig": image(true)}}}});
                (Expected::Admit, api.merge_patch(&format!("{path}/{name}?dryRun=All"), &change))
            }
        };
        self.record(from, expected, &answer);
    }

    /// Whether it was answered as it should.
    fn record(&self, from: Instant, expected: Expected, answer: &Result<Reply>) -> bool {
        self.reviews.fetch_add(1, Ordering::Relaxed);
        match judge(expected, answer) {
            Ok(()) => true,
            Err((fault, text)) => {
                self.fail(from, fault, text);
                false
            }
        }
    }

    fn fail(&self, from: Instant, fault: Fault, text: String) {
        locked(&self.failures).push(Failure { fault, from, to: Instant::now(), text });
    }
}

/// Creates the Workspaces that nobody edits.
pub fn create_residents(site: &Site) {
    for name in residents() {
        site.cluster.api().create(&site.workspaces_path(), &workspace(&name)).and_then(Reply::ok).unwrap();
    }
}

pub fn residents() -> Vec<String> {
    (0..RESIDENTS).map(|number| format!("resident-{number}")).collect()
}

fn image(older: bool) -> &'static str {
    if older { "jupyter-scipy_v1.9.2" } else { "jupyter-scipy_v1.10.0" }
}

fn workspace(name: &str) -> Value {
    json!({
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": name},
        "spec": {
            "kind": "jupyterlab",
            "podTemplate": {
                "options": {"imageConfig": image(false), "podConfig": "small"},
                "volumes": {},
            },
        },
    })
}
