//! The settings that a verdict depends on.

use std::collections::BTreeSet;
use std::str::FromStr;

use crds::ports::{ConnectPaths, Dialect};
use wildmatch::WildMatch;

/// The settings that a verdict depends on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    /// The paths of ports.
    pub paths: ConnectPaths,
    /// The dialects of `ports` that kinds may use.
    pub dialects: BTreeSet<Dialect>,
    /// Whether a user who adds a ClusterRole to a kind needs the permission to bind it.
    pub cluster_role_bind: BindCheck,
    /// The keys of labels and annotations that Workspaces may not set on their pods.
    pub protected_pod_metadata: ProtectedKeys,
    /// Whether admission enforces `filterRules[].effect.api.deny`.
    pub enforce_filter_rules: bool,
    /// Whether Secrets and PersistentVolumeClaims need a label to be mounted.
    pub enforce_can_mount: bool,
}

/// What happens when a user adds a ClusterRole to a kind that they may not bind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum BindCheck {
    /// The kind is refused.
    #[default]
    Enforce,
    /// The user is warned.
    Warn,
    /// Nothing: it is not looked up.
    Off,
}

impl BindCheck {
    /// The value of the setting.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Warn => "warn",
            Self::Off => "off",
        }
    }
}

impl FromStr for BindCheck {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "enforce" => Ok(Self::Enforce),
            "warn" => Ok(Self::Warn),
            "off" => Ok(Self::Off),
            _ => Err(()),
        }
    }
}

/// Keys of labels and annotations, as patterns in which `*` stands for any text and `?` for any character.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ProtectedKeys(Vec<String>);

impl ProtectedKeys {
    /// The patterns that apply unless others are set: what meshes, networks, cloud providers and nodes read from pods.
    pub const DEFAULT: [&str; 10] = [
        "*.istio.io/*",
        "istio.io/*",
        "istio",
        "iam.amazonaws.com/*",
        "eks.amazonaws.com/*",
        "azure.workload.identity/*",
        "cni.projectcalico.org/*",
        "k8s.v1.cni.cncf.io/*",
        "linkerd.io/*",
        "container.apparmor.security.beta.kubernetes.io/*",
    ];

    /// Keys that match one of `patterns`.
    pub fn new(patterns: impl IntoIterator<Item: Into<String>>) -> Self {
        Self(patterns.into_iter().map(Into::into).collect())
    }

    /// The patterns, as configured.
    pub fn patterns(&self) -> &[String] {
        &self.0
    }

    /// The pattern that a key matches, if any.
    pub fn matching(&self, key: &str) -> Option<&str> {
        self.0.iter().map(String::as_str).find(|pattern| WildMatch::new(pattern).matches(key))
    }
}

impl Default for Policy {
    /// The defaults of all settings.
    fn default() -> Self {
        Self {
            paths: ConnectPaths::by_dialect(),
            dialects: BTreeSet::from([Dialect::PortId, Dialect::Id]),
            cluster_role_bind: BindCheck::Enforce,
            protected_pod_metadata: ProtectedKeys::new(ProtectedKeys::DEFAULT),
            enforce_filter_rules: false,
            enforce_can_mount: false,
        }
    }
}
