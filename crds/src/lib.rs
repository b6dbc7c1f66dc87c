//! What users write: the types of both custom resources and the meaning of their fields.
//!
//! Everything that gives a field its meaning (templates, headers, port references, redirects, dialects) lives here, so
//! that admission, the reconciler and the command line share one definition. This crate is pure: no cluster client,
//! no clock, no environment.

pub mod activity;
pub mod apply_body;
mod bounded;
pub mod conditions;
mod core_types;
pub mod environment;
pub mod equality;
pub mod filters;
pub mod generate;
pub mod headers;
pub mod labels;
pub mod mounts;
pub mod ports;
pub mod redirects;
pub mod template;
#[cfg(feature = "testing")]
pub mod testing;
pub mod value_template;
pub mod workspace;
pub mod workspace_kind;

pub use workspace::{Workspace, WorkspaceSpec, WorkspaceStatus};
pub use workspace_kind::{WorkspaceKind, WorkspaceKindSpec, WorkspaceKindStatus};

/// API group of both kinds.
pub const GROUP: &str = "kubeflow.org";
/// The served and stored version of both kinds.
pub const VERSION: &str = "v1beta1";

/// `true`, for serde defaults.
fn yes() -> bool {
    true
}

/// Whether a flag has its default, so that it need not be written.
#[allow(clippy::trivially_copy_pass_by_ref)] // the signature serde asks for
fn is_false(value: &bool) -> bool {
    !*value
}
