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
pub mod decode;
mod defaults;
pub mod environment;
pub mod equality;
pub mod field_error;
pub mod field_path;
pub mod filters;
pub mod generate;
mod group;
pub mod headers;
pub mod labels;
pub mod mounts;
pub mod nearest;
pub mod options;
pub mod pod_rules;
pub mod ports;
pub mod published;
pub mod quantity;
pub mod redirects;
pub mod selectors;
mod stored_bytes;
pub mod template;
#[cfg(feature = "testing")]
pub mod testing;
pub mod value_template;
pub mod workspace;
pub mod workspace_kind;

pub use group::{GROUP, VERSION};
pub use stored_bytes::stored_bytes;
pub use workspace::{Workspace, WorkspaceSpec, WorkspaceStatus};
pub use workspace_kind::{WorkspaceKind, WorkspaceKindSpec, WorkspaceKindStatus};
