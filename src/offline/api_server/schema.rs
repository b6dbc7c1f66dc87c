//! The schemas of our CRDs, parsed from what [`crds::generate`] generates, so there is one definition.
//!
//! Not a JSON schema library: the API server does more than such a library (it drops unknown fields, fills in defaults,
//! checks the keys of lists, lets an update keep old violations) and has messages of its own. All of that traverses the
//! schema anyway, and the keywords are few: those that our generator writes. A test fails when it writes another one.

use std::collections::BTreeMap;
use std::fmt;

use kube_cel::CompiledSchema;
use regex::Regex;
use serde_json::Value;

/// The keyword of CEL rules.
const RULES: &str = "x-kubernetes-validations";
/// The supported keywords.
const KEYWORDS: &[&str] = &[
    "additionalProperties",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "pattern",
    "properties",
    "required",
    "type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    RULES,
];

/// A node of a schema.
#[derive(Default)]
pub struct Schema {
    /// The allowed types.
    pub types: Vec<String>,
    /// The fields of an object.
    pub properties: BTreeMap<String, Self>,
    /// The values of a map.
    pub values: Option<Box<Self>>,
    /// The items of a list.
    pub items: Option<Box<Self>>,
    /// The required fields.
    pub required: Vec<String>,
    /// The key fields of a list of type `map`; empty for other lists.
    pub list_keys: Vec<String>,
    /// The allowed values; empty for any.
    pub allowed: Vec<Value>,
    /// The pattern of a string.
    pub pattern: Option<Regex>,
    /// Whether a string is a date-time.
    pub is_time: bool,
    /// The bounds of a length or number.
    pub bounds: SchemaBounds,
    /// The default of an unset value.
    pub default: Option<Value>,
    /// Whether it is described, as all fields of ours are and those of Kubernetes' own types are not.
    pub is_ours: bool,
    /// The CEL rules of this node alone.
    pub rules: Option<CompiledSchema>,
}

/// The bounds of numbers, strings, lists and maps.
#[derive(Clone, Copy, Debug, Default)]
pub struct SchemaBounds {
    /// `minimum`
    pub minimum: Option<i64>,
    /// `maximum`
    pub maximum: Option<i64>,
    /// `minLength`, in characters
    pub min_length: Option<u64>,
    /// `maxLength`, in characters
    pub max_length: Option<u64>,
    /// `minItems`
    pub min_items: Option<u64>,
    /// `maxItems`
    pub max_items: Option<u64>,
    /// `maxProperties`
    pub max_properties: Option<u64>,
}

impl fmt::Debug for Schema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Schema").field("types", &self.types).finish_non_exhaustive()
    }
}

