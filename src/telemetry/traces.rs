//! Traces by OpenTelemetry, where the environment names a collector: spans of reviews, reconciles, probes and requests to the API
//! server. Everything is configured by the variables that OpenTelemetry defines.
//!
//! A thread of its own sends them in batches. What a collector does not take in time is lost, and nothing waits for it.

mod client;
mod request;
mod review;

use std::env;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;

use client::BlockingClient;

pub use request::TracedRequests;
pub use review::continue_trace;

/// The name in traces unless the environment has another one.
const SERVICE: &str = env!("CARGO_PKG_NAME");
/// Our crates with spans. Libraries' own would show where requests go and with which headers.
const TRACED: [&str; 2] = ["workspaces_controller", "webhook"];
/// How long the last spans may take at the end.
const LAST_SPANS: Duration = Duration::from_millis(500);

/// The traces of this process.
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Starts tracing if the environment asks for it.
    ///
    /// # Errors
    /// What the environment says cannot be used.
    pub fn start() -> Result<Option<Self>, String> {
        if !is_asked_for() {
            return Ok(None);
        }
        let client = BlockingClient::from_environment()?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_http_client(client)
            .build()
            .map_err(|error| error.to_string())?;
        let processor = BatchSpanProcessor::builder(exporter).build();
        let provider = SdkTracerProvider::builder().with_span_processor(processor).with_resource(resource()).build();
        Ok(Some(Self { provider }))
    }

    /// What makes spans of the spans of `tracing`, and events of the log lines within them.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    {
        let layer = tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(SERVICE))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false);
        layer.with_filter(Targets::new().with_targets(TRACED.map(|target| (target, LevelFilter::INFO))))
    }

    /// Sends the last spans, if the collector takes them at once.
    pub fn end(self) {
        // Whatever is lost is no reason to say anything at the end.
        let _ = self.provider.shutdown_with_timeout(LAST_SPANS);
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The value of a variable for traces, or of the one for all signals.
fn exporter_variable(name: &str) -> Option<String> {
    variable(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}")).or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{name}")))
}

fn is_asked_for() -> bool {
    let is_disabled = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let is_off = variable("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    exporter_variable("ENDPOINT").is_some() && !is_disabled && !is_off
}

/// Which process this is: as the environment says, else by the name of the product.
fn resource() -> Resource {
    let is_named = variable("OTEL_SERVICE_NAME").is_some()
        || variable("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|all| all.contains("service.name="));
    let resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if is_named { resource.build() } else { resource.with_service_name(SERVICE).build() }
}
