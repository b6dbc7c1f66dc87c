//! The settings of VirtualServices.

use std::fmt;

use crds::ports::ConnectPaths;

use super::settings;

/// The routes to Workspaces: the settings of VirtualServices.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    /// Whether VirtualServices are created; if not, existing ones are deleted.
    pub use_istio: bool,
    /// `spec.gateways`, each `namespace/name`.
    pub gateways: Vec<String>,
    /// `spec.hosts`, none of which covers another.
    pub hosts: Vec<String>,
    /// The domain after `<service>.<namespace>.svc.` in destinations.
    pub cluster_domain: String,
    /// The path prefixes of ports.
    pub paths: ConnectPaths,
    /// Whether a path without its final slash is redirected.
    pub redirect_missing_slash: bool,
    /// The scheme of this redirect, where a load balancer in front of the gateway terminates TLS.
    pub redirect_scheme: Option<RedirectScheme>,
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            use_istio: true,
            gateways: vec![settings::ISTIO_GATEWAY.default.to_owned()],
            hosts: vec![settings::ISTIO_HOSTS.default.to_owned()],
            cluster_domain: settings::CLUSTER_DOMAIN.default.to_owned(),
            paths: ConnectPaths::by_dialect(),
            redirect_missing_slash: false,
            redirect_scheme: None,
        }
    }
}

/// The scheme of a redirect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RedirectScheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
}

impl RedirectScheme {
    /// As Istio writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl fmt::Display for RedirectScheme {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
