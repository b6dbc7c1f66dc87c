//! A fault that the API server finds before it asks any webhook.

use webhook::rule::Rule;

use super::path::Path;

/// What the API server would say about a place before it asks any webhook.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// The rule: schema, unknown field or CEL rule.
    pub rule: Rule,
    /// The place that it is about.
    pub place: Path,
    /// The path that the API server names, where that is not the place.
    pub field: Option<String>,
    /// What is wrong, without the path.
    pub message: String,
}

impl Violation {
    /// The path to show.
    pub fn field(&self) -> String {
        self.field.clone().unwrap_or_else(|| self.place.to_string())
    }
}
