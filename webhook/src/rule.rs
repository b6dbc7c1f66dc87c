//! The rules by name and code, in the order in which their faults are reported, with a summary and advice for each.

/// What a rule is about: the table that lists it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Table {
    /// What the API server itself checks, for both kinds.
    Schema,
    /// WorkspaceKinds.
    WorkspaceKind,
    /// Workspaces.
    Workspace,
    /// Files given to the command line.
    Files,
    /// What changes when this controller takes over from another one.
    Migration,
}

macro_rules! rules {
    ($($rule:ident $code:literal $id:literal $table:ident $row:literal $summary:literal $advice:literal)*) => {
        /// A rule of admission. Code and id are stable: updates compare faults by the rule, logs, audit annotations and
        /// the command line name it.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Rule {
            $(#[doc = $summary] $rule,)*
        }

        impl Rule {
            /// Every rule, in the order of the codes within each table.
            pub const ALL: &'static [Self] = &[$(Self::$rule),*];

            /// The stable code, such as `WSK003`.
            pub fn code(self) -> &'static str {
                match self { $(Self::$rule => $code),* }
            }

            /// The stable name, such as `request-header`.
            pub fn id(self) -> &'static str {
                match self { $(Self::$rule => $id),* }
            }

            /// What the rule is about.
            pub fn table(self) -> Table {
                match self { $(Self::$rule => Table::$table),* }
            }

            /// The row of the table of rules: faults of one row are reported in the order of their fields.
            pub fn row(self) -> u8 {
                match self { $(Self::$rule => $row),* }
            }

            /// What holds for every object that the rule accepts, in one sentence.
            pub fn summary(self) -> &'static str {
                match self { $(Self::$rule => $summary),* }
            }

            /// Why the rule exists, and what to write instead.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$rule => $advice),* }
            }
        }
    };
}

