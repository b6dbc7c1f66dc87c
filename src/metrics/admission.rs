//! Admission requests, by webhook path, under the names of controller-runtime.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::register::{HistogramFamily, counters, gauges, histograms};

/// Bounds in seconds of a review: an API server waits for at most 30, usually 5.
const REVIEW_SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct WebhookLabels {
    webhook: &'static str,
}

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct WebhookCodeLabels {
    webhook: &'static str,
    code: u16,
}

/// The series of all webhook paths.
#[derive(Debug)]
pub(super) struct AdmissionMetrics {
    reviews: Family<WebhookCodeLabels, Counter>,
    seconds: HistogramFamily<WebhookLabels>,
    in_flight: Family<WebhookLabels, Gauge>,
}

impl AdmissionMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            reviews: counters(registry, "controller_runtime_webhook_requests", "Admission requests by HTTP status"),
            seconds: histograms(
                registry,
                "controller_runtime_webhook_latency_seconds",
                "Time of one admission request",
                || Histogram::new(REVIEW_SECONDS),
            ),
            in_flight: gauges(
                registry,
                "controller_runtime_webhook_requests_in_flight",
                "Admission requests being answered now",
            ),
        }
    }

    pub(super) fn announce(&self, path: &'static str) {
        let labels = WebhookLabels { webhook: path };
        drop(self.in_flight.get_or_create(&labels));
        drop(self.seconds.get_or_create(&labels));
        drop(self.reviews.get_or_create(&WebhookCodeLabels { webhook: path, code: 200 }));
    }

    pub(super) fn started(&self, path: &'static str) {
        self.in_flight.get_or_create(&WebhookLabels { webhook: path }).inc();
    }

    pub(super) fn finished(&self, path: &'static str, code: u16, duration: Duration) {
        let labels = WebhookLabels { webhook: path };
        self.in_flight.get_or_create(&labels).dec();
        self.seconds.get_or_create(&labels).observe(duration.as_secs_f64());
        self.reviews.get_or_create(&WebhookCodeLabels { webhook: path, code }).inc();
    }
}
