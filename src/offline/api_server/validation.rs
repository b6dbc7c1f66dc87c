//! Validation against the schema, with the API server's messages. An update may keep violations in unchanged fields.

use std::collections::HashSet;

use crds::quantity::MALFORMED;
use serde_json::Value;
use webhook::field::quoted;
use webhook::rule::Rule;

use super::hints;
use super::path::Path;
use super::schema::Schema;
use super::violation::Violation;

/// Validates an object that has its defaults; `old` is the object that it replaces.
pub fn validate(schema: &Schema, object: &Value, old: Option<&Value>) -> Vec<Violation> {
    let mut violations = Vec::new();
    check(schema, object, old, &Path::default(), &mut violations);
    let mut duplicates = Vec::new();
    keys(schema, object, &Path::default(), &mut duplicates);
    // The API server accepts such violations, also new ones, once an object has any.
    let had = old.is_some_and(|old| {
        let mut had = Vec::new();
        keys(schema, old, &Path::default(), &mut had);
        !had.is_empty()
    });
    if !had {
        violations.extend(duplicates);
    }
    violations
}

fn push(violations: &mut Vec<Violation>, path: &Path, message: String) {
    violations.push(Violation { rule: Rule::Schema, place: path.clone(), field: None, message });
}

fn check(schema: &Schema, value: &Value, old: Option<&Value>, path: &Path, violations: &mut Vec<Violation>) {
    if old == Some(value) {
        return;
    }
    let found = type_of(value);
    let fits = |wanted: &String| wanted == found || (wanted == "number" && found == "integer");
    if !schema.types.is_empty() && !schema.types.iter().any(fits) {
        let wanted = schema.types.join(",");
        let hint =
            if schema.takes_as_text(value) { hints::string_wanted(&path.to_string(), value) } else { String::new() };
        let message = format!("Invalid value: \"{found}\": {path} in body must be of type {wanted}: \"{found}\"{hint}");
        return push(violations, path, message);
    }
    match value {
        Value::String(text) => check_text(schema, text, path, violations),
        Value::Number(_) => check_number(schema, value, path, violations),
        Value::Array(items) => check_list(schema, items, old, path, violations),
        Value::Object(map) => check_object(schema, map, old, path, violations),
        Value::Null | Value::Bool(_) => {}
    }
    if !schema.allowed.is_empty() && !schema.allowed.contains(value) {
        let allowed: Vec<String> = schema.allowed.iter().map(Value::to_string).collect();
        push(
            violations,
            path,
            format!("Unsupported value: {}: supported values: {}", shown(value), allowed.join(", ")),
        );
    }
}

fn check_text(schema: &Schema, text: &str, path: &Path, violations: &mut Vec<Violation>) {
    let length = text.chars().count() as u64;
    if let Some(least) = schema.bounds.min_length.filter(|least| length < *least) {
        let rule = format!("{path} in body should be at least {least} chars long");
        push(violations, path, format!("Invalid value: {}: {rule}", quoted(text)));
    }
    if let Some(most) = schema.bounds.max_length.filter(|most| length > *most) {
        push(violations, path, format!("Too long: may not be more than {most} bytes"));
    }
    // In an `anyOf` of integer and string the pattern applies to the string.
    if let Some(pattern) = schema.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
        // Nobody can read the pattern of quantities.
        let rule = if schema.is_quantity() {
            MALFORMED.to_owned()
        } else {
            format!("{path} in body should match '{pattern}'")
        };
        push(violations, path, format!("Invalid value: {}: {rule}", quoted(text)));
    }
    if schema.is_time && !is_time(text) {
        let text = quoted(text);
        push(violations, path, format!("Invalid value: {text}: {path} in body must be of type date-time: {text}"));
    }
}

fn check_number(schema: &Schema, value: &Value, path: &Path, violations: &mut Vec<Violation>) {
    let number = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    let below = |least: i64| number.map_or(value.as_f64() < Some(0.0), |number| number < i128::from(least));
    let above = |most: i64| number.map_or(value.as_f64() > Some(0.0), |number| number > i128::from(most));
    if let Some(least) = schema.bounds.minimum.filter(|least| below(*least)) {
        push(
            violations,
            path,
            format!("Invalid value: {value}: {path} in body should be greater than or equal to {least}"),
        );
    }
    if let Some(most) = schema.bounds.maximum.filter(|most| above(*most)) {
        push(
            violations,
            path,
            format!("Invalid value: {value}: {path} in body should be less than or equal to {most}"),
        );
    }
}

fn check_list(schema: &Schema, items: &[Value], old: Option<&Value>, path: &Path, violations: &mut Vec<Violation>) {
    let count = items.len() as u64;
    if let Some(least) = schema.bounds.min_items.filter(|least| count < *least) {
        push(violations, path, format!("Invalid value: {count}: {path} in body should have at least {least} items"));
    }
    if let Some(most) = schema.bounds.max_items.filter(|most| count > *most) {
        push(violations, path, format!("Too many: {count}: must have at most {most} items"));
    }
    if let Some(below) = &schema.items {
        for (index, item) in items.iter().enumerate() {
            check(below, item, schema.counterpart(item, old), &path.item(index), violations);
        }
    }
}

fn check_object(
    schema: &Schema,
    map: &serde_json::Map<String, Value>,
    old: Option<&Value>,
    path: &Path,
    violations: &mut Vec<Violation>,
) {
    for name in schema.required.iter().filter(|name| !map.contains_key(*name)) {
        push(violations, &path.field(name), "Required value".to_owned());
    }
    let count = map.len() as u64;
    if let Some(most) = schema.bounds.max_properties.filter(|most| count > *most) {
        push(violations, path, format!("Too many: {count}: must have at most {most} items"));
    }
    for (name, child) in map {
        if let Some(below) = schema.below(name) {
            check(below, child, old.and_then(|old| old.get(name)), &path.field(name), violations);
        }
    }
}

