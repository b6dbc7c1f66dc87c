//! Our verdict on what becomes the pod is that of the API server, for kinds with odd values in those fields.

pub mod kinds;
mod origin;
pub mod tables;
mod verdicts;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use kinds::{Generated, Kinds};
use tables::Tables;
use verdicts::{Comparison, Examiner, is_about_pods};
use webhook::rule::Rule;

use crate::report;
use crate::stage::cluster;

/// How many kinds are generated, besides one for each odd value; some of them cannot be stored.
const KINDS: usize = 5_500;
/// How many of them are compared at least.
const COMPARED: usize = 5_000;
const CLIENTS: usize = 8;
/// How many kinds with an odd value each rule has to refuse, and how many of them it has to accept.
const EXERCISED: usize = 10;

/// What both sides said to all kinds.
#[derive(Default)]
struct Tally {
    /// How many kinds were compared.
    compared: usize,
    /// How many could not be stored.
    not_storable: usize,
    /// How many another rule refused.
    refused_by_others: usize,
    /// How many of those compared the API server refused.
    refused: usize,
    /// For each rule how many kinds with odd values of its blocks were refused, and how many accepted.
    exercised: BTreeMap<String, (usize, usize)>,
    /// The differences.
    differences: Vec<String>,
}

impl Tally {
    fn add(&mut self, kind: &Generated, comparison: Comparison) {
        let (refused, difference) = match comparison {
            Comparison::NotStorable => return self.not_storable += 1,
            Comparison::RefusedByOthers => return self.refused_by_others += 1,
            Comparison::Compared { refused, difference } => (refused, difference),
        };
        self.compared += 1;
        self.refused += usize::from(refused);
        for rule in &kind.rules {
            let (refusals, acceptances) = self.exercised.entry(rule.clone()).or_default();
            *(if refused { refusals } else { acceptances }) += 1;
        }
        self.differences.extend(difference);
    }
}

fn compare(kinds: &[Generated]) -> Tally {
    let namespace = cluster().namespace("pod-rules").unwrap();
    let (examiner, tally) = (Examiner::new(namespace), Mutex::new(Tally::default()));
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (examiner, tally) = (&examiner, &tally);
            scope.spawn(move || {
                for kind in kinds.iter().skip(client).step_by(CLIENTS) {
                    let comparison = examiner.compare(kind);
                    tally.lock().unwrap().add(kind, comparison);
                }
            });
        }
    });
    tally.into_inner().unwrap()
}

fn check(id: &str, kinds: &[Generated]) -> Tally {
    let tally = compare(kinds);
    let Tally { compared, not_storable, refused_by_others, refused, differences, .. } = &tally;
    let agreed = compared - differences.len();
    let figure = format!(
        "{agreed}/{compared}, {refused} refused; {not_storable} not storable, {refused_by_others} refused by other rules"
    );
    report(id, differences.is_empty(), figure, kinds.len());
    assert!(differences.is_empty(), "{}", differences.iter().take(20).cloned().collect::<Vec<_>>().join("\n\n"));
    tally
}

#[test]
fn every_odd_value_gets_the_verdict_of_the_api_server() {
    let tables = Tables::read();
    let tally = check("pod-rules-values", &Kinds::new(&tables, 41).of_each_odd_value());
    for rule in Rule::ALL.iter().filter(|rule| is_about_pods(**rule)) {
        let (refused, accepted) = tally.exercised[rule.code()];
        let enough = refused >= EXERCISED && accepted >= EXERCISED;
        assert!(enough, "{} refused {refused} and accepted {accepted} kinds with odd values", rule.code());
    }
}

#[test]
fn generated_kinds_get_the_verdict_of_the_api_server() {
    let tables = Tables::read();
    let kinds: Vec<Generated> = Kinds::new(&tables, 42).take(KINDS).collect();
    let tally = check("pod-rules", &kinds);
    let ordinary = kinds.iter().filter(|kind| kind.rules.is_empty()).count();
    assert!(ordinary.abs_diff(KINDS / 2) < KINDS / 20, "half of the kinds are ordinary: {ordinary}");
    assert!(tally.compared >= COMPARED, "most kinds can be stored: {}", tally.compared);
    assert!(tally.refused > KINDS / 5, "both sides refuse many: {}", tally.refused);
}
