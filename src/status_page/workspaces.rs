//! The Workspaces of a page: how many there are, why some are not fine, and rows for the first of those that were asked for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crds::conditions::ConditionStatus;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::advice::advice;
use super::facts::StatusFacts;
use super::filter::{Filter, NOT_FINE, STATES, state_name};
use super::judge::{Judgement, Standing, judge};
use super::routes::{PortRow, ports};
use super::text::{LONG, SHORT, shown, written};
use crate::stores::kind::StoredKind;
use crate::stores::slim::Key;
use crate::stores::workspace::StoredWorkspace;

/// The most rows of a page.
pub(super) const ROWS: usize = 200;
/// The longest message of a row, in characters: the example of its reason has more.
const ROW_MESSAGE: usize = 240;
/// The most reasons.
const REASONS: usize = 40;

/// What a page says about Workspaces.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkspacesView {
    /// How many there are.
    pub total: usize,
    /// How many somebody has to do something about.
    pub stuck: usize,
    /// How many something is being done about.
    pub in_progress: usize,
    /// How many have a restart pending, or an update available.
    pub restart_pending: usize,
    /// How many there are in namespaces that this process does not reconcile.
    pub elsewhere: usize,
    /// How many there are in each state.
    pub states: Vec<StateCount>,
    /// Why some are not fine, the most frequent reason first.
    pub reasons: Vec<ReasonRow>,
    /// How many match the filter.
    pub matching: usize,
    /// The first of them: the worst first, then those that have been so for longest.
    pub rows: Vec<WorkspaceRow>,
    /// How many more of them there are.
    pub more: usize,
}

/// How many Workspaces are in a state.
#[derive(Clone, Debug, Serialize)]
pub struct StateCount {
    /// The state.
    pub state: &'static str,
    /// How many.
    pub count: usize,
}

/// Why Workspaces are not fine.
#[derive(Clone, Debug, Serialize)]
pub struct ReasonRow {
    /// The reason of the condition.
    pub reason: String,
    /// The worst standing of those with it.
    pub standing: &'static str,
    /// How many have it.
    pub count: usize,
    /// Since when the first of them has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The message of one of them.
    pub example: String,
    /// What to do.
    pub advice: &'static str,
}

/// A Workspace.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceRow {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: &'static str,
    /// `stuck`, `inProgress` or `fine`.
    pub standing: &'static str,
    /// Why it is not fine.
    pub reason: String,
    /// The same for people.
    pub message: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Whether a restart is pending, or an update available.
    pub restart_pending: bool,
    /// Its kind.
    pub kind: String,
    /// The options that it selects.
    pub image_config: String,
    /// The options that it selects.
    pub pod_config: String,
    /// `in place`, or the reason why its route is not; empty where nothing is known of it.
    pub route: String,
    /// Its ports.
    pub ports: Vec<PortRow>,
    /// How many more there are.
    pub more_ports: usize,
}

/// A Workspace that may be shown.
struct Candidate<'a> {
    workspace: &'a StoredWorkspace,
    judgement: Judgement,
}

/// What is known of the Workspaces with one reason.
struct Group<'a> {
    standing: Standing,
    count: usize,
    since: Option<Timestamp>,
    example: (&'a Key, String),
}

/// Judges all Workspaces and shows those that the filter asks for.
pub(super) fn workspaces(facts: &StatusFacts, filter: &Filter) -> WorkspacesView {
    let judged: Vec<Candidate<'_>> =
        facts.workspaces.iter().map(|workspace| Candidate { workspace, judgement: judge(workspace) }).collect();
    let count = |standing| judged.iter().filter(|one| one.judgement.standing == standing).count();
    let of_state = |state| judged.iter().filter(|one| one.workspace.status.state() == state).count();
    let (stuck, in_progress) = (count(Standing::Stuck), count(Standing::InProgress));
    let states = STATES.map(|(state, name)| StateCount { state: name, count: of_state(state) }).into();
    let restart_pending = judged.iter().filter(|one| one.judgement.restart_pending).count();
    let (reasons, total) = (reasons(&judged), judged.len());
    let mut matching: Vec<Candidate<'_>> = judged.into_iter().filter(|one| matches(filter, one)).collect();
    matching.sort_by(|one, other| order(one).cmp(&order(other)));
    let kinds: HashMap<&str, &Arc<StoredKind>> =
        facts.kinds.iter().map(|kind| (kind.identity.key.name(), kind)).collect();
    let row = |one: &Candidate<'_>| row(one, facts, kinds.get(&*one.workspace.spec.kind).copied());
    let rows: Vec<WorkspaceRow> = matching.iter().take(ROWS).map(row).collect();
    let (more, matching) = (matching.len() - rows.len(), matching.len());
    let elsewhere = facts.elsewhere;
    WorkspacesView { total, stuck, in_progress, restart_pending, elsewhere, states, reasons, matching, rows, more }
}

