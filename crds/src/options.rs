//! The options of a kind, and which of them a Workspace uses.

use crate::workspace::{WorkspaceOptions, WorkspaceSpec};

/// One of the two lists of options of a kind.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum OptionList {
    /// `imageConfig`
    ImageConfig,
    /// `podConfig`
    PodConfig,
}

impl OptionList {
    /// Both lists.
    pub const ALL: [Self; 2] = [Self::ImageConfig, Self::PodConfig];

    /// The name of the field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ImageConfig => "imageConfig",
            Self::PodConfig => "podConfig",
        }
    }

    /// The id that a Workspace selects from the list.
    pub fn selected(self, options: &WorkspaceOptions) -> &str {
        match self {
            Self::ImageConfig => &options.image_config,
            Self::PodConfig => &options.pod_config,
        }
    }
}

/// An option of a kind.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KindOption {
    /// The list that contains it.
    pub list: OptionList,
    /// Its id.
    pub id: String,
}

impl KindOption {
    /// Whether a Workspace of the kind selects it.
    pub fn is_selected_by(&self, workspace: &WorkspaceSpec) -> bool {
        self.list.selected(&workspace.pod_template.options) == self.id
    }
}
