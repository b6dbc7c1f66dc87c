//! Usage: how many Workspaces there are in each state, and with each option of each kind, for the metrics.

use crds::options::{KindOption, OptionList};
use crds::workspace::WorkspaceState;

use super::Stores;
use crate::metrics::{OptionUsers, WorkspaceCounts};

/// Each state and the value of its label.
const STATES: [(WorkspaceState, &str); 6] = [
    (WorkspaceState::Running, "Running"),
    (WorkspaceState::Terminating, "Terminating"),
    (WorkspaceState::Paused, "Paused"),
    (WorkspaceState::Pending, "Pending"),
    (WorkspaceState::Error, "Error"),
    (WorkspaceState::Unknown, "Unknown"),
];

impl Stores {
    /// How many Workspaces there are now, also those of namespaces that are not selected. Every state is counted, and every option of
    /// every kind, unused ones too.
    pub fn workspace_counts(&self) -> WorkspaceCounts {
        let mut states = STATES.map(|(_, label)| (label, 0));
        self.workspaces().for_each(|workspace| {
            let position = STATES.iter().position(|(state, _)| *state == workspace.status.state());
            if let Some((_, count)) = position.and_then(|position| states.get_mut(position)) {
                *count += 1;
            }
        });
        let mut options = Vec::new();
        for name in self.kind_names() {
            let Some(kind) = self.kind(&name) else { continue };
            let lists = &kind.spec.pod_template.options;
            let images = lists.image_config.values.iter().map(|value| (OptionList::ImageConfig, &value.id));
            let pods = lists.pod_config.values.iter().map(|value| (OptionList::PodConfig, &value.id));
            for (list, id) in images.chain(pods) {
                let (users, _) = self.workspaces_using_option(&name, &KindOption { list, id: id.clone() }, 0);
                let (kind, list, option) = (name.clone(), list.as_str(), id.clone());
                options.push(OptionUsers { kind, list, option, workspaces: users as u64 });
            }
        }
        WorkspaceCounts { states: states.into(), options }
    }
}
