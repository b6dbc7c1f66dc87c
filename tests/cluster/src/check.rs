//! The lines that checks print, see `docs/checks.md`; the test command lists them at its end.

use std::fmt::Display;

/// Prints the line of a check: its id, whether it passed, what was measured and what that is compared with.
pub fn report(id: &str, pass: bool, figure: impl Display, limit: impl Display) {
    println!("{id} {} {figure}, limit {limit}", if pass { "pass" } else { "fail" });
}
