//! What the API server does to an object before validation: drop unknown fields and nulls, fill in defaults.
//!
//! It reports little about unknown fields; here each is a violation.

use serde_json::Value;
use webhook::rule::Rule;

use super::path::Path;
use super::places;
use super::schema::Schema;
use super::violation::Violation;

/// How many known fields a message lists.
const LISTED_MAX: usize = 8;
/// For how many unknown fields others are suggested, since the search is expensive.
const SUGGESTED_MAX: usize = 200;

/// Prepares an object for validation; returns its unknown fields.
pub fn shape(schema: &Schema, object: &mut Value) -> Vec<Violation> {
    let mut pruning = Pruning { root: schema, violations: Vec::new() };
    pruning.prune(schema, object, &Path::default());
    fill(schema, object);
    drop_nulls(schema, object);
    pruning.violations
}

struct Pruning<'a> {
    root: &'a Schema,
    violations: Vec<Violation>,
}

impl Pruning<'_> {
    fn prune(&mut self, schema: &Schema, value: &mut Value, path: &Path) {
        match value {
            // An object where the schema expects another type violates the type; its fields are not reported.
            Value::Object(map) if schema.types.iter().any(|name| name == "object") => {
                map.retain(|name, _| {
                    let is_known = schema.below(name).is_some();
                    if !is_known {
                        self.report(schema, name, path);
                    }
                    is_known
                });
                for (name, child) in map {
                    if let Some(schema) = schema.below(name) {
                        self.prune(schema, child, &path.field(name));
                    }
                }
            }
            Value::Array(items) => {
                let Some(schema) = &schema.items else { return };
                for (index, item) in items.iter_mut().enumerate() {
                    self.prune(schema, item, &path.item(index));
                }
            }
            _ => {}
        }
    }

    fn report(&mut self, schema: &Schema, name: &str, path: &Path) {
        let suggests = self.violations.len() < SUGGESTED_MAX;
        let hint = if suggests { self.hint(schema, name) } else { known_fields(schema) };
        let message = format!("unknown field {}{hint}", crds::template::quote(name));
        self.violations.push(Violation { rule: Rule::UnknownField, place: path.field(name), field: None, message });
    }

    /// What the field may be meant to be: a field of this name elsewhere, a neighbour with a similar name, or a field
    /// with a similar name elsewhere.
    fn hint(&self, schema: &Schema, name: &str) -> String {
        let near = crds::nearest::nearest(name, schema.properties.keys().map(String::as_str));
        let is_near = near.is_some_and(|near| near.eq_ignore_ascii_case(name));
        let exact = if is_near { Vec::new() } else { places::exact(self.root, name) };
        match near {
            Some(near) if exact.is_empty() => format!(", did you mean \"{near}\"?"),
            None if exact.is_empty() => {
                elsewhere(&places::similar(self.root, name)).unwrap_or_else(|| known_fields(schema))
            }
            _ => elsewhere(&exact).unwrap_or_default(),
        }
    }
}

fn elsewhere(places: &[String]) -> Option<String> {
    match places {
        [] => None,
        [place] => Some(format!(", did you mean {place}?")),
        [others @ .., last] => Some(format!(", did you mean {} or {last}?", others.join(", "))),
    }
}

fn known_fields(schema: &Schema) -> String {
    if !(1..=LISTED_MAX).contains(&schema.properties.len()) {
        return String::new();
    }
    let known: Vec<&str> = schema.properties.keys().map(String::as_str).collect();
    format!(" (known here: {})", known.join(", "))
}

/// A null counts as unset: no field of our CRDs is nullable.
fn fill(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, child) in &schema.properties {
                if let Some(default) = &child.default
                    && map.get(name).is_none_or(Value::is_null)
                {
                    map.insert(name.clone(), default.clone());
                }
            }
            for (name, child) in map {
                if let Some(schema) = schema.below(name) {
                    fill(schema, child);
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = &schema.items else { return };
            for item in items {
                if let (Value::Null, Some(default)) = (&item, &schema.default) {
                    *item = default.clone();
                }
                fill(schema, item);
            }
        }
        _ => {}
    }
}

fn drop_nulls(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|name, child| !(child.is_null() && schema.below(name).is_some()));
            for (name, child) in map {
                if let Some(schema) = schema.below(name) {
                    drop_nulls(schema, child);
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = &schema.items else { return };
            for item in items {
                drop_nulls(schema, item);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn schema() -> Schema {
        Schema::read(&json!({"type": "object", "properties": {
            "displayName": {"type": "string"},
            "paused": {"type": "boolean", "default": false},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "items": {"type": "array", "items": {"type": "object", "properties": {"mode": {"type": "integer", "default": 420}}}},
        }}))
        .unwrap()
    }

    #[test]
    fn unknown_fields_go_and_are_named_with_the_nearest() {
        let mut object =
            json!({"displayname": "x", "labels": {"any": "y"}, "items": [{"mode": 1, "other": 2}], "zzzzz": 1});
        let violations = shape(&schema(), &mut object);
        assert_eq!(object, json!({"labels": {"any": "y"}, "items": [{"mode": 1}], "paused": false}));
        let messages: Vec<_> =
            violations.iter().map(|violation| format!("{}: {}", violation.field(), violation.message)).collect();
        assert_eq!(
            messages,
            [
                "displayname: unknown field \"displayname\", did you mean \"displayName\"?",
                "zzzzz: unknown field \"zzzzz\" (known here: displayName, items, labels, paused)",
                "items[0].other: unknown field \"other\" (known here: mode)",
            ]
        );
    }

    #[test]
    fn a_field_that_moved_is_named_with_its_new_place() {
        let kind = Schema::of_crd(&crds::generate::workspace_kind_crd()).unwrap();
        let mut object = json!({"spec": {
            "options": {},
            "activityProbe": {},
            "podTemplate": {
                "httpProxy": {"removePathPrefix": true}, "imageConfig": {}, "exec": {}, "name": "x", "volumes": [], "kind": "",
            },
        }});
        let messages: Vec<_> = shape(&kind, &mut object).into_iter().map(|violation| violation.message).collect();
        assert_eq!(
            messages,
            [
                "unknown field \"activityProbe\", did you mean spec.podTemplate.activityProbe or \
                 spec.podTemplate.culling.activityProbe?",
                "unknown field \"options\", did you mean spec.podTemplate.options?",
                "unknown field \"exec\", did you mean spec.podTemplate.culling.activityProbe.exec?",
                "unknown field \"httpProxy\", did you mean spec.podTemplate.ports[].httpProxy?",
                "unknown field \"imageConfig\", did you mean spec.podTemplate.options.imageConfig?",
                "unknown field \"kind\"",
                "unknown field \"name\"",
                "unknown field \"volumes\"",
            ]
        );
    }

    #[test]
    fn defaults_take_the_place_of_what_is_missing_or_null() {
        let mut object = json!({"paused": null, "displayName": null, "items": [{}, {"mode": null}, {"mode": 1}]});
        assert_eq!(shape(&schema(), &mut object), []);
        assert_eq!(object, json!({"paused": false, "items": [{"mode": 420}, {"mode": 420}, {"mode": 1}]}));
    }
}
