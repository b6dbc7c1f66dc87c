//! The destination and format of the log, and the traces where they are built in.

mod flat_json;
#[cfg(feature = "otel")]
pub mod traces;

use std::io::{IsTerminal, stderr};

use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, registry};

use crate::config::{LogFormat, LogSettings};
use flat_json::{FlatJson, SpanFields};
#[cfg(feature = "otel")]
use traces::Traces;

/// These log what they read, such as the output of a probe or an object that does not decode, and that whatever a user asks for.
const NO_CONTENT: &str = "tungstenite=off,kube_client::client=error";

/// What has to be ended with the process.
#[must_use]
pub struct Telemetry {
    #[cfg(feature = "otel")]
    traces: Option<Traces>,
}

impl Telemetry {
    /// Starts logging to the standard error, as the settings say, and tracing, if the environment asks for it.
    pub fn start(settings: &LogSettings) -> Self {
        let filter = EnvFilter::new(format!("{},{NO_CONTENT}", settings.filter));
        #[cfg(feature = "otel")]
        let (traces, unusable) = Traces::start().map_or_else(|error| (None, Some(error)), |traces| (traces, None));
        // Only the first call in a process takes effect: tests start several servers in one.
        #[cfg(feature = "otel")]
        let _ = registry()
            .with(traces.as_ref().map(Traces::layer))
            .with(lines(settings.format).with_filter(filter))
            .try_init();
        #[cfg(not(feature = "otel"))]
        let _ = registry().with(filter).with(lines(settings.format)).try_init();
        // A panic message may quote users' objects, so only its location is logged, in the format of all other lines.
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(place, "panicked, this is a bug");
        }));
        #[cfg(feature = "otel")]
        if let Some(error) = unusable {
            tracing::error!(error, "there are no traces");
        }
        Self {
            #[cfg(feature = "otel")]
            traces,
        }
    }

    /// Sends the last traces. Takes half a second at most.
    pub fn end(self) {
        #[cfg(feature = "otel")]
        if let Some(traces) = self.traces {
            traces.end();
        }
    }
}

/// Writes the lines.
fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    let text = match format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Automatic => stderr().is_terminal(),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(stderr)
        // A failed write would be reported with `eprintln!`, which panics when the standard error is a closed pipe.
        .log_internal_errors(false);
    if text {
        lines.with_ansi(stderr().is_terminal()).boxed()
    } else {
        lines.event_format(FlatJson).fmt_fields(SpanFields).boxed()
    }
}
