//! For how long the API server gives no answer, and when it is asked again. By tokio's clock.

use std::time::Duration;

use tokio::time::Instant;

/// The longest pause between two requests.
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// How long there may be no answer.
const OUTAGE_MAX: Duration = Duration::from_mins(2);

/// Since when there is no answer, and the pause after the last request; nothing while there are answers.
#[derive(Debug, Default)]
pub(super) struct Outage(Option<(Instant, Duration)>);

impl Outage {
    /// There was an answer.
    pub fn end(&mut self) {
        self.0 = None;
    }

    /// There was none: how long to wait before the next request, or `None` where it is no use to go on.
    pub fn pause(&mut self) -> Option<Duration> {
        let (since, pause) = match self.0 {
            None => (Instant::now(), Duration::from_secs(1)),
            Some((since, pause)) => (since, (pause * 2).min(PAUSE_MAX)),
        };
        self.0 = Some((since, pause));
        (since.elapsed() <= OUTAGE_MAX).then_some(pause)
    }
}
