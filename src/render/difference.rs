//! The differences of two pod templates, in words: why a running pod is not what a restart would create.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use crds::equality::{is_absent, same_quantity};
use crds::value_template::shortened;
use serde_json::Value;

/// One field that differs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    /// Its path, such as `spec.containers[main].env[NB_PREFIX].value`.
    pub path: String,
    /// Its value before, as JSON (`…` for environment variables); none where it was not there.
    pub before: Option<String>,
    /// Its value after, likewise; none where it is not there any longer.
    pub after: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(formatter, "{}: {before} -> {after}", self.path),
            (None, Some(after)) => write!(formatter, "{}: {after} is added", self.path),
            (Some(before), None) => write!(formatter, "{}: {before} is removed", self.path),
            (None, None) => formatter.write_str(&self.path),
        }
    }
}

/// How to treat fields that only the first has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Extra {
    /// They are removed.
    Removed,
    /// They belong to other managers (API server, other controllers) and stay, but for the items of these lists.
    KeptOutside(&'static [&'static str]),
}

/// All differences, ordered by path; lists of named things are compared by name.
pub fn differences(before: &Value, after: &Value, extra: Extra) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", "", Some(before), Some(after), extra, &mut |path, list, before, after| {
        let json = |value: &Value| {
            if list == "env" {
                // It may be a password, and reports are public.
                return "…".to_owned();
            }
            shortened(&value.to_string(), str::to_owned)
        };
        found.push(Difference { path: path.to_owned(), before: before.map(json), after: after.map(json) });
    });
    found
}

/// The paths of the fields of `applied` that `stored` has with another value, or not at all, each with what was applied.
/// What only `stored` has is left aside, and so is what the API server may have filled in.
pub fn stored_otherwise<'a>(applied: &'a Value, stored: &'a Value) -> Vec<(String, &'a Value)> {
    let mut found = Vec::new();
    compare("", "", Some(stored), Some(applied), Extra::KeptOutside(&[]), &mut |path, list, _, applied| {
        if let Some(applied) = applied.filter(|applied| applied.is_boolean() || !is_left_out(list, applied)) {
            found.push((path.to_owned(), applied));
        }
    });
    found
}

/// What is called for each difference: path, name of the field that holds it, before, after.
type OnDifference<'f, 'a> = dyn FnMut(&str, &str, Option<&'a Value>, Option<&'a Value>) + 'f;

