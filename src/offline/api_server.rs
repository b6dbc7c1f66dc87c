//! The validation of the API server, which runs before any webhook.
//!
//! Knows the schemas of our CRDs and the metadata of every object, but no files.

pub mod cel;
mod hints;
pub mod metadata;
pub mod nulls;
pub mod path;
mod places;
pub mod pruning;
pub mod schema;
pub mod schemas;
pub mod validation;
pub mod violation;
