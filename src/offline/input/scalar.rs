//! Plain scalars as kubectl reads them: its YAML library follows YAML 1.1, where `yes` is a boolean and `0644` octal.

use serde_json::{Number, Value};

/// The types that a tag allows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tag {
    /// No tag: the type of a plain scalar follows from its text.
    Untagged,
    /// `!!str`, `!!binary`, `!!timestamp` and unknown tags: a string.
    Text,
    /// `!!int`, `!!float`, `!!bool` or `!!null`: the scalar must parse as one, quoted or not.
    Typed(&'static str),
}

impl Tag {
    /// The tag of YAML's core schema with that suffix, such as `str`.
    pub fn of(core: Option<&str>) -> Self {
        match core {
            Some("int") => Self::Typed("int"),
            Some("float") => Self::Typed("float"),
            Some("bool") => Self::Typed("bool"),
            Some("null") => Self::Typed("null"),
            _ => Self::Text,
        }
    }
}

/// The value of a scalar.
pub fn resolve(text: &str, is_plain: bool, tag: Tag) -> Result<Value, String> {
    let value = match tag {
        Tag::Text => Value::from(text),
        Tag::Untagged if !is_plain => Value::from(text),
        Tag::Untagged => plain(text)?,
        Tag::Typed(wanted) => {
            let value = plain(text)?;
            let fits = match (&value, wanted) {
                (Value::Number(number), "int") => !number.is_f64(),
                (Value::Number(_), "float") | (Value::Bool(_), "bool") | (Value::Null, "null") => true,
                _ => false,
            };
            if !fits {
                return Err(format!("cannot read {text:?} as !!{wanted}"));
            }
            value
        }
    };
    Ok(value)
}

/// A scalar as a map key: JSON has only strings.
pub fn key(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn plain(text: &str) -> Result<Value, String> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf"
        | "-.INF" => return Err(format!("{text} is a number that JSON cannot represent: quote it if it is text")),
        _ => number(text).map_or_else(|| Value::from(text), Value::Number),
    })
}

fn number(text: &str) -> Option<Number> {
    match text.as_bytes().first()? {
        b'.' => float(&text.replace('_', "")),
        b'0'..=b'9' | b'+' | b'-' => {
            let digits = text.replace('_', "");
            integer(&digits).or_else(|| float(&digits))
        }
        _ => None,
    }
}

/// Go's `strconv.ParseInt` with base 0: the prefix determines the base, and a leading zero means octal.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    // Rust would accept a second sign.
    if !digits.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative { 0_i64.checked_sub_unsigned(magnitude).map(Number::from) } else { Some(Number::from(magnitude)) }
}

/// A number with a point or an exponent. Whole numbers become integers, as in Go's JSON.
fn float(text: &str) -> Option<Number> {
    let shaped = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let value: f64 = text.parse().ok().filter(|value: &f64| shaped && value.is_finite())?;
    // A whole number below 2^63 is exactly representable.
    #[allow(clippy::cast_possible_truncation)]
    if value.fract() == 0.0 && value.abs() < 9_223_372_036_854_775_808.0 {
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Value {
        resolve(text, true, Tag::Untagged).unwrap()
    }

    #[test]
    fn booleans_and_nulls_of_yaml_1_1() {
        for text in ["yes", "Yes", "on", "y", "Y", "TRUE", "true"] {
            assert_eq!(read(text), json!(true), "{text}");
        }
        for text in ["no", "NO", "off", "n", "False"] {
            assert_eq!(read(text), json!(false), "{text}");
        }
        for text in ["", "~", "null", "NULL"] {
            assert_eq!(read(text), json!(null), "{text:?}");
        }
        for text in ["yES", "tRUE", "nULL", "oN"] {
            assert_eq!(read(text), json!(text));
        }
    }

    #[test]
    fn numbers_in_every_base() {
        let cases = [
            ("0644", json!(420)),
            ("0o644", json!(420)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("1_000", json!(1000)),
            ("+12", json!(12)),
            ("-12", json!(-12)),
            ("-0x10", json!(-16)),
            ("08", json!(8)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            (".2_5", json!(0.25)),
            ("9007199254740994.0", json!(9_007_199_254_740_994_i64)),
            ("1e3", json!(1000)),
            ("8888.0", json!(8888)),
            ("18446744073709551615", json!(u64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
        ];
        for (text, value) in cases {
            assert_eq!(read(text), value, "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_a_number_is_text() {
        for text in ["1.2.3", "2026-01-01", "2026-01-01T00:00:00Z", "--1", "0x", "12h", "-", "+", ".", "1e999", "+-1"] {
            assert_eq!(read(text), json!(text));
        }
    }

    #[test]
    fn quotes_and_tags_decide() {
        assert_eq!(resolve("yes", false, Tag::Untagged).unwrap(), json!("yes"));
        assert_eq!(resolve("5", true, Tag::Text).unwrap(), json!("5"));
        assert_eq!(resolve("5", false, Tag::Typed("int")).unwrap(), json!(5));
        assert_eq!(resolve("x", true, Tag::Typed("int")).unwrap_err(), "cannot read \"x\" as !!int");
        assert!(resolve(".inf", true, Tag::Untagged).unwrap_err().contains("JSON cannot represent"));
    }

    #[test]
    fn keys_become_text() {
        assert_eq!(key(&read("yes")).unwrap(), "true");
        assert_eq!(key(&read("010")).unwrap(), "8");
        assert_eq!(key(&read("~")), None);
    }
}
