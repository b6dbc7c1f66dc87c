//! The constraints of a generated schema, place by place.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::paths::{Path, Step};

/// The constraints of one node that an object can violate, by the name that the case files use.
const KEYWORDS: &[&str] =
    &["minLength", "maxLength", "pattern", "minimum", "maximum", "minItems", "maxItems", "maxProperties", "enum"];

/// The schema within a CustomResourceDefinition.
pub fn of(crd: &Value) -> &Value {
    &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

/// Whose types a place belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Ours,
    /// A type of Kubernetes: its fields have no documentation.
    Core,
}

/// Calls `see` for every node, parents first.
pub fn walk(schema: &Value, see: &mut dyn FnMut(&Path, &Value, Origin)) {
    visit(schema, &Path::default(), Origin::Ours, see);
}

fn visit(node: &Value, path: &Path, origin: Origin, see: &mut dyn FnMut(&Path, &Value, Origin)) {
    see(path, node, origin);
    for (name, child) in node["properties"].as_object().into_iter().flatten() {
        visit(child, &path.then(Step::Field(name.clone())), origin_of(child, origin), see);
    }
    if node["items"].is_object() {
        visit(&node["items"], &path.then(Step::Item), origin, see);
    }
    if node["additionalProperties"].is_object() {
        visit(&node["additionalProperties"], &path.then(Step::Entry), origin, see);
    }
}

fn origin_of(property: &Value, parent: Origin) -> Origin {
    if property["description"].is_string() { parent } else { Origin::Core }
}

/// The schema of a place.
pub fn at<'a>(schema: &'a Value, path: &Path) -> &'a Value {
    path.0.iter().fold(schema, |node, step| match step {
        Step::Field(name) => &node["properties"][name],
        Step::Item => &node["items"],
        Step::Entry => &node["additionalProperties"],
    })
}

/// A constraint: its place and its keyword.
pub type Constraint = (Path, String);

/// Every constraint of the given origin.
pub fn constraints(schema: &Value, wanted: Origin) -> BTreeSet<Constraint> {
    let mut found = BTreeSet::new();
    walk(schema, &mut |path, node, origin| {
        for name in node["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if origin_of(&node["properties"][name], origin) == wanted {
                found.insert((path.then(Step::Field(name.to_owned())), "required".to_owned()));
            }
        }
        if origin == wanted {
            found.extend(of_node(node).into_iter().map(|constraint| (path.clone(), constraint)));
        }
    });
    found
}

fn of_node(node: &Value) -> Vec<String> {
    let mut found: Vec<String> =
        KEYWORDS.iter().filter(|keyword| !node[**keyword].is_null()).map(|keyword| (*keyword).to_owned()).collect();
    if node["format"] == "date-time" {
        found.push("format".to_owned());
    }
    if node["x-kubernetes-list-type"] == "map" {
        found.push("unique".to_owned());
    }
    if node["x-kubernetes-int-or-string"] == true {
        found.push("int-or-string".to_owned());
    }
    if !node["default"].is_null() {
        found.push("default".to_owned());
    }
    let rules = node["x-kubernetes-validations"].as_array().into_iter().flatten();
    found.extend(rules.filter_map(|rule| rule["message"].as_str()).map(str::to_owned));
    found
}

/// The smallest value of a type of Kubernetes, whose strings have no further rules.
pub fn minimal(schema: &Value) -> Value {
    if schema["x-kubernetes-int-or-string"] == true {
        return json!("1");
    }
    match schema["type"].as_str() {
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            required.map(|name| (name.to_owned(), minimal(&schema["properties"][name]))).collect()
        }
        Some("array") => json!([minimal(&schema["items"])]),
        Some("integer") => json!(1),
        Some("boolean") => json!(true),
        _ => json!("x"),
    }
}

/// The value at `path` of `object`, created with everything above it where there is none.
pub fn made<'a>(object: &'a mut Value, schema: &Value, path: &Path) -> &'a mut Value {
    let mut value = object;
    let mut node = schema;
    for step in &path.0 {
        (value, node) = match step {
            Step::Field(name) => {
                let child = &node["properties"][name];
                let field = &mut value[name.as_str()];
                if field.is_null() {
                    *field = minimal(child);
                }
                (field, child)
            }
            Step::Item => {
                let child = &node["items"];
                let list = value.as_array_mut().unwrap();
                if list.is_empty() {
                    list.push(minimal(child));
                }
                (&mut list[0], child)
            }
            Step::Entry => {
                let child = &node["additionalProperties"];
                let map = value.as_object_mut().unwrap();
                if map.is_empty() {
                    map.insert("k".to_owned(), minimal(child));
                }
                (map.values_mut().next().unwrap(), child)
            }
        };
    }
    value
}
