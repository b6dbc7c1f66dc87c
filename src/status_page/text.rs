//! Times as people read them.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

pub(super) use crate::visible::{LONG, OURS, SHORT, shown};

/// RFC 3339 in whole seconds.
pub(super) fn written(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// How long ago `time` was, or how far ahead it is, in the two largest units: `2 h 5 min`.
pub(super) fn distance(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(time).abs().min(SignedDuration::MAX).as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, 0) => format!("{hours} h"),
        (0, ..) => format!("{hours} h {minutes} min"),
        (1..=9, 1.., _) => format!("{days} d {hours} h"),
        _ => format!("{days} d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_has_two_units() {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 400);
        let ago = |seconds: i64| distance(now - SignedDuration::from_secs(seconds), now);
        let cases = [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_599, "59 min"),
            (3_600, "1 h"),
            (7_500, "2 h 5 min"),
            (86_399, "23 h 59 min"),
            (86_400, "1 d"),
            (97_200, "1 d 3 h"),
            (86_400 * 30 + 7_200, "30 d"),
        ];
        for (seconds, text) in cases {
            assert_eq!(ago(seconds), text);
            assert_eq!(ago(-seconds), text, "ahead");
        }
    }
}
