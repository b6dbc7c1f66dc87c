//! Faults of fields, in the format of apimachinery's `field.Error`, and which of them an update introduces.
//!
//! This file words the class of a fault, its value and its hint. The detail is worded by the rule that finds it: in
//! `workspace/*` and `workspace_kind/*`, or in `crds` where the reconciler reports the same fault (`headers/*`,
//! `labels`, `activity`, `ports`, `value_template`, `template/*`) or the API server would (`pod_rules/*`). Texts about a rule as such, for `explain` and
//! docs/rules.md, are in `rule`.

use std::collections::BTreeMap;

pub use crds::field_error::{FaultType, QuotedValue};
use crds::pod_rules::{PodFault, PodFaults};
use crds::value_template::cut;
pub use crds::value_template::{key, quoted};

use crate::rule::Rule;

/// The most faults that an answer names; more are counted.
pub(crate) const SHOWN_MAX: usize = 50;

/// What is wrong with one field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The rule that found it.
    pub rule: Rule,
    /// What the fault is about, without list indexes: an update introduces a fault if no stored one has the same rule,
    /// key and detail.
    pub key: String,
    /// The path of the field.
    pub field: String,
    /// The class of the fault.
    pub fault_type: FaultType,
    /// The value to quote.
    pub value: QuotedValue,
    /// What is wrong.
    pub detail: String,
    /// Advice that follows the detail and may change with other fields, such as the nearest id.
    pub hint: String,
    /// The offset of the wrong byte in the field's value, if known; it does not affect the verdict.
    pub at: Option<usize>,
}

impl Fault {
    fn new(
        rule: Rule,
        field: impl Into<String>,
        fault_type: FaultType,
        value: QuotedValue,
        detail: impl Into<String>,
    ) -> Self {
        let (field, detail) = (field.into(), detail.into());
        Self { rule, key: String::new(), field, fault_type, value, detail, hint: String::new(), at: None }
    }

    /// The value is not allowed.
    pub fn invalid(rule: Rule, field: impl Into<String>, value: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(rule, field, FaultType::Invalid, QuotedValue::Text(value.into()), detail)
    }

    /// The number is not allowed.
    pub fn invalid_number(rule: Rule, field: impl Into<String>, value: i64, detail: impl Into<String>) -> Self {
        Self::new(rule, field, FaultType::Invalid, QuotedValue::Number(value), detail)
    }

    /// The block of fields is not allowed.
    pub fn invalid_block(
        rule: Rule,
        field: impl Into<String>,
        block: &impl serde::Serialize,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(rule, field, FaultType::Invalid, QuotedValue::block(block), detail)
    }

    /// A fault of a field that becomes part of a pod.
    fn of_pod(rule: Rule, fault: PodFault) -> Self {
        let PodFault { field, key, fault_type, value, detail, hint } = fault;
        Self::new(rule, field, fault_type, value, detail).about(key).with_hint(hint)
    }

    /// A value is missing.
    pub fn required(rule: Rule, field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(rule, field, FaultType::Required, QuotedValue::Omitted, detail)
    }

    /// The value is a duplicate.
    pub fn duplicate(rule: Rule, field: impl Into<String>, value: impl Into<String>) -> Self {
        Self::new(rule, field, FaultType::Duplicate, QuotedValue::Text(value.into()), "")
    }

    /// The value names something that does not exist.
    pub fn not_found(
        rule: Rule,
        field: impl Into<String>,
        value: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(rule, field, FaultType::NotFound, QuotedValue::Text(value.into()), detail)
    }

    /// The field must not be set, or not to this value.
    pub fn forbidden(rule: Rule, field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(rule, field, FaultType::Forbidden, QuotedValue::Omitted, detail)
    }

    /// The object does not decode at this field. `why` names the value.
    pub fn undecodable(field: impl Into<String>, why: &str) -> Self {
        Self::new(Rule::Schema, field, FaultType::Invalid, QuotedValue::Omitted, cut(why))
    }

    /// The value is longer than `max` bytes.
    pub fn too_long(rule: Rule, field: impl Into<String>, max: usize) -> Self {
        Self::new(rule, field, FaultType::TooLong, QuotedValue::Omitted, format!("may not be more than {max} bytes"))
    }

    /// Sets the key: what the fault is about, where the rule and the detail do not say it.
    #[must_use]
    pub fn about(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// Adds advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Sets the offset of the wrong byte in the value.
    #[must_use]
    pub fn pointing(mut self, at: Option<usize>) -> Self {
        self.at = at;
        self
    }

    /// Suggests the candidate that is nearest to `wanted`, if any is similar.
    #[must_use]
    pub fn suggesting<'a>(self, wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        match crds::nearest::nearest(wanted, candidates) {
            Some(id) => self.with_hint(format!(", did you mean {}?", quoted(id))),
            None => self,
        }
    }

    /// The message without the path.
    pub fn message(&self) -> String {
        let mut message = self.fault_type.text().to_owned();
        if self.value != QuotedValue::Omitted {
            message.push_str(": ");
            message.push_str(&self.value.to_string());
        }
        if !self.detail.is_empty() {
            message.push_str(": ");
            message.push_str(&self.detail);
        }
        message.push_str(&self.hint);
        message
    }

    /// What two faults have in common if an update did not introduce the second one.
    fn identity(&self) -> (Rule, &str, &str) {
        (self.rule, &self.key, &self.detail)
    }
}

/// What the author of an accepted object should know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Warning {
    /// The rule that found it.
    pub rule: Rule,
    /// The path of the field.
    pub field: String,
    /// The whole text, in one line: ours aim at 120 characters.
    pub text: String,
}

/// What the rules found out about an object.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Findings {
    /// Why it is refused; empty when it is accepted.
    pub faults: Vec<Fault>,
    /// What its author should know.
    pub warnings: Vec<Warning>,
}

