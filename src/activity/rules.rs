//! Which rule decides whether an idle Workspace is paused, and when it may be.

use std::collections::BTreeMap;
use std::fmt;

use crds::selectors::{Unmet, unmet};
use crds::workspace_kind::{ActivityRule, ActivityRuleMatch, SelectorMatch};

/// The labels of a namespace or of a value of `podConfig`.
pub type Labels = BTreeMap<String, String>;

/// A rule that may decide whether a Workspace is paused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PauseRule<'a> {
    /// Where it is written.
    pub field: RuleField,
    /// The Workspaces that it applies to; `None` are all of them.
    pub condition: Option<&'a ActivityRuleMatch>,
    /// Whether it pauses them, or exempts them from later rules; `None` where a later rule decides.
    pub pauses: Option<bool>,
    /// After how many seconds without activity.
    pub seconds_since_active: i32,
    /// How many seconds the Workspace must have been running.
    pub min_running_seconds: i32,
}

/// The field of a rule.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum RuleField {
    /// The item of `spec.activityRules` with this index.
    ActivityRules(usize),
    /// `spec.podTemplate.culling`
    Culling,
}

impl fmt::Display for RuleField {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ActivityRules(index) => write!(formatter, "spec.activityRules[{index}]"),
            Self::Culling => formatter.write_str("spec.podTemplate.culling"),
        }
    }
}

/// Whether a rule applies to a Workspace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Applies {
    /// It does, and decides.
    Decides,
    /// It does not say whether Workspaces are paused.
    NotConfigured,
    /// Its selector does not select the Workspace.
    Unmet {
        /// The selector, from the rule: `match.matchNamespace.selector`.
        field: &'static str,
        /// What is not met.
        unmet: Unmet,
    },
}

/// A rule that cannot be judged, so that none decides: it may be the one that exempts the Workspace.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{rule}.match.{condition}.{selector}")]
pub struct MalformedRule {
    /// The rule.
    pub rule: RuleField,
    /// Its condition.
    pub condition: &'static str,
    /// What is wrong with the selector.
    pub selector: crds::selectors::MalformedSelector,
}

/// What the rules decide about a Workspace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Decision {
    /// The rule that decides.
    pub rule: RuleField,
    /// Whether it pauses the Workspace once that is idle, or exempts it.
    pub pauses: bool,
    /// After how many seconds without activity.
    pub seconds_since_active: i32,
    /// How many seconds the Workspace must have been running.
    pub min_running_seconds: i32,
}

impl<'a> PauseRule<'a> {
    /// The rules of `spec.activityRules`, in their order.
    pub fn of(rules: &'a [ActivityRule]) -> impl Iterator<Item = Self> {
        rules.iter().enumerate().map(|(index, rule)| Self {
            field: RuleField::ActivityRules(index),
            condition: rule.match_.as_ref(),
            pauses: rule.effect.pause_workspace,
            seconds_since_active: rule.config.seconds_since_active,
            min_running_seconds: rule.config.min_running_seconds,
        })
    }

    /// Whether it depends on the labels of the namespace.
    fn matches_namespace(&self) -> bool {
        self.condition.is_some_and(|condition| condition.match_namespace.is_some())
    }

    /// Whether it depends on the labels of the value of `podConfig`.
    fn matches_pod_config(&self) -> bool {
        self.condition.is_some_and(|condition| condition.match_pod_config.is_some())
    }

    /// What it decides where it applies.
    pub fn decision(&self) -> Option<Decision> {
        let &Self { field: rule, pauses, seconds_since_active, min_running_seconds, .. } = self;
        pauses.map(|pauses| Decision { rule, pauses, seconds_since_active, min_running_seconds })
    }

