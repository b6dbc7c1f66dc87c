//! The rules (pure): when the Lease may be taken, and what is written into it.
//!
//! They are those of client-go's `tools/leaderelection`. A replica trusts no clock but its own: a Lease has expired when it has not
//! changed for its duration, whatever the times in it say. Stricter than client-go: where the Lease is deleted or emptied, its
//! leader gets as long to write it anew as it has to renew it. Laxer: no duration is longer than our own, or a Lease with a
//! wrong one could keep everybody from leading for years; so all that take part have to be configured alike.

use std::time::Duration;

use crds::labels::FIELD_MANAGER;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

/// The duration in a Lease that its leader has released, as client-go writes it.
const RELEASED_SECONDS: i32 = 1;

/// The Lease as it was read last, and since when it has been as it is.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    lease: Option<Lease>,
    since: Instant,
    /// Whether there was never a Lease, as far as this replica knows.
    is_new: bool,
}

/// Who is named in a Lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Holder<'a> {
    /// This replica.
    Me,
    /// Another one, or another controller.
    Other(&'a str),
    /// Nobody: its leader has released it.
    Released,
    /// Nobody, but no leader has released it: it does not exist, or somebody emptied it.
    Nobody,
}

impl Observed {
    /// As it is read first.
    pub fn new(lease: Option<Lease>, now: Instant) -> Self {
        Self { is_new: lease.is_none(), lease, since: now }
    }

    /// As it is read later.
    pub fn update(&mut self, lease: Option<Lease>, now: Instant) {
        let spec = |lease: &Option<Lease>| lease.as_ref().map(|lease| lease.spec.clone().unwrap_or_default());
        if spec(&self.lease) != spec(&lease) {
            self.since = now;
        }
        self.is_new &= lease.is_none();
        self.lease = lease;
    }

    /// The Lease, if there is one.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Who is named in it.
    pub fn holder(&self, me: &str) -> Holder<'_> {
        let Some(spec) = self.lease.as_ref().and_then(|lease| lease.spec.as_ref()) else { return Holder::Nobody };
        match spec.holder_identity.as_deref() {
            Some(identity) if identity == me => Holder::Me,
            None | Some("") if spec.lease_duration_seconds == Some(RELEASED_SECONDS) => Holder::Released,
            None | Some("") => Holder::Nobody,
            Some(other) => Holder::Other(other),
        }
    }

    /// The program that wrote it last, where that is not this controller.
    pub fn stranger(&self) -> Option<&str> {
        self.lease.as_ref().and_then(|lease| written_by(&lease.metadata)).filter(|program| *program != FIELD_MANAGER)
    }

    /// From when on this replica may take it. `duration` is that of the Leases that it writes.
    pub fn free_from(&self, me: &str, duration: Duration) -> Instant {
        match self.holder(me) {
            Holder::Me | Holder::Released => self.since,
            Holder::Nobody if self.is_new => self.since,
            Holder::Nobody => self.since + duration,
            Holder::Other(_) => {
                let seconds = self.lease.as_ref().and_then(|lease| lease.spec.as_ref()?.lease_duration_seconds);
                let theirs = seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
                self.since + theirs.map_or(duration, |theirs| theirs.min(duration))
            }
        }
    }

    /// What has to be written for this replica to be, or to stay, the leader. What others put beside it stays.
    pub fn held_by(&self, me: &str, duration: Duration, name: &str, now: Timestamp) -> Lease {
        let mut lease = self.lease.clone().unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            spec: None,
        });
        let stays = self.holder(me) == Holder::Me;
        let spec = lease.spec.get_or_insert_default();
        if !stays {
            spec.lease_transitions =
                Some(if self.lease.is_some() { spec.lease_transitions.unwrap_or(0).saturating_add(1) } else { 0 });
        }
        if !stays || spec.acquire_time.is_none() {
            spec.acquire_time = Some(MicroTime(now));
        }
        spec.holder_identity = Some(me.to_owned());
        spec.lease_duration_seconds = i32::try_from(duration.as_secs()).ok();
        spec.renew_time = Some(MicroTime(now));
        lease
    }
}

/// The field manager that wrote an object last. It is the name of the program, so it tells the controllers apart.
pub fn written_by(metadata: &ObjectMeta) -> Option<&str> {
    let entries = metadata.managed_fields.as_ref()?;
    entries.iter().max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?.manager.as_deref()
}

