//! Kubernetes' own types inside our schemas mean what they mean in a Pod.

use std::collections::{BTreeMap, BTreeSet};

use cluster::Cluster;
use crds::generate::workspace_kind_crd;
use serde_json::{Value, json};

use super::cases::{Case, CaseFile, Expected};
use super::judge::{CrdKind, Judge};
use super::paths::{Path, Step};
use super::schema::{self, Constraint, Origin};

const CORE: &str = "io.k8s.api.core.v1.";
const LABEL_SELECTOR: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector";

/// Where each type is used in a WorkspaceKind.
const ROOTS: &[(&str, &str)] = &[
    ("spec.podTemplate.containerSecurityContext", "SecurityContext"),
    ("spec.podTemplate.extraEnv[]", "EnvVar"),
    ("spec.podTemplate.extraVolumeMounts[]", "VolumeMount"),
    ("spec.podTemplate.extraVolumes[]", "Volume"),
    ("spec.podTemplate.options.podConfig.values[].spec.affinity", "Affinity"),
    ("spec.podTemplate.options.podConfig.values[].spec.resources", "ResourceRequirements"),
    ("spec.podTemplate.options.podConfig.values[].spec.tolerations[]", "Toleration"),
    ("spec.podTemplate.probes.livenessProbe", "Probe"),
    ("spec.podTemplate.probes.readinessProbe", "Probe"),
    ("spec.podTemplate.probes.startupProbe", "Probe"),
    ("spec.podTemplate.securityContext", "PodSecurityContext"),
    ("spec.activityRules[].match.matchNamespace.selector", LABEL_SELECTOR),
    ("spec.activityRules[].match.matchPodConfig.selector", LABEL_SELECTOR),
    ("spec.filterRules[].match[].matchImageConfig.selector", LABEL_SELECTOR),
    ("spec.filterRules[].match[].matchNamespace.selector", LABEL_SELECTOR),
    ("spec.filterRules[].match[].matchPodConfig.selector", LABEL_SELECTOR),
];

/// Fields of the API server's version that the bindings do not know yet.
const NEWER: &[&str] = &["EnvVarSource.fileKeyRef", "VolumeProjection.podCertificate"];

/// Defaults that the Go bindings of the time of the CRD did not have. A Pod gets them when it is created.
const FILLED_IN_LATER: &[&str] = &["AzureDiskVolumeSource.cachingMode", "AzureDiskVolumeSource.kind"];

/// A claim created for a pod gets its name and owner from there, and nothing else may be set.
const RESTRICTED: &str = "PersistentVolumeClaimTemplate.metadata";

struct Comparison {
    published: Value,
    differences: Vec<String>,
    newer: BTreeSet<String>,
    compared: usize,
}

impl Comparison {
    fn type_named(&self, name: &str) -> Value {
        let full = if name.starts_with("io.k8s.") { name.to_owned() } else { format!("{CORE}{name}") };
        self.published[&full].clone()
    }

    fn differ(&mut self, place: &str, what: &str, ours: &Value, theirs: &Value) {
        if ours != theirs {
            self.differences.push(format!("{place}: {what}: ours {ours}, the API server's {theirs}"));
        }
    }

    /// `place` is `Type.field`, whatever its path.
    fn compare(&mut self, place: &str, ours: &Value, theirs: &Value) {
        self.compared += 1;
        let (name, theirs) = self.resolve(theirs);
        let place = name.as_deref().unwrap_or(place);
        if ["Quantity", "IntOrString"].contains(&place) {
            self.differ(place, "int-or-string", &ours["x-kubernetes-int-or-string"], &json!(true));
            self.differ(place, "has a pattern", &json!(ours["pattern"].is_string()), &json!(place == "Quantity"));
            return;
        }
        for keyword in
            ["type", "format", "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"]
        {
            self.differ(place, keyword, &ours[keyword], &theirs[keyword]);
        }
        for child in ["items", "additionalProperties"] {
            self.differ(place, child, &json!(ours[child].is_object()), &json!(theirs[child].is_object()));
            if ours[child].is_object() {
                self.compare(place, &ours[child], &theirs[child]);
            }
        }
        self.compare_fields(place, ours, &theirs);
    }

    fn compare_fields(&mut self, place: &str, ours: &Value, theirs: &Value) {
        let none = serde_json::Map::new();
        let fields = theirs["properties"].as_object().unwrap_or(&none);
        let our_fields = ours["properties"].as_object().unwrap_or(&none);
        for name in our_fields.keys().filter(|name| !fields.contains_key(*name)) {
            self.differences.push(format!("{place}.{name}: not known to the API server"));
        }
        for (name, field) in fields {
            let inner = format!("{place}.{name}");
            let Some(our_field) = our_fields.get(name) else {
                self.newer.insert(inner);
                continue;
            };
            let required = requires(theirs, name);
            self.differ(&inner, "required", &json!(requires(ours, name)), &json!(required));
            // A required field's default is Go's zero value.
            let no_default = required || field["default"] == json!({}) || FILLED_IN_LATER.contains(&inner.as_str());
            let default = if no_default { Value::Null } else { field["default"].clone() };
            self.differ(&inner, "default", &our_field["default"], &default);
            if inner != RESTRICTED {
                self.compare(&inner, our_field, field);
            }
        }
    }

