//! The parsers of single values. Each returns the rule as its error, to be printed after the name of the setting.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crds::ports::{ConnectPaths, Dialect};
use webhook::{BindCheck, ProtectedKeys};

use super::routing::RedirectScheme;

const MAX_CONCURRENCY: usize = 1000;

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
