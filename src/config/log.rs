//! Level and format of the log, also from the flags of zap.

use std::fmt;

use tracing_subscriber::EnvFilter;

use super::settings;
use super::source::SettingSource;

/// The level of libraries: at `info` they log every request.
const LIBRARIES: &str = "warn";

/// The client logs each failed request, even if its caller handles the error; callers log more context, once.
const QUIET: &str = "kube_client::client=error,kube_client::client::builder=off";

/// The crates of this program.
const OWN_CRATES: [&str; 4] = ["workspaces_controller", "webhook", "certs", "crds"];

/// Level and format of the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogSettings {
    /// Directives of `tracing`'s `EnvFilter`.
    pub filter: String,
    /// The format of a line.
    pub format: LogFormat,
}

/// The format of a log line.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    #[default]
    Automatic,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Automatic => "text on a terminal, else json",
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Reads the settings of the log; our own win over those of zap.
pub(super) fn load(source: &mut SettingSource<'_>) -> LogSettings {
    let zap_level = source.optional(&settings::ZAP_LOG_LEVEL, zap_level);
    let zap_format = source.optional(&settings::ZAP_ENCODER, zap_encoder);
    let filter = source.optional(&settings::LOG_LEVEL, filter).or_else(|| zap_level.map(own_crates_at));
    let format = source.optional(&settings::LOG_FORMAT, format).or(zap_format);
    LogSettings {
        filter: filter.unwrap_or_else(|| own_crates_at(settings::LOG_LEVEL.default)),
        format: format.unwrap_or_default(),
    }
}

/// A level for this program, or directives for whatever they name.
fn filter(value: &str) -> Result<String, String> {
    let rule = || {
        "must be off, error, warn, info, debug or trace, or a comma-separated list of these and TARGET=LEVEL, such as \
         info,kube=debug"
            .to_owned()
    };
    let is_level =
        |word: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&word.to_ascii_lowercase().as_str());
    if is_level(value) {
        return Ok(own_crates_at(&value.to_ascii_lowercase()));
    }
    // A bare word that is not a level would be a target: more likely it is a misspelt level.
    let words_are_levels = value.split(',').all(|word| is_level(word.trim()) || word.contains(['=', '[']));
    match EnvFilter::builder().parse(value) {
        Ok(_) if words_are_levels => Ok(value.to_owned()),
        _ => Err(rule()),
    }
}

fn own_crates_at(level: &str) -> String {
    let own = OWN_CRATES.map(|name| format!("{name}={level}")).join(",");
    match level {
        "off" | "error" => format!("{level},{QUIET},{own}"),
        "warn" | "info" => format!("{LIBRARIES},{QUIET},{own}"),
        _ => format!("{LIBRARIES},{own}"),
    }
}

fn format(value: &str) -> Result<LogFormat, String> {
    match value {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be text or json".to_owned()),
    }
}

/// zap has names for the quieter levels and numbers for the more verbose ones.
fn zap_level(value: &str) -> Result<&'static str, String> {
    match value.to_ascii_lowercase().as_str() {
        "debug" | "1" => Ok("debug"),
        "info" => Ok("info"),
        "error" | "panic" => Ok("error"),
        other if other.parse::<u8>().is_ok_and(|level| level > 1) => Ok("trace"),
        _ => Err("must be debug, info, error, panic, or a number from 1 to 255".to_owned()),
    }
}

fn zap_encoder(value: &str) -> Result<LogFormat, String> {
    match value {
        "console" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be json or console".to_owned()),
    }
}
