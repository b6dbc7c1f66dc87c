//! Whether an object still holds all that we applied to it.
//!
//! The API server keeps, for every manager, the set of fields it applied and still owns (`managedFields[].fieldsV1`).
//! A field that another manager changes or removes leaves our set, so while our set covers what we want to apply, the
//! values are those that we applied; and the annotation holds the hash of what that was. Neither values nor schemas
//! need to be known: the set spells out which lists are merged by key and which are atomic.

use serde_json::{Map, Value};

/// Whether `fields` (a `fieldsV1`) is exactly what applying `desired` gives: all of it owned, and nothing else.
pub(super) fn covers(fields: &str, desired: &Value) -> bool {
    let Ok(Value::Object(fields)) = serde_json::from_str(fields) else { return false };
    let Value::Object(desired) = desired else { return false };
    // The identity of an object is owned by no manager.
    let is_identity = |key: &str| matches!(key, "apiVersion" | "kind");
    let metadata = |key: &str| matches!(key, "name" | "namespace");
    desired.iter().filter(|(key, _)| !is_identity(key)).all(|(key, value)| {
        match (fields.get(&format!("f:{key}")), value) {
            (Some(Value::Object(fields)), Value::Object(desired)) if key == "metadata" => {
                let mut desired = desired.clone();
                desired.retain(|key, _| !metadata(key));
                covers_map(fields, &desired)
            }
            (Some(Value::Object(fields)), value) => covers_value(fields, value),
            _ => false,
        }
    }) && fields.keys().all(|field| field.strip_prefix("f:").is_some_and(|key| desired.contains_key(key)))
}

fn covers_value(fields: &Map<String, Value>, desired: &Value) -> bool {
    if fields.is_empty() {
        // A leaf: a scalar, something atomic, or something empty.
        return true;
    }
    match desired {
        Value::Object(desired) => covers_map(fields, desired),
        Value::Array(desired) => covers_list(fields, desired),
        _ => false,
    }
}

fn covers_map(fields: &Map<String, Value>, desired: &Map<String, Value>) -> bool {
    let members = members(fields);
    members.len() == desired.len()
        && members.iter().all(|(path, fields)| {
            path.strip_prefix("f:").and_then(|key| desired.get(key)).is_some_and(|value| covers_value(fields, value))
        })
}

fn covers_list(fields: &Map<String, Value>, desired: &[Value]) -> bool {
    let members = members(fields);
    members.len() == desired.len()
        && members.iter().all(|(path, fields)| {
            let item = match path.split_once(':') {
                Some(("k", keys)) => desired.iter().find(|item| has_keys(item, keys)),
                Some(("v", value)) => desired.iter().find(|item| **item == item_value(value)),
                _ => None,
            };
            item.is_some_and(|item| covers_value(fields, item))
        })
}

/// What `fields` has below itself: all but the mark that it is owned as such.
fn members(fields: &Map<String, Value>) -> Vec<(&str, &Map<String, Value>)> {
    fields
        .iter()
        .filter(|(path, _)| path.as_str() != ".")
        .filter_map(|(path, below)| below.as_object().map(|below| (path.as_str(), below)))
        .collect()
}

/// The item of a set of values that a path element names.
pub(super) fn item_value(value: &str) -> Value {
    serde_json::from_str(value).unwrap_or_default()
}

/// Whether a list item has all the key values of `keys`, a JSON object.
pub(super) fn has_keys(item: &Value, keys: &str) -> bool {
    let Ok(Value::Object(keys)) = serde_json::from_str(keys) else { return false };
    keys.iter().all(|(key, value)| item.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    /// As kube-apiserver v1.34.4 answers when [`desired`] is applied.
    fn fields() -> Value {
        json!({
            "f:metadata": {"f:labels": {"f:a": {}}, "f:ownerReferences": {"k:{\"uid\":\"u\"}": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:template": {"f:spec": {
                    "f:affinity": {},
                    "f:containers": {"k:{\"name\":\"main\"}": {
                        ".": {}, "f:name": {},
                        "f:env": {
                            "k:{\"name\":\"A\"}": {".": {}, "f:name": {}, "f:value": {}},
                            "k:{\"name\":\"B\"}": {".": {}, "f:name": {}},
                        },
                        "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                            ".": {}, "f:containerPort": {}, "f:protocol": {},
                        }},
                        "f:resources": {"f:limits": {"f:cpu": {}}, "f:requests": {}},
                    }},
                    "f:tolerations": {},
                }},
            },
        })
    }

    fn desired() -> Value {
        json!({
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {
                "name": "n", "namespace": "ns", "labels": {"a": "b"},
                "ownerReferences": [{"uid": "u", "name": "w", "controller": true}],
            },
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"a": "b"}},
                "template": {"spec": {
                    "affinity": {},
                    "containers": [{
                        "name": "main",
                        "env": [{"name": "B"}, {"name": "A", "value": ""}],
                        "ports": [{"containerPort": 80, "protocol": "TCP"}],
                        "resources": {"limits": {"cpu": "0.1"}, "requests": {}},
                    }],
                    "tolerations": [{"key": "x"}],
                }},
            },
        })
    }

    /// Removes a member, and with the last one its parent, as the API server does.
    fn take_away(fields: &mut Value, pointer: &str) {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let members = fields.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        members.remove(key).unwrap();
        if members.is_empty() {
            take_away(fields, parent);
        }
    }

    #[test]
    fn the_set_of_an_apply_covers_it() {
        assert!(covers(&fields().to_string(), &desired()));
    }

    #[test]
    fn a_field_that_somebody_else_took_is_missed() {
        let pointers = [
            "/f:metadata/f:labels/f:a",
            "/f:metadata/f:ownerReferences/k:{\"uid\":\"u\"}",
            "/f:spec/f:replicas",
            "/f:spec/f:template/f:spec/f:containers/k:{\"name\":\"main\"}/f:env/k:{\"name\":\"A\"}/f:value",
            "/f:spec/f:template/f:spec/f:containers/k:{\"name\":\"main\"}/f:env/k:{\"name\":\"B\"}",
            "/f:spec/f:template/f:spec/f:containers/k:{\"name\":\"main\"}/f:resources/f:limits",
            "/f:spec/f:template",
            "/f:spec",
        ];
        for pointer in pointers {
            let mut fields = fields();
            take_away(&mut fields, pointer);
            assert!(!covers(&fields.to_string(), &desired()), "{pointer}");
        }
    }

    #[test]
    fn a_field_that_is_no_longer_wanted_is_noticed() {
        let mut less = desired();
        less.pointer_mut("/spec/template/spec/containers/0/env").unwrap().as_array_mut().unwrap().pop();
        assert!(!covers(&fields().to_string(), &less));
        let mut less = desired();
        less["metadata"].as_object_mut().unwrap().remove("labels");
        assert!(!covers(&fields().to_string(), &less));
    }

    #[test]
    fn a_field_that_is_new_is_noticed() {
        let mut more = desired();
        more["spec"]["template"]["spec"]["volumes"] = json!([]);
        assert!(!covers(&fields().to_string(), &more));
        let mut more = desired();
        more["metadata"]["annotations"] = json!({"a": "b"});
        assert!(!covers(&fields().to_string(), &more));
        assert!(!covers("{}", &desired()));
        assert!(!covers("no json", &desired()));
    }
}
