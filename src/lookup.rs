//! Facts for admission: from the stores, and where a refusal rests on them, once more from the API server.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crds::WorkspaceKind;
use http::header::ACCEPT;
use http::{Request, Uri};
use kube::{Api, Client};
use serde::Deserialize;
use tokio::time::timeout;
use webhook::{LookupError, Users};

use crate::client::{causes, root_cause};
use crate::stores::Stores;

/// For one call to the API server: the caller has about five seconds for the whole review.
const CALL_LIMIT: Duration = Duration::from_secs(3);
/// Workspaces in one answer to a list: more than a message names, and few enough to be had at once.
const PAGE: usize = 100;
/// Of a Workspace only what a message names, where the API server can.
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

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

    async fn users_live(&self, kind: &str) -> Result<Users, LookupError> {
        let mut first = Vec::new();
        let mut next = String::new();
        loop {
            let request = Request::get(users_path(kind, &next)).header(ACCEPT, METADATA_ONLY).body(Vec::new());
            let request = request.map_err(|error| LookupError::Failed(error.to_string()))?;
            let page: Page = bounded(self.client.request(request)).await?;
            first.extend(page.items.into_iter().flatten().map(|user| (user.metadata.namespace, user.metadata.name)));
            next = page.metadata.next.unwrap_or_default();
            if next.is_empty() {
                return Ok(Users { count: first.len(), first });
            }
            if !first.is_empty() {
                // There may be more of them, or only other Workspaces.
                return Ok(Users { count: self.stores.count_users(kind).max(first.len()), first });
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

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    /// Null where there are none, once only metadata is asked for; but never absent.
    #[serde(deserialize_with = "Option::deserialize")]
    items: Option<Vec<SlimWorkspace>>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(rename = "continue")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct SlimWorkspace {
    metadata: SlimMetadata,
}

#[derive(Deserialize)]
struct SlimMetadata {
    namespace: String,
    name: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nothing_in_a_name_can_change_the_question() {
        assert_eq!(
            users_path("a&limit=0,metadata.name=b c", "x=/+"),
            "/apis/kubeflow.org/v1beta1/workspaces?limit=100&fieldSelector=spec.kind%3Da%26limit%5C%3D0%5C%2Cmetadata.name%5C%3Db%20c\
             &continue=x%3D%2F%2B"
        );
    }

    #[test]
    fn a_page_is_read_without_the_rest_of_the_objects() {
        let page: Page = serde_json::from_str(
            r#"{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadataList","metadata":{"continue":"t","resourceVersion":"7"},
                "items":[{"metadata":{"name":"w","namespace":"n","uid":"u"}}]}"#,
        )
        .unwrap();
        assert_eq!(page.metadata.next.as_deref(), Some("t"));
        let first = &page.items.unwrap()[0].metadata;
        assert_eq!((&*first.namespace, &*first.name), ("n", "w"));
        let none: Page = serde_json::from_str(r#"{"metadata":{"resourceVersion":"7"},"items":null}"#).unwrap();
        assert!(none.items.is_none() && none.metadata.next.is_none());
        assert!(serde_json::from_str::<Page>("{}").is_err(), "no answer is not: nobody");
    }
}
