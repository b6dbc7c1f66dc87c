//! Group and version of the API.

/// API group of both kinds.
pub const GROUP: &str = "kubeflow.org";
/// The served and stored version of both kinds.
pub const VERSION: &str = "v1beta1";
