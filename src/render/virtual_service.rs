//! The VirtualService of a Workspace: one route for each port of the selected image, in its order.
//!
//! One bad header makes Envoy reject the routes of every Workspace, so rendered headers are checked here again, whatever
//! admission decided.

use crds::headers::{HeaderFault, HeaderOperations, HeaderTemplates, ROUTE_MAX};
use crds::ports::Dialect;
use crds::template::Mode;
use crds::workspace_kind::{ImagePort, ProxiedPort};
use serde_json::Value;

use super::context::RenderContext;
use super::manifest::Action;
use crate::config::{RedirectScheme, Routing};
use crate::istio::{
    Destination, Headers, HttpMatch, HttpRedirect, HttpRewrite, HttpRoute, PortSelector, RouteDestination,
    RouteHeaderOperations, StringMatch, VirtualService, VirtualServiceSpec,
};

/// Temporary, and the method and body of the request stay.
const TEMPORARY_REDIRECT: u16 = 307;

/// The route to the ports of a Workspace. With `T = ()`, only whether one is desired.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Route<T = Box<VirtualService>> {
    /// None: Istio is off.
    Off,
    /// The VirtualService to apply.
    Wanted(T),
    /// No VirtualService can be applied.
    Refused(RouteFault),
}

impl<T> Route<T> {
    /// What is wanted, without the object.
    pub fn without_object(&self) -> Route<()> {
        match self {
            Self::Off => Route::Off,
            Self::Wanted(_) => Route::Wanted(()),
            Self::Refused(fault) => Route::Refused(fault.clone()),
        }
    }
}

/// Why no route is written. Caused by the kind or the Workspace, and lasts until one of them changes.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RouteFault {
    /// Headers that Istio or Envoy refuses, or that hurt others. An existing route is left unchanged.
    #[error("{}", describe_headers(.0))]
    Headers(Vec<UnsafeHeader>),
    /// The paths of the Workspace could overlap those of other tenants. An existing route is deleted.
    #[error(
        "a Workspace in namespace \"connect\" could overlap paths of other namespaces: paths of its kind start with \
         /workspace/connect/, as those of kinds whose spec.podTemplate.ports[] have `id` do"
    )]
    ConnectNamespace,
    /// No port of the selected image is proxied. An existing route is deleted.
    #[error("no port of the selected imageConfig is listed in spec.podTemplate.ports of the WorkspaceKind")]
    NoPorts,
}

impl RouteFault {
    /// What is to be done about an existing route.
    pub fn action<T>(&self) -> Action<T> {
        match self {
            Self::Headers(_) => Action::KeepExisting,
            Self::ConnectNamespace | Self::NoPorts => Action::Delete,
        }
    }
}

/// A header that must not reach Istio.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnsafeHeader {
    /// The field of the WorkspaceKind.
    pub field: String,
    /// What is wrong; never a value.
    pub detail: String,
}

/// The first of the headers, each with its field and what is wrong; a condition's message is bounded.
pub fn describe_headers(headers: &[UnsafeHeader]) -> String {
    const SHOWN: usize = 3;
    let mut parts: Vec<String> =
        headers.iter().take(SHOWN).map(|header| format!("{}: {}", header.field, header.detail)).collect();
    if headers.len() > SHOWN {
        parts.push(format!("and {} more", headers.len() - SHOWN));
    }
    parts.join("; ")
}

/// The route, or why there is none.
pub(super) fn desired(context: &RenderContext<'_>, routing: &Routing) -> Route {
    if !routing.use_istio {
        return Route::Off;
    }
    if routing.paths.collides(context.paths.dialect, context.input.namespace) {
        return Route::Refused(RouteFault::ConnectNamespace);
    }
    let mut http = Vec::new();
    let mut faults = Vec::new();
    let mut bytes = 0;
    for port in &context.image.ports {
        let entry = context.template.proxied_port(&port.id);
        if entry.is_none() && context.paths.dialect == Dialect::Id {
            // Not proxied there; admission refuses such a kind.
            continue;
        }
        match headers(context, entry) {
            Ok(headers) => {
                bytes += headers.as_ref().map_or(0, HeaderOperations::stored_bytes);
                let path = path(context, port);
                if routing.redirect_missing_slash {
                    http.push(missing_slash(&path, routing.redirect_scheme));
                }
                http.push(route(context, routing, port, entry, headers, path));
            }
            Err(unsafe_headers) => faults.extend(unsafe_headers),
        }
    }
    if bytes > ROUTE_MAX {
        let detail = format!("the headers of all ports have more than {ROUTE_MAX} bytes together");
        faults.push(UnsafeHeader { field: "spec.podTemplate.ports".to_owned(), detail });
    }
    if !faults.is_empty() {
        return Route::Refused(RouteFault::Headers(faults));
    }
    if http.is_empty() {
        return Route::Refused(RouteFault::NoPorts);
    }
    let spec = VirtualServiceSpec { gateways: routing.gateways.clone(), hosts: routing.hosts.clone(), http };
    Route::Wanted(Box::new(VirtualService::new(context.metadata(&context.fixed.names.virtual_service), spec)))
}

