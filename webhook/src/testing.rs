//! Case files: an object, the facts around it and the exact answer. For tests.
//!
//! A case is one YAML file `tests/cases/<kind>/{accept,reject}/<what it shows>.yaml`:
//!
//! ```yaml
//! about: one sentence, why it is so
//! policy: {portDialects: [B], connectPathPrefix: /x}   # when not the defaults
//! exists: {kinds: [...], workspaces: [...]}            # objects that are stored already
//! old: ...                                             # the stored object: the request is an UPDATE
//! object: ...                                          # the object to store; absent with `old`: a DELETE
//! code: 422                                            # when refused with another code than 422
//! causes: [{field, reason, message}]                   # reject: all of them, in order
//! warnings: []                                         # all of them, in order
//! ```
//!
//! An object is written out, or as `{base: NAME, patch: [...]}`: the file `<kind>/base/NAME.yaml` with a JSON patch
//! (RFC 6902), so that a case shows nothing but what it is about.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crds::ports::ConnectPaths;
use crds::{Workspace, WorkspaceKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Lookup, LookupError, Policy, Question, Users, WORKSPACE_KIND_PATH, WORKSPACE_PATH};

/// A case, with its objects put together.
#[derive(Clone, Debug)]
pub struct Case {
    /// `workspace_kind/reject/port_duplicate`
    pub name: String,
    /// Why it is so.
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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PolicyInFile {
    #[serde(default)]
    port_dialects: Option<Vec<String>>,
    #[serde(default)]
    connect_path_prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patched {
    base: String,
    #[serde(default)]
    patch: json_patch::Patch,
}

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
        old: file.old.map(|old| resolve(root, old)).transpose()?,
        object: file.object.map(|object| resolve(root, object)).transpose()?,
        expected: Expected { refused, causes: file.causes, warnings: file.warnings },
    })
}

fn policy(file: PolicyInFile) -> Result<Policy, String> {
    let mut policy = Policy::default();
    if let Some(dialects) = file.port_dialects {
        let dialect = |text: String| text.parse().map_err(|()| format!("port dialect {text:?}"));
        policy.dialects = dialects.into_iter().map(dialect).collect::<Result<BTreeSet<_>, _>>()?;
    }
    if let Some(prefix) = file.connect_path_prefix {
        policy.paths = ConnectPaths::fixed(&prefix).map_err(|error| error.to_string())?;
    }
    Ok(policy)
}

/// Puts an object together.
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
    /// What is asked.
    pub fn question(&self) -> Question<'_> {
        Question { object: self.object.as_ref(), old: self.old.as_ref() }
    }

    /// The AdmissionReview as the API server would send it.
    pub fn review(&self, uid: &str) -> Value {
        self.question().review(uid)
    }

    /// The facts around the object.
    pub fn facts(&self) -> Result<Facts, String> {
        Facts::new(&self.kinds, &self.workspaces)
    }
}

/// Facts in memory. What the API server has may differ from what the cache has; lookups on the API server are counted.
#[derive(Debug, Default)]
pub struct Facts {
    /// The kinds in the cache.
    pub kinds: Vec<Arc<WorkspaceKind>>,
    /// The kinds on the API server, if not those in the cache.
    pub live_kinds: Option<Vec<Arc<WorkspaceKind>>>,
    /// The Workspaces in the cache.
    pub workspaces: Vec<Workspace>,
    /// The Workspaces on the API server, if not those in the cache.
    pub live_workspaces: Option<Vec<Workspace>>,
    /// How often the API server was asked.
    pub live_lookups: AtomicUsize,
}

impl Facts {
    /// Facts of objects.
    pub fn new(kinds: &[Value], workspaces: &[Value]) -> Result<Self, String> {
        fn decode<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, String> {
            T::deserialize(value).map_err(|error| error.to_string())
        }
        Ok(Self {
            kinds: kinds.iter().map(|kind| decode(kind).map(Arc::new)).collect::<Result<_, _>>()?,
            workspaces: workspaces.iter().map(decode).collect::<Result<_, _>>()?,
            ..Self::default()
        })
    }

    fn find(kinds: &[Arc<WorkspaceKind>], name: &str) -> Option<Arc<WorkspaceKind>> {
        kinds.iter().find(|kind| kind.metadata.name.as_deref() == Some(name)).cloned()
    }

    fn users_of(workspaces: &[Workspace], kind: &str) -> Users {
        let metadata = workspaces.iter().filter(|workspace| workspace.spec.kind == kind).map(|user| &user.metadata);
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let mut first: Vec<_> = metadata.map(|user| (text(&user.namespace), text(&user.name))).collect();
        first.sort_unstable();
        Users { count: first.len(), first }
    }
}

impl Lookup for Facts {
    async fn kind(&self, name: &str) -> Result<Option<Arc<WorkspaceKind>>, LookupError> {
        Ok(Self::find(&self.kinds, name))
    }

    async fn kind_live(&self, name: &str) -> Result<Option<Arc<WorkspaceKind>>, LookupError> {
        self.live_lookups.fetch_add(1, Ordering::Relaxed);
        Ok(Self::find(self.live_kinds.as_ref().unwrap_or(&self.kinds), name))
    }

    async fn users_live(&self, kind: &str) -> Result<Users, LookupError> {
        self.live_lookups.fetch_add(1, Ordering::Relaxed);
        Ok(Self::users_of(self.live_workspaces.as_ref().unwrap_or(&self.workspaces), kind))
    }

    fn kind_names(&self) -> Vec<String> {
        self.kinds.iter().filter_map(|kind| kind.metadata.name.clone()).collect()
    }
}
