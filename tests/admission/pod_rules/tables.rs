//! The tables of values in this folder: what people write into the fields that become the pod, and what they should not.
//!
//! ```yaml
//! - rule: WSK043                          # judges the values
//!   block: /spec/podTemplate/probes       # where they are
//!   ordinary: [{}]                        # whole blocks that nobody would find odd
//!   odd:
//!     - values: [...]                     # whole blocks, good and bad ones
//!     - at: /livenessProbe/tcpSocket/port # one field of a block
//!       in: {livenessProbe: {}}           # the rest of that block
//!       words: [ports]                    # its values are those of a list in words.yaml
//! ```
//!
//! `<a*64>` in a text stands for 64 times `a`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

const FILES: &[&str] = &[
    "resources",
    "placement",
    "probes",
    "environment",
    "volumes",
    "mounts",
    "security_contexts",
    "metadata",
    "images",
];

/// The values of one block of fields, as a table states them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// The code of the rule that judges them.
    pub rule: String,
    /// The JSON pointer of the block; `-` stands for one of the options.
    #[serde(rename = "block")]
    pub pointer: String,
    /// Values of the whole block that nobody would find odd.
    pub ordinary: Vec<Value>,
    odd: Vec<Odd>,
}

/// Odd values of one field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Odd {
    /// The block around the field.
    #[serde(default, rename = "in")]
    around: Value,
    /// The JSON pointer of the field within the block.
    #[serde(default)]
    at: String,
    #[serde(default)]
    values: Vec<Value>,
    /// The lists of `words.yaml` that hold further values.
    #[serde(default)]
    words: Vec<String>,
}

/// All tables.
#[derive(Debug)]
pub struct Tables {
    /// The blocks.
    pub blocks: Vec<Block>,
    /// Every odd value: the index of its block, and the whole block with it.
    pub odd: Vec<(usize, Value)>,
}

impl Tables {
    /// Reads them all.
    pub fn read() -> Self {
        let words: BTreeMap<String, Vec<Value>> = file("words");
        let blocks: Vec<Block> = FILES.iter().flat_map(|name| file::<Vec<Block>>(name)).collect();
        let mut odd = Vec::new();
        for (index, block) in blocks.iter().enumerate() {
            for entry in &block.odd {
                let words = entry.words.iter().flat_map(|list| &words[list]);
                let blocks = entry.values.iter().chain(words).map(|value| {
                    let mut whole = entry.around.clone();
                    merge(field(&mut whole, &entry.at), value.clone());
                    (index, whole)
                });
                odd.extend(blocks);
            }
        }
        Self { blocks, odd }
    }
}

fn file<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/admission/pod_rules/{name}.yaml"));
    let mut value: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    repeat(&mut value);
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Writes out `<a*64>` in every string and key.
fn repeat(value: &mut Value) {
    match value {
        Value::String(text) => *text = repeated(text),
        Value::Array(items) => items.iter_mut().for_each(repeat),
        Value::Object(fields) => {
            *fields = std::mem::take(fields)
                .into_iter()
                .map(|(key, mut value)| {
                    repeat(&mut value);
                    (repeated(&key), value)
                })
                .collect();
        }
        _ => {}
    }
}

fn repeated(text: &str) -> String {
    let mut parts = text.split('<');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let repetition = part.split_once('>').and_then(|(inner, rest)| {
            let (unit, times) = inner.split_once('*')?;
            Some(unit.repeat(times.parse().ok()?) + rest)
        });
        whole.push_str(&repetition.unwrap_or_else(|| format!("<{part}")));
    }
    whole
}

/// The field at a JSON pointer, with the blocks around it.
pub fn field<'a>(whole: &'a mut Value, pointer: &str) -> &'a mut Value {
    pointer.split('/').skip(1).fold(whole, |value, step| match value {
        Value::Array(items) => &mut items[step.parse::<usize>().unwrap()],
        other => {
            if !other.is_object() {
                *other = Value::Object(Map::new());
            }
            &mut other[step.replace("~1", "/").replace("~0", "~")]
        }
    })
}

/// Adds the fields of a block to another one; any other value replaces what is there.
pub fn merge(value: &mut Value, other: Value) {
    match (value, other) {
        (Value::Object(fields), Value::Object(others)) => {
            others.into_iter().for_each(|(key, other)| merge(fields.entry(key).or_insert(Value::Null), other));
        }
        (value, other) => *value = other,
    }
}
