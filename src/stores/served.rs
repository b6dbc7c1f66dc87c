//! What the API server can store: the schemas of our CRDs as it publishes them, where they are older than those of this
//! version. Every client may read them (the ClusterRole `system:discovery`), unlike the CRDs themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::Request;
use kube::Client;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::client::{causes, is_transient};

/// The index of the published schemas, with a hash for each API group.
const INDEX: &str = "/openapi/v3";
/// The pause after which they are asked for again, where the API server does not answer or does not publish ours yet.
const RETRY: Duration = Duration::from_secs(3);
/// The same where they are known: how late we notice that other CRDs were applied.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How long the reconciler waits where they cannot be read.
const PATIENCE: Duration = Duration::from_secs(30);
/// Fields that a message names at most.
const NAMED: usize = 12;

/// A schema, as far as it says which fields an object keeps.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PublishedSchema {
    properties: BTreeMap<String, PublishedSchema>,
    items: Option<Box<PublishedSchema>>,
    additional_properties: Option<IgnoredAny>,
    required: Vec<String>,
    default: Option<IgnoredAny>,
    /// Our CRDs document each of our own fields and none of those inside a type of Kubernetes.
    description: Option<IgnoredAny>,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    preserves: bool,
    #[serde(rename = "x-kubernetes-selectable-fields")]
    selectable: Option<IgnoredAny>,
}

/// Whose status it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StatusOf {
    /// A Workspace's.
    Workspace,
    /// A WorkspaceKind's.
    WorkspaceKind,
}

/// What is known of the published schemas.
#[derive(Debug)]
pub(super) struct Served {
    /// The schemas of the statuses that keep less than ours, by [`StatusOf`].
    statuses: RwLock<[Option<Arc<PublishedSchema>>; 2]>,
    known: watch::Sender<bool>,
}

impl Default for Served {
    fn default() -> Self {
        Self { statuses: RwLock::default(), known: watch::Sender::new(false) }
    }
}

/// A CRD that is older than this version, or at least differs from it.
#[derive(Debug, Default, Eq, PartialEq)]
struct OlderCrd {
    /// Its name.
    name: &'static str,
    /// Fields that the API server drops, ordered.
    dropped: Vec<String>,
    /// Fields of a spec that only that CRD requires, ordered.
    required: Vec<String>,
    /// Whether it lacks the selectable fields.
    unselectable: bool,
}

impl Served {
    /// Waits until it is known what the API server can store, or that it does not publish it.
    pub async fn wait_known(&self) {
        // The sender lives as long as `self`.
        let _ = self.known.subscribe().wait_for(|known| *known).await;
    }

    /// The part of a status that the API server keeps.
    pub fn kept(&self, of: StatusOf, mut status: Value) -> Value {
        let schema = self.statuses.read().unwrap_or_else(PoisonError::into_inner)[of as usize].clone();
        if let Some(schema) = schema {
            schema.prune(&mut status);
        }
        status
    }

    /// Whether other fields of a status are kept from now on.
    fn learn(&self, statuses: [Option<PublishedSchema>; 2]) -> bool {
        let statuses = statuses.map(|status| status.map(Arc::new));
        let mut held = self.statuses.write().unwrap_or_else(PoisonError::into_inner);
        let is_other = *held != statuses;
        *held = statuses;
        self.known.send_replace(true);
        is_other
    }

    /// Reads the schemas whenever they change, and reports each CRD that is older than this version. Calls `on_other` when
    /// other fields of a status are kept than before. Never returns.
    pub async fn keep(&self, client: Client, on_other: impl Fn()) {
        let give_up = async {
            sleep(PATIENCE).await;
            self.known.send_replace(true);
        };
        futures::join!(give_up, self.follow(client, on_other));
    }

