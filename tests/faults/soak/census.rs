//! Whose child is what: orphans, duplicates and what is missing, of what the API server lists.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What is made for each Workspace, by the path of its API group.
pub const CHILDREN: [(&str, &str); 4] = [
    ("/api/v1", "serviceaccounts"),
    ("/apis/apps/v1", "statefulsets"),
    ("/api/v1", "services"),
    ("/apis/networking.istio.io/v1", "virtualservices"),
];
/// The label that children have.
pub const LABEL: &str = "notebooks.kubeflow.org/workspace-name";

/// What was found wrong, each as one line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Children of a Workspace that does not exist.
    pub orphans: BTreeSet<String>,
    /// More than one child of a sort.
    pub duplicates: BTreeSet<String>,
    /// No child of a sort.
    pub missing: BTreeSet<String>,
}

/// Of the Workspaces and, by resource, the children that are there.
pub fn take(workspaces: &[Value], children: &[(&str, Vec<Value>)]) -> Census {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let names: BTreeMap<String, String> = workspaces
        .iter()
        .map(|workspace| (text(&workspace["metadata"]["uid"]), text(&workspace["metadata"]["name"])))
        .collect();
    let mut census = Census::default();
    for (resource, objects) in children {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for object in objects {
            let owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
            let owner = owners.iter().find(|owner| owner["kind"] == "Workspace");
            let owner = owner.map(|owner| text(&owner["uid"])).unwrap_or_default();
            if !names.contains_key(&owner) {
                census.orphans.insert(format!("{resource} {}", text(&object["metadata"]["name"])));
            }
            *seen.entry(owner).or_default() += 1;
        }
        for (uid, name) in &names {
            match seen.get(uid).copied().unwrap_or(0) {
                0 => _ = census.missing.insert(format!("{resource} of {name}")),
                1 => {}
                several => _ = census.duplicates.insert(format!("{several} {resource} of {name}")),
            }
        }
    }
    census
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn orphans_duplicates_and_missing_children_are_found() {
        let workspace = |name: &str, uid: &str| json!({"metadata": {"name": name, "uid": uid}});
        let child = |name: &str, owner: &str| json!({"metadata": {"name": name, "ownerReferences": [{"kind": "Workspace", "uid": owner}]}});
        let children = [
            ("services", vec![child("a", "1"), child("b", "2"), child("b-2", "2")]),
            ("statefulsets", vec![child("a", "1"), child("gone", "3"), json!({"metadata": {"name": "nobodys"}})]),
        ];
        let census = take(&[workspace("lab", "1"), workspace("other", "2")], &children);
        let lines = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(census.orphans, lines(&["statefulsets gone", "statefulsets nobodys"]));
        assert_eq!(census.duplicates, lines(&["2 services of other"]));
        assert_eq!(census.missing, lines(&["statefulsets of other"]));
    }
}
