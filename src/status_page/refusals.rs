//! The last refusal of admission by each rule: which object, which field, when. Never a value.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use webhook::rule::Rule;
use webhook::{Observer, RefusedReview};

use crate::metrics::Metrics;

/// How many fields of one refusal are kept, and how long their paths may be, in bytes.
const FIELDS: usize = 3;
const FIELD_MAX: usize = 200;

/// Why an object was refused.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum RefusedBy {
    /// A rule.
    Rule(Rule),
    /// No rule: the HTTP code says why there is no verdict.
    Code(u16),
}

/// The last refusal by a rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LastRefusal {
    /// The rule.
    pub by: RefusedBy,
    /// How many objects it has refused since the process started.
    pub count: u64,
    /// The kind of the last object.
    pub kind: &'static str,
    /// Its namespace; empty for WorkspaceKinds.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The operation.
    pub operation: String,
    /// The paths of the first fields.
    pub fields: Vec<String>,
    /// How many further fields the rule found a fault in.
    pub more_fields: usize,
    /// When.
    pub at: Timestamp,
}

/// The last refusals. There are not more of them than rules.
#[derive(Debug, Default)]
pub struct LastRefusals(Mutex<BTreeMap<RefusedBy, LastRefusal>>);

impl LastRefusals {
    /// Remembers a refusal under each of its rules.
    pub fn remember(&self, review: &RefusedReview<'_>, now: Timestamp) {
        let mut fields: BTreeMap<RefusedBy, Vec<&str>> = BTreeMap::new();
        for (rule, field) in &review.faults {
            fields.entry(RefusedBy::Rule(*rule)).or_default().push(field);
        }
        if fields.is_empty() {
            fields.insert(RefusedBy::Code(review.code), Vec::new());
        }
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (by, fields) in fields {
            let count = held.get(&by).map_or(0, |last| last.count) + 1;
            let last = LastRefusal {
                by,
                count,
                kind: review.kind.kind(),
                namespace: cut(review.namespace),
                name: cut(review.name),
                operation: cut(review.operation),
                fields: fields.iter().take(FIELDS).map(|field| cut(field)).collect(),
                more_fields: fields.len().saturating_sub(FIELDS),
                at: now,
            };
            held.insert(by, last);
        }
    }

    /// The last refusal by each rule, the newest first.
    pub fn all(&self) -> Vec<LastRefusal> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<LastRefusal> = held.values().cloned().collect();
        all.sort_by_key(|last| std::cmp::Reverse(last.at));
        all
    }
}

fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(FIELD_MAX);
    if end == text.len() { text.to_owned() } else { format!("{}…", &text[..end]) }
}

/// Observes admission for the metrics and for the status page.
#[derive(Debug)]
pub struct AdmissionObserver {
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The last refusals.
    pub refusals: Arc<LastRefusals>,
}

impl Observer for AdmissionObserver {
    fn started(&self, path: &'static str) {
        self.metrics.started(path);
    }

    fn finished(&self, path: &'static str, code: u16, duration: Duration) {
        self.metrics.finished(path, code, duration);
    }

    fn refused(&self, review: &RefusedReview<'_>) {
        self.refusals.remember(review, Timestamp::now());
    }
}

#[cfg(test)]
mod tests {
    use webhook::ReviewedKind;

    use super::*;

    fn review<'a>(name: &'a str, code: u16, faults: Vec<(Rule, &'a str)>) -> RefusedReview<'a> {
        RefusedReview { kind: ReviewedKind::WorkspaceKind, operation: "CREATE", namespace: "", name, code, faults }
    }

    fn summary(last: &LastRefusals) -> Vec<(RefusedBy, u64, String, Vec<String>, usize)> {
        let all = last.all().into_iter();
        all.map(|last| (last.by, last.count, last.name, last.fields, last.more_fields)).collect()
    }

    #[test]
    fn of_each_rule_the_last_refusal_is_kept_the_newest_first() {
        let last = LastRefusals::default();
        let at = |second| Timestamp::from_second(second).unwrap_or_default();
        let (header, port) = (Rule::RequestHeader, Rule::PortDuplicate);
        last.remember(&review("a", 422, vec![(port, "spec.a"), (header, "spec.b")]), at(1));
        last.remember(&review("b", 422, vec![(header, "1"), (header, "2"), (header, "3"), (header, "4")]), at(2));
        last.remember(&review("c", 503, Vec::new()), at(3));
        let fields = |fields: &[&str]| fields.iter().map(ToString::to_string).collect();
        let expected: Vec<(RefusedBy, u64, String, Vec<String>, usize)> = vec![
            (RefusedBy::Code(503), 1, "c".to_owned(), Vec::new(), 0),
            (RefusedBy::Rule(header), 2, "b".to_owned(), fields(&["1", "2", "3"]), 1),
            (RefusedBy::Rule(port), 1, "a".to_owned(), fields(&["spec.a"]), 0),
        ];
        assert_eq!(summary(&last), expected);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let last = LastRefusals::default();
        let field = "ä".repeat(100_000);
        let name = "n".repeat(100_000);
        for rule in Rule::ALL {
            last.remember(&review(&name, 422, vec![(*rule, &field); 50]), Timestamp::UNIX_EPOCH);
        }
        let all = last.all();
        assert_eq!(all.len(), Rule::ALL.len());
        let bytes = all.iter().flat_map(|last| last.fields.iter().chain([&last.name])).map(String::len).max();
        assert_eq!(bytes, Some(FIELD_MAX + "…".len()));
    }
}