rules! {
    Schema "API001" "schema" Schema 0
        "The object fits the schema of its CustomResourceDefinition."
        "The API server refuses the object before it calls any webhook: a required field is missing, a value has another type, is too \
         long, too short, out of range, not one of the allowed values or does not match the pattern. `kubectl explain` \
         shows the type of each field. Integers have 32 bits."
    UnknownField "API002" "unknown-field" Schema 0
        "Every field is defined in the schema."
        "kubectl asks the API server to refuse unknown fields; other clients have them dropped silently, so that a misspelt field \
         has no effect. Correct the name; the message suggests the nearest one."
    SchemaRule "API003" "schema-rule" Schema 0
        "The object satisfies the validation rules (CEL) of its CustomResourceDefinition."
        "They relate fields to each other, such as `must specify exactly one of 'url' or 'configMap'`, or make a field \
         immutable. The API server checks them before it calls any webhook."

    KindPodMetadata "WSK001" "pod-metadata" WorkspaceKind 0
        "Labels and annotations of `podMetadata` have the syntax of Kubernetes, and those that the API server reads the values it accepts."
        "They are set on every pod of the kind; the API server would refuse the pods, and no Workspace could start. A \
         key is `name` or `prefix/name`, a label's value has at most 63 characters, all annotations together 256 KiB."
    ExtraEnvTemplate "WSK002" "extra-env-template" WorkspaceKind 1
        "The values of `extraEnv` are Go templates that render for every image."
        "The language is that of Go's text/template, with one function, `httpPathPrefix \"<port id>\"`. Write its argument \
         in double quotes, name a port that exists, and keep `{{` and `}}` in pairs. All names and rendered values together \
         have at most 1 MiB."
    RequestHeader "WSK003" "request-header" WorkspaceKind 2
        "Request headers are Go templates that render to headers that Istio and Envoy accept and that are safe for other routes."
        "One bad header makes Envoy reject the routes of the whole gateway. Names are HTTP tokens, and none that control \
         framing or are hop-by-hop; values have no line break (YAML `|` and `>` add one: write `|-`, `>-` or quotes) and write a percent \
         sign as `%%`. All headers of a port together have at most 32 KiB once rendered, those of all ports of an image 512 KiB."
    PortDialectServed "WSK004" "port-dialect-served" WorkspaceKind 3
        "The entries of `ports` use a port dialect that this installation serves."
        "`--port-dialects` says whether kinds may use `portId`, `id` or either. The stock Kubeflow backend and user \
         interface know `id` only."
    PortDialectChange "WSK005" "port-dialect-change" WorkspaceKind 3
        "The port dialect of a kind in use does not change."
        "`portId` and `id` lead to different paths: a change would move every Workspace of the kind. Create a new kind instead."
    PortDialectMix "WSK006" "port-dialect-mix" WorkspaceKind 3
        "All entries of `ports` name their port with `portId`, or all with `id`."
        "The two lead to different paths. Use one of them in all entries."
    PortDuplicate "WSK007" "port-duplicate" WorkspaceKind 3
        "No two entries of `ports` are for the same port."
        "Only one of them could take effect. Merge the entries."
    PortUnknown "WSK008" "port-unknown" WorkspaceKind 3
        "With `portId`, an entry of `ports` names a port that some image has."
        "The entry would never take effect. Correct the id, or remove the entry."
    ImageConfigDefault "WSK009" "image-config-default" WorkspaceKind 4
        "The default imageConfig is one of its values."
        "Set `imageConfig.spawner.default` to the id of a value."
    PodConfigDefault "WSK010" "pod-config-default" WorkspaceKind 4
        "The default podConfig is one of its values."
        "Set `podConfig.spawner.default` to the id of a value."
    ImagePortNumber "WSK011" "image-port-number" WorkspaceKind 5
        "No two ports of an image share a number."
        "A Service cannot have one port twice. Remove one, or correct its number."
    ImagePortEntry "WSK012" "image-port-entry" WorkspaceKind 6
        "With `id`, every image port has an entry in `ports`."
        "Add `- id: <port id>` to `spec.podTemplate.ports`."
    RedirectTarget "WSK013" "redirect-target" WorkspaceKind 7
        "The target of a redirect exists."
        "Set `redirect.to` to the id of another value of the same list."
    RedirectCycle "WSK014" "redirect-cycle" WorkspaceKind 7
        "Redirects do not form a cycle."
        "Remove one of the redirects that the message lists."
    OptionInUse "WSK015" "option-in-use" WorkspaceKind 8
        "An option that Workspaces use is neither removed nor changed in its `spec`."
        "Their pods could not start again, or would start with another spec. Add a new value, and point to it with \
         `redirect` on the old one; `spawner` and `redirect` can always be changed. Remove the value once no Workspace uses it."
    ProbeShebang "WSK016" "probe-shebang" WorkspaceKind 9
        "The script of `activityProbe.podExec` starts with a line such as `#!/bin/bash`."
        "The script is run as a program: the kernel takes the interpreter from its first line, of which it reads 255 \
         characters. A carriage return at its end, from an editor that writes Windows line ends, would be part of the name."
    ProbePort "WSK017" "probe-port" WorkspaceKind 10
        "The port of `activityProbe.jupyter` exists."
        "With `id`, it is one of `spec.podTemplate.ports`; with `portId`, a port of some image."
    ProbeMissing "WSK018" "probe-missing" WorkspaceKind 11
        "A kind with rules that pause idle Workspaces has an `activityProbe`."
        "Without a probe it cannot be determined whether a Workspace is idle. Add `spec.podTemplate.activityProbe`."
    ActivitySelector "WSK019" "activity-selector" WorkspaceKind 12
        "The label selectors of `activityRules` are well-formed."
        "The operators are In and NotIn (with values), Exists and DoesNotExist (without)."
    ActivityCatchAll "WSK020" "activity-catch-all" WorkspaceKind 12
        "At most one of `activityRules` matches everything, and it is the last one that configures `pauseWorkspace`."
        "The first rule that matches wins: rules that follow one without `match` have no effect. Move that rule to the end."
    FilterEffect "WSK021" "filter-effect" WorkspaceKind 13
        "Each of `filterRules` hides or denies something."
        "Set one of `ui.hide`, `api.hide` and `api.deny` to true, or remove the rule."
    FilterMatchScope "WSK022" "filter-match-scope" WorkspaceKind 14
        "A filter rule matches options only if its scope is an option."
        "With the scope WORKSPACE_KIND there is no option to match: use `matchNamespace`, or another scope."
    FilterSelector "WSK023" "filter-selector" WorkspaceKind 14
        "The label selectors of `filterRules` are well-formed."
        "The operators are In and NotIn (with values), Exists and DoesNotExist (without)."
    ExtraVolumeName "WSK024" "extra-volume-name" WorkspaceKind 15
        "No extra volume has a name that is reserved for the volumes of Workspaces."
        "`home-volume`, `data-volume-<n>` and `secret-volume-<n>` are the volumes that a Workspace mounts. Choose another name."
    ExtraMountVolume "WSK025" "extra-mount-volume" WorkspaceKind 15
        "An extra mount names an extra volume or `home-volume`."
        "The API server refuses pods that mount a volume that does not exist. Correct the name, or add the volume."
    ExtraMountPath "WSK026" "extra-mount-path" WorkspaceKind 15
        "No two extra mounts have the same path, and none has `/`."
        "`/data`, `/data/` and `/data/.` are the same path, and only one of them can be mounted."
    ClusterRoleBind "WSK027" "cluster-role-bind" WorkspaceKind 16
        "A user who adds a ClusterRole to a kind is allowed to bind it."
        "Everyone who starts a Workspace of the kind gets the permissions of that role in their namespace, so adding it \
         requires the permission to grant them: the verb `bind` on `clusterroles` in `rbac.authorization.k8s.io`, for that name."
    TemplateTime "WSK028" "template-time" WorkspaceKind 18
        "All templates of the kind together render before the timeout of the API server."
        "Every template is rendered for every set of ports that an image has. Use fewer or simpler templates."
    KindInUse "WSK029" "kind-in-use" WorkspaceKind 18
        "A kind that Workspaces use is not deleted."
        "Their pods could not start again. Delete the Workspaces first; `spawner.hidden` hides the kind from people who create new ones."
    PortRendersEmpty "WSK030" "port-renders-empty" WorkspaceKind 19
        "A template names only ports that every image has."
        "A warning: for the other images `httpPathPrefix` returns an empty string, as in the Go controller."
    HeaderSetAndAdded "WSK031" "header-set-and-added" WorkspaceKind 19
        "A header is either set or added."
        "A warning: Envoy sets it first and then appends to it, so the server receives two values."
    PortUnused "WSK032" "port-unused" WorkspaceKind 19
        "With `id`, an entry of `ports` names a port that some image has."
        "A warning: the entry has no effect. Correct the id, or remove the entry."
    PausedEarly "WSK033" "paused-early" WorkspaceKind 19
        "A rule waits at least twice the interval between two probes."
        "A warning: activity since the last probe has not been observed, so a user who takes a short break may be considered idle. \
         Raise `secondsSinceActive`, or probe more often."

    MapKeyLength "WSK034" "map-key-length" WorkspaceKind 15
        "Keys of maps such as `csi.volumeAttributes` have at most 1,022 bytes."
        "The API server cannot read an applied object with a longer key. Characters that have to be escaped count in \
         their escaped form: `\\u0085` is six."
    HeaderEffect "WSK035" "header-effect" WorkspaceKind 19
        "Request headers do not control the gateway or identify the user."
        "A warning: `x-envoy-*` controls Envoy (a `set` of `x-envoy-retry-on` repeats POSTs), and servers identify \
         the user by `kubeflow-userid` and `x-forwarded-client-cert`. Set them only where that is intended."
    HeadersLarge "WSK036" "headers-large" WorkspaceKind 19
        "The headers of a port have at most 8 KiB together, and there are at most 64."
        "A warning: many servers refuse requests with more. Send fewer or smaller headers, or make sure that the server accepts them."
    PortDisplayName "WSK037" "port-display-name" WorkspaceKind 19
        "With `id`, every image port has a display name."
        "A warning: the user interface of Kubeflow shows a link without text. Set `defaultDisplayName` in the entry of `ports`, or \
         `displayName` in the port of the image."
    StatefulSetMetadata "WSK038" "stateful-set-metadata" WorkspaceKind 17
        "Labels and annotations of `statefulSetMetadata` have the syntax of Kubernetes, and none is the controller's."
        "They are set on every StatefulSet of the kind, which the API server would refuse. `notebooks.kubeflow.org/workspace-name`, \
         `notebooks.kubeflow.org/applied-hash` and `notebooks.kubeflow.org/restart` are how the controller finds the StatefulSet and \
         knows what it applied and whose pod it restarts."
    IconConfigMapKey "WSK039" "icon-config-map-key" WorkspaceKind 15
        "The `configMap.key` of `spawner.icon` and `spawner.logo` is one that a ConfigMap can have."
        "No ConfigMap has a key `.` or `..`, or one that starts with `..`: the image could never be found. Write the key under \
         which the ConfigMap holds it, such as `logo.svg`."
    PodResources "WSK041" "pod-resources" WorkspaceKind 17
        "The API server accepts the resources of every pod config."
        "Requests do not exceed limits, quantities are not negative, and extended resources such as `nvidia.com/gpu` are whole numbers \
         whose request equals their limit: set the limit alone. Claims name nothing, for a kind has no `resourceClaims`."
    PodPlacement "WSK042" "pod-placement" WorkspaceKind 17
        "The API server accepts tolerations, node selector and affinity of every pod config."
        "Their keys and values have the syntax of labels; each operator has the values that it needs, and a toleration's operator is \
         `Exists` (without a value) or `Equal`."
    PodProbe "WSK043" "pod-probe" WorkspaceKind 17
        "The API server accepts the probes of the container."
        "A probe has exactly one of `exec`, `httpGet`, `tcpSocket` and `grpc`, ports from 1 to 65535, and numbers of seconds \
         and failures that are not negative. Liveness and startup probes have `successThreshold: 1`."
    PodVariable "WSK044" "pod-variable" WorkspaceKind 17
        "The API server accepts names and sources of `extraEnv`."
        "A variable has a `value`, or a `valueFrom` with exactly one source, not both. Names are printable ASCII without `=`."
    PodVolume "WSK045" "pod-volume" WorkspaceKind 17
        "The API server accepts the extra volumes."
        "A volume has a DNS label as its name and one source, with the fields that this source requires. Without a source it \
         is an `emptyDir`."
    PodMount "WSK046" "pod-mount" WorkspaceKind 17
        "The API server accepts the extra mounts."
        "A mount has at most one of `subPath` and `subPathExpr`, both relative and without `..`; `mountPropagation: Bidirectional` \
         requires a privileged container."
    PodSecurityContext "WSK047" "pod-security-context" WorkspaceKind 17
        "The API server accepts the security contexts of the pod and of the container."
        "Fields that contradict each other, such as `privileged: true` beside `allowPrivilegeEscalation: false`, leave no pod to create."
    PodImage "WSK048" "pod-image" WorkspaceKind 17
        "The image of every value is written without white space around it."
        "The API server refuses such pods. YAML's `|` and `>` add a line break: write `|-`, `>-` or the image in one line."
    ImageUnusable "WSK049" "image-unusable" WorkspaceKind 19
        "The image of every value is one that a kubelet can pull."
        "A warning: names of repositories are lowercase, a tag is not empty, and placeholders such as `<tag>` are no part of an image. \
         Pods would start and wait with `InvalidImageName`."

    WorkspaceName "WS001" "workspace-name" Workspace 0
        "The name of a Workspace is a DNS label."
        "The Service and the labels of the Workspace carry it: lowercase letters, digits and `-`, at most 63 characters."
    WorkspaceNamespace "WS002" "workspace-namespace" Workspace 1
        "The paths of a Workspace do not overlap those of other namespaces."
        "`/workspace/connect/...` is the prefix of kinds that name their ports with `id`. Use another namespace."
    WorkspaceKindExists "WS003" "workspace-kind-exists" Workspace 2
        "The kind of a Workspace exists."
        "`kubectl get workspacekinds` lists them."
    WorkspaceKindStays "WS004" "workspace-kind-stays" Workspace 2
        "The kind of a Workspace is not being deleted."
        "Use another kind."
    WorkspacePodMetadata "WS005" "workspace-pod-metadata" Workspace 3
        "Labels and annotations of `podMetadata` have the syntax of Kubernetes, and those that the API server reads the values it accepts."
        "A key is `name` or `prefix/name`, a label's value has at most 63 characters, all annotations together 256 KiB."
    ProtectedMetadata "WS006" "protected-metadata" Workspace 3
        "`podMetadata` sets no key that is reserved for the platform."
        "Such keys change how traffic is routed or which permissions the pod has. The platform admin can set them in the \
         kind, or allow them with `--protected-pod-metadata`. The labels by which the controller selects its pods are reserved too."
    WorkspaceImageConfig "WS007" "workspace-image-config" Workspace 4
        "The imageConfig of a Workspace exists in its kind."
        "Choose one of the ids in `spec.podTemplate.options.imageConfig.values` of the kind."
    WorkspacePodConfig "WS008" "workspace-pod-config" Workspace 5
        "The podConfig of a Workspace exists in its kind."
        "Choose one of the ids in `spec.podTemplate.options.podConfig.values` of the kind."
    FilterDenied "WS009" "filter-denied" Workspace 6
        "No filter rule of the kind denies the kind or the selected options."
        "With `--enforce-filter-rules`, admission enforces `filterRules` of the kind with `api.deny`. Choose another kind or \
         option, or ask the platform admin."
    WorkspaceMountPath "WS010" "workspace-mount-path" Workspace 7
        "No two volumes of a Workspace are mounted at the same path, none at the home path and none at `/`."
        "`/data`, `/data/` and `/data/.` are the same path; the home path is that of the kind, in use while `volumes.home` is \
         set. A mount may be nested in another."
    CanMount "WS011" "can-mount" Workspace 8
        "Secrets and PersistentVolumeClaims are labelled as mountable."
        "With `--enforce-can-mount` each of them needs the label `notebooks.kubeflow.org/can-mount=true`."
    NotebookName "WS012" "notebook-name" Workspace 9
        "No Notebook (`kubeflow.org/v1`) in the namespace has the name of the Workspace."
        "The Service of the Notebook would select the pod of the Workspace. Choose another name."
    DeferUpdates "WS013" "defer-updates" Workspace 10
        "`deferUpdates` is not set."
        "A warning: the field has no effect, the controller never restarts a running pod on its own."

    ObjectTwice "FILE001" "object-twice" Files 0
        "No object is in the files twice."
        "A warning of the command line: `kubectl apply` stores one after the other, so only the last one remains, and Workspaces \
         are validated against it. Remove one, or rename it."
    HelmTemplate "FILE002" "helm-template" Files 0
        "No object has actions of a Helm template in its fields."
        "A warning of the command line: `{{ .Values... }}` is replaced by helm before an object is applied, so that what is \
         checked here is not what is stored. Render it first: `helm template ... | workspaces-controller validate -`."
    NullValue "FILE003" "null-value" Files 0
        "No field without a default is null."
        "A warning of the command line: server-side apply refuses such a field as one of the wrong type; `kubectl create` and \
         client-side apply have it dropped. Leave it out. A key without a value (`probes:` with nothing below it) is null \
         too, and so is a plain `null` or `~` where text is meant: quote that."

    TakeOverRestart "MIG001" "take-over-restart" Migration 0
        "The pod of a Workspace is the one that this controller would render."
        "A warning of `migrate`: nothing restarts on its own. The pod is created from the new template when its user pauses and \
         starts the Workspace."
    TakeOverFinalizer "MIG002" "take-over-finalizer" Migration 0
        "No kind that nobody uses has the finalizer of the Go controller."
        "A warning of `migrate`: whichever controller runs removes `notebooks.kubeflow.org/workspacekind-protection` when the \
         last Workspace of the kind is gone, so there is nothing to do. Where neither does (`--enable-reconcile=false`, or the \
         ClusterRole does not let it patch `workspacekinds`), the deletion of such a kind would hang: remove the finalizer with \
         the command of the message."
    TakeOverFieldDropped "MIG003" "take-over-field-dropped" Migration 0
        "This version's CRDs know every field that is stored."
        "A warning of `migrate`: once the CRDs of this version are installed, the API server drops the field when it reads \
         the object. Note its value, and write it where the message says, if it is known elsewhere."
    TakeOverUsersRole "MIG004" "take-over-users-role" Migration 0
        "No ClusterRole of the Go controller's manifests gives users their rights."
        "A warning of `migrate`: users may see and change Workspaces because of `kubeflow-workspaces-view`, `-edit` and \
         `-admin`, which Kubeflow's own roles aggregate. The chart has roles of the same names: leave them in place, and `helm install \
         --take-ownership` makes them the chart's, without a moment in which users have fewer rights."
}

