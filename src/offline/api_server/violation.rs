//! A violation that the API server finds before it calls any webhook.

use webhook::rule::Rule;

use super::path::Path;

/// A violation that the API server would report.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// The rule: schema, unknown field or CEL rule.
    pub rule: Rule,
    /// Where it is.
    pub place: Path,
    /// The path that the API server reports, where that differs from the place.
    pub field: Option<String>,
    /// The message, without the path.
    pub message: String,
}

impl Violation {
    /// The path to report.
    pub fn field(&self) -> String {
        self.field.clone().unwrap_or_else(|| self.place.to_string())
    }
}
