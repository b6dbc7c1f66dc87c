//! Kinds made of the values of the tables.

use std::collections::BTreeSet;

use crds::testing::workspace_kind;
use fastrand::Rng;
use serde_json::{Value, json};

use super::tables::{Tables, field, merge};

const EXTRA_ENV: &str = "/spec/podTemplate/extraEnv";
const EXTRA_VOLUMES: &str = "/spec/podTemplate/extraVolumes";
const EXTRA_MOUNTS: &str = "/spec/podTemplate/extraVolumeMounts";

/// Characters that some syntax excludes, or gives a meaning.
const CHARACTERS: &[char] = &[
    'a', 'A', '0', ' ', '/', '.', '-', '_', ':', '=', '%', '+', '\\', '\'', '[', ']', '\n', '\t', '\u{7f}', '\u{85}',
    'é',
];

/// A kind, and where it is odd.
#[derive(Debug)]
pub struct Generated {
    /// The kind.
    pub kind: Value,
    /// The position of the options that may be odd, in both lists.
    pub option: usize,
    /// The odd blocks, for people.
    pub odd: Vec<String>,
    /// The codes of the rules that judge them; empty where nothing is odd.
    pub rules: BTreeSet<String>,
}

/// A generator of kinds. The same seed gives the same kinds.
pub struct Kinds<'a> {
    tables: &'a Tables,
    random: Rng,
}

impl<'a> Kinds<'a> {
    /// A generator that starts at `seed`.
    pub fn new(tables: &'a Tables, seed: u64) -> Self {
        Self { tables, random: Rng::with_seed(seed) }
    }

    /// One kind for each odd value of the tables.
    pub fn of_each_odd_value(&mut self) -> Vec<Generated> {
        self.tables.odd.iter().map(|odd| self.kind(std::slice::from_ref(odd))).collect()
    }

    /// An odd value, sometimes with another character in one of its strings.
    fn odd(&mut self) -> (usize, Value) {
        let (block, mut value) = self.tables.odd[self.random.usize(..self.tables.odd.len())].clone();
        let mut strings = strings(&mut value);
        if !strings.is_empty() && self.random.u8(..3) == 0 {
            let string = strings.swap_remove(self.random.usize(..strings.len()));
            let mut characters: Vec<char> = string.chars().collect();
            characters
                .insert(self.random.usize(..=characters.len()), CHARACTERS[self.random.usize(..CHARACTERS.len())]);
            *string = characters.into_iter().collect();
        }
        (block, value)
    }

    /// A kind with these odd values; whatever else becomes the pod is ordinary.
    fn kind(&mut self, odd: &[(usize, Value)]) -> Generated {
        let mut kind = serde_json::to_value(workspace_kind("pod-rules")).unwrap();
        let template = &mut kind["spec"]["podTemplate"];
        // The account exists in every namespace; that of a Workspace is missing in a dry run.
        template["serviceAccount"] = json!({"name": "default"});
        template["extraVolumes"] = json!([{"name": "scratch", "emptyDir": {}}]);
        for pod in template["options"]["podConfig"]["values"].as_array_mut().into_iter().flatten() {
            pod["spec"] = json!({});
        }
        let option = self.random.usize(..2);
        for (index, block) in self.tables.blocks.iter().enumerate() {
            let at = block.pointer.replace('-', &option.to_string());
            let mut values: Vec<&Value> =
                odd.iter().filter(|(block, _)| *block == index).map(|(_, value)| value).collect();
            if values.is_empty() && !block.ordinary.is_empty() {
                values.push(&block.ordinary[self.random.usize(..block.ordinary.len())]);
            }
            for value in values {
                add(field(&mut kind, &at), value.clone());
            }
        }
        complete(&mut kind);
        let block = |index: usize| &self.tables.blocks[index];
        let text = |(index, value): &(usize, Value)| {
            let (_, name) = block(*index).pointer.rsplit_once('/').unwrap();
            format!("{name}: {value}")
        };
        Generated {
            kind,
            option,
            odd: odd.iter().map(text).collect(),
            rules: odd.iter().map(|(index, _)| block(*index).rule.clone()).collect(),
        }
    }
}

impl Iterator for Kinds<'_> {
    type Item = Generated;

    /// The next kind: half of them are ordinary, the others have one or two odd values.
    fn next(&mut self) -> Option<Generated> {
        let count = if self.random.bool() { 0 } else { self.random.usize(1..=2) };
        let odd: Vec<(usize, Value)> = (0..count).map(|_| self.odd()).collect();
        Some(self.kind(&odd))
    }
}

/// The strings in a value.
fn strings(value: &mut Value) -> Vec<&mut String> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter_mut().flat_map(strings).collect(),
        Value::Object(fields) => fields.values_mut().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

/// Appends to a list, adds to a block, replaces anything else.
fn add(value: &mut Value, other: Value) {
    match (value, other) {
        (Value::Array(items), Value::Array(others)) => items.extend(others),
        (value, other) => merge(value, other),
    }
}

/// Gives the items of lists the names and paths that the tables leave out.
fn complete(kind: &mut Value) {
    let parts =
        [(EXTRA_ENV, "name", "EXTRA_"), (EXTRA_VOLUMES, "name", "extra-"), (EXTRA_MOUNTS, "mountPath", "/extra/")];
    for (list, key, prefix) in parts {
        let items = field(kind, list).as_array_mut().into_iter().flatten();
        for (index, item) in items.enumerate().filter(|(_, item)| item[key].is_null()) {
            item[key] = json!(format!("{prefix}{index}"));
        }
    }
    for mount in field(kind, EXTRA_MOUNTS).as_array_mut().into_iter().flatten() {
        if mount["name"].is_null() {
            mount["name"] = json!("scratch");
        }
    }
}
