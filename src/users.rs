//! Which Workspaces use a kind, asked of the API server: neither the cache nor the status of the kind knows of a Workspace
//! that was created a moment ago.

use std::fmt::Write as _;
use std::marker::PhantomData;

use crds::workspace::WorkspaceOptions;
use http::header::ACCEPT;
use http::{Request, Uri};
use kube::Client;
use kube::core::Status;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Workspaces per page: more than a message names, and few enough for a fast response.
const PAGE: usize = 100;
/// Workspaces per page where all of them are read: fewer calls, but only a few megabytes each.
const LARGE_PAGE: usize = 1_000;
/// Only the metadata of Workspaces, if the API server supports it.
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
/// Whole Workspaces.
const WHOLE_OBJECTS: &str = "application/json";

/// Whether any Workspace uses the kind at this moment.
///
/// # Errors
/// The API server could not be asked. There is no timeout for all of its answers together.
pub async fn is_used(client: &Client, kind: &str) -> kube::Result<bool> {
    let mut pages: WorkspacePages<'_> = WorkspacePages::metadata(client, kind);
    loop {
        if !pages.read().await?.is_empty() {
            return Ok(true);
        }
        if pages.is_complete() {
            return Ok(false);
        }
    }
}

/// The Workspaces of a kind on the API server, page by page, each read as a `W`.
pub struct WorkspacePages<'a, W = ListedWorkspace> {
    client: &'a Client,
    kind: &'a str,
    /// The namespace, if only those of one are listed.
    namespace: Option<&'a str>,
    limit: usize,
    accept: &'static str,
    /// Whether the API server selects those of the kind; where an older CRD does not let it, all are listed.
    selects: bool,
    /// Where the next page begins; empty before the first one and after the last one.
    next: String,
    items: PhantomData<fn() -> W>,
}

/// A Workspace of a list.
pub trait OfKind: DeserializeOwned {
    /// Whether it is known to be of the kind.
    fn is_of(&self, kind: &str) -> bool;
}

impl<'a, W: OfKind> WorkspacePages<'a, W> {
    /// With their metadata, and no more where that can be had.
    pub fn metadata(client: &'a Client, kind: &'a str) -> Self {
        Self {
            client,
            kind,
            namespace: None,
            limit: PAGE,
            accept: METADATA_ONLY,
            selects: true,
            next: String::new(),
            items: PhantomData,
        }
    }

    /// With their spec.
    pub fn whole(client: &'a Client, kind: &'a str) -> Self {
        Self { limit: LARGE_PAGE, accept: WHOLE_OBJECTS, ..Self::metadata(client, kind) }
    }

    /// Only those of a namespace, if one is given.
    #[must_use]
    pub fn of_namespace(self, namespace: Option<&'a str>) -> Self {
        Self { namespace, ..self }
    }

    /// Whether the last page has been read.
    pub fn is_complete(&self) -> bool {
        self.next.is_empty()
    }

    /// The next page.
    ///
    /// # Errors
    /// The API server could not be asked.
    pub async fn read(&mut self) -> kube::Result<Vec<W>> {
        let page = match self.page().await {
            Err(kube::Error::Api(status)) if self.selects && is_unselectable(&status) => {
                (self.selects, self.limit, self.accept) = (false, LARGE_PAGE, WHOLE_OBJECTS);
                self.page().await?
            }
            page => page?,
        };
        self.next = page.metadata.next.unwrap_or_default();
        let mut workspaces = page.items.unwrap_or_default();
        if !self.selects {
            workspaces.retain(|workspace| workspace.is_of(self.kind));
        }
        Ok(workspaces)
    }

    async fn page(&self) -> kube::Result<Page<W>> {
        let path = workspaces_path(self.namespace, self.selects.then_some(self.kind), self.limit, &self.next);
        let request = Request::get(path).header(ACCEPT, self.accept).body(Vec::new());
        self.client.request(request.map_err(kube::Error::HttpError)?).await
    }
}

