//! Case files for tests: an object, the objects around it and the exact answer.
//!
//! A case is one YAML file `tests/cases/<kind>/{accept,reject}/<what it is about>.yaml`:
//!
//! ```yaml
//! about: one sentence, why it is so
//! policy: {portDialects: [id], connectPathPrefix: /x}   # settings other than the defaults, see `PolicyInFile`
//! exists: {kinds: [...], workspaces: [...], others: [...]}   # stored objects; others: Namespaces,
//!                                                      # Secrets, PersistentVolumeClaims, Notebooks
//! mayBind: [view]                                      # the only ClusterRoles that the caller may bind
//! old: ...                                             # the stored object: the request is an UPDATE
//! object: ...                                          # the object to store; absent with `old`: a DELETE
//! code: 422                                            # the code of the refusal, if not 422
//! causes: [{field, reason, message}]                   # reject: all of them, in order
//! warnings: []                                         # all of them, in order
//! ```
//!
//! An object is written out, or as `{base: NAME, patch: [...]}`: the file `<kind>/base/NAME.yaml` with a JSON patch
//! (RFC 6902), so that a case shows nothing but what it is about.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crds::ports::ConnectPaths;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::policy::{Policy, ProtectedKeys};
use crate::question::Question;
use crate::registration::{WORKSPACE_KIND_PATH, WORKSPACE_PATH};

mod fake_lookup;

pub use fake_lookup::{Behaviour, FakeLookup};

/// A case, with its objects patched.
#[derive(Clone, Debug)]
pub struct Case {
    /// `workspace_kind/reject/port_duplicate`
    pub name: String,
    /// Why the answer is what it is.
    pub about: String,
    /// The path of the webhook.
    pub path: &'static str,
    /// The settings.
    pub policy: Policy,
    /// Whether the settings are the defaults.
    pub default_policy: bool,
    /// The WorkspaceKinds that are stored already.
    pub kinds: Vec<Value>,
    /// The Workspaces that are stored already.
    pub workspaces: Vec<Value>,
    /// Other objects that are stored already.
    pub others: Vec<Value>,
    /// The only ClusterRoles that the caller may bind; `None` is all of them.
    pub may_bind: Option<Vec<String>>,
    /// The stored object, for UPDATE and DELETE.
    pub old: Option<Value>,
    /// The object to store, for CREATE and UPDATE.
    pub object: Option<Value>,
    /// The answer.
    pub expected: Expected,
}

/// The answer to a case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Expected {
    /// The code of a refusal.
    pub refused: Option<u16>,
    /// The causes of a refusal, in order.
    pub causes: Vec<Cause>,
    /// The warnings, in order.
    pub warnings: Vec<String>,
}

/// One cause of a refusal.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// The path of the field.
    #[serde(default)]
    pub field: String,
    /// The reason, such as `FieldValueInvalid`.
    #[serde(default)]
    pub reason: String,
    /// The message without the path.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    about: String,
    #[serde(default)]
    policy: Option<PolicyInFile>,
    #[serde(default)]
    exists: Exists,
    #[serde(default, rename = "mayBind")]
    may_bind: Option<Vec<String>>,
    #[serde(default)]
    old: Option<Value>,
    #[serde(default)]
    object: Option<Value>,
    #[serde(default)]
    code: Option<u16>,
    #[serde(default)]
    causes: Vec<Cause>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Exists {
    kinds: Vec<Value>,
    workspaces: Vec<Value>,
    others: Vec<Value>,
}

/// Settings, named as the values of the chart.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct PolicyInFile {
    port_dialects: Option<Vec<String>>,
    connect_path_prefix: Option<String>,
    check_cluster_role_bind: Option<String>,
    protected_pod_metadata: Option<Vec<String>>,
    enforce_filter_rules: bool,
    enforce_can_mount: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patched {
    base: String,
    #[serde(default)]
    patch: json_patch::Patch,
}

/// The user in cases in which the user may bind only some ClusterRoles.
pub const LIMITED_USER: &str = "limited";