impl Findings {
    /// Adds a fault with the candidate that is nearest to `wanted`. The search is slow, so it is made only for faults
    /// that are shown.
    pub fn push_suggesting<'a>(&mut self, fault: Fault, wanted: &str, candidates: impl IntoIterator<Item = &'a str>) {
        let shown = self.faults.len() < SHOWN_MAX;
        self.faults.push(if shown { fault.suggesting(wanted, candidates) } else { fault });
    }

    /// Adds a warning whose text names the field itself.
    pub fn warn(&mut self, rule: Rule, field: impl Into<String>, text: impl Into<String>) {
        self.warnings.push(Warning { rule, field: field.into(), text: text.into() });
    }

    /// Runs rules about pods; what they find are faults of `rule`.
    pub(crate) fn judge_pod(&mut self, rule: Rule, validate: impl FnOnce(&mut PodFaults)) {
        let mut faults = PodFaults::default();
        validate(&mut faults);
        self.faults.extend(faults.into_iter().map(|fault| Fault::of_pod(rule, fault)));
    }

    /// Adds other findings.
    pub fn add(&mut self, others: Self) {
        self.faults.extend(others.faults);
        self.warnings.extend(others.warnings);
    }

    /// Sorts the faults by the row of their rule; within a row they keep their order.
    pub fn sort(&mut self) {
        self.faults.sort_by_key(|fault| fault.rule.row());
    }
}

/// The faults of `new` that are not among those of `old`.
///
/// A fault that occurs twice must have occurred twice before.
pub fn introduced(new: Vec<Fault>, old: &[Fault]) -> Vec<Fault> {
    let mut known: BTreeMap<_, usize> = BTreeMap::new();
    for fault in old {
        *known.entry(fault.identity()).or_default() += 1;
    }
    let mut is_new = Vec::with_capacity(new.len());
    for fault in &new {
        let left = known.get_mut(&fault.identity()).filter(|left| **left > 0);
        is_new.push(left.is_none());
        if let Some(left) = left {
            *left -= 1;
        }
    }
    new.into_iter().zip(is_new).filter_map(|(fault, is_new)| is_new.then_some(fault)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(key: &str, detail: &str) -> Fault {
        Fault::invalid(Rule::ExtraEnvTemplate, format!("spec.x[{key}]"), "v", detail).about(key)
    }

    #[test]
    fn messages_read_as_those_of_apimachinery() {
        let rule = Rule::ExtraEnvTemplate;
        let cases = [
            (Fault::invalid(rule, "f", "a\"b\n", "bad"), r#"Invalid value: "a\"b\n": bad"#),
            (Fault::invalid_number(rule, "f", 8888, "port 8888"), "Invalid value: 8888: port 8888"),
            (Fault::required(rule, "f", "say so"), "Required value: say so"),
            (Fault::duplicate(rule, "f", "x"), r#"Duplicate value: "x""#),
            (Fault::not_found(rule, "f", "x", ""), r#"Not found: "x""#),
            (Fault::forbidden(rule, "f", "no"), "Forbidden: no"),
            (Fault::too_long(rule, "f", 63), "Too long: may not be more than 63 bytes"),
            (
                Fault::not_found(rule, "f", "lba", "nowhere").suggesting("lba", ["vnc", "lab"]),
                r#"Not found: "lba": nowhere, did you mean "lab"?"#,
            ),
        ];
        for (fault, message) in cases {
            assert_eq!(fault.message(), message);
        }
    }

    #[test]
    fn long_values_and_keys_are_cut_between_characters() {
        assert_eq!(quoted(&"a".repeat(256)), format!("\"{}\"", "a".repeat(256)));
        assert_eq!(quoted(&"a".repeat(257)), format!("\"{}\"…", "a".repeat(256)));
        assert_eq!(quoted(&format!("{}ää", "a".repeat(255))), format!("\"{}\"…", "a".repeat(255)));
        assert_eq!(key("spec.x", &"k".repeat(300)), format!("spec.x[{}…]", "k".repeat(256)));
        assert_eq!(key("spec.x", "k"), "spec.x[k]");
    }

    #[test]
    fn an_update_introduces_what_was_not_there() {
        let old = [fault("a", "one"), fault("b", "one")];
        let new = vec![fault("b", "one"), fault("a", "two"), fault("c", "one"), fault("b", "one")];
        let keys: Vec<_> = introduced(new, &old).into_iter().map(|fault| (fault.key, fault.detail)).collect();
        let pairs = [("a", "two"), ("c", "one"), ("b", "one")];
        assert_eq!(keys, pairs.map(|(key, detail)| (key.to_owned(), detail.to_owned())));
    }

    #[test]
    fn advice_and_place_do_not_make_a_fault_new() {
        let old = [fault("a", "one").with_hint(", did you mean b?")];
        let moved = Fault { field: "elsewhere".to_owned(), ..fault("a", "one") };
        assert!(introduced(vec![moved], &old).is_empty());
    }

    #[test]
    fn faults_are_ordered_by_row_and_else_as_found() {
        let of = |rule, detail: &str| Fault::forbidden(rule, "f", detail);
        let mut findings = Findings {
            faults: vec![
                of(Rule::RedirectCycle, "1"),
                of(Rule::PortDuplicate, "2"),
                of(Rule::PortUnknown, "3"),
                of(Rule::PortDuplicate, "4"),
                of(Rule::ExtraEnvTemplate, "5"),
                of(Rule::RedirectTarget, "6"),
            ],
            warnings: Vec::new(),
        };
        findings.sort();
        let order: String = findings.faults.iter().map(|fault| fault.detail.as_str()).collect();
        assert_eq!(order, "523416");
    }
}
