//! What happens to idle Workspaces, and which options are hidden or denied.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens to an idle Workspace.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivityRule {
    /// The times of the rule.
    pub config: ActivityRuleConfig,

    /// The Workspaces that the rule applies to. Absent or empty: all of them. At most one such rule for an effect, and
    /// it must be the last.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub match_: Option<ActivityRuleMatch>,

    /// What the rule does.
    pub effect: ActivityRuleEffect,
}

/// The times of an activity rule.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivityRuleConfig {
    /// After how many seconds without activity the rule takes effect.
    #[schemars(range(min = 16))]
    pub seconds_since_active: i32,

    /// How many seconds a Workspace must have been running before the rule takes effect.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub min_running_seconds: i32,
}

/// The Workspaces that a rule applies to: those for which all conditions given here hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivityRuleMatch {
    /// Those in namespaces with these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_namespace: Option<SelectorMatch>,

    /// Those whose podConfig value has these spawner labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_pod_config: Option<SelectorMatch>,
}

/// A match by labels.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SelectorMatch {
    /// A Kubernetes label selector. An empty one matches everything.
    pub selector: LabelSelector,
}

/// What an activity rule does.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{"rule": "has(self.pauseWorkspace)", "message": "must specify at least one effect"}]))]
pub struct ActivityRuleEffect {
    /// `true` pauses the Workspace, `false` exempts it from later rules. Absent: a later rule decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_workspace: Option<bool>,
}

/// Hides or denies a kind or an option.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FilterRule {
    /// What the rule hides or denies.
    pub scope: FilterRuleScope,

    /// What happens to a match.
    pub effect: FilterRuleEffect,

    /// The conditions, all of which must hold.
    #[schemars(length(min = 1), extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(rename = "match")]
    pub match_: Vec<FilterRuleMatch>,
}

/// What a filter rule hides or denies.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum FilterRuleScope {
    /// The WorkspaceKind itself.
    #[serde(rename = "WORKSPACE_KIND")]
    WorkspaceKind,
    /// podConfig values.
    #[serde(rename = "POD_CONFIG")]
    PodConfig,
    /// imageConfig values.
    #[serde(rename = "IMAGE_CONFIG")]
    ImageConfig,
}

/// What happens to a match of a filter rule.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{"rule": "has(self.ui) || has(self.api)", "message": "must specify at least one of 'ui' or 'api'"}]))]
pub struct FilterRuleEffect {
    /// Hints to the user interface. The match is still listed by the API of the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ui: Option<FilterRuleUiEffect>,

    /// What the API of the backend enforces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<FilterRuleApiEffect>,
}

/// Hints to the user interface.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FilterRuleUiEffect {
    /// Whether the user interface should hide the match.
    pub hide: bool,
}

/// What the API of the backend enforces.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.denyMessage) || (has(self.deny) && self.deny)",
    "message": "'denyMessage' may only be set when 'deny' is true",
}]))]
pub struct FilterRuleApiEffect {
    /// Whether the match is left out of lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hide: Option<bool>,

    /// Whether Workspaces that select the match are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deny: Option<bool>,

    /// Why they are refused, for users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deny_message: Option<FilterRuleDenyMessage>,
}

/// Why a match is denied.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FilterRuleDenyMessage {
    /// The text shown to users.
    #[schemars(length(min = 2, max = 1024))]
    pub text: String,
}

/// One condition of a filter rule.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "(has(self.matchNamespace) ? 1 : 0) + (has(self.matchImageConfig) ? 1 : 0) + (has(self.matchPodConfig) ? 1 : 0) == 1",
    "message": "must specify exactly one of 'matchNamespace', 'matchImageConfig', or 'matchPodConfig'",
}]))]
pub struct FilterRuleMatch {
    /// The namespace of the Workspace has these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_namespace: Option<SelectorMatch>,

    /// The imageConfig value has these spawner labels. Only with scope IMAGE_CONFIG or POD_CONFIG.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_image_config: Option<SelectorMatch>,

    /// The podConfig value has these spawner labels. Only with scope IMAGE_CONFIG or POD_CONFIG.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_pod_config: Option<SelectorMatch>,
}
