//! A rule of a ClusterRole, as messages name one that is missing.

use std::fmt;

/// A rule of a ClusterRole. It is shown as YAML, ready to be added to `rules`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AccessRule {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The resource in the plural, with its subresource: `pods`, `statefulsets/scale`.
    pub resource: &'static str,
    /// The verbs.
    pub verbs: &'static [&'static str],
}

impl AccessRule {
    /// A warning that this is not allowed: `without` says what is not done therefore.
    pub fn missing(self, without: &str) -> String {
        format!("a right is missing: {without}; to change that, add to the rules of the ClusterRole: {self}")
    }
}

impl fmt::Display for AccessRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, resource, verbs } = self;
        write!(formatter, "{{apiGroups: [{group:?}], resources: [{resource:?}], verbs: {verbs:?}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_shown_as_yaml() {
        let rule = AccessRule { group: "", resource: "pods", verbs: &["list", "watch"] };
        assert_eq!(rule.to_string(), r#"{apiGroups: [""], resources: ["pods"], verbs: ["list", "watch"]}"#);
    }
}
