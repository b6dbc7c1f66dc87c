//! How the errors of each step read in the status: one word for programs, a sentence for people.

use super::super::apply::ApplyError;
use crate::render::{RenderFault, RouteFault, UnsafeHeader, describe_headers};

/// Something that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fault {
    /// One CamelCase word.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl From<&RenderFault> for Fault {
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

impl From<&RouteFault> for Fault {
    fn from(fault: &RouteFault) -> Self {
        let reason = match fault {
            RouteFault::Headers(_) => "UnsafeHeader",
            RouteFault::ConnectNamespace => "NamespaceCollides",
            RouteFault::NoPorts => "NoPorts",
        };
        Self { reason, message: fault.to_string() }
    }
}

impl Fault {
    /// That of a VirtualService which is stored with headers that must not reach Istio.
    pub fn of_stored_route(name: &str, headers: &[UnsafeHeader]) -> Self {
        let headers = describe_headers(headers);
        let message = format!("VirtualService {name} is stored otherwise than it was applied: {headers}");
        Self { reason: "UnsafeHeader", message }
    }
}

impl From<&ApplyError> for Fault {
    fn from(error: &ApplyError) -> Self {
        let reason = match error {
            ApplyError::Foreign { .. } => "ForeignObject",
            ApplyError::LeftBehind { .. } => "LeftBehind",
            ApplyError::BeingDeleted { .. } => "BeingDeleted",
            ApplyError::Refused { .. } => "Refused",
            ApplyError::TooLarge { .. } => "TooLarge",
            ApplyError::NotInstalled { .. } => "NotInstalled",
            ApplyError::Contested { .. } => "Contested",
            ApplyError::Unreachable { .. } => "Unreachable",
        };
        Self { reason, message: format!("Workspace {error}") }
    }
}
