//! The status page: what is wrong, since when, and what to do, for the administrators of the platform.
//!
//! ```text
//! sources (reads what the parts of the process know) -> facts -> view (pure: judge, filter, cap) -> html (tera) | JSON
//! ```
//!
//! The view of thousands of Workspaces is made on a thread of its own, for that of the reconciler has other things to do; what it
//! shares with it are reference counts. Texts of users are cut and made visible ([`text`]), and escaped by the template.

mod advice;
mod facts;
mod filter;
mod html;
mod judge;
mod kinds;
mod problems;
mod refusals;
mod routes;
mod sources;
mod text;
mod view;
mod workspaces;

pub use facts::StatusFacts;
pub use filter::Filter;
pub use html::{page, style_source};
pub use refusals::{AdmissionObserver, LastRefusals};
pub use sources::StatusSources;
pub use view::{StatusView, view};

#[cfg(test)]
mod tests;