impl Schema {
    /// The schema of a CustomResourceDefinition.
    pub fn of_crd(crd: &Value) -> Result<Self, String> {
        let mut schema = Self::read(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])?;
        // The CRD does not describe metadata, but the API server validates it.
        schema.properties.insert("metadata".to_owned(), Self::read(&super::metadata::schema())?);
        Ok(schema)
    }

    /// Parses a node with all below it; the error names what is not supported.
    pub fn read(node: &Value) -> Result<Self, String> {
        let Value::Object(keywords) = node else { return Err(format!("no schema: {node}")) };
        let is_either = keywords.contains_key("x-kubernetes-int-or-string");
        let known = |keyword: &str| KEYWORDS.contains(&keyword) || (is_either && keyword == "anyOf");
        if let Some(unknown) = keywords.keys().find(|keyword| !known(keyword)) {
            return Err(format!("unknown keyword {unknown}"));
        }
        let below = |keyword: &str| match node.get(keyword) {
            Some(child) if child.is_object() => Self::read(child).map(|schema| Some(Box::new(schema))),
            _ => Ok(None),
        };
        let properties = node["properties"].as_object().into_iter().flatten();
        let properties: Result<_, String> =
            properties.map(|(name, child)| Ok((name.clone(), Self::read(child)?))).collect();
        let pattern = node["pattern"].as_str().map(Regex::new).transpose().map_err(|error| error.to_string())?;
        let types = if is_either { vec!["integer".to_owned(), "string".to_owned()] } else { texts(&node["type"]) };
        Ok(Self {
            types,
            properties: properties?,
            values: below("additionalProperties")?,
            items: below("items")?,
            required: texts(&node["required"]),
            list_keys: texts(&node["x-kubernetes-list-map-keys"]),
            allowed: node["enum"].as_array().cloned().unwrap_or_default(),
            pattern,
            is_time: node["format"] == "date-time",
            bounds: bounds(node),
            default: node.get("default").cloned(),
            is_ours: keywords.contains_key("description"),
            rules: node.get(RULES).map(|_| kube_cel::compile_schema(&alone(node))),
        })
    }

    /// The schema of a field or map entry.
    pub fn below(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(self.values.as_deref())
    }

    /// Whether a value is a string and nothing else.
    pub fn takes_only_text(&self) -> bool {
        self.types == ["string"]
    }

    /// Whether a value is right as a string, where it is wrong as it is written.
    pub fn takes_as_text(&self, found: &Value) -> bool {
        // Of what may be a string or an integer a null is no misread string.
        self.takes_only_text()
            || (self.types.iter().any(|name| name == "string") && (found.is_number() || found.is_boolean()))
    }

    /// Whether a value is a quantity: of all integers or strings only those have a pattern.
    pub fn is_quantity(&self) -> bool {
        self.types.len() > 1 && self.pattern.is_some()
    }

    /// The item of `old` with the same key as an item of a list; none for lists without keys.
    pub fn counterpart<'a>(&self, item: &Value, old: Option<&'a Value>) -> Option<&'a Value> {
        let same = |other: &&Value| self.list_keys.iter().all(|key| other.get(key) == item.get(key));
        if self.list_keys.is_empty() { None } else { old?.as_array()?.iter().find(same) }
    }
}

fn bounds(node: &Value) -> SchemaBounds {
    let (signed, unsigned) = (|keyword: &str| node[keyword].as_i64(), |keyword: &str| node[keyword].as_u64());
    SchemaBounds {
        minimum: signed("minimum"),
        maximum: signed("maximum"),
        min_length: unsigned("minLength"),
        max_length: unsigned("maxLength"),
        min_items: unsigned("minItems"),
        max_items: unsigned("maxItems"),
        max_properties: unsigned("maxProperties"),
    }
}

/// A string or a list of strings.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

/// A node whose children have no rules: they are evaluated on their own.
fn alone(node: &Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.remove(RULES);
                map.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut copy = node.clone();
    strip(&mut copy);
    copy[RULES] = node[RULES].clone();
    copy
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crds::generate::{workspace_crd, workspace_kind_crd};

    use super::*;

    fn rules(schema: &Schema) -> Vec<&CompiledSchema> {
        let below = schema.properties.values().chain(schema.values.as_deref()).chain(schema.items.as_deref());
        schema.rules.iter().chain(below.flat_map(rules)).collect()
    }

    #[test]
    fn every_keyword_and_every_rule_of_our_crds_is_known() {
        for (crd, nodes) in [(workspace_crd(), 1), (workspace_kind_crd(), 14)] {
            let schema = Schema::of_crd(&crd).unwrap();
            let rules = rules(&schema);
            assert_eq!(rules.len(), nodes);
            assert!(rules.iter().all(|node| !node.has_errors()), "{rules:?}");
        }
    }

    #[test]
    fn an_unknown_keyword_is_an_error() {
        let node = serde_json::json!({"type": "object", "properties": {"a": {"multipleOf": 2}}});
        assert_eq!(Schema::read(&node).unwrap_err(), "unknown keyword multipleOf");
    }
}
