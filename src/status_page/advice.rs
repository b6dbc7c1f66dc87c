//! What to do about the reason of a condition, in one sentence.

/// What to do; empty for reasons that end by themselves or that others gave.
pub(super) fn advice(reason: &str) -> &'static str {
    match reason {
        "WorkspaceKindNotFound" => "Create the WorkspaceKind again, or delete the Workspace.",
        "InvalidImageConfig" | "InvalidPodConfig" => {
            "Put the option back into the WorkspaceKind, or let the user select another one."
        }
        "InvalidName" => "Recreate the Workspace under a shorter name without dots.",
        "DuplicatePort" | "InvalidEnv" | "NoPorts" => "Correct the WorkspaceKind: `validate` names the field.",
        "UnsafeHeader" => "Correct the header in the WorkspaceKind; the route stays as it was until then.",
        "NamespaceCollides" => {
            "Move the Workspace to a namespace that is not called `connect`, or set --connect-path-prefix."
        }
        "ForeignObject" | "LeftBehind" => {
            "Delete or rename the object that the message names; the controller goes on within 30 s."
        }
        "BeingDeleted" => "Wait for the object; where a finalizer holds it, find out whose that is.",
        "SecondStatefulSet" => "Stop the pod of the StatefulSet that the message names, then delete that StatefulSet.",
        "Refused" => {
            "The message quotes who refused it: raise the quota, or change the policy or the WorkspaceKind. Where the controller itself \
             lacks a right (`cannot create resource`), `helm upgrade` puts its ClusterRole back."
        }
        "TooLarge" => "Make the WorkspaceKind smaller: the API server does not store what it makes.",
        "NotInstalled" => "Install the CRD that the message names.",
        "Contested" => "Another client keeps undoing what is written: `kubectl get --show-managed-fields` names it.",
        "Unreachable" => "Check the API server and the network; it is tried again.",
        "PodError" | "Error" => "Read the message, then the logs of the pod: `kubectl logs POD -c main --previous`.",
        "PodUnknown" | "Unknown" => {
            "Check the node of the pod; where it is gone for good, delete the pod with --force."
        }
        "Pending" => "The message says what it waits for: nodes, volumes, images, quota.",
        "Terminating" | "Pausing" | "Deleting" => {
            "Where that takes long, look for finalizers and at the node of the pod."
        }
        "RouteNotReady" | "NotApplied" | "NotRendered" => "Read the condition RouteReady of the Workspace.",
        "NotObserved" => {
            "Where that lasts, see who leads, and whether the log of the leader says that it cannot write the status."
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reasons of errors are a table of the reconciler.
    #[test]
    fn there_is_advice_about_each_reason_of_an_error() {
        let table = include_str!("../reconcile/workspace/reasons.rs");
        let reasons: Vec<&str> =
            table.lines().filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\",")).collect();
        assert!(reasons.len() > 15, "{reasons:?}");
        for reason in reasons.into_iter().chain(["WorkspaceKindNotFound", "PodError", "Pending", "NotObserved"]) {
            assert!(advice(reason).ends_with('.'), "{reason}");
        }
        assert_eq!(advice("SomethingOfOthers"), "");
    }
}
