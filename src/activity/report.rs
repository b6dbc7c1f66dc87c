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

impl ProbeReport {
    /// When the Workspace was last active, by what the probe found, in milliseconds since 1970; 0 where that is not known.
    pub fn last_activity(&self) -> i64 {
        match self.result {
            Ok(Found::ActiveNow) => self.ended.as_millisecond(),
            Ok(Found::LastActive(time)) => time.as_millisecond(),
            Ok(Found::Inactive) | Err(_) => 0,
        }
    }

    /// The report of a probe that ended at `ended`. The clock of a node may be ahead: nobody was active after that.
    pub(super) fn new(started: Timestamp, ended: Timestamp, result: Result<Found, ProbeFailure>) -> Self {
        let result = result.map(|found| match found {
            Found::LastActive(time) => Found::LastActive(time.min(ended)),
            Found::ActiveNow | Found::Inactive => found,
        });
        Self { started, ended, result }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nobody_was_active_after_the_probe() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let found = |found| ProbeReport::new(at(100), at(103), Ok(found)).result.unwrap();
        assert_eq!(found(Found::LastActive(at(50))), Found::LastActive(at(50)));
        assert_eq!(found(Found::LastActive(at(102))), Found::LastActive(at(102)));
        assert_eq!(found(Found::LastActive(at(9_000))), Found::LastActive(at(103)));
    }
}
