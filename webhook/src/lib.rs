//! May this object be stored? AdmissionReview in, verdict out.
//!
//! ```text
//! http (axum) -> decide (deadline, panics, log) -> request (JSON) -> workspace | workspace_kind -> review (JSON)
//!                                                                     |  gather facts from Lookup
//!                                                                     |  rules: plain functions over facts
//!                                                                     +- field: faults; only those an update introduces
//! ```
//!
//! The crate has no cluster client: what it must know about other objects comes through [`Lookup`]. Whether templates
//! render and headers are safe is decided by the functions of `crds` that the reconciler calls too.

use std::collections::BTreeSet;

use crds::ports::{ConnectPaths, Dialect};

mod decide;
pub mod field;
mod http;
mod lookup;
mod question;
mod registration;
mod request;
mod review;
pub mod rule;
#[cfg(feature = "testing")]
pub mod testing;
pub mod workspace;
pub mod workspace_kind;

pub use http::{BODY_MAX, Observer, router};
pub use lookup::{Lookup, LookupError, Users};
pub use question::Question;
pub use registration::{REGISTRATIONS, Registration, WORKSPACE_KIND_PATH, WORKSPACE_PATH};
pub use review::{Refusal, Verdict};

/// The settings that a verdict depends on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    /// Where ports are reached.
    pub paths: ConnectPaths,
    /// The dialects of `ports` that kinds may use.
    pub dialects: BTreeSet<Dialect>,
}

impl Default for Policy {
    /// Both dialects, each with its own prefix.
    fn default() -> Self {
        Self { paths: ConnectPaths::by_dialect(), dialects: BTreeSet::from([Dialect::A, Dialect::B]) }
    }
}
