//! Waiting for a condition instead of sleeping for a while.

use std::fmt::Display;
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// One look at something that is being waited for: there, or what is seen instead.
pub trait Look<T> {
    /// The value, or a description of what is there instead.
    fn look(self) -> Result<T, String>;
}

impl<T> Look<T> for Option<T> {
    fn look(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing".to_owned())
    }
}

impl<T, E: Display> Look<T> for Result<T, E> {
    fn look(self) -> Result<T, String> {
        self.map_err(|seen| seen.to_string())
    }
}

/// Looks again and again, at first every 10 ms and later five times a second, until `look` finds something.
///
/// A closure that returns `Result` says with `Err` what it sees instead; the timeout message repeats the last of it.
pub fn wait_for<T, L: Look<T>>(what: &str, timeout: Duration, mut look: impl FnMut() -> L) -> Result<T> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(10);
    loop {
        let last = match look().look() {
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
        let mut looks = 0;
        let found = wait_for("three looks", Duration::from_secs(5), || {
            looks += 1;
            (looks == 3).then_some(looks)
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
