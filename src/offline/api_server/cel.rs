//! The CEL rules of the schema, evaluated by `kube-cel`.
//!
//! The traversal is our own: the library pairs list items with their old values by index, where the API server pairs
//! them by key; and it would evaluate rules on values of the wrong type.

use kube_cel::Validator;
use serde_json::Value;
use webhook::rule::Rule;

use super::path::Path;
use super::schema::Schema;
use super::violation::Violation;

/// Evaluates all rules of an object that has its defaults. `broken` are the paths that violate the
/// schema: rules that include them cannot be evaluated.
pub fn evaluate(schema: &Schema, object: &Value, old: Option<&Value>, broken: &[Path]) -> Vec<Violation> {
    let mut walk = Walk { validator: Validator::new(), broken, violations: Vec::new() };
    walk.node(schema, object, old, &Path::default());
    walk.violations
}

struct Walk<'a> {
    validator: Validator,
    broken: &'a [Path],
    violations: Vec<Violation>,
}

impl Walk<'_> {
    fn node(&mut self, schema: &Schema, value: &Value, old: Option<&Value>, path: &Path) {
        // Ratcheting: an unchanged value may keep its violations, and breaks no transition rule.
        if old == Some(value) {
            return;
        }
        if let Some(rules) = &schema.rules
            && !self.broken.iter().any(|broken| path.covers(broken))
            && let Err(errors) = self.validator.validate_compiled(rules, value, old)
        {
            let class = schema.types.first().map_or("object", String::as_str);
            for error in &errors {
                let mut place = path.clone();
                place.0.extend(Path::of(&error.field_path).0);
                let message = format!("Invalid value: \"{class}\": {}", error.message);
                self.violations.push(Violation { rule: Rule::SchemaRule, place, field: None, message });
            }
        }
        match value {
            Value::Object(map) => {
                for (name, child) in map {
                    if let Some(below) = schema.below(name) {
                        self.node(below, child, old.and_then(|old| old.get(name)), &path.field(name));
                    }
                }
            }
            Value::Array(items) => {
                let Some(below) = &schema.items else { return };
                for (index, item) in items.iter().enumerate() {
                    self.node(below, item, schema.counterpart(item, old), &path.item(index));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn messages(object: &Value, old: Option<&Value>) -> Vec<String> {
        let schema = Schema::read(&json!({"type": "object", "properties": {
            "items": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
                "items": {"type": "object", "properties": {
                    "id": {"type": "string"},
                    "size": {"type": "integer",
                        "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "size is immutable"}]},
                    "label": {"type": "string"},
                }, "x-kubernetes-validations": [{"rule": "has(self.size)", "message": "needs a size", "fieldPath": ".size"}]}},
        }}));
        let violations = evaluate(&schema.unwrap(), object, old, &[]);
        violations.iter().map(|violation| format!("{}: {}", violation.field(), violation.message)).collect()
    }

    #[test]
    fn items_are_compared_with_those_of_the_same_key() {
        let old = json!({"items": [{"id": "a", "size": 1}, {"id": "b", "size": 2}]});
        let swapped = json!({"items": [{"id": "b", "size": 2, "label": "x"}, {"id": "a", "size": 1}]});
        assert_eq!(messages(&swapped, Some(&old)), [""; 0]);
        let changed = json!({"items": [{"id": "b", "size": 3}]});
        assert_eq!(messages(&changed, Some(&old)), ["items[0].size: Invalid value: \"integer\": size is immutable"]);
        assert_eq!(messages(&changed, None), [""; 0]);
    }

    #[test]
    fn an_update_may_keep_violations_in_unchanged_fields() {
        let old = json!({"items": [{"id": "a"}]});
        assert_eq!(messages(&old, None), ["items[0].size: Invalid value: \"object\": needs a size"]);
        assert_eq!(messages(&json!({"items": [{"id": "b", "size": 1}, {"id": "a"}]}), Some(&old)), [""; 0]);
    }
}
