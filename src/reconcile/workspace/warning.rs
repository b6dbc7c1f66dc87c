//! Warning Events of an object: which of them say something about it now. Pure.

use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::{Timestamp, ToSpan as _};
use tokio::time::Instant;

use super::super::conditions::bounded;
use crate::stores::uid::Uid;

/// How many Events of different reasons are kept.
const KEPT: usize = 8;

/// A warning Event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Warning {
    /// One CamelCase word.
    pub reason: Box<str>,
    /// A sentence.
    pub message: Box<str>,
    /// When it last occurred.
    pub time: Timestamp,
}

/// The warnings of an object as they were read last.
#[derive(Debug)]
pub(super) struct ReadWarnings {
    /// The uid of the object.
    pub of: Uid,
    /// When they were read.
    pub at: Instant,
    /// After how long they are read again.
    pub pause: Duration,
    /// The warnings, newest first.
    pub warnings: Vec<Warning>,
}

/// The warnings among `events` that occurred in the last ten minutes and not before `since`: the newest of each reason,
/// newest first.
pub(super) fn recent(events: Vec<Event>, since: Option<Timestamp>, now: Timestamp) -> Vec<Warning> {
    let oldest = now.saturating_sub(10.minutes()).unwrap_or(Timestamp::MIN);
    let is_recent = |warning: &Warning| warning.time > oldest && since.is_none_or(|since| warning.time >= since);
    let warnings = events.into_iter().filter(|event| event.type_.as_deref() == Some("Warning"));
    let mut warnings: Vec<Warning> = warnings.filter_map(warning).filter(is_recent).collect();
    // Those of the same time in an order that does not depend on that of the list.
    warnings.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| a.message.cmp(&b.message)));
    let mut newest: Vec<Warning> = Vec::new();
    for warning in warnings {
        if newest.len() < KEPT && newest.iter().all(|newer| newer.reason != warning.reason) {
            newest.push(warning);
        }
    }
    newest
}

/// None where there is nothing to quote.
fn warning(event: Event) -> Option<Warning> {
    let message = event.message.filter(|message| !message.is_empty())?;
    let time = [
        event.last_timestamp.map(|time| time.0),
        event.series.and_then(|series| series.last_observed_time).map(|time| time.0),
        event.event_time.map(|time| time.0),
        event.first_timestamp.map(|time| time.0),
    ];
    let time = time.into_iter().flatten().max()?;
    Some(Warning { reason: event.reason.unwrap_or_default().into(), message: bounded(message).into(), time })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-01-01T00:20:00Z";

    fn event(fields: &Value) -> Event {
        let mut event = json!({"type": "Warning", "reason": "R", "message": "m", "metadata": {}, "involvedObject": {}});
        event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(event).unwrap()
    }

    fn messages(events: &[Value], since: Option<&str>) -> Vec<String> {
        let events = events.iter().map(event).collect();
        let since = since.map(|since| since.parse().unwrap());
        let recent = recent(events, since, NOW.parse().unwrap());
        recent.iter().map(|warning| format!("{} {}", warning.reason, warning.message)).collect()
    }

    #[test]
    fn the_newest_of_each_reason_is_kept_newest_first() {
        let events = [
            json!({"reason": "A", "message": "a1", "lastTimestamp": "2026-01-01T00:15:00Z"}),
            json!({"reason": "A", "message": "a2", "lastTimestamp": "2026-01-01T00:17:00Z"}),
            json!({"reason": "B", "message": "b", "lastTimestamp": "2026-01-01T00:16:00Z"}),
            json!({"reason": "C", "message": "c", "lastTimestamp": "2026-01-01T00:18:00Z", "type": "Normal"}),
            json!({"reason": "D", "message": "", "lastTimestamp": "2026-01-01T00:18:00Z"}),
            json!({"reason": "E", "message": "e"}),
        ];
        assert_eq!(messages(&events, None), ["A a2", "B b"]);
        let mut reversed = events.clone();
        reversed.reverse();
        assert_eq!(messages(&reversed, None), ["A a2", "B b"]);
    }

    /// Events of `core/v1` and of `events.k8s.io/v1` have their times in fields of their own.
    #[test]
    fn the_latest_of_its_times_counts() {
        let old = "2026-01-01T00:05:00Z";
        for fields in [
            json!({"firstTimestamp": old, "lastTimestamp": "2026-01-01T00:11:00Z"}),
            json!({"eventTime": "2026-01-01T00:11:00.000000Z"}),
            json!({"eventTime": "2026-01-01T00:05:00.000000Z", "series": {"count": 2, "lastObservedTime": "2026-01-01T00:11:00.000000Z"}}),
            json!({"firstTimestamp": "2026-01-01T00:11:00Z"}),
        ] {
            assert_eq!(messages(&[fields], None), ["R m"]);
        }
        for fields in [
            json!({"firstTimestamp": old, "lastTimestamp": old}),
            json!({"eventTime": "2026-01-01T00:05:00.000000Z"}),
            json!({"lastTimestamp": "2026-01-01T00:10:00Z"}),
        ] {
            assert_eq!(messages(&[fields], None), [""; 0]);
        }
    }

    #[test]
    fn what_was_before_the_last_change_is_over() {
        let before = json!({"reason": "A", "lastTimestamp": "2026-01-01T00:17:00Z"});
        let after = json!({"reason": "B", "lastTimestamp": "2026-01-01T00:19:00Z"});
        assert_eq!(messages(&[before, after], Some("2026-01-01T00:18:30Z")), ["B m"]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long = "ü".repeat(2_000);
        let events: Vec<Value> = (0..50)
            .map(|number| json!({"reason": format!("R{number}"), "message": long, "lastTimestamp": "2026-01-01T00:19:00Z"}))
            .collect();
        let kept = messages(&events, None);
        assert_eq!(kept.len(), KEPT);
        assert!(kept.iter().all(|message| message.len() < 1_030));
    }
}