/// The Lease of which this replica is the leader, released, as client-go does.
pub(super) fn released(mut lease: Lease, now: Timestamp) -> Lease {
    let spec: &mut LeaseSpec = lease.spec.get_or_insert_default();
    spec.holder_identity = Some(String::new());
    spec.lease_duration_seconds = Some(RELEASED_SECONDS);
    spec.acquire_time = Some(MicroTime(now));
    spec.renew_time = Some(MicroTime(now));
    lease
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    const OURS: Duration = Duration::from_secs(15);

    fn lease(spec: &Value) -> Lease {
        serde_json::from_value(
            json!({"metadata": {"name": "l", "resourceVersion": "7", "labels": {"a": "b"}}, "spec": spec}),
        )
        .unwrap()
    }

    fn named(holder: &str, seconds: i32, renewed: &str) -> Value {
        json!({"holderIdentity": holder, "leaseDurationSeconds": seconds, "renewTime": renewed, "leaseTransitions": 3,
               "acquireTime": "2026-01-01T00:00:00.000000Z"})
    }

    const FIRST: &str = "2026-01-01T00:00:00.000000Z";
    const SECOND: &str = "2031-01-01T00:00:00.000000Z";

    #[tokio::test]
    async fn a_lease_is_free_when_it_has_not_changed_for_its_duration() {
        let start = Instant::now();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        //        the Lease                                              how long it is held
        let rows = [
            (json!(null), 15),
            (json!({}), 15),
            (named("other", 15, FIRST), 15),
            (named("other", 5, FIRST), 5),
            // Garbage: no leader of ours could be replaced for years.
            (named("other", i32::MAX, SECOND), 15),
            (named("other", -1, SECOND), 15),
            (json!({"holderIdentity": "other"}), 15),
            (named("", 15, SECOND), 15),
            (named("", 1, SECOND), 0),
            (json!({"leaseDurationSeconds": 1}), 0),
            (named("me", 15, FIRST), 0),
        ];
        for (spec, held) in rows {
            let observed = Observed::new(Some(lease(&spec)), start);
            assert_eq!(observed.free_from("me", OURS), after(held), "{spec}");
        }
    }

    #[tokio::test]
    async fn what_changes_is_held_anew_whatever_its_times_say() {
        let start = Instant::now();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let mut observed = Observed::new(None, start);
        assert_eq!(observed.free_from("me", OURS), start, "there has never been a leader");
        observed.update(Some(lease(&named("other", 15, SECOND))), after(1));
        observed.update(Some(lease(&named("other", 15, SECOND))), after(9));
        assert_eq!(observed.free_from("me", OURS), after(16), "it has not changed");
        // A clock that is set back.
        observed.update(Some(lease(&named("other", 15, FIRST))), after(10));
        assert_eq!(observed.free_from("me", OURS), after(25));
        observed.update(None, after(11));
        assert_eq!(observed.free_from("me", OURS), after(26), "deleted: its leader writes it anew");
        observed.update(None, after(20));
        assert_eq!(observed.free_from("me", OURS), after(26));
    }

    #[tokio::test]
    async fn what_is_written_is_the_record_of_client_go() {
        let now: Timestamp = SECOND.parse().unwrap();
        let start = Instant::now();
        let spec = |observed: &Observed| {
            let lease = observed.held_by("me", OURS, "l", now);
            assert_eq!(lease.metadata.name.as_deref(), Some("l"));
            serde_json::to_value(lease.spec).unwrap()
        };
        let written = |transitions: i32, acquired: &str| {
            json!({"holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": SECOND, "acquireTime": acquired,
                   "leaseTransitions": transitions})
        };
        assert_eq!(spec(&Observed::new(None, start)), written(0, SECOND));
        assert_eq!(spec(&Observed::new(Some(lease(&named("other", 40, FIRST))), start)), written(4, SECOND));
        assert_eq!(spec(&Observed::new(Some(lease(&json!({}))), start)), written(1, SECOND));
        let mine = Observed::new(Some(lease(&named("me", 15, FIRST))), start);
        assert_eq!(spec(&mine), written(3, FIRST));
        let kept = mine.held_by("me", OURS, "l", now).metadata;
        assert_eq!((kept.resource_version.as_deref(), kept.labels.unwrap().len()), (Some("7"), 1));

        let released = released(lease(&named("me", 15, FIRST)), now);
        let expected = json!({"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": SECOND, "acquireTime": SECOND,
                              "leaseTransitions": 3});
        assert_eq!(serde_json::to_value(&released.spec).unwrap(), expected);
        assert_eq!(Observed::new(Some(released), start).holder("me"), Holder::Released);
    }
}