    /// Whether it applies to a Workspace in a namespace with these labels, whose `podConfig` value has those.
    pub fn applies(&self, namespace: &Labels, pod_config: &Labels) -> Result<Applies, MalformedRule> {
        if self.pauses.is_none() {
            return Ok(Applies::NotConfigured);
        }
        let Some(ActivityRuleMatch { match_namespace, match_pod_config }) = self.condition else {
            return Ok(Applies::Decides);
        };
        let conditions = [
            ("matchNamespace", "match.matchNamespace.selector", match_namespace, namespace),
            ("matchPodConfig", "match.matchPodConfig.selector", match_pod_config, pod_config),
        ];
        let mut applies = Applies::Decides;
        for (condition, field, wanted, labels) in conditions {
            let Some(SelectorMatch { selector }) = wanted else { continue };
            let found = unmet(selector, labels);
            let found = found.map_err(|selector| MalformedRule { rule: self.field, condition, selector })?;
            if let (Some(unmet), Applies::Decides) = (found, &applies) {
                applies = Applies::Unmet { field, unmet };
            }
        }
        Ok(applies)
    }
}

/// The first rule that applies decides; `None` where none does. Labels that are not known are `None`: where it depends on them
/// whether a rule applies, nothing is decided.
pub fn decide(
    rules: &[PauseRule<'_>],
    namespace: Option<&Labels>,
    pod_config: Option<&Labels>,
) -> Result<Option<Decision>, MalformedRule> {
    let none = Labels::new();
    for rule in rules.iter().filter(|rule| rule.pauses.is_some()) {
        let is_unknown =
            (rule.matches_namespace() && namespace.is_none()) || (rule.matches_pod_config() && pod_config.is_none());
        if is_unknown {
            return Ok(None);
        }
        if rule.applies(namespace.unwrap_or(&none), pod_config.unwrap_or(&none))? == Applies::Decides {
            return Ok(rule.decision());
        }
    }
    Ok(None)
}

/// When a Workspace was last in use, in milliseconds since 1970, as the arguments: when it was last active, or, if it was never
/// seen active (0), since when it runs.
pub fn last_used(last_activity: i64, running_since: i64) -> i64 {
    if last_activity == 0 { running_since } else { last_activity }
}

impl Decision {
    /// When the Workspace may be paused, in milliseconds since 1970, as the arguments: when it was last active (0: never
    /// seen active, so it counts from when it runs), and since when it runs. `None` where it is exempt.
    pub fn eligible_after(&self, last_activity: i64, running_since: i64) -> Option<i64> {
        let last_used = last_used(last_activity, running_since);
        let after = |time: i64, seconds: i32| time.saturating_add(i64::from(seconds) * 1000);
        let idle = after(last_used, self.seconds_since_active);
        self.pauses.then(|| idle.max(after(running_since, self.min_running_seconds)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn labels(labels: &[(&str, &str)]) -> Labels {
        labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[allow(clippy::needless_pass_by_value)] // written where it is called
    fn rule(match_: Value, pauses: Option<bool>, idle: i32) -> Value {
        json!({"config": {"secondsSinceActive": idle}, "match": match_, "effect": {"pauseWorkspace": pauses}})
    }

    fn namespace(key: &str, value: &str) -> Value {
        json!({"matchNamespace": {"selector": {"matchLabels": {key: value}}}})
    }

    fn pod_config(key: &str, value: &str) -> Value {
        json!({"matchPodConfig": {"selector": {"matchLabels": {key: value}}}})
    }

    fn both() -> Value {
        let mut both = namespace("team", "ml");
        both["matchPodConfig"] = pod_config("gpu", "yes")["matchPodConfig"].take();
        both
    }

    /// The index of the rule that decides, whether it pauses, and after how many seconds.
    fn decided(rules: &[Value], team: &[(&str, &str)], size: &[(&str, &str)]) -> Option<(String, bool, i32)> {
        let rules: Vec<ActivityRule> = serde_json::from_value(json!(rules)).unwrap();
        let rules: Vec<_> = PauseRule::of(&rules).collect();
        let decision = decide(&rules, Some(&labels(team)), Some(&labels(size))).unwrap()?;
        Some((decision.rule.to_string(), decision.pauses, decision.seconds_since_active))
    }

    #[test]
    fn the_first_rule_that_applies_decides() {
        let rules = [
            rule(namespace("keep", "yes"), Some(false), 60),
            rule(json!({}), None, 61),
            rule(both(), Some(true), 62),
            rule(pod_config("gpu", "yes"), Some(true), 63),
            rule(json!({}), Some(true), 64),
        ];
        let (ml, keep, gpu) = (("team", "ml"), ("keep", "yes"), ("gpu", "yes"));
        let found = |index: usize, pauses, seconds| Some((format!("spec.activityRules[{index}]"), pauses, seconds));
        for (team, size, expected) in [
            (&[][..], &[][..], found(4, true, 64)),
            (&[ml], &[], found(4, true, 64)),
            // The labels of the one do not count as those of the other.
            (&[gpu], &[], found(4, true, 64)),
            (&[], &[ml], found(4, true, 64)),
            (&[], &[gpu], found(3, true, 63)),
            (&[ml], &[gpu], found(2, true, 62)),
            (&[ml, keep], &[gpu], found(0, false, 60)),
            (&[], &[keep], found(4, true, 64)),
        ] {
            assert_eq!(decided(&rules, team, size), expected, "{team:?} {size:?}");
        }
        assert_eq!(decided(&rules[..4], &[], &[]), None, "no rule applies");
        assert_eq!(decided(&[], &[ml], &[gpu]), None);
    }

    #[test]
    fn no_match_an_empty_one_and_empty_selectors_match_everything() {
        let mut absent = rule(json!({}), Some(true), 60);
        absent.as_object_mut().unwrap().remove("match");
        let empty = json!({"matchNamespace": {"selector": {}}, "matchPodConfig": {"selector": {}}});
        for all in [absent, rule(json!({}), Some(true), 60), rule(empty, Some(true), 60)] {
            assert_eq!(
                decided(std::slice::from_ref(&all), &[], &[]),
                Some(("spec.activityRules[0]".into(), true, 60)),
                "{all}"
            );
        }
    }

    #[test]
    fn operators_about_labels_that_are_absent() {
        let namespace = |operator: &str, values: &[&str]| {
            let expression = json!({"key": "team", "operator": operator, "values": values});
            rule(json!({"matchNamespace": {"selector": {"matchExpressions": [expression]}}}), Some(true), 60)
        };
        for (rule, with_ml, with_none) in [
            (namespace("In", &["ml", "ops"]), true, false),
            (namespace("NotIn", &["ml"]), false, true),
            (namespace("Exists", &[]), true, false),
            (namespace("DoesNotExist", &[]), false, true),
        ] {
            let rules = std::slice::from_ref(&rule);
            let found = (decided(rules, &[("team", "ml")], &[]).is_some(), decided(rules, &[], &[]).is_some());
            assert_eq!(found, (with_ml, with_none), "{rule}");
        }
    }

    #[test]
    fn the_requirement_that_is_not_met_is_named() {
        let rules: Vec<ActivityRule> = serde_json::from_value(json!([rule(both(), Some(true), 60)])).unwrap();
        let rule = PauseRule::of(&rules).next().unwrap();
        let applies = |team: &[(&str, &str)], size: &[(&str, &str)]| match rule.applies(&labels(team), &labels(size)) {
            Ok(Applies::Unmet { field, unmet }) => format!("{field}: {unmet}"),
            other => format!("{other:?}"),
        };
        let expected = "match.matchNamespace.selector: team=ml, but there is no such label";
        assert_eq!(applies(&[], &[]), expected);
        let expected = "match.matchPodConfig.selector: gpu=yes, but it is \"no\"";
        assert_eq!(applies(&[("team", "ml")], &[("gpu", "no")]), expected);
        assert_eq!(applies(&[("team", "ml")], &[("gpu", "yes")]), "Ok(Decides)");
    }

    /// It may be the one that exempts: with another answer a Workspace that is to be kept would be paused by a later rule.
    #[test]
    fn no_rule_decides_after_one_that_is_malformed() {
        let odd = json!({"matchPodConfig": {"selector": {"matchExpressions": [{"key": "gpu", "operator": "Is"}]}}});
        let rules = json!([
            rule(namespace("team", "ml"), Some(false), 60),
            rule(odd, Some(false), 60),
            rule(json!({}), Some(true), 60)
        ]);
        let rules: Vec<ActivityRule> = serde_json::from_value(rules).unwrap();
        let rules: Vec<_> = PauseRule::of(&rules).collect();
        let none = Labels::new();
        let error = decide(&rules, Some(&none), Some(&none)).unwrap_err();
        let expected = "spec.activityRules[1].match.matchPodConfig.selector.matchExpressions[0].operator: not a valid \
                        selector operator: In, NotIn, Exists or DoesNotExist";
        assert_eq!(error.to_string(), expected);
        // Before it, one does.
        assert!(decide(&rules, Some(&labels(&[("team", "ml")])), Some(&none)).unwrap().is_some());
    }

    #[test]
    fn labels_that_are_not_known_are_not_none() {
        let absent = |field: &str| {
            let selector = json!({"matchExpressions": [{"key": "gpu", "operator": "DoesNotExist"}]});
            json!({field: {"selector": selector}})
        };
        let decides = |rules: &[Value], namespace: Option<Labels>, pod_config: Option<Labels>| {
            let rules: Vec<ActivityRule> = serde_json::from_value(json!(rules)).unwrap();
            let rules: Vec<_> = PauseRule::of(&rules).collect();
            decide(&rules, namespace.as_ref(), pod_config.as_ref())
                .unwrap()
                .map(|decision| decision.seconds_since_active)
        };
        let none = || Some(Labels::new());
        let by_namespace = [rule(absent("matchNamespace"), Some(true), 60)];
        let by_pod_config = [rule(absent("matchPodConfig"), Some(true), 61)];
        assert_eq!(decides(&by_namespace, none(), None), Some(60));
        assert_eq!(decides(&by_namespace, None, none()), None);
        assert_eq!(decides(&by_pod_config, None, none()), Some(61));
        assert_eq!(decides(&by_pod_config, none(), None), None);
        // A rule before that decides, and one that has no say about pausing.
        let [first, second] = [rule(json!({}), Some(true), 62), rule(absent("matchNamespace"), None, 63)];
        assert_eq!(decides(&[first.clone(), by_namespace[0].clone()], None, None), Some(62));
        assert_eq!(decides(&[second, first], None, None), Some(62));
    }

    #[test]
    fn both_times_have_to_pass() {
        let of = |pauses, idle, running| Decision {
            rule: RuleField::Culling,
            pauses,
            seconds_since_active: idle,
            min_running_seconds: running,
        };
        let since = 1_000_000;
        for (decision, last_activity, expected) in [
            // Never seen active: from when it runs.
            (of(true, 600, 0), 0, Some(since + 600_000)),
            (of(true, 600, 3600), 0, Some(since + 3_600_000)),
            (of(true, 600, 0), since + 5_000, Some(since + 605_000)),
            (of(true, 600, 3600), since + 5_000, Some(since + 3_600_000)),
            (of(true, 600, 3600), since + 9_000_000, Some(since + 9_600_000)),
            // Active before it ran, as a probe may report of files.
            (of(true, 600, 0), since - 700_000, Some(since)),
            (of(true, 600, 0), since - 200_000, Some(since + 400_000)),
            (of(true, 600, 60), since - 700_000, Some(since + 60_000)),
            (of(false, 600, 0), since, None),
            (of(true, i32::MAX, i32::MAX), i64::MAX, Some(i64::MAX)),
        ] {
            assert_eq!(decision.eligible_after(last_activity, since), expected, "{decision:?} {last_activity}");
        }
    }
}
