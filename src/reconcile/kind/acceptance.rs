//! Acceptance: whether the API server takes the StatefulSets that a kind makes, by a dry run of one for each pair of options
//! in use.
//!
//! A pair is tried once for each generation of the kind; what was refused is tried again, less and less often.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crds::workspace_kind::PodTemplate;
use futures::future::join_all;
use tokio::time::Instant;

use super::super::apply::{ApplyError, ChildApi};
use super::Context;
use crate::render::names::ChildNames;
use crate::render::{self, ChildKind, RenderFault};
use crate::stores::kind::StoredKind;
use crate::stores::slim::{Identity, Key};
use crate::stores::workspace::StoredWorkspace;

/// How many pairs are tried at the same time, and in one reconcile.
const AT_ONCE: usize = 4;
/// The pause before a refused pair is tried again, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// The pause before the next pairs are tried, or those that could not be.
const NEXT: Duration = Duration::from_millis(100);
const UNTRIED_AGAIN: Duration = Duration::from_secs(2);

/// The ids of an imageConfig and of a podConfig.
pub(super) type Pair = (String, String);

/// What the API server said to the StatefulSet of a pair.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// It would store it.
    Accepted,
    /// It would not, or it cannot be rendered: a reason in CamelCase, and where and why.
    Refused(&'static str, String),
    /// It cannot say, because a webhook does not support dry runs.
    Unsupported(String),
}

/// A verdict, and when to ask again.
#[derive(Clone, Debug)]
struct Trial {
    verdict: Verdict,
    again: Option<(Instant, Duration)>,
}

/// What has been tried of one generation of a kind.
#[derive(Debug, Default)]
pub(super) struct Trials {
    generation: Option<i64>,
    of_pairs: BTreeMap<Pair, Trial>,
}

/// The verdicts on all pairs in use.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Acceptance {
    /// By pair.
    pub verdicts: BTreeMap<Pair, Verdict>,
    /// Whether some pair has not been tried yet.
    pub is_pending: bool,
}

/// Tries what has to be tried of the kind; the verdicts, and when to try more. `is_known`: whether all that is in use now was
/// accepted before the process started.
pub(super) async fn reconcile(
    context: &Context,
    kind: &StoredKind,
    trials: &mut Trials,
    is_known: bool,
) -> (Acceptance, Option<Duration>) {
    let users = context.stores.workspaces().indexed(kind.identity.key.name());
    let used = pairs(&kind.kind.spec.pod_template, &users);
    let is_first = trials.generation.is_none();
    if trials.generation != Some(kind.generation()) {
        *trials = Trials { generation: Some(kind.generation()), ..Trials::default() };
        if is_first && is_known {
            let accepted = |pair: &Pair| (pair.clone(), Trial { verdict: Verdict::Accepted, again: None });
            trials.of_pairs = used.keys().map(accepted).collect();
        }
    }
    trials.of_pairs.retain(|pair, _| used.contains_key(pair));
    let now = Instant::now();
    let mut due = used.iter().filter(|(pair, _)| trials.is_due(pair, now));
    let tried: Vec<_> = due.by_ref().take(AT_ONCE).collect();
    let more = due.next().is_some();
    let verdicts = join_all(tried.iter().map(|(pair, workspace)| try_pair(context, kind, pair, workspace))).await;
    let mut untried = false;
    for ((pair, _), verdict) in tried.into_iter().zip(verdicts) {
        match verdict {
            Some(verdict) => trials.learn(pair, verdict),
            None => untried = true,
        }
    }
    let acceptance = Acceptance {
        verdicts: trials.of_pairs.iter().map(|(pair, trial)| (pair.clone(), trial.verdict.clone())).collect(),
        is_pending: used.len() > trials.of_pairs.len(),
    };
    let next = [more.then_some(NEXT), untried.then_some(UNTRIED_AGAIN), trials.next()];
    (acceptance, next.into_iter().flatten().min())
}

impl Trials {
    fn is_due(&self, pair: &Pair, now: Instant) -> bool {
        self.of_pairs.get(pair).is_none_or(|trial| trial.again.is_some_and(|(at, _)| at <= now))
    }

    fn learn(&mut self, pair: &Pair, verdict: Verdict) {
        let before = self.of_pairs.get(pair).and_then(|trial| trial.again);
        let pause = before.map_or(FIRST_PAUSE, |(_, pause)| (pause * 2).min(LONGEST_PAUSE));
        let again = (verdict != Verdict::Accepted).then(|| (Instant::now() + pause, pause));
        self.of_pairs.insert(pair.clone(), Trial { verdict, again });
    }

    /// How long until something is tried again.
    fn next(&self) -> Option<Duration> {
        let at = self.of_pairs.values().filter_map(|trial| Some(trial.again?.0)).min()?;
        Some(at.saturating_duration_since(Instant::now()))
    }
}

