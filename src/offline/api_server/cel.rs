//! The CEL rules of the schema, evaluated by `kube-cel`.
//!
//! The walk is ours: the library would compare items of lists by their position when it looks for the old value of a
//! rule, the API server compares them by their keys; and it would evaluate rules at places whose type is wrong.

use kube_cel::Validator;
use serde_json::Value;
use webhook::rule::Rule;

use super::path::Path;
use super::schema::Schema;
use super::violation::Violation;

/// Evaluates all rules of an object that has its defaults. `broken` are places at which the schema found a fault: no rule
/// can be evaluated around them.
pub fn evaluate(schema: &Schema, object: &Value, old: Option<&Value>, broken: &[Path]) -> Vec<Violation> {
    let mut walk = Walk { validator: Validator::new(), broken, faults: Vec::new() };
    walk.node(schema, object, old, &Path::default());
    walk.faults
}

struct Walk<'a> {
    validator: Validator,
    broken: &'a [Path],
    faults: Vec<Violation>,
}

impl Walk<'_> {
    fn node(&mut self, schema: &Schema, value: &Value, old: Option<&Value>, path: &Path) {
        // What an update leaves as it was keeps its faults, and no transition rule is broken by it.
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
                self.faults.push(Violation { rule: Rule::SchemaRule, place, field: None, message });
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

    fn said(object: &Value, old: Option<&Value>) -> Vec<String> {
        let schema = Schema::read(&json!({"type": "object", "properties": {
            "items": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
                "items": {"type": "object", "properties": {
                    "id": {"type": "string"},
                    "size": {"type": "integer",
                        "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "size is immutable"}]},
                    "label": {"type": "string"},
                }, "x-kubernetes-validations": [{"rule": "has(self.size)", "message": "needs a size", "fieldPath": ".size"}]}},
        }}));
        let faults = evaluate(&schema.unwrap(), object, old, &[]);
        faults.iter().map(|fault| format!("{}: {}", fault.field(), fault.message)).collect()
    }

    #[test]
    fn items_are_compared_with_those_of_the_same_key() {
        let old = json!({"items": [{"id": "a", "size": 1}, {"id": "b", "size": 2}]});
        let swapped = json!({"items": [{"id": "b", "size": 2, "label": "x"}, {"id": "a", "size": 1}]});
        assert_eq!(said(&swapped, Some(&old)), [""; 0]);
        let changed = json!({"items": [{"id": "b", "size": 3}]});
        assert_eq!(said(&changed, Some(&old)), ["items[0].size: Invalid value: \"integer\": size is immutable"]);
        assert_eq!(said(&changed, None), [""; 0]);
    }

    #[test]
    fn an_update_keeps_what_it_does_not_touch() {
        let old = json!({"items": [{"id": "a"}]});
        assert_eq!(said(&old, None), ["items[0].size: Invalid value: \"object\": needs a size"]);
        assert_eq!(said(&json!({"items": [{"id": "b", "size": 1}, {"id": "a"}]}), Some(&old)), [""; 0]);
    }
}
