//! What an activity probe found out. Pure.

use k8s_openapi::jiff::Timestamp;

/// One run of an activity probe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProbeReport {
    /// When it started.
    pub started: Timestamp,
    /// When it finished, or was given up.
    pub ended: Timestamp,
    /// What it found out, or why nothing.
    pub result: Result<Found, ProbeFailure>,
}

/// What a probe found out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Found {
    /// The Workspace is active at this moment.
    ActiveNow,
    /// It was last active at this time, which is not after the end of the probe.
    LastActive(Timestamp),
    /// It is not active, and since when is not known.
    Inactive,
}

/// Why a probe found out nothing. That does not mean that the Workspace is idle.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProbeFailure {
    /// It did not finish in time.
    #[error("the probe did not finish in time")]
    Timeout,
    /// It failed. The message has a status code or the class of an error, never what the Workspace answered.
    #[error("{0}")]
    Failed(String),
}
