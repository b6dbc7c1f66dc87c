//! G2: hostile headers, through admission and, where it refuses them, past it.

use std::collections::{BTreeMap, BTreeSet};

use cluster::report;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::expectation::{Value, differences, text};
use crate::planted::{Outcome, Planter};
use crate::site::{KINDS, Site, kind_with_headers, path_of};
use crate::visitor::{Answer, Request};

/// At least so many are tried.
const FEWEST: usize = 60;
/// Of those that admission refuses at least so many are harmful in each of two ways, or the test would not notice any.
const FEWEST_HURT: usize = 10;
const BODY: &str = "fifteen letters";
/// What the visitor sends; none of it may arrive as part of another header.
pub const SENT: [(&str, &str); 3] =
    [("Authorization", "Bearer of-the-visitor"), ("Cookie", "session=of-the-visitor"), ("kubeflow-userid", "visitor")];

/// Headers of a kind, as the file has them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    add: BTreeMap<String, String>,
    #[serde(default)]
    remove: Vec<String>,
    arrives: Option<BTreeMap<String, Option<String>>>,
    planted: Option<Json>,
}

impl Case {
    fn headers(&self) -> Json {
        json!({"set": self.set, "add": self.add, "remove": self.remove})
    }

    /// What to write into a VirtualService; nothing where only a template knows.
    fn to_plant(&self) -> Option<Json> {
        let is_template = |value: &String| value.contains("{{");
        let own = || (!self.set.values().chain(self.add.values()).any(is_template)).then(|| self.headers());
        self.planted.clone().or_else(own)
    }
}

/// A request whose body and headers show what has become of them.
pub fn probe(path: &str) -> Request {
    Request::post(path, BODY).headers(SENT)
}

/// What is expected of a [`probe`] on a route that changes these headers.
fn expected(arrives: &BTreeMap<String, Option<String>>) -> BTreeMap<String, Vec<Value>> {
    let sent = probe("/");
    let mut expected: BTreeMap<String, Vec<Value>> =
        sent.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), vec![text(value)])).collect();
    expected.insert("host".to_owned(), vec![text(&sent.host)]);
    expected.insert("content-length".to_owned(), vec![text(&BODY.len().to_string())]);
    for (name, value) in arrives {
        match value {
            Some(value) => expected.insert(name.clone(), vec![text(value)]),
            None => expected.remove(name),
        };
    }
    expected
}

/// How an answer to a [`probe`] differs from what those headers promise.
pub fn surprises(answer: &Answer, arrives: &BTreeMap<String, Option<String>>, usual: &BTreeSet<String>) -> Vec<String> {
    match answer.received() {
        Err(why) => vec![why],
        Ok(received) => {
            let changed = arrives.keys().map(String::as_str).collect();
            let mut found = differences(&received, &expected(arrives), &changed, usual, answer.from);
            if received.body != BODY || received.method != "POST" {
                found.push(format!("arrived as {received:?}"));
            }
            found
        }
    }
}

pub fn check(site: &Site) {
    let cases: Vec<Case> = serde_saphyr::from_str(include_str!("hostile.yaml")).unwrap();
    assert!(cases.len() >= FEWEST, "{} cases", cases.len());
    let rejects = site.rejects();
    let _controller = site.controller(&[]);
    let namespace = site.cluster.namespace("hostile").unwrap();
    site.create(KINDS, &kind_with_headers("harmless", &json!({})));
    site.create_workspace(&namespace, "harmless", "harmless");
    let usual = site.usual_headers(&probe(&path_of(&namespace, "harmless")));

    let (mut passed, mut refused, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for (number, case) in cases.iter().enumerate() {
        let name = format!("hostile-{number}");
        let reply = site.cluster.api().create(KINDS, &kind_with_headers(&name, &case.headers())).unwrap();
        match (reply.status, &case.arrives) {
            (201, Some(arrives)) => {
                site.create_workspace(&namespace, &name, &name);
                passed.push((name, case, arrives));
            }
            (422, None) => refused.push(case),
            (status, _) => wrong.push(format!("{}: {status} {}", case.headers(), reply.json()["message"])),
        }
    }
    for (name, case, arrives) in &passed {
        let probe = probe(&path_of(&namespace, name));
        let (_, answer) = site.arrives(&probe);
        let found = surprises(&answer, arrives, &usual);
        if !found.is_empty() {
            wrong.push(format!("{}: {found:#?}", case.headers()));
        }
    }
    let rejects = site.rejects() - rejects;
    let limit =
        format!("{}: hostile headers refused ({}) or taken literally ({})", cases.len(), refused.len(), passed.len());
    report("G2", wrong.is_empty(), cases.len() - wrong.len(), limit);
    report("G2", rejects == 0, rejects, "0: pushes that Envoy rejects for what passed admission");
    assert!(wrong.is_empty() && rejects == 0, "{wrong:#?}\n{}", site.rejections());

    plant(site, &namespace, &refused, &usual);
}

/// What the gateway does with what admission refuses: it must be seen to do harm, or the rest proves nothing.
fn plant(site: &Site, namespace: &str, refused: &[&Case], usual: &BTreeSet<String>) {
    let mut planter = Planter::new(site, namespace, "harmless", usual);
    let mut outcomes: BTreeMap<Outcome, usize> = BTreeMap::new();
    for case in refused {
        let Some(headers) = case.to_plant() else { continue };
        let (outcome, seen) = planter.plant(&headers);
        println!("past admission: {headers}: {outcome:?} {seen}");
        *outcomes.entry(outcome).or_default() += 1;
    }
    let count = |outcome: &Outcome| outcomes.get(outcome).copied().unwrap_or_default();
    let [rejected, astray] = [Outcome::Rejected, Outcome::Astray].map(|outcome| count(&outcome));
    let pass = rejected >= FEWEST_HURT && astray >= FEWEST_HURT;
    let limit =
        format!("{FEWEST_HURT} each: past admission rejected by Envoy, for all routes, and not delivered as written");
    report("G2", pass, format!("{rejected} and {astray}"), limit);
    assert!(pass, "{outcomes:?}");
}
