//! How often something happened in each of the last sixty minutes: what the status page draws.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many minutes are kept.
pub const MINUTES: usize = 60;

/// Counts by minute. The minutes are those since the process started; nothing runs between two events.
#[derive(Debug)]
pub(super) struct PerMinute {
    start: Instant,
    counts: Mutex<MinuteCounts>,
}

#[derive(Debug)]
struct MinuteCounts {
    /// The minute of the newest count.
    minute: u64,
    /// The newest is at `minute % MINUTES`.
    ring: [u32; MINUTES],
}

impl PerMinute {
    pub(super) fn new() -> Self {
        let counts = MinuteCounts { minute: 0, ring: [0; MINUTES] };
        Self { start: Instant::now(), counts: Mutex::new(counts) }
    }

    /// It happened now.
    pub(super) fn add(&self) {
        self.at_this_minute(|counts| {
            let slot = slot(counts.minute);
            counts.ring[slot] = counts.ring[slot].saturating_add(1);
        });
    }

    /// How often it happened in each minute, the oldest first; the last one is under way.
    pub(super) fn last_hour(&self) -> Vec<u32> {
        self.at_this_minute(|counts| {
            let oldest = slot(counts.minute + 1);
            [&counts.ring[oldest..], &counts.ring[..oldest]].concat()
        })
    }

    fn at_this_minute<T>(&self, access: impl FnOnce(&mut MinuteCounts) -> T) -> T {
        let minute = self.start.elapsed().as_secs() / Duration::from_mins(1).as_secs();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for passed in (counts.minute + 1..=minute).take(MINUTES) {
            // Whichever minutes these are: all of the ring is older where more have passed.
            counts.ring[slot(passed)] = 0;
        }
        counts.minute = counts.minute.max(minute);
        access(&mut counts)
    }
}

fn slot(minute: u64) -> usize {
    // The remainder is small.
    usize::try_from(minute % MINUTES as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_minute_has_its_count_and_an_hour_is_kept() {
        let counts = PerMinute::new();
        let after = |times: &[(usize, u32)]| {
            let mut expected = vec![0; MINUTES];
            for (ago, count) in times {
                expected[MINUTES - 1 - ago] = *count;
            }
            expected
        };
        assert_eq!(counts.last_hour(), after(&[]));
        counts.add();
        counts.add();
        tokio::time::advance(Duration::from_secs(59)).await;
        counts.add();
        assert_eq!(counts.last_hour(), after(&[(0, 3)]));
        tokio::time::advance(Duration::from_secs(1)).await;
        counts.add();
        assert_eq!(counts.last_hour(), after(&[(1, 3), (0, 1)]));
        tokio::time::advance(Duration::from_mins(58)).await;
        assert_eq!(counts.last_hour(), after(&[(59, 3), (58, 1)]));
        tokio::time::advance(Duration::from_mins(1)).await;
        counts.add();
        assert_eq!(counts.last_hour(), after(&[(59, 1), (0, 1)]));
        tokio::time::advance(Duration::from_hours(1000)).await;
        assert_eq!(counts.last_hour(), after(&[]));
    }
}
