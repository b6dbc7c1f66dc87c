//! Polls for a condition instead of sleeping for a fixed time.

use std::fmt::Display;
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// One poll of a condition: its value, or what was observed instead.
pub trait Poll<T> {
    /// The value, or a description of what was observed instead.
    fn outcome(self) -> Result<T, String>;
}

impl<T> Poll<T> for Option<T> {
    fn outcome(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing".to_owned())
    }
}

impl<T, E: Display> Poll<T> for Result<T, E> {
    fn outcome(self) -> Result<T, String> {
        self.map_err(|seen| seen.to_string())
    }
}

/// Polls, at first every 10 ms and later five times a second, until `poll` returns a value.
///
/// A closure that returns `Result` describes with `Err` what it observed; the timeout error includes the last one.
pub fn wait_for<T, L: Poll<T>>(what: &str, timeout: Duration, mut poll: impl FnMut() -> L) -> Result<T> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(10);
    loop {
        let last = match poll().outcome() {
            Ok(found) => return Ok(found),
            Err(last) => last,
        };
        if started.elapsed() >= timeout {
            return Err(Error::Timeout { what: what.to_owned(), after: timeout, last });
        }
        std::thread::sleep(pause);
        pause = (pause * 3 / 2).min(Duration::from_millis(200));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn returns_what_was_found() {
        let mut polls = 0;
        let found = wait_for("three polls", Duration::from_secs(5), || {
            polls += 1;
            (polls == 3).then_some(polls)
        });
        assert_eq!(found.unwrap(), 3);
    }

    #[test]
    fn says_what_it_saw_last() {
        let error =
            wait_for("a pod", Duration::from_millis(1), || Err::<(), _>("phase Pending")).unwrap_err().to_string();
        assert_eq!(error, "waited 1ms for a pod; last seen: phase Pending");
    }
}