/// The pairs of existing options that are used, each with the first Workspace that uses it.
fn pairs(template: &PodTemplate, users: &[Arc<StoredWorkspace>]) -> BTreeMap<Pair, Arc<StoredWorkspace>> {
    let options = &template.options;
    let mut pairs: BTreeMap<Pair, Arc<StoredWorkspace>> = BTreeMap::new();
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    for workspace in users.iter().filter(|workspace| !workspace.identity.deleting) {
        let selected = &workspace.spec.pod_template.options;
        let (image, pod) = (selected.image_config.as_str(), selected.pod_config.as_str());
        if !seen.insert((image, pod)) {
            continue;
        }
        let exists = options.image_config.values.iter().any(|value| value.id == image)
            && options.pod_config.values.iter().any(|value| value.id == pod);
        if exists {
            pairs.insert((image.to_owned(), pod.to_owned()), workspace.clone());
        }
    }
    pairs
}

/// None where nothing can be said now.
async fn try_pair(
    context: &Context,
    kind: &StoredKind,
    (image, pod): &Pair,
    workspace: &StoredWorkspace,
) -> Option<Verdict> {
    let Context { client, stores, metrics, routing, .. } = context;
    let place = format!("imageConfig {image:?} with podConfig {pod:?}, tried for {}", workspace.identity.key);
    let mut set = match render::render(workspace.render_input(), &kind.kind.spec, routing) {
        Ok(desired) => desired.stateful_set,
        Err(fault) => {
            // The others are faults of the Workspace.
            let reason = match &fault {
                RenderFault::DuplicatePort(_) => "DuplicatePort",
                RenderFault::Env { .. } => "InvalidEnv",
                RenderFault::ImageConfig(_) | RenderFault::PodConfig(_) | RenderFault::Name => return None,
            };
            return Some(Verdict::Refused(reason, format!("{place}: {fault}")));
        }
    };
    let Identity { key, uid, .. } = &workspace.identity;
    let key = Key::new(key.namespace(), &ChildNames::new(key.name(), uid).stateful_set);
    let collection = stores.children(ChildKind::StatefulSet);
    let api = ChildApi::new(ChildKind::StatefulSet, client, metrics, &workspace.identity, collection);
    match api.try_apply(&key, &mut set).await {
        Ok(()) => Some(Verdict::Accepted),
        Err(ApplyError::Refused { message, .. }) if message.contains("does not support dry run") => {
            Some(Verdict::Unsupported(format!("{place}: {message}")))
        }
        Err(ApplyError::Refused { message, .. }) => Some(Verdict::Refused("Refused", format!("{place}: {message}"))),
        Err(ApplyError::TooLarge { message, .. }) => Some(Verdict::Refused("TooLarge", format!("{place}: {message}"))),
        Err(error) => {
            tracing::debug!(error = error.without_server_message(), "a pair of options could not be tried");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn workspace(name: &str, image: &str, pod: &str, deleting: bool) -> Arc<StoredWorkspace> {
        let mut value = serde_json::to_value(crds::testing::workspace("ns", name, "lab")).unwrap();
        value["spec"]["podTemplate"]["options"] = serde_json::json!({"imageConfig": image, "podConfig": pod});
        if deleting {
            value["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        Arc::new(serde_json::from_value(value).unwrap())
    }

    fn pair(image: &str, pod: &str) -> Pair {
        (image.to_owned(), pod.to_owned())
    }

    #[test]
    fn each_pair_in_use_is_tried_for_its_first_workspace() {
        let template = crds::testing::workspace_kind("lab").spec.pod_template;
        let users = [
            workspace("a", "small", "tiny", true),
            workspace("b", "small", "tiny", false),
            workspace("c", "small", "tiny", false),
            workspace("d", "large", "big", false),
            workspace("e", "removed", "tiny", false),
            workspace("f", "small", "removed", false),
            workspace("g", "large", "tiny", true),
        ];
        let tried: Vec<_> = pairs(&template, &users)
            .into_iter()
            .map(|(pair, workspace)| (pair, workspace.identity.key.name().to_owned()))
            .collect();
        assert_eq!(tried, [(pair("large", "big"), "d".to_owned()), (pair("small", "tiny"), "b".to_owned())]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_accepted_is_tried_once_and_what_is_refused_less_and_less_often() {
        let (mut trials, pair) = (Trials::default(), pair("small", "tiny"));
        assert!(trials.is_due(&pair, Instant::now()));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            trials.learn(&pair, Verdict::Refused("Refused", String::new()));
            assert!(!trials.is_due(&pair, Instant::now()));
            let pause = trials.next().unwrap();
            pauses.push(pause.as_secs());
            tokio::time::advance(pause).await;
            assert!(trials.is_due(&pair, Instant::now()));
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);
        trials.learn(&pair, Verdict::Accepted);
        assert_eq!((trials.is_due(&pair, Instant::now()), trials.next()), (false, None));
    }
}
