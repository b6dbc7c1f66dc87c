//! What selectors of labels have in common, be it labels of objects or of nodes.

use std::collections::BTreeMap;

use super::faults::PodFaults;
use crate::field_path::FieldPath;
use crate::labels::{label_value_fault, qualified_name_fault};
use crate::value_template::quoted;

/// A label, and what it has to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct LabelRequirement<'a> {
    pub key: &'a str,
    pub operator: &'a str,
    pub values: Option<&'a Vec<String>>,
}

/// Which operators a requirement may have.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operators {
    /// Those about the text of a label.
    Text,
    /// Those, and the ones that compare numbers.
    TextAndNumber,
}

impl LabelRequirement<'_> {
    /// Validates the requirement at `at` but for its values.
    pub fn validate(&self, operators: Operators, at: &FieldPath<'_>, faults: &mut PodFaults) {
        let values_at = at.field("values");
        match (self.operator, self.values(), operators) {
            ("In" | "NotIn", [], _) => {
                faults.required(&values_at, "must be specified when `operator` is 'In' or 'NotIn'");
                faults.about(self.key);
            }
            ("Exists" | "DoesNotExist", [_, ..], _) => {
                faults.forbidden(&values_at, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
                faults.about(self.key);
            }
            ("In" | "NotIn" | "Exists" | "DoesNotExist", ..) | ("Gt" | "Lt", [_], Operators::TextAndNumber) => {}
            ("Gt" | "Lt", _, Operators::TextAndNumber) => {
                faults.required(&values_at, "must be specified single value when `operator` is 'Lt' or 'Gt'");
                faults.about(self.key);
            }
            (operator, _, operators) => {
                faults.invalid(&at.field("operator"), operator, NO_OPERATOR);
                faults.about(self.key);
                faults.hint(match operators {
                    Operators::Text => ": In, NotIn, Exists or DoesNotExist",
                    Operators::TextAndNumber => ": In, NotIn, Exists, DoesNotExist, Gt or Lt",
                });
            }
        }
        if let Some(detail) = qualified_name_fault(self.key) {
            faults.invalid(&at.field("key"), self.key, detail);
        }
    }

    /// Validates that the values of the requirement at `at` are values of labels.
    pub fn validate_values(&self, at: &FieldPath<'_>, faults: &mut PodFaults) {
        let values_at = at.field("values");
        for (index, value) in self.values().iter().enumerate() {
            if let Some(detail) = label_value_fault(value) {
                faults.invalid(&values_at.index(index), value, detail);
                faults.about(self.key);
            }
        }
    }

    /// The values, which may be left out.
    pub fn values(&self) -> &[String] {
        self.values.map_or(&[], Vec::as_slice)
    }
}

/// The detail of an unknown operator.
pub(super) const NO_OPERATOR: &str = "not a valid selector operator";

/// Validates the keys and values of the labels at `at`.
pub(super) fn validate_labels(labels: &BTreeMap<String, String>, at: &FieldPath<'_>, faults: &mut PodFaults) {
    for (key, value) in labels {
        validate_label(key, value, at, faults);
    }
}

/// Validates the key and the value of a label; `at` is the path of the labels.
pub fn validate_label(key: &str, value: &str, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if let Some(detail) = qualified_name_fault(key) {
        faults.invalid(at, key, detail);
    }
    if let Some(detail) = label_value_fault(value) {
        faults.invalid(at, value, detail);
        faults.about(key);
        faults.hint(format!(", label {}", quoted(key)));
    }
}