/// Loads all cases below `root` (`tests/cases`), ordered by name.
pub fn load(root: &Path) -> Result<Vec<Case>, String> {
    let mut cases = Vec::new();
    for (folder, path) in [("workspace", WORKSPACE_PATH), ("workspace_kind", WORKSPACE_KIND_PATH)] {
        for verdict in ["accept", "reject"] {
            for file in files(&root.join(folder).join(verdict))? {
                let stem = file.file_stem().unwrap_or_default().to_string_lossy();
                let name = format!("{folder}/{verdict}/{stem}");
                cases.push(load_case(root, &file, &name, path).map_err(|why| format!("{name}: {why}"))?);
            }
        }
    }
    Ok(cases)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let read = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn yaml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_saphyr::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

fn load_case(root: &Path, file: &Path, name: &str, path: &'static str) -> Result<Case, String> {
    let file: File = yaml(file)?;
    let all = |objects: Vec<Value>| -> Result<Vec<Value>, String> {
        objects.into_iter().map(|object| resolve(root, object)).collect()
    };
    let refused = (!file.causes.is_empty()).then(|| file.code.unwrap_or(422));
    Ok(Case {
        name: name.to_owned(),
        about: file.about,
        path,
        default_policy: file.policy.is_none(),
        policy: file.policy.map_or_else(|| Ok(Policy::default()), policy)?,
        kinds: all(file.exists.kinds)?,
        workspaces: all(file.exists.workspaces)?,
        others: file.exists.others,
        may_bind: file.may_bind,
        old: file.old.map(|old| resolve(root, old)).transpose()?,
        object: file.object.map(|object| resolve(root, object)).transpose()?,
        expected: Expected { refused, causes: file.causes, warnings: file.warnings },
    })
}

fn policy(file: PolicyInFile) -> Result<Policy, String> {
    let mut policy = Policy {
        enforce_filter_rules: file.enforce_filter_rules,
        enforce_can_mount: file.enforce_can_mount,
        ..Policy::default()
    };
    if let Some(check) = file.check_cluster_role_bind {
        policy.cluster_role_bind = check.parse().map_err(|()| format!("checkClusterRoleBind {check:?}"))?;
    }
    if let Some(patterns) = file.protected_pod_metadata {
        policy.protected_pod_metadata = ProtectedKeys::new(patterns);
    }
    if let Some(dialects) = file.port_dialects {
        let dialect = |text: String| text.parse().map_err(|()| format!("port dialect {text:?}"));
        policy.dialects = dialects.into_iter().map(dialect).collect::<Result<BTreeSet<_>, _>>()?;
    }
    if let Some(prefix) = file.connect_path_prefix {
        policy.paths = ConnectPaths::fixed(&prefix).map_err(|error| error.to_string())?;
    }
    Ok(policy)
}

/// The object, patched if it refers to a base.
fn resolve(root: &Path, object: Value) -> Result<Value, String> {
    if object.get("apiVersion").is_some() {
        return Ok(object);
    }
    let Patched { base, patch } = serde_json::from_value(object).map_err(|error| format!("object: {error}"))?;
    let file =
        ["workspace", "workspace_kind"].map(|folder| root.join(folder).join("base").join(format!("{base}.yaml")));
    let file = file.into_iter().find(|file| file.exists()).ok_or_else(|| format!("no base {base}"))?;
    let mut object = yaml(&file)?;
    json_patch::patch(&mut object, &patch).map_err(|error| format!("patch of {base}: {error}"))?;
    Ok(object)
}

impl Case {
    /// The question to the webhook.
    pub fn question(&self) -> Question<'_> {
        Question { object: self.object.as_ref(), old: self.old.as_ref() }
    }

    /// The AdmissionReview as the API server would send it.
    pub fn review(&self, uid: &str) -> Value {
        let mut review = self.question().review(uid);
        if self.may_bind.is_some() {
            review["request"]["userInfo"]["username"] = Value::from(LIMITED_USER);
        }
        review
    }

    /// A lookup that finds the objects around it.
    pub fn lookup(&self) -> Result<FakeLookup, String> {
        let lookup = FakeLookup::new(&self.kinds, &self.workspaces)?;
        Ok(FakeLookup { others: self.others.clone(), may_bind: self.may_bind.clone(), ..lookup })
    }
}
