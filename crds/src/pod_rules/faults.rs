//! The faults that the rules about pods find: how they are collected, and how much of them is kept.

use std::borrow::Cow;

use crate::field_error::{FaultType, QuotedValue};
use crate::field_path::FieldPath;
use crate::value_template::cut;

/// What is wrong with one field that becomes part of a pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PodFault {
    /// The path of the field, from the root that the caller gave.
    pub field: String,
    /// What the fault is about, without positions in lists.
    pub key: String,
    /// The class of the fault.
    pub fault_type: FaultType,
    /// The value to quote.
    pub value: QuotedValue,
    /// What is wrong, in the words of the API server.
    pub detail: String,
    /// Advice that follows the detail.
    pub hint: Cow<'static, str>,
}

/// The most faults that are kept: nobody reads more, and a list of 400,000 values has as many.
const FAULTS_MAX: usize = 10_000;

/// The faults that the rules found, in the order of the fields; the first 10,000 of them.
#[derive(Debug, Default)]
pub struct PodFaults {
    faults: Vec<PodFault>,
    /// Whether the last one was not kept.
    is_full: bool,
}

impl PodFaults {
    /// The value is not allowed.
    pub fn invalid(&mut self, at: &FieldPath<'_>, value: impl Into<QuotedValue>, detail: impl Into<String>) {
        self.push(at, FaultType::Invalid, value.into(), detail.into());
    }

    /// The value is not one of `allowed`, which are listed in their order.
    pub fn not_supported(&mut self, at: &FieldPath<'_>, value: &str, allowed: &[&str]) {
        let allowed: Vec<String> = allowed.iter().map(|value| format!("\"{value}\"")).collect();
        self.push(at, FaultType::NotSupported, value.into(), format!("supported values: {}", allowed.join(", ")));
    }

    /// A value is missing.
    pub fn required(&mut self, at: &FieldPath<'_>, detail: impl Into<String>) {
        self.push(at, FaultType::Required, QuotedValue::Omitted, detail.into());
    }

    /// The value is a duplicate.
    pub fn duplicate(&mut self, at: &FieldPath<'_>, value: impl Into<QuotedValue>) {
        self.push(at, FaultType::Duplicate, value.into(), String::new());
    }

    /// The value names something that does not exist.
    pub fn not_found(&mut self, at: &FieldPath<'_>, value: impl Into<QuotedValue>) {
        self.push(at, FaultType::NotFound, value.into(), String::new());
    }

    /// The field must not be set, or not to this value.
    pub fn forbidden(&mut self, at: &FieldPath<'_>, detail: impl Into<String>) {
        self.push(at, FaultType::Forbidden, QuotedValue::Omitted, detail.into());
    }

    /// The value is longer than `max` bytes.
    pub fn too_long(&mut self, at: &FieldPath<'_>, max: usize) {
        self.push(at, FaultType::TooLong, QuotedValue::Omitted, format!("may not be more than {max} bytes"));
    }

    /// Adds advice to the last fault.
    pub fn hint(&mut self, hint: impl Into<Cow<'static, str>>) {
        if let Some(fault) = self.last() {
            fault.hint = hint.into();
        }
    }

    /// Tells the last fault apart from others at the same field and with the same value, by the item it is about.
    pub fn about(&mut self, item: &str) {
        if let Some(fault) = self.last() {
            fault.key = format!("{}, {}", fault.key, cut(item));
        }
    }

    fn last(&mut self) -> Option<&mut PodFault> {
        self.faults.last_mut().filter(|_| !self.is_full)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    fn push(&mut self, at: &FieldPath<'_>, fault_type: FaultType, value: QuotedValue, detail: String) {
        self.is_full = self.faults.len() >= FAULTS_MAX;
        if self.is_full {
            return;
        }
        // A block has other fields, too: it stays the same fault when they change.
        let key = match &value {
            QuotedValue::Block(_) => at.without_indexes(),
            value => format!("{}: {value}", at.without_indexes()),
        };
        self.faults.push(PodFault { field: at.to_string(), key, fault_type, value, detail, hint: Cow::Borrowed("") });
    }
}

#[cfg(test)]
impl PodFaults {
    /// What a rule finds.
    pub fn of(validate: impl FnOnce(&mut Self)) -> Self {
        let mut faults = Self::default();
        validate(&mut faults);
        faults
    }

    /// Each fault with its field, as the API server writes them.
    pub fn written(self) -> Vec<String> {
        let written = |fault: PodFault| {
            let value = Some(fault.value.to_string()).filter(|value| !value.is_empty());
            let parts = [Some(fault.field), Some(fault.fault_type.text().to_owned()), value, Some(fault.detail)];
            parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
        };
        self.into_iter().map(written).collect()
    }
}

impl IntoIterator for PodFaults {
    type Item = PodFault;
    type IntoIter = std::vec::IntoIter<PodFault>;

    fn into_iter(self) -> Self::IntoIter {
        self.faults.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thousands of faults, each with a value of many kilobytes, once took more memory than a pod has.
    #[test]
    fn faults_stay_small_however_many_and_however_long() {
        let long = "ä".repeat(30_000);
        let at = FieldPath::root("spec");
        let mut faults = PodFaults::default();
        for _ in 0..2 * FAULTS_MAX {
            faults.invalid(&at, &long, "too odd");
            faults.about(&long);
        }
        let faults: Vec<PodFault> = faults.into_iter().collect();
        assert_eq!(faults.len(), FAULTS_MAX);
        let is_small =
            |fault: &PodFault| matches!(&fault.value, QuotedValue::Text(text) if text.len() + fault.key.len() < 2048);
        assert!(faults.iter().all(is_small), "{:?}", faults.last());
        assert_eq!(faults.first(), faults.last(), "what is not kept does not change what is");
        assert_eq!(faults[0].value.to_string(), format!("\"{}\"…", "ä".repeat(128)));
    }
}
