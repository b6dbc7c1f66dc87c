//! The certificate from `tls.crt` and `tls.key`, as a mounted Secret has them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use certs::FileSource;

use super::Certificate;
use crate::metrics::Metrics;

/// How often the files are read: a new pair is served within a second.
pub const POLL_EVERY: Duration = Duration::from_millis(500);

/// The certificate of a directory. Nothing is read yet.
pub fn certificate(dir: &Path, metrics: Arc<Metrics>) -> Certificate {
    Certificate::new(FileSource::new(dir), metrics)
}
