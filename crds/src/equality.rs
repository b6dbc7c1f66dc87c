//! Whether two specs are semantically equal, as in Kubernetes' `equality.Semantic`: quantities are compared by value,
//! and an empty list, map or block equals an absent one.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::quantity::Quantity;

/// Blocks for which empty is not the same as absent: an empty selector matches everything, an absent one nothing.
const SELECTORS: [&str; 2] = ["labelSelector", "namespaceSelector"];

/// Whether both are semantically equal.
pub fn semantically_equal<T: PartialEq + Serialize>(one: &T, other: &T) -> bool {
    let meaning = |spec: &T| serde_json::to_value(spec).map(|value| meaning("", value));
    one == other || matches!((meaning(one), meaning(other)), (Ok(one), Ok(other)) if one == other)
}

/// Whether two quantities of resources are equal to the API server, however they are written.
pub fn same_quantity(one: &str, other: &str) -> bool {
    let kept = |text| Quantity::parse(text).map(Quantity::in_resource_list);
    one == other || kept(one).is_some_and(|value| kept(other) == Some(value))
}

/// The canonical form of a value. `block` is the name of the field that holds it.
fn meaning(block: &str, value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().map(|(name, value)| {
                let value = match value {
                    Value::String(text) if matches!(block, "limits" | "requests") => quantity(text),
                    value => meaning(&name, value),
                };
                (name, value)
            });
            Value::Object(kept.filter(|(name, value)| !is_absent(name, value)).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(|item| meaning("", item)).collect()),
        other => other,
    }
}

/// Whether the value of the field `name` means the same as its absence.
pub fn is_absent(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty() && !SELECTORS.contains(&name),
        _ => false,
    }
}

/// The same text for equal quantities; other text is left unchanged.
fn quantity(text: String) -> Value {
    let kept = Quantity::parse(&text).map(|quantity| quantity.in_resource_list().in_exponents().to_string());
    Value::String(kept.unwrap_or(text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::workspace_kind::PodConfigSpec;

    fn equal(one: Value, other: Value) -> bool {
        let decode = |value| serde_json::from_value::<PodConfigSpec>(value).unwrap();
        semantically_equal(&decode(one), &decode(other))
    }

    #[test]
    fn quantities_are_compared_by_value() {
        let resources = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
        assert!(same_quantity("1", "1000m") && !same_quantity("1", "2") && !same_quantity("x", "y"));
        assert!(equal(resources("1"), resources("1000m")));
        assert!(equal(resources("1Gi"), resources("1073741824")));
        assert!(!equal(resources("1"), resources("2")));
        assert!(equal(resources("odd"), resources("odd")) && !equal(resources("odd"), resources("odder")));
    }

    #[test]
    fn quantities_are_as_precise_as_the_api_server_keeps_them() {
        assert!(same_quantity("0.5m", "1m") && same_quantity("1m", "0.0001") && !same_quantity("1500u", "1m"));
        assert!(same_quantity("-1500u", "-2m") && same_quantity("20Ei", "9223372036854775807"));
    }

    #[test]
    fn empty_is_absent() {
        let empty =
            json!({"affinity": {}, "tolerations": [], "nodeSelector": {}, "resources": {"limits": {}, "claims": []}});
        assert!(equal(empty, json!({})));
        assert!(!equal(json!({"nodeSelector": {"a": ""}}), json!({})));
        assert!(!equal(json!({"tolerations": [{}]}), json!({})), "an item is there, however empty");
    }

    #[test]
    fn an_empty_selector_is_not_an_absent_one() {
        let term = |selector: Value| {
            let mut term = json!({"topologyKey": "zone"});
            term.as_object_mut().unwrap().extend(selector.as_object().unwrap().clone());
            json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}})
        };
        assert!(!equal(term(json!({"labelSelector": {}})), term(json!({}))));
        assert!(equal(term(json!({"labelSelector": {"matchLabels": {}}})), term(json!({"labelSelector": {}}))));
        assert!(!equal(term(json!({"namespaceSelector": {}})), term(json!({}))));
    }
}
