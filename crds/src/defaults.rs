//! Functions that the attributes of fields name.

/// `true`, for serde defaults.
pub fn yes() -> bool {
    true
}

/// Whether a flag has its default, so that it need not be written.
#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde requires
pub fn is_false(value: &bool) -> bool {
    !*value
}

/// Removes the default that a field has in Rust but not in the schema, where absent and empty differ.
pub fn without_default(schema: &mut schemars::Schema) {
    schema.remove("default");
}
