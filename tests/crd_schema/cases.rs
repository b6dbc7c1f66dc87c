//! The case files of `tests/cases/schema`: what a schema must accept and refuse, written independently of it.
//!
//! A file is a list of documents. The first has a `base`, a valid object with one item in every list; each further one
//! has a JSON merge patch (`merge`) that turns the base into another valid object. The rest of a document:
//!
//! - `required`: fields that the base has and that cannot be left out.
//! - `unique`: lists whose items have keys; the first item given twice is refused.
//! - `defaults`: what a field has when it is left out.
//! - `constraints`: for each place (`at`) and keyword of its schema a value (or for `enum` and `pattern` several) that
//!   is accepted, and one (or several) that is refused. `{repeat: [prefix, unit, times]}` is a long string,
//!   `{items: [item, times]}` a long list and `{entries: [key, value, times]}` a big map, `#` being the position.
//! - `rules`: CEL rules by their message: values that are accepted and refused at creation (`create`), or pairs of old and
//!   new value (`update`). With `merge` the values are merge patches. `field` is where the fault is reported, if
//!   elsewhere.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::paths::Path;
use super::schema::Constraint;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    base: Option<Value>,
    merge: Option<Value>,
    #[serde(default)]
    required: Vec<String>,
    #[serde(default)]
    unique: Vec<String>,
    #[serde(default)]
    defaults: BTreeMap<String, Value>,
    #[serde(default)]
    constraints: Vec<Values>,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Values {
    at: Vec<String>,
    #[serde(flatten)]
    keywords: BTreeMap<String, Pair>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    accept: Value,
    reject: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    at: Vec<String>,
    message: String,
    field: Option<String>,
    #[serde(default)]
    merge: bool,
    create: Option<Examples<Value>>,
    update: Option<Examples<(Value, Value)>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Examples<T> {
    accept: Vec<T>,
    reject: Vec<T>,
}

/// The expected outcome of an object.
#[derive(Clone, Debug)]
pub enum Expected {
    Accepted,
    /// Accepted, and the place has this value afterwards.
    Filled(Path, Value),
    /// Refused at this field, with this in the message.
    Refused {
        field: String,
        message: String,
    },
}

/// One object to try.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is about.
    pub constraint: Constraint,
    /// The object that is updated, if this is about updates.
    pub old: Option<Value>,
    pub object: Value,
    pub expected: Expected,
}

/// A case file.
pub struct CaseFile {
    /// Valid objects.
    pub bases: Vec<Value>,
    pub cases: Vec<Case>,
}

impl CaseFile {
    /// Reads a file of `tests/cases/schema`.
    pub fn read(name: &str) -> Self {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/schema").join(name);
        let documents: Vec<Document> = serde_saphyr::from_multiple(&std::fs::read_to_string(path).unwrap()).unwrap();
        let first = documents[0].base.clone().unwrap();
        let mut file = Self { bases: Vec::new(), cases: Vec::new() };
        for document in documents {
            let mut base = first.clone();
            if let Some(patch) = &document.merge {
                json_patch::merge(&mut base, patch);
            }
            file.add(&base, document);
            file.bases.push(base);
        }
        file
    }

    fn add(&mut self, base: &Value, document: Document) {
        for text in &document.required {
            self.required(base, &Path::parse(text));
        }
        for text in &document.unique {
            self.unique(base, &Path::parse(text));
        }
        for (text, value) in document.defaults {
            self.default(base, &Path::parse(&text), value);
        }
        for values in document.constraints {
            for path in values.at.iter().map(|text| Path::parse(text)) {
                for (keyword, pair) in &values.keywords {
                    self.values(base, &path, keyword, pair);
                }
            }
        }
        for rule in document.rules {
            for path in rule.at.iter().map(|text| Path::parse(text)) {
                self.rule(base, &path, &rule);
            }
        }
    }

    fn push(&mut self, path: &Path, constraint: &str, object: Value, expected: Expected) {
        let constraint = (path.clone(), constraint.to_owned());
        self.cases.push(Case { constraint, old: None, object, expected });
    }

    fn required(&mut self, base: &Value, path: &Path) {
        let (parent, name) = path.parent();
        let mut object = base.clone();
        let removed = parent.find(&mut object).and_then(|parent| parent.as_object_mut()?.remove(name));
        assert!(removed.is_some(), "the base has no {path}");
        let refused = Expected::Refused { field: path.concrete(base), message: "Required value".to_owned() };
        self.push(path, "required", object, refused);
        self.push(path, "required", base.clone(), Expected::Accepted);
    }