/// `list`: the name of the list that holds these values, if one does.
fn compare<'a>(
    path: &str,
    list: &str,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
    extra: Extra,
    found: &mut OnDifference<'_, 'a>,
) {
    match (before, after) {
        (Some(before), Some(after)) if before == after || is_same_quantity(path, before, after) => {}
        (Some(before), Some(after)) if extra == Extra::KeptOutside(&[]) && holds(before, after) => {}
        (None, Some(value)) | (Some(value), None) if is_left_out(list, value) => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for key in keys {
                let list = if list == "env" { list } else { key };
                compare(&join(path, key), list, before.get(key), after.get(key), extra, found);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            let named = are_named(before) && are_named(after);
            let (before, after) = (keyed(before, named), keyed(after, named));
            let by_key = |items: &[(String, &'a Value)]| items.iter().cloned().collect::<HashMap<_, _>>();
            let (of_before, of_after) = (by_key(&before), by_key(&after));
            for (key, value) in &before {
                compare(&format!("{path}[{key}]"), list, Some(value), of_after.get(key).copied(), extra, found);
            }
            for (key, value) in after.iter().filter(|(key, _)| !of_before.contains_key(key)) {
                compare(&format!("{path}[{key}]"), list, None, Some(value), extra, found);
            }
        }
        (Some(_), None) if matches!(extra, Extra::KeptOutside(lists) if !path.ends_with(']') || !lists.contains(&list)) =>
            {}
        (before, after) => found(path, list, before, after),
    }
}

/// Whether `stored` has all that `applied` has, and lists of the same length. What is stored nearly always does, and this needs
/// neither paths nor names.
fn holds(stored: &Value, applied: &Value) -> bool {
    match (stored, applied) {
        (Value::Object(stored), Value::Object(applied)) => {
            applied.iter().all(|(key, value)| stored.get(key).is_some_and(|stored| holds(stored, value)))
        }
        (Value::Array(stored), Value::Array(applied)) => {
            stored.len() == applied.len() && stored.iter().zip(applied).all(|(stored, applied)| holds(stored, applied))
        }
        (stored, applied) => stored == applied,
    }
}

/// Whether the API server leaves the value of the field `name` out.
fn is_left_out(name: &str, value: &Value) -> bool {
    match value {
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        value => is_absent(name, value),
    }
}

fn is_same_quantity(path: &str, before: &Value, after: &Value) -> bool {
    let is_quantity = [".limits.", ".limits[", ".requests.", ".requests["].iter().any(|block| path.contains(block))
        || [".sizeLimit", ".divisor"].iter().any(|field| path.ends_with(field));
    is_quantity
        && matches!((before, after), (Value::String(before), Value::String(after)) if same_quantity(before, after))
}

fn join(path: &str, key: &str) -> String {
    match (path, key.contains(['.', '/'])) {
        ("", _) => key.to_owned(),
        (path, true) => format!("{path}[{key}]"),
        (path, false) => format!("{path}.{key}"),
    }
}

/// What identifies an item of a list: its mount path or name.
fn name_of(item: &Value) -> Option<&str> {
    ["mountPath", "name"].iter().find_map(|key| item.get(*key)?.as_str())
}

/// Whether each item of a list has a name of its own.
fn are_named(items: &[Value]) -> bool {
    items.iter().filter_map(name_of).collect::<BTreeSet<_>>().len() == items.len()
}

/// The items of a list by name, or by place.
fn keyed(items: &[Value], named: bool) -> Vec<(String, &Value)> {
    let keyed = |(index, item): (usize, _)| {
        (name_of(item).filter(|_| named).map_or_else(|| index.to_string(), str::to_owned), item)
    };
    items.iter().enumerate().map(keyed).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(before: &Value, after: &Value, extra: Extra) -> Vec<String> {
        differences(before, after, extra).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn named_things_are_compared_by_name() {
        let container = |env: &[(&str, &str)], image: &str| {
            let env: Vec<Value> = env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
            json!({"spec": {"containers": [{"name": "main", "image": image, "env": env}]}})
        };
        let before = container(&[("A", "1"), ("B", "2")], "lab:1");
        let after = container(&[("C", "3"), ("B", "4")], "lab:2");
        let expected = [
            "spec.containers[main].env[A]: … is removed",
            "spec.containers[main].env[B].value: … -> …",
            "spec.containers[main].env[C]: … is added",
            r#"spec.containers[main].image: "lab:1" -> "lab:2""#,
        ];
        assert_eq!(found(&before, &after, Extra::Removed), expected);
        assert!(found(&before, &before, Extra::Removed).is_empty());
    }

    #[test]
    fn fields_of_others_stay_but_for_items_of_our_lists() {
        let before = json!({
            "metadata": {"annotations": {"example.com/theirs": "x"}},
            "spec": {"dnsPolicy": "ClusterFirst", "containers": [{"name": "main", "env": [{"name": "OLD", "value": "1"}]}]},
        });
        let after = json!({"metadata": {}, "spec": {"containers": [{"name": "main", "env": []}]}});
        assert_eq!(
            found(&before, &after, Extra::KeptOutside(&["env"])),
            ["spec.containers[main].env[OLD]: … is removed"]
        );
        assert!(found(&before, &after, Extra::KeptOutside(&[])).is_empty());
        assert_eq!(
            found(&json!({"labels": {"a.b/c": "x"}}), &json!({"labels": {"a.b/c": "y"}}), Extra::Removed),
            [r#"labels[a.b/c]: "x" -> "y""#]
        );
    }

    #[test]
    fn what_the_api_server_writes_in_its_own_way_is_the_same() {
        let ours = json!({
            "resources": {"requests": {"cpu": "1000m", "memory": "1024Mi", "nvidia.com/gpumem": "3000", "ephemeral-storage": "0.5m"}, "limits": {}},
            "env": [{"name": "E", "value": ""}],
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "0.5Gi"}}],
            "volumeMounts": [{"mountPath": "/v", "name": "v", "readOnly": false}],
            "tolerations": [],
        });
        let stored = json!({
            "resources": {"requests": {"cpu": "1", "memory": "1Gi", "nvidia.com/gpumem": "3k", "ephemeral-storage": "1m"}},
            "env": [{"name": "E"}],
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "512Mi"}}],
            "volumeMounts": [{"mountPath": "/v", "name": "v"}],
        });
        assert!(found(&stored, &ours, Extra::Removed).is_empty());
        // An empty selector matches everything, an absent one nothing.
        assert_eq!(found(&json!({}), &json!({"labelSelector": {}}), Extra::Removed).len(), 1);
    }

    #[test]
    fn items_with_one_name_are_compared_by_place() {
        let headers = |second: &str| json!([{"name": "X", "value": "1"}, {"name": "X", "value": second}]);
        assert!(found(&headers("2"), &headers("2"), Extra::Removed).is_empty());
        assert_eq!(found(&headers("2"), &headers("3"), Extra::Removed), [r#"[1].value: "2" -> "3""#]);
    }

    fn paths(applied: &Value, stored: &Value) -> Vec<String> {
        stored_otherwise(applied, stored).into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn what_is_stored_beside_ours_or_filled_in_is_not_stored_otherwise() {
        let ours = json!({
            "containers": [{
                "name": "main", "env": [{"name": "A", "value": "1000m"}], "ports": [{"name": "http-80", "containerPort": 80}],
                "livenessProbe": {"timeoutSeconds": 0, "httpGet": {"path": "", "port": 80}},
            }],
            "replicas": 1,
        });
        let mut stored = ours.clone();
        stored["containers"] = json!([{"name": "sidecar", "image": "x"}, ours["containers"][0]]);
        let main = &mut stored["containers"][1];
        main["env"] = json!([{"name": "B"}, {"name": "A", "value": "1000m"}]);
        main["ports"] = json!([{"name": "http-80", "containerPort": 80}, {"containerPort": 81}]);
        main["livenessProbe"] = json!({"timeoutSeconds": 1, "httpGet": {"path": "/", "port": 80}});
        stored["dnsPolicy"] = json!("ClusterFirst");
        assert!(stored_otherwise(&ours, &stored).is_empty());
        // Not a quantity, although it looks like one.
        stored["containers"][1]["env"][1]["value"] = json!("1");
        assert_eq!(paths(&ours, &stored), ["containers[main].env[A].value"]);
        stored["containers"][1]["env"] = json!([{"name": "B"}]);
        stored["replicas"] = json!(2);
        assert_eq!(paths(&ours, &stored), ["containers[main].env[A]", "replicas"]);
    }

    #[test]
    fn mounts_are_told_apart_by_their_path() {
        let mounts =
            |path: &str| json!({"volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": path}]});
        let found = found(&mounts("/b"), &mounts("/c"), Extra::Removed);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("volumeMounts[/b]: ") && found[1].starts_with("volumeMounts[/c]: "), "{found:?}");
    }
}