fn path(context: &RenderContext<'_>, port: &ImagePort) -> String {
    let paths = &context.paths;
    paths.paths.path(paths.dialect, paths.namespace, paths.workspace, &port.id)
}

fn route(
    context: &RenderContext<'_>,
    routing: &Routing,
    port: &ImagePort,
    entry: Option<&ProxiedPort>,
    headers: Option<HeaderOperations>,
    path: String,
) -> HttpRoute {
    let removes_prefix = entry.is_some_and(ProxiedPort::removes_path_prefix);
    let host = format!("{}.{}.svc.{}", context.fixed.names.service, context.input.namespace, routing.cluster_domain);
    HttpRoute {
        matches: vec![HttpMatch { uri: StringMatch::Prefix(path) }],
        redirect: None,
        rewrite: removes_prefix.then(|| HttpRewrite { uri: "/".to_owned() }),
        headers: headers.map(Headers::from),
        route: vec![RouteDestination { destination: Destination { host, port: PortSelector { number: port.port } } }],
    }
}

/// Sends the exact path without its final slash to the path with it.
fn missing_slash(path: &str, scheme: Option<RedirectScheme>) -> HttpRoute {
    HttpRoute {
        matches: vec![HttpMatch { uri: StringMatch::Exact(path.trim_end_matches('/').to_owned()) }],
        redirect: Some(HttpRedirect {
            uri: path.to_owned(),
            scheme: scheme.map(|scheme| scheme.as_str().to_owned()),
            redirect_code: TEMPORARY_REDIRECT,
        }),
        ..HttpRoute::default()
    }
}

/// The header operations of a port, checked; none where its entry has none.
fn headers(
    context: &RenderContext<'_>,
    entry: Option<&ProxiedPort>,
) -> Result<Option<HeaderOperations>, Vec<UnsafeHeader>> {
    let proxy = entry.and_then(|entry| entry.http_proxy.as_ref());
    let Some((entry, headers)) = entry.zip(proxy.and_then(|proxy| proxy.request_headers.as_ref())) else {
        return Ok(None);
    };
    let (templates, mut faults) = HeaderTemplates::parse(headers);
    match templates.render(&context.paths, Mode::Lenient) {
        Ok(operations) if faults.is_empty() => return Ok((!operations.is_empty()).then_some(operations)),
        Ok(_) => {}
        Err(more) => faults.extend(more),
    }
    let index = context.template.proxied_ports().iter().position(|port| std::ptr::eq(port, entry)).unwrap_or_default();
    let base = format!("spec.podTemplate.ports[{index}].httpProxy.requestHeaders");
    Err(faults.iter().map(|fault| unsafe_header(&base, fault)).collect())
}

/// The headers in the spec of a stored VirtualService that must not reach Istio, whichever client wrote them.
pub fn check_stored(spec: &Value) -> Vec<UnsafeHeader> {
    let mut found = Vec::new();
    for (index, http) in items(&spec["http"]).enumerate() {
        let path = format!("spec.http[{index}]");
        check_headers(&path, http, &mut found);
        for (index, route) in items(&http["route"]).enumerate() {
            check_headers(&format!("{path}.route[{index}]"), route, &mut found);
        }
    }
    found
}

/// Checks the `headers` of a route or of one of its destinations, and nothing else of it.
fn check_headers(path: &str, holder: &Value, found: &mut Vec<UnsafeHeader>) {
    for side in ["request", "response"] {
        let block = &holder["headers"][side];
        let texts = |list: &str| {
            let members = block[list].as_object().into_iter().flatten();
            members.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
        };
        let remove = items(&block["remove"]).filter_map(Value::as_str).map(str::to_owned).collect();
        let operations =
            HeaderOperations { set: texts("set"), add: texts("add"), remove, ..HeaderOperations::default() };
        let base = format!("{path}.headers.{side}");
        found.extend(operations.validate().iter().map(|fault| unsafe_header(&base, fault)));
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The fault of a header below the field `base`.
fn unsafe_header(base: &str, fault: &HeaderFault) -> UnsafeHeader {
    let detail = if fault.detail.starts_with("failed to ") {
        // The text of a template quotes its source, which users of the Workspace need not see.
        "is not a template that can be rendered".to_owned()
    } else {
        fault.detail.clone()
    };
    UnsafeHeader { field: fault.place.field(base), detail }
}

impl From<HeaderOperations> for Headers {
    fn from(operations: HeaderOperations) -> Self {
        let HeaderOperations { set, add, remove, port_ids: _ } = operations;
        Self { request: RouteHeaderOperations { set, add, remove } }
    }
}
