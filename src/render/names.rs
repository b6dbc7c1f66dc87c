//! What the children of a Workspace are called: a function of its name and uid, so that retries and two replicas can
//! never make two of one. Those that another controller made keep their names.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// The longest name of a StatefulSet: the pod's `controller-revision-hash` label is its name and eleven characters more.
const STATEFUL_SET_MAX: usize = 52;
/// The longest name of a Service, and of a VirtualService for its sake: a DNS label.
const SERVICE_MAX: usize = 63;
/// Bytes of the hash of the uid in names: 40 bits, within one namespace and behind the name of the Workspace.
const SUFFIX_BYTES: usize = 5;

/// Hexadecimal digits of the hash in the name of a RoleBinding.
const ROLE_HASH_LENGTH: usize = 8;

/// The name of the RoleBinding that grants the ClusterRole to the account of a Workspace: `ws-<workspace>-<hash>`.
///
/// It is the one that the Go controller gives it (kubeflow/notebooks, `generateRoleBindingName`), so that none is made
/// anew by a take-over: the hash is that of `<workspace>/<ClusterRole>`, because names of ClusterRoles may have characters
/// that those of RoleBindings may not have. Names of Workspaces are DNS labels, so nothing has to be cut.
pub fn role_binding(workspace: &str, cluster_role: &str) -> String {
    let digest = Sha256::digest(format!("{workspace}/{cluster_role}"));
    format!("ws-{workspace}-{}", hexadecimal(&digest[..ROLE_HASH_LENGTH / 2]))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What about the children of a Workspace is as it is, because it cannot be changed: a function of name and uid, unless they
/// exist otherwise.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Fixed {
    /// Their names.
    pub names: ChildNames,
    /// Whether the StatefulSet has `podManagementPolicy: OrderedReady`.
    pub ordered_ready: bool,
}

impl Fixed {
    /// That of a Workspace without children.
    pub fn new(workspace: &str, uid: &str) -> Self {
        Self { names: ChildNames::new(workspace, uid), ordered_ready: false }
    }
}

/// The names of a Workspace's children.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ChildNames {
    /// The ServiceAccount: `ws-<workspace>`, because users and AuthorizationPolicies name it.
    pub service_account: String,
    /// The StatefulSet: `ws-<workspace>-<suffix>`, at most 52 characters.
    pub stateful_set: String,
    /// The Service: the same, at most 63 characters.
    pub service: String,
    /// The VirtualService: as that of the Service.
    pub virtual_service: String,
}

impl ChildNames {
    /// The names of the children of a Workspace.
    ///
    /// The suffix is a hash of the uid, so names that had to be cut differ as surely as uids do.
    pub fn new(workspace: &str, uid: &str) -> Self {
        let suffix = suffix(uid);
        let named = |longest: usize| format!("ws-{}-{suffix}", cut(workspace, longest));
        let service = named(SERVICE_MAX);
        Self {
            service_account: format!("ws-{workspace}"),
            stateful_set: named(STATEFUL_SET_MAX),
            virtual_service: service.clone(),
            service,
        }
    }

    /// Whether `name` is one of those of that Workspace.
    pub fn contain(workspace: &str, uid: &str, name: &str) -> bool {
        let Some(rest) = name.strip_prefix("ws-") else { return false };
        rest == workspace
            || rest.rsplit_once('-').is_some_and(|(start, end)| {
                [STATEFUL_SET_MAX, SERVICE_MAX].iter().any(|longest| cut(workspace, *longest) == start)
                    && end == suffix(uid)
            })
    }

    /// Each name once.
    pub fn distinct(&self) -> BTreeSet<&str> {
        [&*self.service_account, &self.stateful_set, &self.service, &self.virtual_service].into()
    }

    /// The name of the one pod of the StatefulSet.
    pub fn pod(&self) -> String {
        pod_name(&self.stateful_set)
    }
}

/// The hash of the uid in names.
fn suffix(uid: &str) -> String {
    hexadecimal(&Sha256::digest(uid.as_bytes())[..SUFFIX_BYTES])
}

/// As much of the name of the Workspace as there is room for in a name of that length.
fn cut(workspace: &str, longest: usize) -> &str {
    let room = longest - "ws-".len() - "-".len() - 2 * SUFFIX_BYTES;
    let end = workspace.floor_char_boundary(room.min(workspace.len()));
    workspace[..end].trim_end_matches('-')
}

/// The name that the StatefulSet controller gives to the first pod of a StatefulSet.
pub fn pod_name(stateful_set: &str) -> String {
    format!("{stateful_set}-0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_name_and_uid() {
        let names = ChildNames::new("lab", "4b2c");
        assert_eq!(names.service_account, "ws-lab");
        assert_eq!(names.stateful_set, "ws-lab-eed504cd16");
        assert_eq!(names.service, names.stateful_set);
        assert_eq!(names.pod(), "ws-lab-eed504cd16-0");
        assert_eq!(names, ChildNames::new("lab", "4b2c"));
        assert_ne!(names.stateful_set, ChildNames::new("lab", "4b2d").stateful_set);
    }

    #[test]
    fn they_are_known_from_others() {
        for workspace in ["lab", "a-b", &"long-".repeat(12), &"x".repeat(63)] {
            let names = ChildNames::new(workspace, "4b2c");
            for name in names.distinct() {
                assert!(ChildNames::contain(workspace, "4b2c", name), "{name}");
                let others = [(workspace, "4b2d"), ("other", "4b2c")];
                let is_account = *name == names.service_account;
                assert_eq!(
                    others.map(|(workspace, uid)| ChildNames::contain(workspace, uid, name)),
                    [is_account, false]
                );
            }
        }
        for name in
            ["lab", "ws-", "ws-lab-", "ws-lab-eed504cd1", "ws-la-eed504cd16", "ws-lab-x-eed504cd16", "ws-lab-gd6l9"]
        {
            assert!(!ChildNames::contain("lab", "4b2c", name), "{name}");
        }
    }

    /// As the Go controller names them.
    #[test]
    fn the_names_of_role_bindings_are_golden() {
        for (workspace, role, name) in [
            ("lab", "view", "ws-lab-f74cd31a"),
            ("my-notebook", "system:aggregate-to-view", "ws-my-notebook-027fa5b9"),
            ("a", "b-c", "ws-a-b88f83c8"),
            ("a-b", "c", "ws-a-b-4e84717d"),
            (
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                "kubeflow-edit",
                "ws-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-0dfac89a",
            ),
        ] {
            assert_eq!(role_binding(workspace, role), name);
        }
    }

    #[test]
    fn long_names_are_cut_and_stay_dns_labels() {
        for length in 1..=63 {
            let workspace = format!("{}b", "a-".repeat(32)).chars().take(length).collect::<String>();
            let workspace = workspace.trim_end_matches('-');
            let names = ChildNames::new(workspace, "uid");
            assert!(names.stateful_set.len() <= 52, "{}", names.stateful_set);
            assert!(names.service.len() <= 63, "{}", names.service);
            for name in [&names.stateful_set, &names.service] {
                assert!(crds::labels::is_dns_label(name), "{name}");
                assert!(!name.contains("--"), "{name}");
            }
        }
    }

    #[test]
    fn two_long_names_with_a_common_start_differ() {
        let start = "a".repeat(62);
        let one = ChildNames::new(&format!("{start}x"), "uid-1");
        let two = ChildNames::new(&format!("{start}y"), "uid-2");
        assert_ne!(one.stateful_set, two.stateful_set);
        assert_ne!(one.service, two.service);
    }
}
