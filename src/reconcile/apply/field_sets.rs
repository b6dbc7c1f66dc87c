//! Which fields of an object change hands when another controller's work is taken over.
//!
//! The API server keeps a field, whatever we apply, while another manager has it too. What the Go controller has of an
//! object and we render, or what it made from the kind and nobody wants any longer, is therefore moved from its set of fields
//! (`managedFields[].fieldsV1`) into ours; the next apply then decides. What the API server filled in stays whose it is.
//! Pure.

use serde_json::{Map, Value};

use super::ownership::{has_keys, item_value};

type Fields = Map<String, Value>;

/// The fields of a spec that the kind or the Workspace decides about alone: those that are not rendered are not wanted.
const DECIDED: [&str; 12] = [
    "affinity",
    "env",
    "livenessProbe",
    "nodeSelector",
    "ports",
    "readinessProbe",
    "resources",
    "securityContext",
    "startupProbe",
    "tolerations",
    "volumeMounts",
    "volumes",
];

/// The fields of another manager, divided.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Divided {
    /// Those that become ours.
    pub moved: Fields,
    /// Those that stay theirs.
    pub rest: Fields,
}

/// Whether unrendered fields are wanted by nobody.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Within {
    /// Metadata, where keys are anybody's names.
    Metadata,
    /// Elsewhere, outside all that is decided by us.
    Spec,
    /// Something of [`DECIDED`].
    Decided,
}

/// Divides the fields `theirs`, with those that are `ours` already, for an object that is rendered as `desired`.
pub(super) fn divide(theirs: &Fields, ours: &Fields, desired: &Value) -> Divided {
    let mut divided = Divided::default();
    for (path, below) in theirs {
        divide_field(path, below, ours.get(path), desired, Within::Spec, &mut divided);
    }
    divided
}

fn divide_field(
    path: &str,
    below: &Value,
    ours: Option<&Value>,
    parent: &Value,
    within: Within,
    divided: &mut Divided,
) {
    let name = path.strip_prefix("f:");
    let is_decided = within == Within::Spec && name.is_some_and(|name| DECIDED.contains(&name));
    let within = match (within, name) {
        // Of the object, or of its pod template.
        (Within::Spec, Some("metadata")) => Within::Metadata,
        _ if is_decided => Within::Decided,
        _ => within,
    };
    let (fields, desired) = (below.as_object().filter(|fields| !fields.is_empty()), member(parent, path));
    let is_moved = match (desired, fields) {
        // The mark that the field itself is theirs.
        _ if path == "." => true,
        // The API server fills in nothing of these.
        _ if name == Some("resources") && within == Within::Decided => true,
        (Some(_), None) => true,
        (Some(desired), Some(fields)) => {
            let mut inner = Divided::default();
            for (path, below) in fields {
                divide_field(path, below, ours.and_then(|ours| ours.get(path)), desired, within, &mut inner);
            }
            for (into, fields) in [(&mut divided.moved, inner.moved), (&mut divided.rest, inner.rest)] {
                if !fields.is_empty() {
                    into.insert(path.to_owned(), fields.into());
                }
            }
            return;
        }
        // Within something that is rendered, a single value may be a default of the API server.
        (None, _) => {
            let is_item = name.is_none();
            let is_whole = is_decided || is_item || fields.is_some();
            ours.is_some() || (within == Within::Decided && is_whole)
        }
    };
    let into = if is_moved { &mut divided.moved } else { &mut divided.rest };
    into.insert(path.to_owned(), below.clone());
}

/// The member of `parent` that a path element names.
fn member<'a>(parent: &'a Value, path: &str) -> Option<&'a Value> {
    match path.split_once(':')? {
        ("f", name) => parent.get(name),
        ("k", keys) => parent.as_array()?.iter().find(|item| has_keys(item, keys)),
        ("v", value) => parent.as_array()?.iter().find(|item| **item == item_value(value)),
        _ => None,
    }
}

/// Adds `more` to `fields`.
pub(super) fn unite(fields: &mut Fields, more: Fields) {
    for (path, below) in more {
        match (fields.get_mut(&path), below) {
            (Some(Value::Object(known)), Value::Object(below)) => unite(known, below),
            (Some(_), _) => {}
            (None, below) => drop(fields.insert(path, below)),
        }
    }
}

