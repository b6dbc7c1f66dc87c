//! The destination and format of the log.

mod flat_json;

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSettings};
use flat_json::{FlatJson, SpanFields};

/// Starts logging to the standard error, as the settings say.
pub fn start(settings: &LogSettings) {
    let text = match settings.format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Automatic => stderr().is_terminal(),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&settings.filter))
        .with_writer(stderr)
        // A failed write would be reported with `eprintln!`, which panics when the standard error is a closed pipe.
        .log_internal_errors(false);
    // Only the first call in a process takes effect: tests start several servers in one.
    let _ = if text {
        lines.with_ansi(stderr().is_terminal()).try_init()
    } else {
        lines.event_format(FlatJson).fmt_fields(SpanFields).try_init()
    };
    // A panic message may quote users' objects, so only its location is logged, in the format of all other lines.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked, this is a bug");
    }));
}
