//! Workspaces by state and by option, counted at each scrape: so series vanish with their kinds.

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

/// How many Workspaces there are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct WorkspaceCounts {
    /// By `status.state`.
    pub states: Vec<(&'static str, u64)>,
    /// By the options of kinds.
    pub options: Vec<OptionUsers>,
}

/// How many Workspaces select an option.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OptionUsers {
    /// The name of the WorkspaceKind.
    pub kind: String,
    /// `imageConfig` or `podConfig`.
    pub list: &'static str,
    /// The id of the option.
    pub option: String,
    /// How many select it.
    pub workspaces: u64,
}

/// Counts the Workspaces.
pub(super) type CountWorkspaces = Box<dyn Fn() -> WorkspaceCounts + Send + Sync>;

/// Collects nothing until it is known how to count.
#[derive(Clone, Default)]
pub(super) struct WorkspaceCollector(Arc<OnceLock<CountWorkspaces>>);

impl fmt::Debug for WorkspaceCollector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("WorkspaceCollector").field(&self.0.get().is_some()).finish()
    }
}

impl WorkspaceCollector {
    /// Counts with `count` from now on; the first one stays.
    pub(super) fn count_with(&self, count: CountWorkspaces) {
        drop(self.0.set(count));
    }
}

impl Collector for WorkspaceCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let Some(count) = self.0.get() else { return Ok(()) };
        let WorkspaceCounts { states, options } = count();
        let help = "Workspaces by state";
        let mut family = encoder.encode_descriptor("workspaces_workspaces", help, None, MetricType::Gauge)?;
        for (state, workspaces) in states {
            ConstGauge::new(workspaces).encode(family.encode_family(&[("state", state)])?)?;
        }
        let help = "Workspaces that select an option of a WorkspaceKind";
        let mut family = encoder.encode_descriptor("workspaces_option_users", help, None, MetricType::Gauge)?;
        for OptionUsers { kind, list, option, workspaces } in options {
            let labels = [("workspacekind", &*kind), ("list", list), ("option", &*option)];
            ConstGauge::new(workspaces).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
