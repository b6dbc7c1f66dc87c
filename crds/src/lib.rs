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
pub mod nearest;
pub mod options;
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
#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde requires
fn is_false(value: &bool) -> bool {
    !*value
}

/// The size of `text` in bytes, in JSON as Go writes it (`encoding/json` with its default escapes), in which the API
/// server stores custom resources and the pod templates in ControllerRevisions.
pub fn stored_bytes(text: &str) -> usize {
    text.chars()
        .map(|character| match character {
            '"' | '\\' | '\t' | '\n' | '\r' | '\u{8}' | '\u{c}' => 2,
            '<' | '>' | '&' | '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => "\\u003c".len(),
            other => other.len_utf8(),
        })
        .sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytes_are_counted_as_go_writes_them() {
        for (text, written) in [
            ("", ""),
            ("plain ü😀", "plain ü😀"),
            ("a<b>&c", r"a\u003cb\u003e\u0026c"),
            ("\"\\\t\n\r\u{8}\u{c}", r#"\"\\\t\n\r\b\f"#),
            ("\0\u{1f}\u{7f}\u{2028}", "\\u0000\\u001f\u{7f}\\u2028"),
        ] {
            assert_eq!(super::stored_bytes(text), written.len(), "{text:?}");
        }
    }
}
