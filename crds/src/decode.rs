//! Decodes JSON, and says which field does not decode.
//!
//! The path follows from the place in the text at which decoding stopped: to track it meanwhile takes a second copy of the
//! code that decodes, a twentieth of the program.

use std::fmt::Write as _;

use serde::de::DeserializeOwned;

/// Why something does not decode.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}{why}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct DecodeError {
    /// The field, such as `ports[0].portId`; empty for all of it.
    pub path: String,
    /// What is wrong with it, without the position in the JSON: users do not see that text.
    pub why: String,
}

/// Decodes a JSON text.
pub fn decode<T: DeserializeOwned>(json: &str) -> Result<T, DecodeError> {
    serde_json::from_str(json).map_err(|error| {
        let why = error.to_string();
        let why = why.rsplit_once(" at line ").map_or(&*why, |(why, _)| why).to_owned();
        let (mut read, next) = json.split_at(offset(json, error.line(), error.column()));
        // Where no list is expected, its `[` has been read already.
        let is_no_list = why == "expected value"
            || (why.starts_with("invalid type: sequence") && !next.trim_start().starts_with('['));
        if is_no_list {
            read = read.trim_end().strip_suffix('[').unwrap_or(read);
        }
        // A list that is too long is itself at fault, not the item that was read last.
        let is_of_the_list = why.starts_with("invalid length") && !read.trim_end().ends_with(']');
        DecodeError { path: path_at(read, is_of_the_list), why }
    })
}

/// How many bytes had been read at a position of serde_json: a line, and the bytes of it.
fn offset(json: &str, line: usize, column: usize) -> usize {
    let before = json.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
    json.floor_char_boundary(before + column)
}

/// An object or a list that has begun.
enum Open<'a> {
    /// With the key whose value is being read.
    Object(Option<&'a str>),
    /// With the index of the item.
    List(usize),
}

/// The path of the value that is read last in the beginning of a JSON text (its end belongs to the value), or of the list that it is
/// an item of.
fn path_at(read: &str, is_of_the_list: bool) -> String {
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut last_string = "";
    let mut rest = read;
    while let Some(next) = rest.chars().next() {
        let mut length = next.len_utf8();
        match next {
            '"' => {
                length = string_length(rest);
                last_string = rest.get(1..length - 1).unwrap_or_default();
            }
            '{' => open.push(Open::Object(None)),
            '[' => open.push(Open::List(0)),
            '}' | ']' => drop(open.pop()),
            ':' => {
                if let Some(Open::Object(key)) = open.last_mut() {
                    *key = Some(last_string);
                }
            }
            ',' => match open.last_mut() {
                Some(Open::Object(key)) => *key = None,
                Some(Open::List(index)) => *index += 1,
                None => {}
            },
            _ => {}
        }
        rest = &rest[length..];
    }
    if is_of_the_list {
        let _ = open.pop_if(|open| matches!(open, Open::List(_)));
    }
    let mut path = String::new();
    for open in open {
        match open {
            Open::Object(Some(key)) => {
                // A key is written as it is meant, not as JSON escapes it.
                let key: String = serde_json::from_str(&format!("\"{key}\"")).unwrap_or_else(|_| key.to_owned());
                let dot = if path.is_empty() { "" } else { "." };
                let _ = write!(path, "{dot}{key}");
            }
            Open::Object(None) => {}
            Open::List(index) => {
                let _ = write!(path, "[{index}]");
            }
        }
    }
    path
}

/// The bytes of the string at the beginning, quotes included; of one that does not end, all bytes.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{Workspace, WorkspaceKind};

    /// Every value that is in there, by its JSON pointer.
    fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
        all.push(at.to_owned());
        match value {
            Value::Object(map) => {
                map.iter().for_each(|(key, value)| {
                    pointers(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), all);
                });
            }
            Value::Array(list) => {
                list.iter().enumerate().for_each(|(index, value)| pointers(value, &format!("{at}/{index}"), all));
            }
            _ => {}
        }
    }

    /// The one that tracks the path while it decodes.
    fn tracked<T: DeserializeOwned>(text: &str) -> Result<T, DecodeError> {
        serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text)).map_err(|error| {
            let path = error.path();
            let path = if path.iter().next().is_none() { String::new() } else { path.to_string() };
            let why = error.inner().to_string();
            let why = why.rsplit_once(" at line ").map_or(&*why, |(why, _)| why).to_owned();
            DecodeError { path, why }
        })
    }

    /// Puts values of every type in every place; returns how many of them do not decode.
    fn agrees_on_every_mistake<T: DeserializeOwned>(object: &Value) -> usize {
        let mut all = Vec::new();
        pointers(object, "", &mut all);
        let mut refused = 0;
        for pointer in all {
            for wrong in
                [json!("text"), json!(7), json!(-1), json!(5e12), json!(true), json!({}), json!([]), json!([7])]
            {
                let mut object = object.clone();
                *object.pointer_mut(&pointer).unwrap() = wrong;
                for text in [object.to_string(), serde_json::to_string_pretty(&object).unwrap()] {
                    let (ours, theirs) = (decode::<T>(&text).err(), tracked::<T>(&text).err());
                    assert_eq!(ours, theirs, "{pointer} in {text}");
                    refused += usize::from(ours.is_some());
                }
            }
        }
        refused
    }

    #[test]
    fn path_is_the_one_that_tracking_finds() {
        let kind = serde_json::to_value(crate::testing::workspace_kind("rich")).unwrap();
        let workspace = serde_json::to_value(crate::testing::workspace("default", "mine", "rich")).unwrap();
        assert!(agrees_on_every_mistake::<WorkspaceKind>(&kind) > 100);
        let mut endless = kind.clone();
        endless["spec"]["podTemplate"]["extraVolumes"] = vec![json!({"name": "a"}); 600].into();
        let endless = endless.to_string();
        let error = decode::<WorkspaceKind>(&endless).unwrap_err();
        assert_eq!(error.path, "spec.podTemplate.extraVolumes");
        assert_eq!(error, tracked::<WorkspaceKind>(&endless).unwrap_err());
        assert!(agrees_on_every_mistake::<Workspace>(&workspace) > 50);
    }

    #[test]
    fn keys_and_lists_are_in_the_path() {
        let error = |text: &str| decode::<std::collections::BTreeMap<String, Vec<u8>>>(text).unwrap_err().to_string();
        assert_eq!(
            error("{\"a\": [1], \"b.\\\"c\\u00e9\": [1, 2,\n 300]}"),
            "b.\"cé[2]: invalid value: integer `300`, expected u8"
        );
        assert_eq!(error("[]"), "invalid type: sequence, expected a map");
        assert_eq!(error("{\"ü\": {}}"), "ü: invalid type: map, expected a sequence");
    }
}
