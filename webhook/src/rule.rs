//! The rules by name, in the order in which their faults are answered.

/// A rule of admission. The name is stable: updates compare faults by it and logs carry it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Rule {
    /// The object decodes: mostly a matter of the schema, which lets integers beyond 32 bits pass.
    Decodes,
    /// Rendering all templates of a kind takes less time than the API server waits.
    TemplateTime,
    /// The values of `extraEnv` are templates that render.
    ExtraEnvTemplate,
    /// Request headers are templates that render to what Istio and Envoy take.
    RequestHeader,
    /// The dialect of `ports` is one that this installation serves.
    PortDialectServed,
    /// A kind in use keeps the dialect of its `ports`.
    PortDialectChange,
    /// All entries of `ports` use one dialect.
    PortDialectMix,
    /// No two entries of `ports` name one port.
    PortDuplicate,
    /// Entries of `ports` in dialect A name a port that some image value has.
    PortUnknown,
    /// The default imageConfig exists.
    ImageConfigDefault,
    /// The default podConfig exists.
    PodConfigDefault,
    /// No two ports of an image value share a number.
    ImagePortNumber,
    /// In dialect B every image port has an entry in `ports`.
    ImagePortEntry,
    /// Redirects lead to a value that exists.
    RedirectTarget,
    /// Redirects do not run in a circle.
    RedirectCycle,
    /// A kind in use is not deleted.
    KindInUse,
    /// The name of a Workspace is a DNS label.
    WorkspaceName,
    /// The paths of a Workspace do not lie over those of other namespaces.
    WorkspaceNamespace,
    /// The kind of a Workspace exists.
    WorkspaceKindExists,
    /// The kind of a Workspace stays.
    WorkspaceKindStays,
    /// The imageConfig of a Workspace exists in its kind.
    WorkspaceImageConfig,
    /// The podConfig of a Workspace exists in its kind.
    WorkspacePodConfig,
}

impl Rule {
    /// The name in logs.
    pub fn id(self) -> &'static str {
        match self {
            Self::Decodes => "decodes",
            Self::TemplateTime => "template-time",
            Self::ExtraEnvTemplate => "extra-env-template",
            Self::RequestHeader => "request-header",
            Self::PortDialectServed => "port-dialect-served",
            Self::PortDialectChange => "port-dialect-change",
            Self::PortDialectMix => "port-dialect-mix",
            Self::PortDuplicate => "port-duplicate",
            Self::PortUnknown => "port-unknown",
            Self::ImageConfigDefault => "image-config-default",
            Self::PodConfigDefault => "pod-config-default",
            Self::ImagePortNumber => "image-port-number",
            Self::ImagePortEntry => "image-port-entry",
            Self::RedirectTarget => "redirect-target",
            Self::RedirectCycle => "redirect-cycle",
            Self::KindInUse => "kind-in-use",
            Self::WorkspaceName => "workspace-name",
            Self::WorkspaceNamespace => "workspace-namespace",
            Self::WorkspaceKindExists => "workspace-kind-exists",
            Self::WorkspaceKindStays => "workspace-kind-stays",
            Self::WorkspaceImageConfig => "workspace-image-config",
            Self::WorkspacePodConfig => "workspace-pod-config",
        }
    }

    /// The row of the table of rules: faults of one row are answered in the order of the fields they are about.
    pub fn row(self) -> u8 {
        match self {
            Self::Decodes | Self::TemplateTime | Self::ExtraEnvTemplate | Self::WorkspaceName => 0,
            Self::RequestHeader | Self::WorkspaceNamespace => 1,
            Self::PortDialectServed
            | Self::PortDialectChange
            | Self::PortDialectMix
            | Self::PortDuplicate
            | Self::PortUnknown
            | Self::WorkspaceKindExists
            | Self::WorkspaceKindStays => 2,
            Self::ImageConfigDefault | Self::PodConfigDefault | Self::WorkspaceImageConfig => 3,
            Self::ImagePortNumber | Self::WorkspacePodConfig => 4,
            Self::ImagePortEntry => 5,
            Self::RedirectTarget | Self::RedirectCycle => 6,
            Self::KindInUse => 7,
        }
    }

    /// Whether a fault follows from the kind of a Workspace as it was looked up.
    pub fn rests_on_kind(self) -> bool {
        matches!(
            self,
            Self::WorkspaceNamespace
                | Self::WorkspaceKindExists
                | Self::WorkspaceKindStays
                | Self::WorkspaceImageConfig
                | Self::WorkspacePodConfig
        )
    }
}
