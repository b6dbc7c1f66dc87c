//! Schema and types agree: the types keep every field that the schema allows, and require none that it does not.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use crds::generate::{workspace_crd, workspace_kind_crd};
use crds::{Workspace, WorkspaceKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The compact JSON that the API server and `kubectl apply` can handle, annotation included, with room to grow.
const SIZE_LIMIT: usize = 200_000;

fn schema(crd: &Value) -> &Value {
    &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

/// An object with every field of the schema, and a value in each that is not its default, where there is another one.
fn maximal(schema: &Value) -> Value {
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().rev().find(|value| **value != schema["default"]).unwrap_or(&values[0]).clone();
    }
    if schema["x-kubernetes-int-or-string"] == true {
        return json!("7");
    }
    match schema["type"].as_str().unwrap() {
        "object" if schema["properties"].is_object() => {
            let properties = schema["properties"].as_object().unwrap();
            properties.iter().map(|(name, property)| (name.clone(), maximal(property))).collect()
        }
        "object" if schema["additionalProperties"].is_object() => {
            json!({"key": maximal(&schema["additionalProperties"])})
        }
        "object" => json!({}),
        "array" => json!([maximal(&schema["items"])]),
        "integer" => json!(7),
        "boolean" => json!(schema["default"] != true),
        "string" => json!("text"),
        other => panic!("no value for {other}"),
    }
}

/// An object with nothing but what the schema requires.
fn minimal(schema: &Value) -> Value {
    match schema["type"].as_str() {
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            required.map(|name| (name.to_owned(), minimal(&schema["properties"][name]))).collect()
        }
        Some("array") => json!([minimal(&schema["items"])]),
        _ => maximal(schema),
    }
}

/// Every field of the schema with everything optional below it left out, one object each.
fn sparse(schema: &Value, put: &mut dyn FnMut(Value)) {
    put(minimal(schema));
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let parent = minimal(schema);
        sparse(property, &mut |value| {
            let mut object = parent.clone();
            object[name] = value;
            put(object);
        });
    }
    if schema["items"].is_object() {
        sparse(&schema["items"], &mut |item| put(json!([item])));
    }
}

fn with_metadata(mut object: Value, kind: &str) -> Value {
    object["apiVersion"] = json!("kubeflow.org/v1beta1");
    object["kind"] = json!(kind);
    object["metadata"] = json!({"name": "name"});
    object
}

#[track_caller]
fn keeps_every_field<T: Serialize + DeserializeOwned>(crd: &Value, kind: &str) {
    let object = with_metadata(maximal(schema(crd)), kind);
    let decoded: T = serde_json::from_value(object.clone()).unwrap();
    assert_eq!(serde_json::to_value(&decoded).unwrap(), object);
}

#[track_caller]
fn does_without_optional_fields<T: DeserializeOwned>(crd: &Value, kind: &str) {
    let mut tried = 0;
    sparse(schema(crd), &mut |object| {
        let object = with_metadata(object, kind);
        let decoded: Result<T, _> = serde_json::from_value(object.clone());
        assert!(decoded.is_ok(), "{}: {object}", decoded.err().unwrap());
        tried += 1;
    });
    assert!(tried > 50, "only {tried} objects");
}

#[test]
fn workspace_keeps_every_field() {
    keeps_every_field::<Workspace>(&workspace_crd(), "Workspace");
}

#[test]
fn workspace_kind_keeps_every_field() {
    keeps_every_field::<WorkspaceKind>(&workspace_kind_crd(), "WorkspaceKind");
}

#[test]
fn workspace_does_without_optional_fields() {
    does_without_optional_fields::<Workspace>(&workspace_crd(), "Workspace");
}

#[test]
fn workspace_kind_does_without_optional_fields() {
    does_without_optional_fields::<WorkspaceKind>(&workspace_kind_crd(), "WorkspaceKind");
}

#[test]
fn definitions_stay_small() {
    for crd in [workspace_crd(), workspace_kind_crd()] {
        let size = crd.to_string().len();
        assert!(size < SIZE_LIMIT, "{} takes {size} bytes", crd["metadata"]["name"]);
    }
}

/// Both read a value into a buffer first, which costs several times as much and loses where a fault is.
#[test]
fn types_are_read_without_buffering() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
                continue;
            }
            let source = std::fs::read_to_string(&entry).unwrap();
            let attributes = source.lines().filter(|line| line.trim_start().starts_with("#[serde("));
            for attribute in attributes {
                read += 1;
                for slow in ["flatten", "untagged", "tag ="] {
                    assert!(!attribute.contains(slow), "{}: {attribute}", entry.display());
                }
            }
        }
    }
    assert!(read > 100, "only {read} attributes");
}

fn nodes(schema: &Value, path: &str, see: &mut dyn FnMut(&str, &Value)) {
    see(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        nodes(property, &format!("{path}.{name}"), see);
    }
    for child in ["items", "additionalProperties"] {
        if schema[child].is_object() {
            nodes(&schema[child], &format!("{path}[]"), see);
        }
    }
}

#[test]
fn schemas_are_structural() {
    for crd in [workspace_crd(), workspace_kind_crd()] {
        nodes(schema(&crd), "", &mut |path, node| {
            let typed = node["type"].is_string() != (node["x-kubernetes-int-or-string"] == true);
            assert!(typed, "{path} has no single type: {node}");
            for never in ["$ref", "nullable", "oneOf", "allOf", "not", "title", "$defs"] {
                assert!(node[never].is_null(), "{path} has {never}");
            }
            assert!(node["anyOf"].is_null() || node["x-kubernetes-int-or-string"] == true, "{path} has anyOf");
        });
    }
}

#[test]
fn status_demands_nothing_of_its_fields() {
    for crd in [workspace_crd(), workspace_kind_crd()] {
        assert_eq!(schema(&crd)["required"], json!(["spec"]));
        nodes(&schema(&crd)["properties"]["status"], "status", &mut |path, node| {
            // Keys of a list cannot be left out, and a condition is that of Kubernetes.
            let list_key = path.ends_with("Config[]");
            assert!(node["required"].is_null() || path.ends_with("conditions[]") || list_key, "{path}");
        });
    }
}

#[test]
fn every_field_of_ours_is_documented() {
    for crd in [workspace_crd(), workspace_kind_crd()] {
        nodes(schema(&crd), "", &mut |path, node| {
            let Some(text) = node["description"].as_str() else { return };
            let sentence = text.lines().next().unwrap();
            assert!(sentence.ends_with(['.', ':']) && !text.contains("  "), "{path}: {text}");
        });
    }
}
