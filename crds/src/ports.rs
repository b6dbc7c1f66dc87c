//! Ports: the two dialects of `spec.podTemplate.ports[]`, the path of a port, and what the template
//! function `httpPathPrefix` returns.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::nearest::nearest;
use crate::template::{Functions, Mode};
use crate::value_template::quoted;
use crate::workspace_kind::{ImagePort, PodTemplate, ProxiedPort};

/// How many ids an error lists.
const LISTED_MAX: usize = 20;

/// How the entries of `spec.podTemplate.ports[]` name their port. One kind uses one dialect.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Dialect {
    /// With `portId`. Paths start with `/workspace/`.
    PortId,
    /// With `id`, as the Go controller does. Paths start with `/workspace/connect/`.
    Id,
}

impl fmt::Display for Dialect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Dialect {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "portId" => Ok(Self::PortId),
            "id" => Ok(Self::Id),
            _ => Err(()),
        }
    }
}

impl Dialect {
    /// The field that names the port; the dialect is named after it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PortId => "portId",
            Self::Id => "id",
        }
    }

    /// The dialect of a kind with these entries: `id` as soon as one has it, else `portId` (also without entries).
    pub fn of(ports: &[ProxiedPort]) -> Self {
        if ports.iter().any(|port| port.id.is_some()) { Self::Id } else { Self::PortId }
    }
}

impl PodTemplate {
    /// The dialect of the kind.
    pub fn dialect(&self) -> Dialect {
        Dialect::of(self.proxied_ports())
    }

    /// The entries of `ports`, none when absent.
    pub fn proxied_ports(&self) -> &[ProxiedPort] {
        self.ports.as_deref().unwrap_or_default()
    }

    /// The entry for an image port.
    pub fn proxied_port(&self, port_id: &str) -> Option<&ProxiedPort> {
        self.proxied_ports().iter().find(|port| port.key() == port_id)
    }

    /// The ids of all ports of all image values.
    pub fn image_port_ids(&self) -> BTreeSet<&str> {
        let values = &self.options.image_config.values;
        values.iter().flat_map(|value| &value.spec.ports).map(|port| port.id.as_str()).collect()
    }

    /// The ids that a template may name: of all image values and of all entries of `ports`.
    pub fn known_port_ids(&self) -> BTreeSet<&str> {
        let mut ids = self.image_port_ids();
        ids.extend(self.proxied_ports().iter().map(ProxiedPort::key));
        ids
    }
}

impl ProxiedPort {
    /// The id of the port that the entry is for, in either dialect; empty when the entry names none.
    pub fn key(&self) -> &str {
        self.port_id.as_deref().or(self.id.as_deref()).unwrap_or_default()
    }

    /// Whether the server does not see the path of the port: Istio removes it from requests.
    pub fn removes_path_prefix(&self) -> bool {
        self.http_proxy.as_ref().is_some_and(|proxy| proxy.remove_path_prefix)
    }
}

/// The path prefixes of ports: one for each dialect, or one for all.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ConnectPaths {
    fixed: Option<String>,
}

/// Why a path prefix cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "must start with '/', not end with '/', and consist of segments of [A-Za-z0-9._~-] that are not empty, '.' or '..'"
)]
pub struct PrefixError;

impl ConnectPaths {
    /// The default prefix of the dialect of each kind.
    pub fn by_dialect() -> Self {
        Self::default()
    }

    /// One prefix for all kinds, such as `/notebooks`.
    pub fn fixed(prefix: &str) -> Result<Self, PrefixError> {
        let is_segment = |segment: &str| {
            !matches!(segment, "" | "." | "..")
                && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte))
        };
        match prefix.strip_prefix('/') {
            Some(segments) if segments.split('/').all(is_segment) => Ok(Self { fixed: Some(prefix.to_owned()) }),
            _ => Err(PrefixError),
        }
    }

    /// The prefix of a dialect, without a final slash.
    pub fn prefix(&self, dialect: Dialect) -> &str {
        match (&self.fixed, dialect) {
            (Some(prefix), _) => prefix,
            (None, Dialect::PortId) => "/workspace",
            (None, Dialect::Id) => "/workspace/connect",
        }
    }

    /// The path of a port, with both slashes: `<prefix>/<namespace>/<workspace>/<port id>/`.
    pub fn path(&self, dialect: Dialect, namespace: &str, workspace: &str, port_id: &str) -> String {
        format!("{}/{namespace}/{workspace}/{port_id}/", self.prefix(dialect))
    }

    /// Whether the paths of a Workspace in `namespace` could overlap those of other tenants: the default prefix of
    /// dialect `portId` followed by the namespace `connect` is the default prefix of dialect `id`.
    pub fn collides(&self, dialect: Dialect, namespace: &str) -> bool {
        self.fixed.is_none() && dialect == Dialect::PortId && namespace == "connect"
    }
}

