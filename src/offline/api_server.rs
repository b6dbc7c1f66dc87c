//! What the API server would say of an object before it asks any webhook.
//!
//! Knows the schemas of our CRDs and the metadata of every object, but no files and no webhook.

pub mod cel;
pub mod metadata;
pub mod path;
pub mod pruning;
pub mod schema;
pub mod schemas;
pub mod validation;
pub mod violation;
