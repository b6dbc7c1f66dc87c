//! The WorkspaceKinds of a page: how many Workspaces use each, and what is wrong with it.

use std::collections::HashMap;

use crds::conditions::ConditionStatus;
use serde::Serialize;

use super::facts::StatusFacts;
use super::text::{LONG, SHORT, shown};
use crate::reconcile::conditions::{ACCEPTED, RESOLVED_REFS};

/// The most kinds of a page.
const KINDS: usize = 200;

/// What a page says about kinds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KindsView {
    /// How many there are.
    pub total: usize,
    /// The first of them: those with faults first, then those with most users.
    pub rows: Vec<KindRow>,
    /// How many more there are.
    pub more: usize,
}

/// A WorkspaceKind, or the name of one that does not exist.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KindRow {
    /// Its name.
    pub name: String,
    /// Whether it exists.
    pub exists: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// How many Workspaces name it.
    pub workspaces: usize,
    /// Its conditions that are False.
    pub faults: Vec<KindFault>,
}

/// A condition that is False.
#[derive(Clone, Debug, Serialize)]
pub struct KindFault {
    /// Its type.
    pub condition: &'static str,
    /// Its reason.
    pub reason: String,
    /// Its message.
    pub message: String,
    /// Since when.
    pub since: String,
}

/// The kinds, with those that Workspaces name although they do not exist.
pub(super) fn kinds(facts: &StatusFacts) -> KindsView {
    let mut users: HashMap<&str, usize> = HashMap::new();
    for workspace in &facts.workspaces {
        *users.entry(&workspace.spec.kind).or_default() += 1;
    }
    let mut rows: Vec<KindRow> = Vec::with_capacity(facts.kinds.len());
    for kind in &facts.kinds {
        let name = kind.identity.key.name();
        let conditions = kind.kind.status.iter().flat_map(|status| &status.conditions);
        let faults =
            conditions.filter(|condition| condition.status == ConditionStatus::False).filter_map(|condition| {
                // Ready repeats them.
                let type_ = [ACCEPTED, RESOLVED_REFS].into_iter().find(|type_| *type_ == condition.type_)?;
                Some(KindFault {
                    condition: type_,
                    reason: shown(&condition.reason, SHORT),
                    message: shown(&condition.message, LONG),
                    since: shown(&condition.last_transition_time, SHORT),
                })
            });
        rows.push(KindRow {
            name: shown(name, SHORT),
            exists: true,
            deleting: kind.identity.deleting,
            workspaces: users.remove(name).unwrap_or_default(),
            faults: faults.collect(),
        });
    }
    let missing = users.into_iter().map(|(name, workspaces)| {
        let name = shown(name, SHORT);
        KindRow { name, exists: false, deleting: false, workspaces, faults: Vec::new() }
    });
    rows.extend(missing);
    let is_fine = |row: &KindRow| row.exists && !row.deleting && row.faults.is_empty();
    rows.sort_by(|one, other| {
        let key = |row: &KindRow| (is_fine(row), std::cmp::Reverse(row.workspaces));
        key(one).cmp(&key(other)).then_with(|| one.name.cmp(&other.name))
    });
    let total = facts.kinds.len();
    let more = rows.len().saturating_sub(KINDS);
    rows.truncate(KINDS);
    KindsView { total, rows, more }
}
