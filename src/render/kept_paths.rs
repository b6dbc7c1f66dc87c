//! The paths of a route that follow the running pod, not the kind: a server that was started below one path does not answer
//! below another one, nor without a prefix that it expects.

use serde::Deserialize as _;
use serde_json::Value;

use crate::istio::{HttpRewrite, HttpRoute, StringMatch, VirtualServiceSpec};

/// The paths under which the ports of a running pod are reached.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KeptPaths(Box<[KeptPath]>);

/// The path of one port.
#[derive(Clone, Debug, Eq, PartialEq)]
struct KeptPath {
    port: i32,
    prefix: String,
    rewrite: Option<HttpRewrite>,
}

impl KeptPaths {
    /// Those in the spec of a stored VirtualService of this Workspace. One that is not below the Workspace is none of ours,
    /// whoever wrote it.
    pub fn of_stored(spec: &Value, namespace: &str, workspace: &str) -> Self {
        let below = format!("/{namespace}/{workspace}/");
        let is_ours = |prefix: &str| {
            let last = prefix.strip_suffix('/').and_then(|path| path.rsplit_once(&*below));
            last.is_some_and(|(start, port_id)| start.starts_with('/') && !port_id.is_empty() && !port_id.contains('/'))
        };
        let path = |route: HttpRoute| {
            let prefix = prefix(&route).filter(|prefix| is_ours(prefix))?.to_owned();
            Some(KeptPath { port: port(&route)?, prefix, rewrite: route.rewrite.filter(|rewrite| rewrite.uri == "/") })
        };
        let http = VirtualServiceSpec::deserialize(spec).map(|spec| spec.http).unwrap_or_default();
        Self(http.into_iter().filter_map(path).collect())
    }

    /// The path that the server on this port is below, with both slashes; none where the port is not routed.
    pub fn base_path(&self, port: i32) -> Option<&str> {
        let path = self.0.iter().find(|path| path.port == port)?;
        Some(if path.rewrite.is_some() { "/" } else { &path.prefix })
    }

    /// Puts them into a rendered spec: into the routes of these ports, and into the redirects to them. A route of another port
    /// under a path that is kept is left out until then: the running pod is reached there.
    pub fn keep_in(&self, spec: &mut VirtualServiceSpec) {
        let of_port = |number: i32| self.0.iter().find(|path| path.port == number);
        let kept: Vec<(String, &KeptPath)> =
            spec.http.iter().filter_map(|route| Some((prefix(route)?.to_owned(), of_port(port(route)?)?))).collect();
        let by_rendered = |rendered: &str| kept.iter().find(|(path, _)| path == rendered).map(|(_, path)| *path);
        let is_kept = |path: &str| kept.iter().any(|(_, kept)| kept.prefix == path);
        spec.http.retain_mut(|route| {
            let target = match (port(route), &mut route.redirect) {
                (Some(number), _) => of_port(number),
                (None, Some(redirect)) => by_rendered(&redirect.uri),
                (None, None) => None,
            };
            if let Some(path) = target {
                path.put_into(route);
            }
            target.is_some() || !path_of(route).is_some_and(|path| is_kept(&path))
        });
    }
}

impl KeptPath {
    /// Into the route to its port, or into the redirect to that.
    fn put_into(&self, route: &mut HttpRoute) {
        for uri in route.matches.iter_mut().map(|found| &mut found.uri) {
            match uri {
                StringMatch::Prefix(path) => path.clone_from(&self.prefix),
                StringMatch::Exact(path) => self.prefix.trim_end_matches('/').clone_into(path),
            }
        }
        match &mut route.redirect {
            Some(redirect) => redirect.uri.clone_from(&self.prefix),
            None => route.rewrite.clone_from(&self.rewrite),
        }
    }
}

/// The path that a route or a redirect is about, with its final slash.
fn path_of(route: &HttpRoute) -> Option<String> {
    match &route.matches.first()?.uri {
        StringMatch::Prefix(path) => Some(path.clone()),
        StringMatch::Exact(path) => Some(format!("{path}/")),
    }
}

/// The port that a route leads to.
fn port(route: &HttpRoute) -> Option<i32> {
    Some(route.route.first()?.destination.port.number)
}

