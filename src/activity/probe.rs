//! Runs one probe within its time.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::report::{Found, ProbeFailure, ProbeReport};

/// The report of `probing`, which is dropped where it takes longer than `limit`.
pub(super) async fn within(limit: Duration, probing: impl Future<Output = Result<Found, ProbeFailure>>) -> ProbeReport {
    let started = Timestamp::now();
    let result = tokio::time::timeout(limit, probing).await.unwrap_or(Err(ProbeFailure::Timeout));
    ProbeReport::new(started, Timestamp::now(), result)
}
