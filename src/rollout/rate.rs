//! How many restarts there are in a time: `5/min`. Pure, but for [`Pace`], which counts by tokio's clock.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio::time::Instant;

const COUNT_MAX: u32 = 1000;
const UNITS: [(&str, Duration); 3] =
    [("s", Duration::from_secs(1)), ("min", Duration::from_mins(1)), ("h", Duration::from_hours(1))];

/// At most so many in a unit of time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    count: u32,
    unit: &'static str,
    per: Duration,
}

impl Rate {
    /// The time between two.
    pub fn interval(self) -> Duration {
        self.per / self.count
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = || {
            let (count, unit) = text.split_once('/')?;
            let count = count.parse().ok().filter(|count| (1..=COUNT_MAX).contains(count))?;
            let (unit, per) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
            Some(Self { count, unit, per })
        };
        parsed().ok_or_else(|| {
            format!("must be a whole number from 1 to {COUNT_MAX} and a unit of time: 5/min, 1/s or 100/h for example")
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.count, self.unit)
    }
}

/// When the next restart may be: evenly spaced. Time that was not used is not made up for, so there is never a burst.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    due: Instant,
}

impl Pace {
    /// The first one may be now.
    pub fn new(rate: Rate) -> Self {
        Self { interval: rate.interval(), due: Instant::now() }
    }

    /// When the next one may be.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// There was one now.
    pub fn restarted(&mut self) {
        self.due = Instant::now() + self.interval;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::time::{sleep, sleep_until};

    use super::*;

    #[test]
    fn a_rate_is_a_number_and_a_unit_of_time() {
        for (text, interval) in [
            ("5/min", Duration::from_secs(12)),
            ("1/s", Duration::from_secs(1)),
            ("1000/s", Duration::from_millis(1)),
            ("100/h", Duration::from_secs(36)),
            ("1/h", Duration::from_hours(1)),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.interval(), rate.to_string()), (interval, text.to_owned()));
        }
        let error = "must be a whole number from 1 to 1000 and a unit of time: 5/min, 1/s or 100/h for example";
        for text in
            ["", "5", "5/", "/min", "0/min", "-1/min", "1001/min", "5/m", "5/minute", "2.5/min", "5 / min", "5/d"]
        {
            assert_eq!(text.parse::<Rate>(), Err(error.to_owned()), "{text:?}");
        }
    }

    /// The times at which there is one, in seconds, where each waits `before` longer than it has to.
    async fn times(before: &[u64]) -> Vec<u64> {
        let start = Instant::now();
        let mut pace = Pace::new("5/min".parse().unwrap());
        let mut times = Vec::new();
        for seconds in before {
            sleep_until(pace.due()).await;
            sleep(Duration::from_secs(*seconds)).await;
            times.push(start.elapsed().as_secs());
            pace.restarted();
        }
        times
    }

    #[tokio::test(start_paused = true)]
    async fn restarts_are_evenly_spaced_and_lost_time_makes_no_burst() {
        assert_eq!(times(&[0; 6]).await, [0, 12, 24, 36, 48, 60]);
        assert_eq!(times(&[0, 100, 0, 0, 3, 0]).await, [0, 112, 124, 136, 151, 163]);
    }
}
