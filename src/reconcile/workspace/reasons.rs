//! How the errors of each step read in the status: a CamelCase reason and a message.

use super::super::apply::ApplyError;
use crate::render::{RenderFault, RouteFault, UnsafeHeader, describe_headers};

/// The reason of a Workspace whose kind does not exist.
pub(super) const KIND_NOT_FOUND: &str = "WorkspaceKindNotFound";

/// Why something is not as desired.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct StatusReason {
    /// CamelCase, for programs.
    pub reason: &'static str,
    /// A sentence, for users.
    pub message: String,
}

impl StatusReason {
    /// The Workspace names a kind that does not exist.
    pub fn kind_not_found(kind: &str) -> Self {
        let message = format!("Workspace references unknown WorkspaceKind: {kind}");
        Self { reason: KIND_NOT_FOUND, message }
    }

    /// The VirtualService `name` is stored with headers that must not reach Istio.
    pub fn unsafe_route_stored(name: &str, headers: &[UnsafeHeader]) -> Self {
        let headers = describe_headers(headers);
        let message = format!("VirtualService {name} is stored otherwise than it was applied: {headers}");
        Self { reason: "UnsafeHeader", message }
    }
}

impl From<&RenderFault> for StatusReason {
    fn from(fault: &RenderFault) -> Self {
        let reason = match fault {
            RenderFault::ImageConfig(_) => "InvalidImageConfig",
            RenderFault::PodConfig(_) => "InvalidPodConfig",
            RenderFault::Name => "InvalidName",
            RenderFault::DuplicatePort(_) => "DuplicatePort",
            RenderFault::Env { .. } => "InvalidEnv",
        };
        Self { reason, message: fault.to_string() }
    }
}

impl From<&RouteFault> for StatusReason {
    fn from(fault: &RouteFault) -> Self {
        let reason = match fault {
            RouteFault::Headers(_) => "UnsafeHeader",
            RouteFault::ConnectNamespace => "NamespaceCollides",
            RouteFault::NoPorts => "NoPorts",
        };
        Self { reason, message: fault.to_string() }
    }
}

impl From<&ApplyError> for StatusReason {
    fn from(error: &ApplyError) -> Self {
        Self { reason: reason_of_apply(error), message: format!("Workspace {error}") }
    }
}

fn reason_of_apply(error: &ApplyError) -> &'static str {
    match error {
        ApplyError::Foreign { .. } => "ForeignObject",
        ApplyError::LeftBehind { .. } => "LeftBehind",
        ApplyError::BeingDeleted { .. } => "BeingDeleted",
        ApplyError::SecondRuns { .. } => "SecondStatefulSet",
        ApplyError::Refused { .. } => "Refused",
        ApplyError::TooLarge { .. } => "TooLarge",
        ApplyError::NotInstalled { .. } => "NotInstalled",
        ApplyError::Contested { .. } => "Contested",
        ApplyError::Unreachable { .. } => "Unreachable",
        ApplyError::NeitherAppliedNorScaled { apply, .. } => reason_of_apply(apply),
    }
}