impl Rule {
    /// The rule of that code or name (case-insensitive).
    pub fn find(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|rule| [rule.code(), rule.id()].iter().any(|name| name.eq_ignore_ascii_case(text)))
    }

    /// Whether a fault depends on the kind of a Workspace as it was looked up.
    pub fn depends_on_kind(self) -> bool {
        matches!(
            self,
            Self::WorkspaceNamespace
                | Self::WorkspaceKindExists
                | Self::WorkspaceKindStays
                | Self::WorkspaceImageConfig
                | Self::WorkspacePodConfig
                | Self::FilterDenied
                | Self::WorkspaceMountPath
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_and_names_are_unique() {
        let names: BTreeSet<_> = Rule::ALL.iter().flat_map(|rule| [rule.code(), rule.id()]).collect();
        assert_eq!(names.len(), 2 * Rule::ALL.len());
    }

    #[test]
    fn codes_ascend_within_their_table() {
        for (table, prefix) in [
            (Table::Schema, "API"),
            (Table::WorkspaceKind, "WSK"),
            (Table::Workspace, "WS"),
            (Table::Files, "FILE"),
            (Table::Migration, "MIG"),
        ] {
            let codes: Vec<_> = Rule::ALL.iter().filter(|rule| rule.table() == table).map(|rule| rule.code()).collect();
            let number =
                |code: &&str| code.strip_prefix(prefix).filter(|digits| digits.len() == 3)?.parse::<u16>().ok();
            let numbers: Option<Vec<u16>> = codes.iter().map(number).collect();
            assert!(numbers.is_some_and(|numbers| numbers.is_sorted_by(|one, next| one < next)), "{codes:?}");
        }
    }

    #[test]
    fn a_rule_is_found_by_code_and_by_name() {
        assert_eq!(Rule::find("wsk003"), Some(Rule::RequestHeader));
        assert_eq!(Rule::find("request-header"), Some(Rule::RequestHeader));
        assert_eq!(Rule::find("WSK999"), None);
    }
}