    async fn follow(&self, client: Client, on_other: impl Fn()) {
        let (mut read, mut reported) = (String::new(), false);
        loop {
            let pause = match published(&client, &mut read).await {
                Ok(Some(schemas)) => {
                    let (older, is_other) = self.compare(schemas);
                    if is_other {
                        on_other();
                    }
                    for crd in &older {
                        tracing::warn!("{crd}");
                    }
                    if std::mem::replace(&mut reported, !older.is_empty()) && older.is_empty() {
                        tracing::info!("the CRDs are those of this version now");
                    }
                    LOOK_AGAIN
                }
                // As before.
                Ok(None) => LOOK_AGAIN,
                Err(Unpublished::NotYet) => RETRY,
                Err(Unpublished::Unreadable(error)) => {
                    tracing::debug!(error, "it is not known whether the CRDs are those of this version");
                    self.known.send_replace(true);
                    LOOK_AGAIN
                }
            };
            sleep(pause).await;
        }
    }

    /// The CRDs that are older than this version, and whether other fields of a status are kept than before.
    fn compare(&self, mut schemas: PublishedSchemas) -> (Vec<OlderCrd>, bool) {
        let compared = [
            ("workspaces.kubeflow.org", crds::published::workspace_crd(), &schemas.workspace),
            ("workspacekinds.kubeflow.org", crds::published::workspace_kind_crd(), &schemas.kind),
        ]
        .map(|(name, crd, served)| OlderCrd::compare(name, &crd, served));
        let drops_status = |older: &OlderCrd| older.dropped.iter().any(|field| field.starts_with("status."));
        let [workspace, kind] =
            [&mut schemas.workspace, &mut schemas.kind].map(|schema| schema.properties.remove("status"));
        let statuses = [workspace.filter(|_| drops_status(&compared[0])), kind.filter(|_| drops_status(&compared[1]))];
        let is_other = self.learn(statuses);
        (compared.into_iter().filter(OlderCrd::is_older).collect(), is_other)
    }
}

impl OlderCrd {
    fn compare(name: &'static str, crd: &Value, served: &PublishedSchema) -> Self {
        let version = &crd["spec"]["versions"][0];
        let ours = PublishedSchema::deserialize(&version["schema"]["openAPIV3Schema"]).unwrap_or_default();
        let selects = version["selectableFields"].is_array();
        let mut older = Self { name, unselectable: selects && served.selectable.is_none(), ..Self::default() };
        older.add(&ours, served, "");
        older.dropped.sort_unstable();
        older.required.sort_unstable();
        older
    }

    fn add(&mut self, ours: &PublishedSchema, served: &PublishedSchema, at: &str) {
        let below = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
        // A status is written with all fields that any CRD requires.
        if !at.is_empty() && !at.starts_with("status") {
            let is_new = |name: &&String| !ours.required.contains(name);
            let has_default =
                |name: &&String| served.properties.get(*name).is_some_and(|field| field.default.is_some());
            let required = served.required.iter().filter(is_new).filter(|name| !has_default(name));
            self.required.extend(required.map(|name| below(name)));
        }
        for (name, field) in &ours.properties {
            match served.properties.get(name) {
                Some(served) => self.add(field, served, &below(name)),
                None if served.is_open() || field.description.is_none() => {}
                None => self.dropped.push(below(name)),
            }
        }
        if let (Some(ours), Some(served)) = (&ours.items, &served.items) {
            self.add(ours, served, &format!("{at}[]"));
        }
    }

    fn is_older(&self) -> bool {
        self.unselectable || !self.dropped.is_empty() || !self.required.is_empty()
    }
}

impl fmt::Display for OlderCrd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One of a newer version may require more, too.
        let only_requires = !self.unselectable && self.dropped.is_empty();
        let (is, remedy) = if only_requires {
            ("differs from", "run the version that it is of, or install the CRDs of this one")
        } else {
            ("is older than", "install the CRDs")
        };
        write!(formatter, "the CRD {} {is} this version: ", self.name)?;
        let mut parts = Vec::new();
        if !self.dropped.is_empty() {
            parts.push(format!("the API server drops {}", listed(&self.dropped)));
        }
        if !self.required.is_empty() {
            parts.push(format!("it requires {}", listed(&self.required)));
        }
        if self.unselectable {
            parts.push(
                "Workspaces cannot be selected by spec.kind, so all are listed to find those that use a kind or an option"
                    .to_owned(),
            );
        }
        write!(
            formatter,
            "{}; {remedy}, with `workspaces-controller crds | kubectl apply --server-side -f -`",
            parts.join("; ")
        )
    }
}

