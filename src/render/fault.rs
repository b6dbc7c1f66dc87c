//! Why a Workspace cannot be rendered.

use crds::environment::EnvFault;

/// Why a Workspace cannot be rendered. Caused by the kind or the Workspace, and lasts until one of them changes, so a retry is
/// of no use.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RenderFault {
    /// The selected imageConfig does not exist.
    #[error("Workspace has invalid imageConfig: {0}")]
    ImageConfig(OptionFault),
    /// The selected podConfig does not exist.
    #[error("Workspace has invalid podConfig: {0}")]
    PodConfig(OptionFault),
    /// The name cannot be that of a Service or the value of a label.
    #[error(
        "Workspace failed to generate StatefulSet with error: its name must be a DNS label of at most 63 characters"
    )]
    Name,
    /// Two ports of the image have one number.
    #[error("Workspace failed to generate StatefulSet with error: duplicate port number {0} in imageConfig")]
    DuplicatePort(i32),
    /// An environment variable does not render: it passes a limit, or does not parse.
    #[error("Workspace failed to generate StatefulSet with error: failed to render extraEnv {name:?}: {detail}")]
    Env {
        /// The first such variable.
        name: String,
        /// What is wrong, in Go's words.
        detail: String,
    },
}

impl From<EnvFault> for RenderFault {
    fn from(fault: EnvFault) -> Self {
        Self::Env { name: fault.name, detail: fault.detail }
    }
}

/// What is wrong with a selected option, in the words that the user interface shows.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OptionFault {
    /// The kind has no value of that id.
    #[error("{list} with id {id:?} not found")]
    NotFound {
        /// `imageConfig` or `podConfig`.
        list: &'static str,
        /// The id.
        id: String,
    },
    /// A redirect leads to a value that does not exist.
    #[error("{list} with id {id:?} not found, was redirected from {from:?}")]
    TargetNotFound {
        /// `imageConfig` or `podConfig`.
        list: &'static str,
        /// The id that does not exist.
        id: String,
        /// The value with the redirect.
        from: String,
    },
    /// The redirects form a cycle.
    #[error("{list} with id {id:?} has a circular redirect")]
    Circular {
        /// `imageConfig` or `podConfig`.
        list: &'static str,
        /// The value whose redirect closes the cycle.
        id: String,
    },
}
