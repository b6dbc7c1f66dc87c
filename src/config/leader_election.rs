//! Leader election: its Lease, and its times.

use std::time::Duration;

use super::source::SettingSource;
use super::{Mode, settings, values};

/// A renewal may come so much later than its time: client-go's `JitterFactor`.
const JITTER: f64 = 1.2;
/// The share of the time between the last write of a leader and the next leader in which a write has to be delivered.
const DELIVERED_WITHIN: f64 = 0.8;

/// The times of leader election, those of client-go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeaseTimes {
    /// How long others wait after the last renewal that they saw. Whole seconds, as the Lease has it.
    pub duration: Duration,
    /// How long after its last renewal the leader goes on writing.
    pub renew_deadline: Duration,
    /// The pause between two renewals, and between two attempts after an error.
    pub retry_period: Duration,
}

impl LeaseTimes {
    /// How long a request of the leader may be on its way, be it the last one of its term: others lead when the Lease has expired.
    pub fn undelivered(&self) -> Duration {
        self.duration.saturating_sub(self.renew_deadline).mul_f64(DELIVERED_WITHIN)
    }
}

/// Those of client-go's users, the Go controller among them.
impl Default for LeaseTimes {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { duration: seconds(15), renew_deadline: seconds(10), retry_period: seconds(2) }
    }
}

impl Mode {
    /// The Lease of the leader: one for each part of the work. The first is also that of the Go controller, so that only one of
    /// the two does all of it.
    pub fn lease_name(&self) -> &'static str {
        match self {
            Self::Everything => "kubeflow-workspace-controller",
            Self::Namespaces(_) => "workspaces-namespace-controller",
            Self::OnlyRoutes { .. } => "workspaces-route-controller",
        }
    }
}

/// The times, with errors where they do not fit together.
pub(super) fn times(source: &mut SettingSource<'_>) -> LeaseTimes {
    let defaults = LeaseTimes::default();
    let mut time = |setting, default| source.optional(setting, values::patience).unwrap_or(default);
    let times = LeaseTimes {
        duration: time(&settings::LEADER_ELECT_LEASE_DURATION, defaults.duration),
        renew_deadline: time(&settings::LEADER_ELECT_RENEW_DEADLINE, defaults.renew_deadline),
        retry_period: time(&settings::LEADER_ELECT_RETRY_PERIOD, defaults.retry_period),
    };
    let LeaseTimes { duration, renew_deadline, retry_period } = times;
    if duration.is_zero() || duration.subsec_nanos() != 0 || i32::try_from(duration.as_secs()).is_err() {
        source.error(&settings::LEADER_ELECT_LEASE_DURATION, "must be whole seconds, at least 1s");
    } else if duration <= renew_deadline {
        let rule = format!("must be longer than --leader-elect-renew-deadline ({renew_deadline:?})");
        source.error(&settings::LEADER_ELECT_LEASE_DURATION, &rule);
    }
    if retry_period.is_zero() {
        source.error(&settings::LEADER_ELECT_RETRY_PERIOD, "must be longer than 0");
    } else if renew_deadline <= retry_period.mul_f64(JITTER) {
        let rule = format!("must be longer than {JITTER} times --leader-elect-retry-period ({retry_period:?})");
        source.error(&settings::LEADER_ELECT_RENEW_DEADLINE, &rule);
    }
    times
}
