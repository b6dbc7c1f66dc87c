//! What to write instead, where the message of the API server says only what is wrong.

use crds::labels::is_dns_subdomain;
use serde_json::Value;

/// The field of a Workspace that names the claim of its home directory.
const HOME: &str = "spec.podTemplate.volumes.home";
/// The fields that hold the name of a claim, where others write an object.
const CLAIM_NAMES: [&str; 3] = ["pvcName", "claimName", "name"];

/// What to write where a string is wanted and another type was found; empty where nothing is known.
pub(super) fn string_wanted(path: &str, found: &Value) -> String {
    match found {
        Value::Null => " (YAML reads it as null: quote it)".to_owned(),
        Value::Bool(_) => " (YAML reads it as a boolean: quote it)".to_owned(),
        Value::Number(_) => " (YAML reads it as a number: quote it)".to_owned(),
        Value::Object(fields) if path == HOME => {
            let mut names = CLAIM_NAMES.iter().filter_map(|field| fields.get(*field)?.as_str());
            let name = names.find(|name| is_dns_subdomain(name)).unwrap_or("my-claim");
            format!(" (home is the name of the PersistentVolumeClaim itself: write home: {name})")
        }
        Value::String(_) | Value::Array(_) | Value::Object(_) => String::new(),
    }
}
