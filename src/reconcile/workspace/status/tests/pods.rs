//! The table of pods: what the status shows of each.

#![allow(clippy::unwrap_used)]

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::*;
use super::{applied, facts, names, workspace};

const TABLE: &str = include_str!("pods.yaml");
const NOW: &str = "2026-01-01T12:00:00Z";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    #[serde(default)]
    paused: bool,
    created: Option<String>,
    deleted: Option<String>,
    #[serde(default)]
    finalizers: Vec<String>,
    #[serde(default)]
    node: String,
    #[serde(default)]
    spec: serde_json::Map<String, Value>,
    /// None where there is no pod.
    status: Option<Value>,
    #[serde(default)]
    warnings: Vec<WarningRow>,
    state: WorkspaceState,
    message: String,
    after: Option<u64>,
    conditions: Vec<String>,
}

#[derive(Deserialize)]
struct WarningRow {
    reason: Box<str>,
    message: Box<str>,
    time: String,
}

impl Row {
    fn pod(&self) -> Option<Pod> {
        let mut spec = self.spec.clone();
        spec.insert("nodeName".to_owned(), json!(self.node));
        spec.insert("containers".to_owned(), json!([{"name": "main"}]));
        let mut metadata = json!({
            "namespace": "ns",
            "name": "ws-lab-0",
            "creationTimestamp": self.created.as_deref().unwrap_or("2026-01-01T11:58:00Z"),
            "finalizers": self.finalizers,
        });
        if let Some(time) = &self.deleted {
            metadata["deletionTimestamp"] = json!(time);
        }
        Some(
            serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": self.status.as_ref()?}))
                .unwrap(),
        )
    }

    fn warnings(&self) -> Vec<Warning> {
        let warning = |row: &WarningRow| Warning {
            reason: row.reason.clone(),
            message: row.message.clone(),
            time: row.time.parse().unwrap(),
        };
        self.warnings.iter().map(warning).collect()
    }
}

/// Each condition but RouteReady with its reason; those that exist only while they hold without their status.
fn shown(conditions: &[Condition]) -> Vec<String> {
    let conditions = conditions.iter().filter(|condition| condition.type_ != ROUTE_READY);
    let shown = conditions.map(|Condition { type_, status, reason, .. }| match &**type_ {
        READY | AVAILABLE => format!("{type_}={status:?} {reason}"),
        _ => format!("{type_} {reason}"),
    });
    shown.collect()
}

#[test]
fn every_pod_has_its_state_message_and_conditions() {
    let rows: Vec<Row> = serde_saphyr::from_str(TABLE).unwrap();
    assert!(rows.len() >= 60, "{}", rows.len());
    let mut names_of_rows: Vec<&str> = rows.iter().map(|row| &*row.name).collect();
    names_of_rows.sort_unstable();
    assert!(names_of_rows.windows(2).all(|pair| pair[0] != pair[1]), "a name is there twice");
    let outcome = applied();
    for row in &rows {
        let workspace = workspace(row.paused, &json!({}));
        let (names, pod, warnings) = (names(&workspace), row.pod(), row.warnings());
        let facts = StatusFacts {
            warnings: &warnings,
            now: NOW.parse().unwrap(),
            ..facts(&workspace, &names, pod.as_ref(), &outcome)
        };
        let (status, after) = desired(facts);
        let found =
            (status.state, &*status.state_message, shown(&status.conditions), after.map(|after| after.as_secs()));
        assert_eq!(found, (row.state, &*row.message, row.conditions.clone(), row.after), "{}", row.name);
        assert!(status.conditions.iter().all(|condition| !condition.message.is_empty()), "{}", row.name);
    }
}

/// Events are read only of those pods whose state may follow from them.
#[test]
fn the_state_depends_on_warnings_exactly_where_one_changes_it() {
    let now: Timestamp = NOW.parse().unwrap();
    let warnings = ["Unhealthy", "FailedMount"].map(|reason| Warning {
        reason: reason.into(),
        message: "anything".into(),
        time: now,
    });
    let rows: Vec<Row> = serde_saphyr::from_str(TABLE).unwrap();
    let mut counts = [0, 0];
    for row in rows {
        let Some(pod) = row.pod() else { continue };
        let of = |warnings: &[Warning]| pod_state::of(&pod, warnings, super::PATIENCE, now);
        let depends = pod_state::depends_on_warnings(&pod, super::PATIENCE, now);
        // A deletion is waited for first.
        let is_early = pod_state::is_stuck_after(&pod).is_some_and(|stuck| stuck > now);
        assert_eq!(depends && !is_early, of(&warnings) != of(&[]), "{}", row.name);
        counts[usize::from(depends)] += 1;
    }
    assert!(counts.iter().all(|count| *count >= 10), "{counts:?}");
}
