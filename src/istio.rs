//! Istio's VirtualService, as far as routes to Workspaces need it.
//!
//! Field names and meaning are those of `networking.istio.io/v1`, and of the older versions below. Absent fields are left
//! out, never written empty: an apply owns what it writes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

/// The versions before `v1` with the same schema. Istio serves `v1` since 1.22.
pub const OLDER_VERSIONS: &[&str] = &["v1beta1"];

/// Routes from gateways to services.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VirtualService {
    api_version: Cow<'static, str>,
    kind: Cow<'static, str>,
    /// Name, namespace, owner.
    pub metadata: ObjectMeta,
    /// The routes.
    pub spec: VirtualServiceSpec,
}

impl VirtualService {
    /// A VirtualService of the current version.
    pub fn new(metadata: ObjectMeta, spec: VirtualServiceSpec) -> Self {
        use k8s_openapi::Resource as _;
        Self { api_version: Self::API_VERSION.into(), kind: Self::KIND.into(), metadata, spec }
    }
}

impl k8s_openapi::Resource for VirtualService {
    const API_VERSION: &'static str = "networking.istio.io/v1";
    const GROUP: &'static str = "networking.istio.io";
    const KIND: &'static str = "VirtualService";
    const VERSION: &'static str = "v1";
    const URL_PATH_SEGMENT: &'static str = "virtualservices";
    type Scope = NamespaceResourceScope;
}

impl k8s_openapi::Metadata for VirtualService {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// What a VirtualService routes.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct VirtualServiceSpec {
    /// The gateways of the routes, each `namespace/name`.
    pub gateways: Vec<String>,
    /// The hosts of requests.
    pub hosts: Vec<String>,
    /// The routes; the first that matches wins.
    pub http: Vec<HttpRoute>,
}

/// One route: what it matches, and where the request goes.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct HttpRoute {
    /// The route applies if one of these matches.
    #[serde(rename = "match")]
    pub matches: Vec<HttpMatch>,
    /// A redirect response; excludes all fields below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<HttpRedirect>,
    /// How the path changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<HttpRewrite>,
    /// How headers change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Headers>,
    /// Where the request goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub route: Vec<RouteDestination>,
}

/// What a route matches.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HttpMatch {
    /// The path.
    pub uri: StringMatch,
}

/// How a string is matched.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StringMatch {
    /// Equal to.
    Exact(String),
    /// Starts with.
    Prefix(String),
}

/// A redirect response. The query of the request is kept.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRedirect {
    /// The path.
    pub uri: String,
    /// The scheme; that of the request when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// The HTTP status.
    pub redirect_code: u16,
}

/// How the path of a request changes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HttpRewrite {
    /// What replaces the matched prefix.
    pub uri: String,
}

/// How headers change.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Headers {
    /// Those of the request.
    pub request: RouteHeaderOperations,
}

/// How the headers of a message change: removed first, then set and added.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RouteHeaderOperations {
    /// Headers to overwrite.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// Headers to append.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub add: BTreeMap<String, String>,
    /// Headers to remove.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// Where a request goes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RouteDestination {
    /// The service and its port.
    pub destination: Destination,
}

/// A port of a service.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Destination {
    /// The full DNS name of the service.
    pub host: String,
    /// The port.
    pub port: PortSelector,
}

/// A port, by number.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PortSelector {
    /// The number.
    pub number: i32,
}
