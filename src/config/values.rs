//! The parsers of single values. Each returns the rule as its error, to be printed after the name of the setting.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use crds::labels::{label_value_fault, qualified_name_fault};
use crds::ports::{ConnectPaths, Dialect};
use k8s_openapi::jiff::fmt::friendly::{Spacing, SpanPrinter};
use webhook::{BindCheck, ProtectedKeys};

use super::routing::RedirectScheme;

const MAX_CONCURRENCY: usize = 1000;
/// A patience that is longer is a typing error.
const MAX_PATIENCE: Duration = Duration::from_hours(24);

/// The spellings that Go's `strconv.ParseBool` accepts, and no others: a typo must not mean "false".
pub fn boolean(value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("must be true or false (also 1, t, T, TRUE, True, 0, f, F, FALSE, False)".to_owned()),
    }
}

/// A number of workers.
pub fn concurrency(value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(number) if (1..=MAX_CONCURRENCY).contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number from 1 to {MAX_CONCURRENCY}")),
    }
}

/// How long to wait, as Go's `time.ParseDuration` reads it.
pub fn patience(value: &str) -> Result<Duration, String> {
    let duration = duration(value).filter(|duration| *duration <= MAX_PATIENCE);
    duration.ok_or_else(|| "must be a duration such as 90s, 5m or 1h30m, from 0 to 24h".to_owned())
}

/// For how long something has been so, as Go's `time.ParseDuration` reads it.
pub fn age(value: &str) -> Result<Duration, String> {
    duration(value).ok_or_else(|| "must be a duration such as 90s, 2h or 1h30m".to_owned())
}

/// A duration in Go's syntax: numbers with a unit each, one after the other; only zero needs no unit.
fn duration(value: &str) -> Option<Duration> {
    let mut rest = value.strip_prefix('+').unwrap_or(value);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    loop {
        let is_number = |character: char| character.is_ascii_digit() || character == '.';
        let (number, after) = rest.split_at(rest.find(|character| !is_number(character))?);
        let (unit, after) = after.split_at(after.find(is_number).unwrap_or(after.len()));
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = after;
        if rest.is_empty() {
            return Some(total);
        }
    }
}

/// As it is written on the command line: `1h30m`.
pub fn written(duration: Duration) -> String {
    SpanPrinter::new().spacing(Spacing::None).unsigned_duration_to_string(&duration)
}

/// A number with an optional fraction, as Go's `strconv.ParseFloat` reads it in its decimal forms.
pub fn number(value: &str) -> Result<f64, String> {
    value.parse().map_err(|_| "must be a number".to_owned())
}

/// A number without a fraction.
pub fn whole_number(value: &str) -> Result<i64, String> {
    value.parse().map_err(|_| "must be a whole number".to_owned())
}

/// A path; whether it exists is not checked.
pub fn path(value: &str) -> Result<PathBuf, String> {
    if value.is_empty() || value.contains('\0') {
        return Err("must be a path".to_owned());
    }
    Ok(PathBuf::from(value))
}

/// One path prefix for all Workspaces.
pub fn path_prefix(value: &str) -> Result<ConnectPaths, String> {
    ConnectPaths::fixed(value).map_err(|error| error.to_string())
}

/// At least one dialect.
pub fn dialects(values: &[&str]) -> Result<BTreeSet<Dialect>, String> {
    let parsed: Result<BTreeSet<Dialect>, ()> = values.iter().map(|value| value.parse()).collect();
    parsed.map_err(|()| "must be portId, id or portId,id".to_owned())
}

/// Labels as kubectl writes them: `key=value,key=value`; empty for none.
pub fn labels(value: &str) -> Result<BTreeMap<String, String>, String> {
    let label = |pair: &str| {
        let (key, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?} must be written as key=value"))?;
        let (key, value) = (key.trim(), value.trim());
        let fault = qualified_name_fault(key).map(|fault| format!("key {key:?}: {fault}"));
        match fault.or_else(|| label_value_fault(value).map(|fault| format!("value {value:?}: {fault}"))) {
            None => Ok((key.to_owned(), value.to_owned())),
            Some(fault) => Err(fault),
        }
    };
    value.split(',').filter(|pair| !pair.trim().is_empty()).map(label).collect()
}

/// The action when a user may not bind a ClusterRole.
pub fn bind_check(value: &str) -> Result<BindCheck, String> {
    value.parse().map_err(|()| "must be enforce, warn or off".to_owned())
}

/// Patterns of the keys of labels and annotations.
pub fn protected_keys(values: &[&str]) -> Result<ProtectedKeys, String> {
    let is_pattern = |pattern: &&str| {
        !pattern.is_empty() && pattern.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./*?".contains(&byte))
    };
    if values == [""] {
        return Ok(ProtectedKeys::default());
    }
    match values.iter().find(|pattern| !is_pattern(pattern)) {
        None => Ok(ProtectedKeys::new(values.iter().copied())),
        Some(_) => Err("must consist of letters, digits, '-', '_', '.', '/' and the wildcards '*' and '?'".to_owned()),
    }
}

/// The scheme of a redirect.
pub fn redirect_scheme(value: &str) -> Result<RedirectScheme, String> {
    match value {
        "http" => Ok(RedirectScheme::Http),
        "https" => Ok(RedirectScheme::Https),
        _ => Err("must be http or https".to_owned()),
    }
}
