//! Fields that are null. What becomes of them depends on how the object is applied.

use serde_json::Value;
use webhook::rule::Rule;

use super::path::Path;
use super::schema::Schema;
use super::violation::Violation;

/// The fields of `spec` that are null and have no default, which is what a null becomes.
///
/// Those of `metadata` are read by other code of the API server, which drops nulls; `status` is ignored.
pub fn find(schema: &Schema, object: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    let spec = object.get("spec").filter(|spec| !spec.is_null());
    if let (Some(schema), Some(spec)) = (schema.properties.get("spec"), spec) {
        walk(schema, spec, &Path::of("spec"), &mut found);
    }
    found
}

fn walk(schema: &Schema, value: &Value, path: &Path, found: &mut Vec<Violation>) {
    match value {
        Value::Object(map) => {
            for (name, child) in map {
                let Some(schema) = schema.below(name) else { continue };
                if child.is_null() && schema.default.is_none() {
                    found.push(warning(schema, path.field(name)));
                } else {
                    walk(schema, child, &path.field(name), found);
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = &schema.items else { return };
            for (index, item) in items.iter().enumerate() {
                walk(schema, item, &path.item(index), found);
            }
        }
        _ => {}
    }
}

fn warning(schema: &Schema, place: Path) -> Violation {
    let hint = if schema.takes_only_text() { ", or quote it if it is text" } else { "" };
    let message = format!("null is refused by server-side apply and dropped otherwise: leave the field out{hint}");
    Violation { rule: Rule::NullValue, place, field: None, message }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn nulls_without_a_default_are_found_below_the_spec() {
        let schema = Schema::read(&json!({"type": "object", "properties": {
            "metadata": {"type": "object", "properties": {"creationTimestamp": {"type": "string"}}},
            "spec": {"type": "object", "properties": {
                "name": {"type": "string"},
                "paused": {"type": "boolean", "default": false},
                "limits": {"type": "object", "additionalProperties": {
                    "x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}},
                "items": {"type": "array", "items": {"type": "object", "properties": {"mode": {"type": "integer"}}}},
            }},
            "status": {"type": "object", "properties": {"state": {"type": "string"}}},
        }}))
        .unwrap();
        let object = json!({
            "metadata": {"creationTimestamp": null},
            "spec": {"name": null, "paused": null, "limits": {"cpu": null}, "items": [{"mode": null}, null], "other": null},
            "status": {"state": null},
        });
        let found: Vec<_> =
            find(&schema, &object).iter().map(|one| format!("{}: {}", one.place, one.message)).collect();
        let what = "null is refused by server-side apply and dropped otherwise: leave the field out";
        assert_eq!(
            found,
            [
                format!("spec.items[0].mode: {what}"),
                format!("spec.limits.cpu: {what}"),
                format!("spec.name: {what}, or quote it if it is text"),
            ]
        );
        assert_eq!(find(&schema, &json!({"spec": null})), []);
    }
}
