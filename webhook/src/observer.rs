//! What is observed of requests, for metrics and for the status page.

use std::time::Duration;

use crate::request::ReviewedKind;
use crate::rule::Rule;

/// Observes every request.
pub trait Observer: Send + Sync + 'static {
    /// A request for the webhook at this path has arrived.
    fn started(&self, path: &'static str) {
        let _ = path;
    }

    /// It has been answered with this HTTP code, or dropped by the client (code 499).
    fn finished(&self, path: &'static str, code: u16, duration: Duration);

    /// The object of a review was refused.
    fn refused(&self, review: &RefusedReview<'_>) {
        let _ = review;
    }
}

/// A review whose object was refused, without any value of it.
#[derive(Clone, Debug)]
pub struct RefusedReview<'a> {
    /// What was reviewed.
    pub kind: ReviewedKind,
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub operation: &'a str,
    /// The namespace of the object; empty for WorkspaceKinds.
    pub namespace: &'a str,
    /// The name of the object.
    pub name: &'a str,
    /// The code of the answer: 422, 409, or one that says that no rule refused it.
    pub code: u16,
    /// The rule and the path of the field of each fault, in the order of the rules; at most fifty.
    pub faults: Vec<(Rule, &'a str)>,
}

impl<F: Fn(&'static str, u16, Duration) + Send + Sync + 'static> Observer for F {
    fn finished(&self, path: &'static str, code: u16, duration: Duration) {
        self(path, code, duration);
    }
}
