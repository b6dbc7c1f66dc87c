//! X.509 dates as `SystemTime`, and as text for messages.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A date that messages print in RFC 3339, UTC, whole seconds (all that X.509 keeps).
pub(crate) fn rfc3339(at: SystemTime) -> String {
    utc(at)
        .and_then(|date| date.format(&Rfc3339).ok())
        .unwrap_or_else(|| "a date outside the years 0 to 9999".to_owned())
}

/// The whole second at or before `at`; `None` outside the years that X.509 can write.
pub(crate) fn utc(at: SystemTime) -> Option<OffsetDateTime> {
    let seconds = match at.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).ok()?,
        Err(before) => {
            let before = before.duration();
            let whole = i64::try_from(before.as_secs()).ok()?;
            -whole - i64::from(before.subsec_nanos() > 0)
        }
    };
    OffsetDateTime::from_unix_timestamp(seconds).ok().filter(|date| (0..=9999).contains(&date.year()))
}

/// Seconds since 1970, as certificates are parsed into; `None` where the platform cannot hold the date.
pub(crate) fn from_unix(seconds: i64) -> Option<SystemTime> {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn prints_whole_seconds_in_utc() {
        let at = UNIX_EPOCH + Duration::from_millis(1_767_323_045_999);
        assert_eq!(rfc3339(at), "2026-01-02T03:04:05Z");
        assert_eq!(rfc3339(UNIX_EPOCH - Duration::from_millis(1)), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn refuses_years_that_a_certificate_cannot_write() {
        let last = from_unix(253_402_300_799).unwrap();
        assert_eq!(rfc3339(last), "9999-12-31T23:59:59Z");
        assert_eq!(utc(last + Duration::from_secs(1)), None);
        assert_eq!(from_unix(-1), Some(UNIX_EPOCH - Duration::from_secs(1)));
    }
}
