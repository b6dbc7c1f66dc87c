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
    ca_expiry: Gauge,
    trusted: Gauge,
}

impl CertificateMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            reads: counter(registry, "certwatcher_read_certificate", "Readings of the certificate"),
            read_errors: counter(
                registry,
                "certwatcher_read_certificate_errors",
                "Readings of the certificate that found no pair to serve",
            ),
            read_ok: gauge(
                registry,
                "workspaces_certificate_last_read_successful",
                "Whether the last reading of the certificate was good (1) or the older pair had to stay (0)",
            ),
            expiry: gauge(
                registry,
                "workspaces_certificate_expiry_timestamp_seconds",
                "When the served certificate expires, in seconds since 1970; 0 while none is served",
            ),
            ca_expiry: gauge(
                registry,
                "workspaces_certificate_ca_expiry_timestamp_seconds",
                "When the CA of a self-managed certificate expires, in seconds since 1970; 0 where there is none",
            ),
            trusted: gauge(
                registry,
                "workspaces_certificate_trusted",
                "Whether the caBundle of the webhook configuration has the CA of the served self-managed certificate",
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
        self.expiry.set(seconds(not_after));
    }

    pub(super) fn ca_expires(&self, not_after: SystemTime) {
        self.ca_expiry.set(seconds(not_after));
    }

    pub(super) fn trusted(&self, is_trusted: bool) {
        self.trusted.set(is_trusted.into());
    }
}

/// Since 1970.
fn seconds(at: SystemTime) -> i64 {
    let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