/// The template function `httpPathPrefix` for one Workspace and one image value.
#[derive(Clone, Copy, Debug)]
pub struct PortPaths<'a> {
    /// The path prefixes.
    pub paths: &'a ConnectPaths,
    /// The dialect of the kind.
    pub dialect: Dialect,
    /// The namespace of the Workspace.
    pub namespace: &'a str,
    /// The name of the Workspace.
    pub workspace: &'a str,
    /// The ports of the image value.
    pub selected: &'a [ImagePort],
    /// The ids that a template may name ([`PodTemplate::known_port_ids`]).
    pub known: &'a BTreeSet<&'a str>,
    /// Whether an unknown id is refused (admission) or empty (as in Go).
    pub mode: Mode,
}

impl Functions for PortPaths<'_> {
    fn http_path_prefix(&self, port_id: &str) -> Result<String, String> {
        if self.selected.iter().any(|port| port.id == port_id) {
            return Ok(self.paths.path(self.dialect, self.namespace, self.workspace, port_id));
        }
        match self.mode {
            Mode::Strict if !self.known.contains(port_id) => {
                Err(unknown_port(port_id) + &advice_on_port(port_id, self.known))
            }
            Mode::Strict | Mode::Lenient => Ok(String::new()),
        }
    }
}

/// What is wrong with a port id that does not exist. It does not mention those that do.
pub fn unknown_port(port_id: &str) -> String {
    format!("port id {} does not exist", quoted(port_id))
}

/// What to write instead of a port id that does not exist, to follow [`unknown_port`]: the most similar one, and a
/// list.
pub fn advice_on_port(port_id: &str, known: &BTreeSet<&str>) -> String {
    let hint =
        nearest(port_id, known.iter().copied()).map(|id| format!(", did you mean {}?", quoted(id))).unwrap_or_default();
    let ids: Vec<String> = known.iter().take(LISTED_MAX).map(|id| quoted(id)).collect();
    let rest = known.len() - ids.len();
    let more = if rest == 0 { String::new() } else { format!(" and {rest} more") };
    format!("{hint} (valid ids: {}{more})", ids.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_follow_the_dialect() {
        let paths = ConnectPaths::by_dialect();
        assert_eq!(paths.path(Dialect::PortId, "ns", "ws", "lab"), "/workspace/ns/ws/lab/");
        assert_eq!(paths.path(Dialect::Id, "ns", "ws", "lab"), "/workspace/connect/ns/ws/lab/");
        let fixed = ConnectPaths::fixed("/a/b.c").unwrap();
        assert_eq!(fixed.path(Dialect::Id, "ns", "ws", "lab"), "/a/b.c/ns/ws/lab/");
    }

    #[test]
    fn only_the_default_prefixes_of_both_dialects_nest() {
        let paths = ConnectPaths::by_dialect();
        assert!(paths.collides(Dialect::PortId, "connect"));
        assert!(!paths.collides(Dialect::Id, "connect"));
        assert!(!paths.collides(Dialect::PortId, "connected"));
        assert!(!ConnectPaths::fixed("/x").unwrap().collides(Dialect::PortId, "connect"));
    }

    #[test]
    fn rejects_prefixes_that_a_route_cannot_have() {
        for bad in ["", "/", "a", "/a/", "//a", "/a//b", "/a/../b", "/.", "/a b", "/ä", "/a%20", "/a?b"] {
            assert_eq!(ConnectPaths::fixed(bad), Err(PrefixError), "{bad:?}");
        }
        for good in ["/a", "/a/b", "/~a/b-c_d.e", "/..."] {
            assert!(ConnectPaths::fixed(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn an_unknown_port_is_named_with_its_neighbour() {
        let known = BTreeSet::from(["lab", "tensorboard"]);
        assert_eq!(
            unknown_port("labs") + &advice_on_port("labs", &known),
            "port id \"labs\" does not exist, did you mean \"lab\"? (valid ids: \"lab\", \"tensorboard\")"
        );
        let many: Vec<String> = (10..32).map(|number| format!("p{number}")).collect();
        let many = many.iter().map(String::as_str).collect();
        let advice = advice_on_port("x", &many);
        assert!(advice.starts_with(" (valid ids: \"p10\", "), "{advice}");
        assert!(advice.ends_with(", \"p29\" and 2 more)"), "{advice}");
    }
}