/// The path that a route matches.
fn prefix(route: &HttpRoute) -> Option<&str> {
    match &route.matches.first()?.uri {
        StringMatch::Prefix(path) => Some(path),
        StringMatch::Exact(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn route(path: &str, port: i32, rewrite: bool) -> Value {
        let mut route = json!({
            "match": [{"uri": {"prefix": path}}],
            "headers": {"request": {"set": {"X-Port": port.to_string()}}},
            "route": [{"destination": {"host": "h", "port": {"number": port}}}],
        });
        if rewrite {
            route["rewrite"] = json!({"uri": "/"});
        }
        route
    }

    fn redirect(path: &str) -> Value {
        let uri = json!({"exact": path.trim_end_matches('/')});
        json!({"match": [{"uri": uri}], "redirect": {"uri": path, "redirectCode": 307}})
    }

    fn spec(http: &[Value]) -> Value {
        json!({"gateways": ["g"], "hosts": ["*"], "http": http})
    }

    fn kept(stored: &Value, rendered: &Value) -> Value {
        let mut spec: VirtualServiceSpec = serde_json::from_value(rendered.clone()).unwrap();
        KeptPaths::of_stored(stored, "ns", "lab").keep_in(&mut spec);
        serde_json::to_value(spec).unwrap()
    }

    #[test]
    fn paths_and_rewrites_stay_and_all_else_follows() {
        let (old, new) = ("/workspace/ns/lab/a/", "/notebooks/ns/lab/a/");
        let mut headers = route(old, 80, true);
        headers["headers"]["request"]["set"]["X-Port"] = json!("other");
        let stored = spec(&[redirect(old), headers, route("/workspace/ns/lab/gone/", 81, false)]);
        let rendered = spec(&[redirect(new), route(new, 80, false), route("/notebooks/ns/lab/b/", 82, true)]);
        let expected = spec(&[redirect(old), route(old, 80, true), route("/notebooks/ns/lab/b/", 82, true)]);
        assert_eq!(kept(&stored, &rendered), expected);
        assert_eq!(
            kept(&spec(&[route(old, 80, false)]), &spec(&[route(new, 80, true)])),
            spec(&[route(old, 80, false)])
        );
        assert_eq!(kept(&rendered, &rendered), rendered);
    }

    #[test]
    fn a_server_is_below_its_path_unless_that_is_removed() {
        let stored =
            spec(&[redirect("/a/ns/lab/x/"), route("/a/ns/lab/x/", 80, false), route("/a/ns/lab/y/", 81, true)]);
        let kept = KeptPaths::of_stored(&stored, "ns", "lab");
        assert_eq!([80, 81, 82].map(|port| kept.base_path(port)), [Some("/a/ns/lab/x/"), Some("/"), None]);
    }

    #[test]
    fn ids_that_move_between_ports_leave_each_path_at_its_port() {
        let path = |id: &str| format!("/workspace/ns/lab/{id}/");
        let (a, b) = (path("a"), path("b"));
        let stored = spec(&[route(&a, 80, false), route(&b, 81, false)]);
        let swapped = spec(&[redirect(&b), route(&b, 80, false), redirect(&a), route(&a, 81, false)]);
        let expected = spec(&[redirect(&a), route(&a, 80, false), redirect(&b), route(&b, 81, false)]);
        assert_eq!(kept(&stored, &swapped), expected);
        let moved = spec(&[route(&path("c"), 80, false), route(&a, 81, false)]);
        assert_eq!(kept(&stored, &moved), stored);
        // The path of the pod belongs to its port until the pod is another one.
        let other_port = spec(&[redirect(&a), route(&a, 82, false), route(&path("c"), 80, false)]);
        assert_eq!(kept(&spec(&[route(&a, 80, false)]), &other_port), spec(&[route(&a, 80, false)]));
    }

    #[test]
    fn a_path_that_is_not_below_the_workspace_is_not_kept() {
        let rendered = spec(&[route("/workspace/ns/lab/a/", 80, false)]);
        for foreign in [
            "/workspace/other/lab/a/",
            "/workspace/ns/lab/",
            "/workspace/ns/lab/a",
            "/workspace/ns/lab/a/b/",
            "/workspace/ns/lab//",
            "workspace/ns/lab/a/",
            "/",
        ] {
            assert_eq!(kept(&spec(&[route(foreign, 80, false)]), &rendered), rendered, "{foreign}");
        }
        assert_eq!(kept(&json!({"http": 1}), &rendered), rendered);
        let mut elsewhere = route("/workspace/ns/lab/a/", 80, true);
        elsewhere["rewrite"]["uri"] = json!("/admin");
        assert_eq!(kept(&spec(&[elsewhere]), &rendered), rendered);
    }
}