/// Finds duplicate keys in lists.
fn keys(schema: &Schema, value: &Value, path: &Path, violations: &mut Vec<Violation>) {
    match value {
        Value::Array(items) => {
            if !schema.list_keys.is_empty() {
                list_keys(schema, items, path, violations);
            }
            let Some(below) = &schema.items else { return };
            for (index, item) in items.iter().enumerate() {
                keys(below, item, &path.item(index), violations);
            }
        }
        Value::Object(map) => {
            for (name, child) in map {
                if let Some(below) = schema.below(name) {
                    keys(below, child, &path.field(name), violations);
                }
            }
        }
        _ => {}
    }
}

/// A key that occurs three times is reported once, as by the API server.
fn list_keys(schema: &Schema, items: &[Value], path: &Path, violations: &mut Vec<Violation>) {
    let (mut seen, mut reported) = (HashSet::new(), HashSet::new());
    for (index, item) in items.iter().enumerate().filter(|(_, item)| item.is_object()) {
        let key: serde_json::Map<String, Value> =
            schema.list_keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone()))).collect();
        let key = Value::Object(key).to_string();
        if !seen.insert(key.clone()) && reported.insert(key.clone()) {
            push(violations, &path.item(index), format!("Duplicate value: {key}"));
        }
    }
}

/// The type in JSON schema; whole numbers are integers, however they are written.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() == 0.0) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), quoted)
}

fn is_time(text: &str) -> bool {
    serde_json::from_value::<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>(text.into()).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn schema() -> Schema {
        Schema::read(&json!({"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string", "maxLength": 3, "pattern": "^[a-z]*$"},
            "mode": {"type": "integer", "minimum": 0, "maximum": 511},
            "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            "memory": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}],
                "pattern": "^[0-9]+[KM]?$"},
            "state": {"type": "string", "enum": ["On", "Off"]},
            "items": {"type": "array", "minItems": 1, "maxItems": 2, "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["id"],
                "items": {"type": "object", "properties": {"id": {"type": "string"}, "size": {"type": "integer", "maximum": 9}}}},
        }}))
        .unwrap()
    }

    fn messages(object: &Value, old: Option<&Value>) -> Vec<String> {
        let violations = validate(&schema(), object, old);
        violations.iter().map(|violation| format!("{}: {}", violation.field(), violation.message)).collect()
    }

    #[test]
    fn messages_are_those_of_the_api_server() {
        let cases = [
            (json!({}), "name: Required value"),
            (
                json!({"name": 1}),
                "name: Invalid value: \"integer\": name in body must be of type string: \"integer\" (YAML reads it as a \
                 number: quote it)",
            ),
            (
                json!({"name": false}),
                "name: Invalid value: \"boolean\": name in body must be of type string: \"boolean\" (YAML reads it as a \
                 boolean: quote it)",
            ),
            (
                json!({"name": null}),
                "name: Invalid value: \"null\": name in body must be of type string: \"null\" (YAML reads it as null: \
                 quote it)",
            ),
            (json!({"name": []}), "name: Invalid value: \"array\": name in body must be of type string: \"array\""),
            (
                json!({"name": "a", "mode": true}),
                "mode: Invalid value: \"boolean\": mode in body must be of type integer: \"boolean\"",
            ),
            (
                json!({"name": "a", "memory": "2 GB"}),
                "memory: Invalid value: \"2 GB\": must be a number with an optional suffix: n, u, m, k, M, G, T, P, E, Ki, Mi, \
                 Gi, Ti, Pi, Ei, or a whole exponent such as e3",
            ),
            (json!({"name": "äää"}), "name: Invalid value: \"äää\": name in body should match '^[a-z]*$'"),
            (json!({"name": "abcd"}), "name: Too long: may not be more than 3 bytes"),
            (
                json!({"name": "a", "mode": -1}),
                "mode: Invalid value: -1: mode in body should be greater than or equal to 0",
            ),
            (
                json!({"name": "a", "port": 1.5}),
                "port: Invalid value: \"number\": port in body must be of type integer,string: \"number\" (YAML reads it as a \
                 number: quote it)",
            ),
            (
                json!({"name": "a", "memory": true}),
                "memory: Invalid value: \"boolean\": memory in body must be of type integer,string: \"boolean\" (YAML \
                 reads it as a boolean: quote it)",
            ),
            (
                json!({"name": "a", "memory": null}),
                "memory: Invalid value: \"null\": memory in body must be of type integer,string: \"null\"",
            ),
            (
                json!({"name": "a", "state": "on"}),
                "state: Unsupported value: \"on\": supported values: \"On\", \"Off\"",
            ),
            (json!({"name": "a", "items": []}), "items: Invalid value: 0: items in body should have at least 1 items"),
            (json!({"name": "a", "items": [{"id": "x"}, {"id": "x"}]}), "items[1]: Duplicate value: {\"id\":\"x\"}"),
        ];
        for (object, expected) in cases {
            assert_eq!(messages(&object, None), [expected]);
        }
    }

    #[test]
    fn an_update_may_keep_violations_in_unchanged_fields() {
        let old = json!({"name": "A", "items": [{"id": "x", "size": 10}]});
        assert_eq!(
            messages(&json!({"name": "A", "mode": 1, "items": [{"id": "y"}, {"id": "x", "size": 10}]}), Some(&old)),
            [""; 0]
        );
        assert_eq!(messages(&json!({"name": "B", "items": [{"id": "x", "size": 11}]}), Some(&old)).len(), 2);
    }
}
