//! What needs attention: the head of the page.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::facts::{CertificateFacts, LeadershipFacts, StatusFacts};
use super::kinds::KindsView;
use super::refusals::RefusedBy;
use super::text::{LONG, distance, shown, written};
use super::workspaces::WorkspacesView;

/// How many of the last minutes count for errors.
const RECENT_MINUTES: usize = 10;
/// How long a refusal without a verdict is news.
const RECENT: SignedDuration = SignedDuration::from_hours(1);
/// A certificate with less than a part of its validity left was to be renewed: cert-manager does it when a third is left.
const RENEWED_BEFORE: i64 = 5;

/// Something that needs attention.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Problem {
    /// `error`: something does not work; `warning`: something will not, or works late.
    pub severity: &'static str,
    /// What it is about.
    pub subject: String,
    /// What is wrong.
    pub text: String,
    /// Since when, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// What to do.
    pub advice: String,
}

fn problem(severity: &'static str, subject: &str, text: &str, since: Option<Timestamp>, advice: &str) -> Problem {
    let (subject, text, advice) = (subject.to_owned(), shown(text, LONG), advice.to_owned());
    Problem { severity, subject, text, since: since.map(written), advice }
}

/// What needs attention, errors first.
pub(super) fn problems(facts: &StatusFacts, workspaces: &WorkspacesView, kinds: &KindsView) -> Vec<Problem> {
    let mut found = Vec::new();
    for (check, result) in &facts.readiness {
        if let Err(reason) = result {
            let advice = "The pod is not ready: the API server does not call its webhook until this is resolved.";
            found.push(problem("error", &format!("readiness: {check}"), reason, None, advice));
        }
    }
    let vacant = |leadership: &&LeadershipFacts| leadership.holder.is_empty() && leadership.since.is_some();
    found.extend(facts.leadership.iter().filter(vacant).map(|leadership| {
        let text = format!("nobody holds the Lease {}: nothing is reconciled", leadership.lease);
        let advice = "Where that lasts for more than 20 s, read the log of each replica.";
        problem("error", "leader", &text, leadership.since, advice)
    }));
    let troubled = facts.leadership.iter().filter_map(|leadership| leadership.trouble.as_ref());
    found.extend(troubled.map(|trouble| {
        let advice = "This replica cannot lead, or not for long. Check the Role for Leases in its namespace, the API server and the network.";
        problem("error", "leader", trouble, None, advice)
    }));
    found.extend(facts.certificate.iter().flat_map(|certificate| of_certificate(certificate, facts.now)));
    for cache in &facts.caches {
        if let Some((since, error)) = &cache.failing {
            // What may be absent is no problem, if nothing misses it; readiness reports what may not.
            let is_absent = cache.progress == "not installed" || cache.progress == "not allowed";
            let is_expected = is_absent && !cache.is_missed;
            let advice = "What is known of them gets old. Check the API server, the network and the ClusterRole.";
            if !is_expected {
                found.push(problem("warning", &format!("cache: {}", cache.resource), error, Some(*since), advice));
            }
        }
    }
    found.extend(of_kinds(kinds));
    found.extend(of_workspaces(workspaces));
    found.extend(of_work(facts));
    found.sort_by_key(|problem| problem.severity != "error");
    found
}

fn of_certificate(certificate: &CertificateFacts, now: Timestamp) -> Vec<Problem> {
    let mut found = Vec::new();
    if let (Some(error), Some(_)) = (&certificate.error, &certificate.served) {
        let text = format!("the new certificate cannot be served, the one before stays: {error}");
        let advice = "Put the right pair into the Secret; it is read again within seconds.";
        found.push(problem("warning", "certificate", &text, None, advice));
    }
    if let Some(served) = &certificate.served {
        let (validity, left) =
            (served.not_after.duration_since(served.not_before), served.not_after.duration_since(now));
        // What has expired is not ready, which says so.
        if !left.is_negative() && left.as_secs() < validity.as_secs() / RENEWED_BEFORE {
            let text = format!("it expires in {} and has not been renewed", distance(served.not_after, now));
            let advice = "See who issues it: with cert-manager, `kubectl describe certificate` in the namespace of the controller.";
            found.push(problem("warning", "certificate", &text, None, advice));
        }
    }
    found
}

fn of_kinds(kinds: &KindsView) -> Option<Problem> {
    let broken: Vec<&str> =
        kinds.rows.iter().filter(|row| !row.faults.is_empty() || !row.exists).map(|row| &*row.name).collect();
    let first = broken.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    let more = if broken.len() > 3 { format!(" and {} more", broken.len() - 3) } else { String::new() };
    let since = kinds.rows.iter().flat_map(|row| &row.faults).filter_map(|fault| fault.since.parse().ok()).min();
    let advice = "The table of kinds says what is wrong with each.";
    (!broken.is_empty())
        .then(|| problem("warning", "kinds", &format!("not as they should be: {first}{more}"), since, advice))
}

fn of_workspaces(workspaces: &WorkspacesView) -> Option<Problem> {
    let since = workspaces.reasons.iter().filter(|row| row.standing == "stuck").filter_map(|row| row.since.as_ref());
    let since = since.filter_map(|since| since.parse().ok()).min();
    let text = format!("{} of {} need somebody to do something", workspaces.stuck, workspaces.total);
    let advice = "The table of reasons says what.";
    (workspaces.stuck > 0).then(|| problem("warning", "Workspaces", &text, since, advice))
}

/// Reconciles and reviews that failed.
fn of_work(facts: &StatusFacts) -> Vec<Problem> {
    let mut found = Vec::new();
    let errors: u32 = facts.last_hour.errors.iter().rev().take(RECENT_MINUTES).sum();
    if errors > 0 {
        let text = format!("{errors} failed in the last {RECENT_MINUTES} minutes");
        let advice = "Each is tried again; the log says why it failed: level WARN or ERROR, span `reconcile`.";
        found.push(problem("warning", "reconciles", &text, None, advice));
    }
    for last in &facts.refusals {
        if let RefusedBy::Code(code @ 500..) = last.by
            && facts.now.duration_since(last.at) < RECENT
        {
            let text = format!("a review of a {} got no verdict (code {code})", last.kind);
            let advice = "The client was told to try again; the log says why, in the span `review`.";
            found.push(problem("warning", "admission", &text, Some(last.at), advice));
        }
    }
    found
}
