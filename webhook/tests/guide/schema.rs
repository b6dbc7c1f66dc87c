//! Objects against the schema of their CustomResourceDefinition.

use std::collections::BTreeSet;

use serde_json::Value;

/// The violations of the schema, in words. Patterns and CEL are left to the API server.
pub fn misfits(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    match (schema["type"].as_str(), value) {
        (Some("array"), Value::Array(items)) => {
            found.extend(misfit_list(schema, items).map(|why| format!("{path}: {why}")));
            for (index, item) in items.iter().enumerate() {
                misfits(&schema["items"], item, &format!("{path}[{index}]"), found);
            }
        }
        (Some("object"), Value::Object(fields)) => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let missing = required.filter(|name| !fields.contains_key(*name));
            found.extend(missing.map(|name| format!("{path}.{name}: missing")));
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                match (&schema["properties"][name], &schema["additionalProperties"]) {
                    (Value::Null, Value::Null) if schema["properties"].is_null() => {}
                    (Value::Null, Value::Null) => found.push(format!("{path}: unknown field")),
                    (Value::Null, schema) | (schema, _) => misfits(schema, value, &path, found),
                }
            }
        }
        _ => found.extend(misfit_scalar(schema, value).map(|why| format!("{path}: {why}"))),
    }
}

/// Whether a number, length or count is between the bounds of these names.
fn is_within(schema: &Value, number: i64, least: &str, most: &str) -> bool {
    let [least, most] = [least, most].map(|bound| schema[bound].as_i64());
    least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most)
}

fn misfit_list(schema: &Value, items: &[Value]) -> Option<&'static str> {
    let keys: Vec<&str> =
        schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let of = |item: &Value| keys.iter().map(|key| item[*key].to_string()).collect::<Vec<_>>();
    let distinct: BTreeSet<_> = items.iter().map(of).collect();
    let count = i64::try_from(items.len()).unwrap();
    match () {
        () if !is_within(schema, count, "minItems", "maxItems") => Some("too few or too many items"),
        () if !keys.is_empty() && distinct.len() < items.len() => Some("two items with one key"),
        () => None,
    }
}

fn misfit_scalar(schema: &Value, value: &Value) -> Option<String> {
    if schema["x-kubernetes-int-or-string"] == true {
        return (!value.is_i64() && !value.is_string()).then(|| format!("{value} is neither a number nor a text"));
    }
    let fits = match (schema["type"].as_str(), value) {
        (Some("string"), Value::String(text)) => {
            let is_allowed = schema["enum"].as_array().is_none_or(|allowed| allowed.contains(value));
            is_allowed && is_within(schema, i64::try_from(text.chars().count()).unwrap(), "minLength", "maxLength")
        }
        (Some("integer"), Value::Number(number)) => {
            number.as_i64().is_some_and(|number| is_within(schema, number, "minimum", "maximum"))
        }
        (Some("boolean"), Value::Bool(_)) => true,
        _ => false,
    };
    (!fits).then(|| format!("{value} does not fit"))
}

/// The schema within a CustomResourceDefinition.
pub fn schema(crd: &Value) -> &Value {
    &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

/// The paths of the fields that are ours: those of Kubernetes' own types have no documentation.
pub fn own_fields(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        if field["description"].is_string() {
            let path = format!("{path}.{name}");
            own_fields(field, &path, found);
            found.insert(path);
        }
    }
    if schema["items"].is_object() {
        own_fields(&schema["items"], path, found);
    }
}

/// The paths of the fields that a value has.
pub fn shown_fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                shown_fields(value, &path, found);
                found.insert(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| shown_fields(item, path, found)),
        _ => {}
    }
}
