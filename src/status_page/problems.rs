//! What needs attention: the head of the page.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::facts::{CacheFacts, CertificateFacts, LeadershipFacts, StatusFacts};
use super::kinds::KindsView;
use super::refusals::RefusedBy;
use super::text::{OURS, SHORT, distance, shown, written};
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
    let (subject, text, advice) = (subject.to_owned(), shown(text, OURS), advice.to_owned());
    Problem { severity, subject, text, since: since.map(written), advice }
}

/// What needs attention, errors first.
pub(super) fn problems(facts: &StatusFacts, workspaces: &WorkspacesView, kinds: &KindsView) -> Vec<Problem> {
    let mut found = Vec::new();
    for (check, result) in &facts.readiness {
        if let Err(reason) = result {
            found.push(problem("error", &format!("readiness: {check}"), reason, None, advice_about_readiness(check)));
        }
    }
    found.extend(facts.leadership.iter().flat_map(of_leadership));
    found.extend(facts.certificate.iter().flat_map(|certificate| of_certificate(certificate, facts.now)));
    found.extend(facts.caches.iter().filter_map(of_cache));
    found.extend(of_kinds(kinds));
    found.extend(of_workspaces(workspaces));
    found.extend(of_work(facts));
    found.sort_by_key(|problem| problem.severity != "error");
    found
}

/// What to do about a check of readiness; its reason says what is wrong, and often more.
fn advice_about_readiness(check: &str) -> &'static str {
    match check {
        "certificate" => {
            "The pod is not ready: the API server does not call its webhook. A certificate that has expired or is missing: with \
             cert-manager, `kubectl describe certificate` in the namespace of the controller says why there is no new one; else put a \
             valid pair into its Secret. Rights are put back by `helm upgrade`."
        }
        "caches" => {
            "The pod is not ready: the API server does not call its webhook, and this replica does not lead. `helm upgrade` puts the \
             rules of the ClusterRole and the CRDs back."
        }
        _ => "The pod is not ready: the API server does not call its webhook until this is resolved.",
    }
}

fn of_leadership(leadership: &LeadershipFacts) -> Vec<Problem> {
    let mut found = Vec::new();
    if leadership.holder.is_empty() && leadership.since.is_some() {
        let text = format!("nobody holds the Lease {}: nothing is reconciled", leadership.lease);
        let advice = "Where that lasts for more than 20 s, read the log of each replica.";
        found.push(problem("error", "leader", &text, leadership.since, advice));
    }
    if let Some(program) =
        leadership.program.as_ref().filter(|_| !leadership.is_leader && !leadership.holder.is_empty())
    {
        let (holder, program) = (shown(&leadership.holder, SHORT), shown(program, SHORT));
        let text = format!(
            "another controller leads, and this one waits: the Lease {} is held by {holder}, and was written by the program {program:?}",
            leadership.lease
        );
        let advice = "Stop it (scale its Deployment to 0); the next leader follows by itself. docs/moving.md has how both can run.";
        found.push(problem("error", "leader", &text, leadership.since, advice));
    }
    if let Some(trouble) = &leadership.trouble {
        let advice = "This replica cannot lead, or not for long. Check the Role for Leases in its namespace, which `helm upgrade` puts \
                      back, the API server and the network.";
        found.push(problem("error", "leader", trouble, None, advice));
    }
    found
}

/// What may be absent is no problem, if nothing misses it; readiness reports what may not.
fn of_cache(cache: &CacheFacts) -> Option<Problem> {
    let (since, error) = cache.failing.as_ref()?;
    let is_absent = cache.progress == "not installed" || cache.progress == "not allowed";
    let unserved = format!("the API server does not serve {}", cache.resource);
    let (text, advice) = match (cache.progress, cache.resource) {
        _ if is_absent && !cache.is_missed => return None,
        ("not installed", "virtualservices") => {
            let advice = "Workspaces have no routes. Install Istio with its CRDs: routes follow without a restart. Or, to do without: \
                          --use-istio=false (settings.useIstio).";
            (unserved.as_str(), advice)
        }
        ("not installed", _) => (unserved.as_str(), "Install its CRD; what needs it follows without a restart."),
        ("not allowed", _) => {
            (error.as_str(), "The log names the rule to add to the ClusterRole; `helm upgrade` puts the chart's back.")
        }
        _ => (error.as_str(), "What is known of them gets old. Check the API server, the network and the ClusterRole."),
    };
    Some(problem("warning", &format!("cache: {}", cache.resource), text, Some(*since), advice))
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
            let advice = "See who issues it: with cert-manager, `kubectl describe certificate` in the namespace of the controller; a Secret of \
                          your own is yours to renew; one that the controller makes, its log is about.";
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
        let advice = "Each is tried again; the log says why it failed: level WARN or ERROR, with a `reconcileID`.";
        found.push(problem("warning", "reconciles", &text, None, advice));
    }
    for last in &facts.refusals {
        if let RefusedBy::Code(code @ 500..) = last.by
            && facts.now.duration_since(last.at) < RECENT
        {
            let text = format!("a review of a {} got no verdict (code {code})", last.kind);
            let advice = "The client was told to try again; the log says why, in a line with a `requestID`.";
            found.push(problem("warning", "admission", &text, Some(last.at), advice));
        }
    }
    found
}
