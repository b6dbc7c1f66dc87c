//! Which labels a selector selects, as `LabelSelectorAsSelector` of `k8s.io/apimachinery` reads it.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Expression, Selector, SelectorExt};

use crate::field_path::FieldPath;
use crate::pod_rules::{PodFaults, label_selector};

/// A requirement that labels do not meet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unmet {
    /// The requirement.
    pub requirement: Expression,
    /// The value of the label that it is about; `None` where there is no such label.
    pub value: Option<String>,
}

impl fmt::Display for Unmet {
    /// In the syntax of `kubectl --selector`: `team in (a,b), but it is "c"`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, but ", self.requirement)?;
        match &self.value {
            Some(value) => write!(formatter, "it is {value:?}"),
            None => formatter.write_str("there is no such label"),
        }
    }
}

/// Why a selector selects nothing: admission refuses it, so an earlier one stored it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{field}: {detail}")]
pub struct MalformedSelector {
    /// The path of the field, from the selector.
    pub field: String,
    /// What is wrong with it.
    pub detail: String,
}

/// The first requirement of a selector that the labels do not meet; none where it selects them. An empty one selects
/// everything.
pub fn unmet(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> Result<Option<Unmet>, MalformedSelector> {
    let mut faults = PodFaults::default();
    label_selector::validate(selector, &FieldPath::root("selector"), &mut faults);
    if let Some(fault) = faults.into_iter().next() {
        return Err(MalformedSelector { field: fault.field, detail: fault.detail + &fault.hint });
    }
    let malformed = |error: kube::core::ParseExpressionError| MalformedSelector {
        field: "selector".to_owned(),
        detail: error.to_string(),
    };
    let mut requirements = Selector::try_from(selector.clone()).map_err(malformed)?.into_iter();
    Ok(requirements.find(|requirement| !requirement.matches(labels)).map(|requirement| {
        let value = labels.get(key(&requirement)).cloned();
        Unmet { requirement, value }
    }))
}

fn key(requirement: &Expression) -> &str {
    match requirement {
        Expression::In(key, _)
        | Expression::NotIn(key, _)
        | Expression::Equal(key, _)
        | Expression::NotEqual(key, _)
        | Expression::Exists(key)
        | Expression::DoesNotExist(key) => key,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn of(selector: &Value, labels: &[(&str, &str)]) -> String {
        let selector: LabelSelector = serde_json::from_value(selector.clone()).unwrap();
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        match unmet(&selector, &labels) {
            Ok(None) => "selected".to_owned(),
            Ok(Some(unmet)) => unmet.to_string(),
            Err(malformed) => malformed.to_string(),
        }
    }

    fn expression(operator: &str, values: &[&str]) -> Value {
        json!({"matchExpressions": [{"key": "team", "operator": operator, "values": values}]})
    }

    #[test]
    fn the_operators_mean_what_they_mean_in_kubernetes() {
        let (a, c, none) = (&[("team", "a")][..], &[("team", "c")][..], &[("gpu", "a")][..]);
        for (selector, with_a, with_c, without) in [
            (json!({}), "selected", "selected", "selected"),
            (
                json!({"matchLabels": {"team": "a"}}),
                "selected",
                "team=a, but it is \"c\"",
                "team=a, but there is no such label",
            ),
            (
                expression("In", &["a", "b"]),
                "selected",
                "team in (a,b), but it is \"c\"",
                "team in (a,b), but there is no such label",
            ),
            (expression("NotIn", &["a"]), "team notin (a), but it is \"a\"", "selected", "selected"),
            (expression("Exists", &[]), "selected", "selected", "team, but there is no such label"),
            (expression("DoesNotExist", &[]), "!team, but it is \"a\"", "!team, but it is \"c\"", "selected"),
        ] {
            let found = [a, c, none].map(|labels| of(&selector, labels));
            assert_eq!(found, [with_a, with_c, without], "{selector}");
        }
    }

    #[test]
    fn all_requirements_have_to_be_met_and_the_first_that_is_not_is_named() {
        let both = json!({
            "matchLabels": {"team": "a"},
            "matchExpressions": [{"key": "gpu", "operator": "Exists"}],
        });
        assert_eq!(of(&both, &[("team", "a"), ("gpu", "")]), "selected");
        assert_eq!(of(&both, &[("team", "a")]), "gpu, but there is no such label");
        assert_eq!(of(&both, &[]), "team=a, but there is no such label");
    }

    #[test]
    fn a_malformed_selector_selects_nothing() {
        for (selector, expected) in [
            (
                expression("Near", &["a"]),
                "selector.matchExpressions[0].operator: not a valid selector operator: In, NotIn, Exists or DoesNotExist",
            ),
            (
                expression("NotIn", &[]),
                "selector.matchExpressions[0].values: must be specified when `operator` is 'In' or 'NotIn'",
            ),
            (
                expression("Exists", &["a"]),
                "selector.matchExpressions[0].values: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            ),
        ] {
            assert_eq!(of(&selector, &[("team", "a")]), expected, "{selector}");
        }
    }
}
