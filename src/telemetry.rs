//! Where log lines go and what they look like.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSettings};

/// Sends everything logged from here on to the standard error, as the settings say.
pub fn start(settings: &LogSettings) {
    let text = match settings.format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Automatic => stderr().is_terminal(),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&settings.filter))
        .with_writer(stderr)
        // It would report a failed write with `eprintln!`, which panics when nobody reads the standard error.
        .log_internal_errors(false);
    // Only the first caller in a process is heard: tests start several servers in one.
    let _ = if text {
        lines.with_ansi(stderr().is_terminal()).try_init()
    } else {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    };
    // What a panic says may quote what users wrote, so only its place is logged, in the format of all other lines.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked, this is a bug");
    }));
}