    /// The node without its reference, and the short name of the type that it referred to.
    fn resolve(&self, node: &Value) -> (Option<String>, Value) {
        let reference = node["$ref"].as_str().or_else(|| node["allOf"][0]["$ref"].as_str());
        let Some(full) = reference.and_then(|reference| reference.rsplit('/').next()) else {
            return (None, node.clone());
        };
        (full.rsplit('.').next().map(str::to_owned), self.published[full].clone())
    }
}

fn requires(schema: &Value, name: &str) -> bool {
    schema["required"].as_array().is_some_and(|names| names.iter().any(|one| one == name))
}

#[test]
fn core_types_are_those_of_the_api_server() {
    let document = Cluster::shared().api().get("/openapi/v3/api/v1").unwrap().ok().unwrap();
    let published = document["components"]["schemas"].clone();
    let mut comparison = Comparison { published, differences: Vec::new(), newer: BTreeSet::new(), compared: 0 };
    let crd = workspace_kind_crd();
    for (place, name) in ROOTS {
        let ours = schema::at(schema::of(&crd), &Path::parse(place));
        let theirs = comparison.type_named(name);
        assert!(ours.is_object() && theirs.is_object(), "{place}: {name}");
        comparison.compare(name.rsplit('.').next().unwrap_or(name), ours, &theirs);
    }
    assert!(comparison.differences.is_empty(), "{}", comparison.differences.join("\n"));
    let newer: Vec<&str> = comparison.newer.iter().map(String::as_str).collect();
    assert_eq!(newer, NEWER, "fields that only the API server knows");
    println!("{} places compared", comparison.compared);
}

#[test]
fn roots_are_all_places_with_core_types() {
    let crd = workspace_kind_crd();
    let mut found = BTreeSet::new();
    schema::walk(schema::of(&crd), &mut |path, _, origin| {
        if origin == Origin::Core
            && let Some((last, above)) = path.0.split_last()
            && matches!(last, Step::Field(_))
            && documented(schema::of(&crd), above)
        {
            found.insert(Path(above.to_vec()).to_string());
        }
    });
    // Not documented because every object has it.
    found.remove("");
    let roots: BTreeSet<String> = ROOTS.iter().map(|(place, _)| (*place).to_owned()).collect();
    assert_eq!(found, roots);
}

/// Whether every field of the path is one of ours.
fn documented(schema: &Value, steps: &[Step]) -> bool {
    (1..=steps.len())
        .filter(|length| matches!(steps[length - 1], Step::Field(_)))
        .all(|length| schema::at(schema, &Path(steps[..length].to_vec()))["description"].is_string())
}

#[test]
fn api_server_takes_and_refuses_core_types() {
    let crd = workspace_kind_crd();
    let schema = schema::of(&crd);
    let bases = CaseFile::read("workspace_kind.yaml").bases;
    let judge = Judge::new(CrdKind::WorkspaceKind);
    let constraints = schema::constraints(schema, Origin::Core);
    let cases: Vec<Case> = constraints.iter().flat_map(|constraint| cases_of(schema, &bases, constraint)).collect();
    let failures: Vec<String> = cases.iter().filter_map(|case| judge.try_case(case).err()).collect();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
    let mut tried = BTreeMap::new();
    for (_, what) in &constraints {
        *tried.entry(what.as_str()).or_insert(0) += 1;
    }
    println!("{} objects tried for {tried:?}", cases.len());
}

fn cases_of(schema: &Value, bases: &[Value], constraint: &Constraint) -> Vec<Case> {
    let (path, what) = constraint;
    let mut root = path.0.clone();
    while !documented(schema, &root) {
        root.pop();
    }
    let place = Path(root);
    let base = bases.iter().find(|base| place.find(&mut (*base).clone()).is_some());
    let mut base = base.unwrap_or_else(|| panic!("no base has {place}")).clone();
    schema::made(&mut base, schema, path);
    let with = |value: Value| {
        let mut object = base.clone();
        *path.find(&mut object).unwrap() = value;
        object
    };
    let without = || {
        let (parent, name) = path.parent();
        let mut object = base.clone();
        parent.find(&mut object).unwrap().as_object_mut().unwrap().remove(name);
        object
    };
    let refused = |message: &str| Expected::Refused { field: path.concrete(&base), message: message.to_owned() };
    let tried = match what.as_str() {
        "required" => vec![(base.clone(), Expected::Accepted), (without(), refused("Required value"))],
        "default" => {
            vec![(without(), Expected::Filled(path.clone(), schema::at(schema, path)["default"].clone()))]
        }
        "int-or-string" => vec![
            (with(json!(1)), Expected::Accepted),
            (with(json!("1")), Expected::Accepted),
            (with(json!(true)), refused("must be of type integer,string")),
        ],
        "pattern" => ["1", "100m", "1.5Gi", "-2", "1e3"]
            .iter()
            .map(|text| (with(json!(text)), Expected::Accepted))
            .chain(["", "one", "1 Gi", "1gi"].iter().map(|text| (with(json!(text)), refused("should match '"))))
            .collect(),
        "unique" => {
            let item = path.find(&mut base.clone()).unwrap()[0].clone();
            let field = format!("{}[1]", path.concrete(&base));
            let duplicate = Expected::Refused { field, message: "Duplicate value".to_owned() };
            vec![(with(json!([item, item])), duplicate), (base.clone(), Expected::Accepted)]
        }
        _ => panic!("{path}: nothing tries {what}"),
    };
    let case = |(object, expected)| Case { constraint: constraint.clone(), old: None, object, expected };
    tried.into_iter().map(case).collect()
}
