//! The lines that checks print, see `docs/checks.md`; the test command lists them at its end.

use std::fmt::Display;
use std::time::Duration;

/// Prints the line of a check: its id, whether it passed, what was measured and what that is compared with.
pub fn report(id: &str, pass: bool, figure: impl Display, limit: impl Display) {
    println!("{id} {} {figure}, limit {limit}", if pass { "pass" } else { "fail" });
}

/// Prints a check's line, and fails unless the figure is within the limit.
///
/// # Panics
/// It is not.
pub fn within(id: &str, what: &str, figure: Duration, limit: Duration) {
    let limited = format!("{:.2} s: {what}", limit.as_secs_f64());
    report(id, figure <= limit, format!("{:.2} s", figure.as_secs_f64()), limited);
    assert!(figure <= limit, "{id}: {what} took {figure:?}, limit {limit:?}");
}

/// Prints a check's line, and fails unless the figure is the expected one.
///
/// # Panics
/// It is not.
pub fn exactly(id: &str, what: &str, figure: usize, expected: usize) {
    report(id, figure == expected, figure, format!("{expected}: {what}"));
    assert_eq!(figure, expected, "{id}: {what}");
}