fn listed(fields: &[String]) -> String {
    let named = fields.len().min(NAMED);
    let more = match fields.len() - named {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    fields[..named].join(", ") + &more
}

impl PublishedSchema {
    /// Whether it keeps fields that it does not name.
    fn is_open(&self) -> bool {
        self.preserves || self.additional_properties.is_some()
    }

    /// Drops what the API server drops of an object with that schema.
    fn prune(&self, value: &mut Value) {
        match value {
            Value::Object(map) if !self.is_open() => {
                map.retain(|name, _| self.properties.contains_key(name));
                for (name, field) in map {
                    self.properties[name].prune(field);
                }
            }
            Value::Array(items) => {
                let Some(schema) = &self.items else { return };
                for item in items {
                    schema.prune(item);
                }
            }
            _ => {}
        }
    }
}

/// The published schemas of both kinds.
struct PublishedSchemas {
    workspace: PublishedSchema,
    kind: PublishedSchema,
}

/// Why the schemas are not known.
enum Unpublished {
    /// The API server does not answer, or the CRDs are not installed: they will be.
    NotYet,
    /// The API server refuses to show them.
    Unreadable(String),
}

impl From<kube::Error> for Unpublished {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if !is_transient(&status) => Self::Unreadable(status.message.clone()),
            kube::Error::SerdeError(_) => Self::Unreadable(causes(&error)),
            _ => Self::NotYet,
        }
    }
}

/// Reads the schemas, unless they are those that were `read` before.
async fn published(client: &Client, read: &mut String) -> Result<Option<PublishedSchemas>, Unpublished> {
    #[derive(Deserialize)]
    struct Index {
        paths: BTreeMap<String, Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        #[serde(rename = "serverRelativeURL")]
        url: String,
    }
    #[derive(Deserialize)]
    struct Document {
        components: Components,
    }
    #[derive(Deserialize)]
    struct Components {
        schemas: BTreeMap<String, PublishedSchema>,
    }
    let mut index: Index = get(client, INDEX).await?;
    let group = format!("apis/{}/{}", crds::GROUP, crds::VERSION);
    let Entry { url } = index.paths.remove(&group).ok_or(Unpublished::NotYet)?;
    if url == *read {
        return Ok(None);
    }
    let document = get(client, &url).await.map_err(|error| match error {
        // The index was out of date for a moment: the API server redirects to the document as it is now.
        kube::Error::SerdeError(_) => Unpublished::NotYet,
        error => error.into(),
    });
    let Document { components: Components { mut schemas } } = document?;
    // Named after the group, its parts reversed.
    let mut take = |kind: &str| {
        let name = format!("{}.{}.{kind}", crds::GROUP.rsplit('.').collect::<Vec<_>>().join("."), crds::VERSION);
        schemas.remove(&name).ok_or(Unpublished::NotYet)
    };
    let schemas = PublishedSchemas { workspace: take("Workspace")?, kind: take("WorkspaceKind")? };
    *read = url;
    Ok(Some(schemas))
}

/// What is not known of the CRDs that the API server serves.
#[derive(Debug)]
pub enum CrdsUnknown {
    /// One of them is not installed.
    NotServed,
    /// The API server does not say, or cannot be asked.
    Unreadable(String),
}

/// In what the CRDs that the API server serves are older than those of this version: a sentence for each that is.
///
/// # Errors
/// They are not installed, or cannot be read.
pub async fn older_crds(client: &Client) -> Result<Vec<String>, CrdsUnknown> {
    match published(client, &mut String::new()).await {
        Ok(Some(schemas)) => Ok(Served::default().compare(schemas).0.iter().map(ToString::to_string).collect()),
        Ok(None) => Ok(Vec::new()),
        Err(Unpublished::NotYet) => Err(CrdsUnknown::NotServed),
        Err(Unpublished::Unreadable(error)) => Err(CrdsUnknown::Unreadable(error)),
    }
}

async fn get<T: serde::de::DeserializeOwned>(client: &Client, path: &str) -> kube::Result<T> {
    client.request(Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?).await
}

#[cfg(test)]
mod tests;