/// The worst first, then those that have been so for longest, then by name.
fn order<'a>(one: &'a Candidate<'_>) -> (Standing, bool, Option<Timestamp>, &'a Key) {
    let Judgement { standing, since, .. } = &one.judgement;
    (*standing, since.is_none(), *since, &one.workspace.identity.key)
}

fn matches(filter: &Filter, one: &Candidate<'_>) -> bool {
    let Filter { namespace, kind, state, reason } = filter;
    let is = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
    let is_of_state = match &**state {
        NOT_FINE => one.judgement.standing != Standing::Fine,
        state => is(state, state_name(one.workspace.status.state())),
    };
    is(namespace, one.workspace.identity.key.namespace())
        && is(kind, &one.workspace.spec.kind)
        && is(reason, &one.judgement.reason)
        && is_of_state
}

fn reasons(judged: &[Candidate<'_>]) -> Vec<ReasonRow> {
    let mut groups: BTreeMap<&str, Group<'_>> = BTreeMap::new();
    for Candidate { workspace, judgement } in judged {
        let Judgement { standing, reason, message, since, .. } = judgement;
        if *standing == Standing::Fine {
            continue;
        }
        let key = &workspace.identity.key;
        let group = groups.entry(reason).or_insert_with(|| Group {
            standing: *standing,
            count: 0,
            since: None,
            example: (key, message.clone()),
        });
        group.count += 1;
        group.standing = group.standing.min(*standing);
        group.since = [group.since, *since].into_iter().flatten().min();
        // Always the same one, whatever the order.
        if key < group.example.0 {
            group.example = (key, message.clone());
        }
    }
    let mut all: Vec<(&str, Group<'_>)> = groups.into_iter().collect();
    all.sort_by_key(|(_, group)| (group.standing, Reverse(group.count)));
    let row = |(reason, group): (&str, Group<'_>)| ReasonRow {
        reason: shown(reason, SHORT),
        standing: group.standing.as_str(),
        count: group.count,
        since: group.since.map(written),
        example: shown(&format!("{}: {}", group.example.0, group.example.1), LONG),
        advice: advice(reason),
    };
    all.into_iter().take(REASONS).map(row).collect()
}

fn row(one: &Candidate<'_>, facts: &StatusFacts, kind: Option<&Arc<StoredKind>>) -> WorkspaceRow {
    let Candidate { workspace, judgement } = one;
    let (namespace, name) = workspace.identity.key.parts();
    let options = &workspace.spec.pod_template.options;
    let (ports, more_ports) =
        kind.map(|kind| ports(workspace, &kind.kind.spec.pod_template, facts.paths.as_ref())).unwrap_or_default();
    let route = match &judgement.route {
        Some((ConditionStatus::True, _)) => "in place".to_owned(),
        Some((_, reason)) => shown(reason, SHORT),
        None => String::new(),
    };
    WorkspaceRow {
        namespace: shown(namespace, SHORT),
        name: shown(name, SHORT),
        state: state_name(workspace.status.state()),
        standing: judgement.standing.as_str(),
        reason: shown(&judgement.reason, SHORT),
        message: shown(&judgement.message, ROW_MESSAGE),
        since: judgement.since.map(written),
        restart_pending: judgement.restart_pending,
        kind: shown(&workspace.spec.kind, SHORT),
        image_config: shown(&options.image_config, SHORT),
        pod_config: shown(&options.pod_config, SHORT),
        route,
        ports,
        more_ports,
    }
}