    fn unique(&mut self, base: &Value, path: &Path) {
        let mut object = base.clone();
        let list = path.find(&mut object).and_then(Value::as_array_mut).unwrap_or_else(|| panic!("no list at {path}"));
        assert_eq!(list.len(), 1, "the base has one item in {path}");
        list.push(list[0].clone());
        let field = format!("{}[1]", path.concrete(base));
        self.push(path, "unique", object, Expected::Refused { field, message: "Duplicate value".to_owned() });
        self.push(path, "unique", base.clone(), Expected::Accepted);
    }

    fn default(&mut self, base: &Value, path: &Path, value: Value) {
        let (parent, name) = path.parent();
        let mut object = base.clone();
        let removed = parent.find(&mut object).and_then(|parent| parent.as_object_mut()?.remove(name));
        assert!(removed.is_some(), "the base has no {path}");
        self.push(path, "default", object, Expected::Filled(path.clone(), value));
    }

    fn values(&mut self, base: &Value, path: &Path, keyword: &str, pair: &Pair) {
        let several = ["enum", "pattern"].contains(&keyword);
        for value in alternatives(&pair.accept, several) {
            self.push(path, keyword, with(base, path, &value, false), Expected::Accepted);
        }
        for value in alternatives(&pair.reject, several) {
            let message = complaint(keyword).to_owned();
            let refused = Expected::Refused { field: path.concrete(base), message };
            self.push(path, keyword, with(base, path, &value, false), refused);
        }
    }

    fn rule(&mut self, base: &Value, path: &Path, rule: &Rule) {
        let field = rule.field.clone().unwrap_or_else(|| path.concrete(base));
        let refused = Expected::Refused { field, message: rule.message.clone() };
        let constraint = (path.clone(), rule.message.clone());
        let mut add = |old: Option<&Value>, new: &Value, expected: &Expected| {
            self.cases.push(Case {
                constraint: constraint.clone(),
                old: old.map(|old| with(base, path, old, rule.merge)),
                object: with(base, path, new, rule.merge),
                expected: expected.clone(),
            });
        };
        if let Some(examples) = &rule.create {
            examples.accept.iter().for_each(|new| add(None, new, &Expected::Accepted));
            examples.reject.iter().for_each(|new| add(None, new, &refused));
        }
        if let Some(examples) = &rule.update {
            examples.accept.iter().for_each(|(old, new)| add(Some(old), new, &Expected::Accepted));
            examples.reject.iter().for_each(|(old, new)| add(Some(old), new, &refused));
        }
    }
}

/// `base` with the value at `path`, which it has already.
fn with(base: &Value, path: &Path, value: &Value, merge: bool) -> Value {
    let mut object = base.clone();
    let place = path.find(&mut object).unwrap_or_else(|| panic!("the base has no {path}"));
    if merge {
        json_patch::merge(place, value);
    } else {
        *place = value.clone();
    }
    object
}

/// The API server's message about a value that violates `keyword`.
fn complaint(keyword: &str) -> &'static str {
    match keyword {
        "minLength" => "should be at least",
        "maxLength" => "Too long: may not be more than",
        "pattern" => "should match '",
        "minimum" => "should be greater than or equal to",
        "maximum" => "should be less than or equal to",
        "minItems" => "should have at least 1 items",
        "maxItems" | "maxProperties" => "Too many: ",
        "enum" => "Unsupported value",
        "format" => "must be of type date-time",
        _ => panic!("no such keyword: {keyword}"),
    }
}

fn alternatives(value: &Value, several: bool) -> Vec<Value> {
    match value {
        Value::Array(values) if several => values.clone(),
        Value::Object(map) => vec![long(map).unwrap_or_else(|| value.clone())],
        _ => vec![value.clone()],
    }
}

/// A long string, list or map.
fn long(map: &Map<String, Value>) -> Option<Value> {
    let (form, arguments) = map.iter().next()?;
    match (form.as_str(), arguments.as_array()?.as_slice()) {
        ("repeat", [prefix, unit, times]) => {
            let times = usize::try_from(times.as_u64()?).ok()?;
            Some(format!("{}{}", prefix.as_str()?, unit.as_str()?.repeat(times)).into())
        }
        ("items", [item, times]) => Some((0..times.as_u64()?).map(|index| numbered(item, index)).collect()),
        ("entries", [key, value, times]) => {
            let entry = |index| Some((numbered(key, index).as_str()?.to_owned(), value.clone()));
            (0..times.as_u64()?).map(entry).collect::<Option<Map<_, _>>>().map(Value::Object)
        }
        _ => None,
    }
}

fn numbered(template: &Value, index: u64) -> Value {
    match template {
        Value::String(text) => text.replace('#', &index.to_string()).into(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), numbered(value, index))).collect(),
        other => other.clone(),
    }
}