#[cfg(test)]
mod tests {
    // Literals of JSON.
    #![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        value.as_object().unwrap().clone()
    }

    /// Below `spec.template.spec.containers[main]`.
    fn in_main(fields: Value) -> Value {
        json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"main\"}": fields}}}}})
    }

    fn main(container: Value) -> Value {
        let mut container = container;
        container["name"] = json!("main");
        json!({"spec": {"template": {"spec": {"containers": [container]}}}})
    }

    fn divided(theirs: &Value, desired: &Value) -> (Value, Value) {
        let Divided { moved, rest } = divide(&fields(theirs.clone()), &Fields::new(), desired);
        (moved.into(), rest.into())
    }

    #[test]
    fn what_is_rendered_moves_and_defaults_stay() {
        let theirs = json!({
            ".": {}, "f:name": {}, "f:image": {}, "f:terminationMessagePath": {},
            "f:ports": {".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}, "f:protocol": {}}},
            "f:readinessProbe": {".": {}, "f:failureThreshold": {}, "f:httpGet": {".": {}, "f:port": {}, "f:scheme": {}}},
        });
        let desired = main(json!({
            "image": "i",
            "ports": [{"containerPort": 80, "protocol": "TCP"}],
            "readinessProbe": {"httpGet": {"port": 80}},
        }));
        let moved = json!({
            ".": {}, "f:name": {}, "f:image": {},
            "f:ports": {".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}, "f:protocol": {}}},
            "f:readinessProbe": {".": {}, "f:httpGet": {".": {}, "f:port": {}}},
        });
        let rest = json!({
            "f:terminationMessagePath": {},
            "f:readinessProbe": {"f:failureThreshold": {}, "f:httpGet": {"f:scheme": {}}},
        });
        assert_eq!(divided(&in_main(theirs), &desired), (in_main(moved), in_main(rest)));
    }

    #[test]
    fn what_the_kind_dropped_moves_whole() {
        let item = json!({".": {}, "f:name": {}, "f:valueFrom": {".": {}, "f:fieldRef": {}}});
        let theirs = in_main(json!({
            "f:env": {"k:{\"name\":\"GONE\"}": item, "k:{\"name\":\"KEPT\"}": {".": {}, "f:name": {}, "f:valueFrom": {}}},
            "f:livenessProbe": {".": {}, "f:periodSeconds": {}},
            "f:startupProbe": {".": {}, "f:httpGet": {".": {}, "f:port": {}}, "f:periodSeconds": {}},
            "f:resources": {".": {}, "f:limits": {".": {}, "f:cpu": {}, "f:nvidia.com/gpu": {}}},
            "f:volumeMounts": {".": {}, "k:{\"mountPath\":\"/gone\"}": {".": {}, "f:mountPath": {}, "f:name": {}}},
        }));
        let desired = main(json!({
            "env": [{"name": "KEPT", "value": ""}],
            "startupProbe": {"tcpSocket": {"port": 1}},
            "resources": {"limits": {"cpu": "1"}},
        }));
        let rest = in_main(json!({
            "f:env": {"k:{\"name\":\"KEPT\"}": {"f:valueFrom": {}}},
            "f:startupProbe": {"f:periodSeconds": {}},
        }));
        assert_eq!(divided(&theirs, &desired).1, rest);
    }

    /// What was rendered the last time and is not now.
    #[test]
    fn what_was_ours_too_moves() {
        let theirs = in_main(json!({"f:securityContext": {"f:runAsUser": {}, "f:readOnlyRootFilesystem": {}}}));
        let ours = in_main(json!({"f:securityContext": {"f:runAsUser": {}}}));
        let desired = main(json!({"securityContext": {"runAsNonRoot": true}}));
        let Divided { moved, rest } = divide(&fields(theirs), &fields(ours), &desired);
        assert_eq!(Value::from(moved), in_main(json!({"f:securityContext": {"f:runAsUser": {}}})));
        assert_eq!(Value::from(rest), in_main(json!({"f:securityContext": {"f:readOnlyRootFilesystem": {}}})));
    }

    /// A label may be called like a field that is decided by the kind.
    #[test]
    fn of_labels_only_those_that_are_set_move() {
        let labels = |labels: Value| json!({"f:metadata": {"f:generateName": {}, "f:labels": labels}});
        let theirs = labels(json!({".": {}, "f:env": {}, "f:ours": {}}));
        let desired = json!({"metadata": {"name": "n", "labels": {"ours": "x"}}});
        let moved = json!({"f:metadata": {"f:labels": {".": {}, "f:ours": {}}}});
        assert_eq!(divided(&theirs, &desired), (moved, labels(json!({"f:env": {}}))));
        let in_template = |labels: Value| json!({"f:spec": {"f:template": {"f:metadata": {"f:labels": labels}}}});
        let theirs = in_template(json!({"f:env": {}, "f:ours": {}}));
        let desired = json!({"spec": {"template": {"metadata": {"labels": {"ours": "x"}}}}});
        assert_eq!(divided(&theirs, &desired), (in_template(json!({"f:ours": {}})), in_template(json!({"f:env": {}}))));
    }

    #[test]
    fn sets_are_united() {
        let mut ours = fields(json!({"f:a": {"f:b": {}}, "f:c": {}}));
        unite(&mut ours, fields(json!({"f:a": {".": {}, "f:d": {"f:e": {}}}, "f:c": {}, "f:f": {}})));
        let expected = json!({"f:a": {".": {}, "f:b": {}, "f:d": {"f:e": {}}}, "f:c": {}, "f:f": {}});
        assert_eq!(Value::from(ours), expected);
    }
}