/// Whether the API server refuses the field selector: the CRD is older than this version.
fn is_unselectable(status: &Status) -> bool {
    status.code == 400 && status.message.contains("field label not supported")
}

/// The path of a page of the Workspaces of a namespace, or of all, and of a kind, or of all. Without a resourceVersion the API server returns the newest
/// state, not a cached one.
fn workspaces_path(namespace: Option<&str>, kind: Option<&str>, limit: usize, next: &str) -> String {
    let mut path = format!("/apis/{}/{}", crds::GROUP, crds::VERSION);
    if let Some(namespace) = namespace {
        path += "/namespaces/";
        path.extend(utf8_percent_encode(namespace, NON_ALPHANUMERIC));
    }
    let _ = write!(path, "/workspaces?limit={limit}");
    if let Some(kind) = kind {
        path += "&fieldSelector=spec.kind%3D";
        path.extend(utf8_percent_encode(&selector_value(kind), NON_ALPHANUMERIC));
    }
    if !next.is_empty() {
        path += "&continue=";
        path.extend(utf8_percent_encode(next, NON_ALPHANUMERIC));
    }
    debug_assert!(path.parse::<Uri>().is_ok());
    path
}

/// The escapes of field selectors: these three would end the value.
fn selector_value(text: &str) -> String {
    text.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "W: DeserializeOwned"))]
struct Page<W> {
    #[serde(default)]
    metadata: PageMetadata,
    /// Null if there are none and only metadata was requested; never absent.
    #[serde(deserialize_with = "Option::deserialize")]
    items: Option<Vec<W>>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(rename = "continue")]
    next: Option<String>,
}

/// A Workspace of a list. It is one of many, and need not decode.
#[derive(Deserialize)]
pub struct ListedWorkspace {
    metadata: ListedMetadata,
    /// Null if only metadata was requested.
    #[serde(default)]
    spec: Value,
}

impl OfKind for ListedWorkspace {
    fn is_of(&self, kind: &str) -> bool {
        self.spec["kind"] == kind
    }
}

impl ListedWorkspace {
    /// The options that it selects, if it has any.
    pub fn options(&self) -> Option<WorkspaceOptions> {
        WorkspaceOptions::deserialize(&self.spec["podTemplate"]["options"]).ok()
    }

    /// Its namespace and name.
    pub fn into_key(self) -> (String, String) {
        (self.metadata.namespace, self.metadata.name)
    }
}

#[derive(Deserialize)]
struct ListedMetadata {
    namespace: String,
    name: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nothing_in_a_name_can_change_the_request() {
        assert_eq!(
            workspaces_path(None, Some("a&limit=0,metadata.name=b c"), 100, "x=/+"),
            "/apis/kubeflow.org/v1beta1/workspaces?limit=100&fieldSelector=spec.kind%3Da%26limit%5C%3D0%5C%2Cmetadata%2Ename%5C%3Db%20c\
             &continue=x%3D%2F%2B"
        );
        assert_eq!(
            workspaces_path(Some("a/b?"), None, 500, ""),
            "/apis/kubeflow.org/v1beta1/namespaces/a%2Fb%3F/workspaces?limit=500"
        );
    }

    #[test]
    fn a_page_is_read_without_the_other_fields() {
        let page: Page<ListedWorkspace> = serde_json::from_str(
            r#"{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadataList","metadata":{"continue":"t","resourceVersion":"7"},
                "items":[{"metadata":{"name":"w","namespace":"n","uid":"u"}}]}"#,
        )
        .unwrap();
        assert_eq!(page.metadata.next.as_deref(), Some("t"));
        let first = &page.items.unwrap()[0].metadata;
        assert_eq!((&*first.namespace, &*first.name), ("n", "w"));
        let none: Page<ListedWorkspace> =
            serde_json::from_str(r#"{"metadata":{"resourceVersion":"7"},"items":null}"#).unwrap();
        assert!(none.items.is_none() && none.metadata.next.is_none());
        assert!(serde_json::from_str::<Page<ListedWorkspace>>("{}").is_err(), "an empty response is not an empty list");
    }
}
