//! May this object be stored? AdmissionReview in, verdict out.
//!
//! ```text
//! http (axum) -> decide (deadline, panics, log) -> request (JSON) -> workspace | workspace_kind -> review (JSON)
//!                                                                     |  gather facts from Lookup
//!                                                                     |  rules: plain functions over facts
//!                                                                     +- field: faults; only those an update introduces
//! ```
//!
//! The crate has no cluster client: facts about other objects come through [`Lookup`]. Whether templates render
//! and headers are safe is decided by functions of `crds`, which the reconciler calls as well.

mod decide;
pub mod field;
mod http;
mod lookup;
mod metadata;
mod observer;
mod policy;
mod question;
mod registration;
mod request;
mod review;
pub mod rule;
#[cfg(feature = "testing")]
pub mod testing;
pub mod workspace;
pub mod workspace_kind;

pub use http::{BODY_MAX, router};
pub use lookup::{CAN_MOUNT, KindUsage, Lookup, LookupError, MountSource};
pub use observer::{Observer, RefusedReview};
pub use policy::{BindCheck, Policy, ProtectedKeys};
pub use question::{Question, answer};
pub use registration::{REGISTRATIONS, Registration, WORKSPACE_KIND_PATH, WORKSPACE_PATH};
pub use request::ReviewedKind;
pub use review::{Refusal, Verdict};
