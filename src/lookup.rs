//! Facts for admission: from the stores, and where a refusal rests on them, once more from the API server.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crds::WorkspaceKind;
use http::{Request, Uri};
use kube::{Api, Client};
use serde::Deserialize;
use tokio::time::timeout;
use webhook::{LookupError, User};

use crate::client::{causes, root_cause};
use crate::stores::Stores;

/// For one call to the API server: the caller has about five seconds for the whole review.
const CALL_LIMIT: Duration = Duration::from_secs(3);
/// Workspaces in one answer to a list.
const PAGE: usize = 500;

/// Answers the questions of admission.
#[derive(Clone)]
pub struct ClusterLookup {
    client: Client,
    stores: Stores,
}

impl ClusterLookup {
    /// Asks `stores`, and `client` for what has to be certain.
    pub fn new(client: Client, stores: Stores) -> Self {
        Self { client, stores }
    }
}

impl webhook::Lookup for ClusterLookup {
    async fn kind(&self, name: &str) -> Result<Option<Arc<WorkspaceKind>>, LookupError> {
        self.stores.wait_read_model_synced().await;
        Ok(self.stores.kind(name))
    }

    async fn kind_live(&self, name: &str) -> Result<Option<Arc<WorkspaceKind>>, LookupError> {
        let kinds: Api<WorkspaceKind> = Api::all(self.client.clone());
        Ok(bounded(kinds.get_opt(name)).await?.map(Arc::new))
    }

    async fn users(&self, kind: &str) -> Result<Vec<User>, LookupError> {
        self.stores.wait_read_model_synced().await;
        Ok(self.stores.users_of(kind))
    }

    async fn users_live(&self, kind: &str) -> Result<Vec<User>, LookupError> {
        let mut users = Vec::new();
        let mut next = String::new();
        loop {
            let request = Request::get(users_path(kind, &next)).body(Vec::new());
            let request = request.map_err(|error| LookupError::Failed(error.to_string()))?;
            let page: Page = bounded(self.client.request(request)).await?;
            users.extend(page.items.into_iter().map(User::from));
            match page.metadata.next {
                Some(token) if !token.is_empty() => next = token,
                _ => return Ok(users),
            }
        }
    }

    fn kind_names(&self) -> Vec<String> {
        self.stores.kind_names()
    }
}

async fn bounded<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, LookupError> {
    match timeout(CALL_LIMIT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        // The API server understood and refused: its reason is about our installation, unless it was overwhelmed.
        Ok(Err(kube::Error::Api(status))) if !matches!(status.code, 429 | 500..) => {
            Err(LookupError::Failed(format!("the API server refused to answer: {}", status.message)))
        }
        Ok(Err(error @ kube::Error::SerdeError(_))) => Err(LookupError::Failed(causes(&error))),
        Ok(Err(error)) => {
            Err(LookupError::Unavailable(format!("the API server could not be asked: {}", root_cause(&error))))
        }
        Err(_) => {
            let seconds = CALL_LIMIT.as_secs();
            Err(LookupError::Unavailable(format!("the API server did not answer within {seconds} s")))
        }
    }
}

/// Without a resourceVersion the API server answers with the newest state, not with a cached one.
fn users_path(kind: &str, next: &str) -> String {
    let mut path = format!(
        "/apis/{}/{}/workspaces?limit={PAGE}&fieldSelector=spec.kind%3D{}",
        crds::GROUP,
        crds::VERSION,
        percent_encoded(&selector_value(kind))
    );
    if !next.is_empty() {
        path += "&continue=";
        path += &percent_encoded(next);
    }
    debug_assert!(path.parse::<Uri>().is_ok());
    path
}

/// As field selectors quote: these three would end the value.
fn selector_value(text: &str) -> String {
    text.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

fn percent_encoded(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        // Writing to a String cannot fail.
        let _ = match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                write!(encoded, "{}", char::from(byte))
            }
            _ => write!(encoded, "%{byte:02X}"),
        };
        encoded
    })
}

// Of a Workspace only what a message names.

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    items: Vec<SlimWorkspace>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(rename = "continue")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct SlimWorkspace {
    metadata: SlimMetadata,
    spec: SlimSpec,
}

#[derive(Deserialize)]
struct SlimMetadata {
    namespace: String,
    name: String,
}

// Objects of an older schema may lack any of these; they use the kind all the same.

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SlimSpec {
    pod_template: SlimPodTemplate,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SlimPodTemplate {
    options: SlimOptions,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SlimOptions {
    image_config: String,
    pod_config: String,
}

impl From<SlimWorkspace> for User {
    fn from(workspace: SlimWorkspace) -> Self {
        let options = workspace.spec.pod_template.options;
        Self {
            namespace: workspace.metadata.namespace,
            name: workspace.metadata.name,
            image_config: options.image_config,
            pod_config: options.pod_config,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nothing_in_a_name_can_change_the_question() {
        assert_eq!(
            users_path("a&limit=0,metadata.name=b c", "x=/+"),
            "/apis/kubeflow.org/v1beta1/workspaces?limit=500&fieldSelector=spec.kind%3Da%26limit%5C%3D0%5C%2Cmetadata.name%5C%3Db%20c\
             &continue=x%3D%2F%2B"
        );
    }

    #[test]
    fn a_page_is_read_without_the_rest_of_the_objects() {
        let page: Page = serde_json::from_str(
            r#"{"apiVersion":"kubeflow.org/v1beta1","kind":"WorkspaceList","metadata":{"continue":"t","resourceVersion":"7"},
                "items":[{"metadata":{"name":"w","namespace":"n","uid":"u"},
                          "spec":{"kind":"k","podTemplate":{"options":{"imageConfig":"i","podConfig":"p"},"volumes":{}}}},
                         {"metadata":{"name":"old","namespace":"n"},"spec":{"kind":"k"}}]}"#,
        )
        .unwrap();
        assert_eq!(page.metadata.next.as_deref(), Some("t"));
        let users: Vec<User> = page.items.into_iter().map(User::from).collect();
        let user = |name: &str, image: &str, pod: &str| User {
            namespace: "n".to_owned(),
            name: name.to_owned(),
            image_config: image.to_owned(),
            pod_config: pod.to_owned(),
        };
        assert_eq!(users, [user("w", "i", "p"), user("old", "", "")]);
    }
}
