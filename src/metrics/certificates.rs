//! The served certificate, and how its files were read.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::register::{counter, gauge};

/// The series of the certificate.
#[derive(Debug)]
pub(super) struct CertificateMetrics {
    reads: Counter,
    read_errors: Counter,
    read_ok: Gauge,
    expiry: Gauge,
}

impl CertificateMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            reads: counter(registry, "certwatcher_read_certificate", "Readings of the certificate files"),
            read_errors: counter(
                registry,
                "certwatcher_read_certificate_errors",
                "Readings of the certificate files that found no pair to serve",
            ),
            read_ok: gauge(
                registry,
                "workspaces_certificate_last_read_successful",
                "Whether the last reading of the certificate files was good (1) or the older pair had to stay (0)",
            ),
            expiry: gauge(
                registry,
                "workspaces_certificate_expiry_timestamp_seconds",
                "When the served certificate expires, in seconds since 1970; 0 while none is served",
            ),
        }
    }

    pub(super) fn read(&self, valid: bool) {
        self.reads.inc();
        if !valid {
            self.read_errors.inc();
        }
        self.read_ok.set(valid.into());
    }

    pub(super) fn expires(&self, not_after: SystemTime) {
        let seconds = not_after.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.expiry.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }
}
