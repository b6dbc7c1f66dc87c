//! Whether two specs are semantically equal, as in Kubernetes' `equality.Semantic`: quantities are compared by value,
//! and an empty list, map or block equals an absent one.

use serde::Serialize;
use serde_json::{Map, Value};

/// Blocks for which empty is not the same as absent: an empty selector matches everything, an absent one nothing.
const SELECTORS: [&str; 2] = ["labelSelector", "namespaceSelector"];

/// Whether both are semantically equal.
pub fn semantically_equal<T: PartialEq + Serialize>(one: &T, other: &T) -> bool {
    let meaning = |spec: &T| serde_json::to_value(spec).map(|value| meaning("", value));
    one == other || matches!((meaning(one), meaning(other)), (Ok(one), Ok(other)) if one == other)
}

/// Whether two quantities are equal, however they are written.
pub fn same_quantity(one: &str, other: &str) -> bool {
    one == other || nanos(one).is_some_and(|value| nanos(other) == Some(value))
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
    nanos(&text).map_or(Value::String(text), |nanos| Value::String(format!("{nanos}n")))
}

/// The value of a Kubernetes quantity in billionths, its smallest unit; more precise ones are rounded up, as there.
///
/// A number with an optional sign and fraction, and a suffix: `n u m k M G T P E`, `Ki Mi Gi Ti Pi Ei`, or a decimal
/// exponent (`apimachinery/pkg/api/resource`).
fn nanos(text: &str) -> Option<i128> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end =
        unsigned.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let (binary, decimal) = scale(suffix)?;
    let scaled = digits.checked_mul(1_i128.checked_shl(binary)?)?;
    let exponent = decimal.checked_add(9)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
    let nanos = if exponent >= 0 { scaled.checked_mul(power)? } else { scaled.checked_add(power - 1)? / power };
    Some(if negative { -nanos } else { nanos })
}

/// The factor of a suffix: a power of two and a power of ten.
fn scale(suffix: &str) -> Option<(u32, i32)> {
    Some(match suffix {
        "" => (0, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        _ => (0, suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    })
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
        let same = [
            ("1", "1000m"),
            ("1", "1.0"),
            ("0.5", "500m"),
            (".5", "5e-1"),
            ("1Gi", "1024Mi"),
            ("1k", "1000"),
            ("1E3", "1k"),
            ("-1", "-1000m"),
            ("+2", "2"),
            ("1n", "0.0000000001"),
            ("1.", "1"),
        ];
        for (one, other) in same {
            assert!(nanos(one).is_some() && nanos(one) == nanos(other), "{one} {other}");
        }
        for (one, other) in [("1G", "1Gi"), ("1", "1001m"), ("1", "-1"), ("1E", "1Ei")] {
            assert!(nanos(one).is_some() && nanos(other).is_some() && nanos(one) != nanos(other), "{one} {other}");
        }
        for odd in
            ["", "x", "1x", "1.2.3", ".", "1e", "-", "1 Gi", "999999999999999999999999999999999999E", "1e999999999"]
        {
            assert_eq!(nanos(odd), None, "{odd}");
        }
        let resources = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
        assert!(same_quantity("1", "1000m") && !same_quantity("1", "2") && !same_quantity("x", "y"));
        assert!(equal(resources("1"), resources("1000m")));
        assert!(!equal(resources("1"), resources("2")));
        assert!(equal(resources("odd"), resources("odd")) && !equal(resources("odd"), resources("odder")));
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
