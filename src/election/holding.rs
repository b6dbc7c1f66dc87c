//! Whether a controller is at work, as one sees it who takes no part in the election: a command before it changes a cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::time::{Instant, sleep};

use crate::client::{CallError, list_all};
use crate::stores::slim::Key;

/// The pause between two reads of a Lease: its holder renews it every two seconds.
const POLL: Duration = Duration::from_secs(1);
/// The longest time for which a Lease that nobody renews is waited for: whoever may write one in some namespace must not keep a
/// command from its work.
const LONGEST_LEASE: Duration = Duration::from_mins(1);

/// What is known of who holds the Leases.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Holding {
    /// Nobody: they are free, or have not been renewed for as long as they last.
    Nobody,
    /// A controller, which has just renewed or acquired one.
    Held {
        /// The Lease.
        lease: Key,
        /// Who holds it.
        holder: String,
    },
    /// It has to be seen, for this long, whether this one is renewed.
    Unknown {
        /// The Lease.
        lease: Key,
        /// Who holds it, or held it before it ended.
        holder: String,
        /// How long until it expires if it is not renewed.
        left: Duration,
    },
}

/// Who holds the Leases with these names, in a namespace or in all of them. Where it has to be seen whether one is renewed, `report` gets a
/// line about it.
///
/// # Errors
/// The Leases cannot be read.
pub async fn who_holds(
    client: &Client,
    namespace: Option<&str>,
    names: &[&str],
    report: impl Fn(&str),
) -> Result<Holding, CallError> {
    let leases: Api<Lease> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let (mut seen, mut is_reported) = (SeenLeases::default(), false);
    loop {
        let mut found = Vec::new();
        for name in names {
            found.extend(list_all(&leases, ListParams::default().fields(&format!("metadata.name={name}"))).await?);
        }
        match seen.observe(found, Instant::now()) {
            Holding::Unknown { lease, holder, left } => {
                if !std::mem::replace(&mut is_reported, true) {
                    let seconds = left.as_secs();
                    report(&format!(
                        "the Lease {lease} names {holder}: waiting {seconds} s to see whether it is renewed"
                    ));
                }
                sleep(left.min(POLL)).await;
            }
            known => return Ok(known),
        }
    }
}

/// The Leases as they were read, and when each was first read so. The times in a Lease are by the clock of its holder, so only
/// this process's own says how long it has not been renewed.
#[derive(Debug, Default)]
struct SeenLeases(BTreeMap<Key, (LeaseSpec, Instant)>);

impl SeenLeases {
    /// Takes the Leases as they are at `now`.
    fn observe(&mut self, leases: Vec<Lease>, now: Instant) -> Holding {
        let mut holding = Holding::Nobody;
        for Lease { metadata, spec } in leases {
            let lease = Key::new(&metadata.namespace.unwrap_or_default(), &metadata.name.unwrap_or_default());
            let spec = spec.unwrap_or_default();
            let since = match self.0.get(&lease) {
                Some((before, since)) if *before == spec => Some(*since),
                Some(_) => None,
                None => Some(now),
            };
            self.0.insert(lease.clone(), (spec.clone(), since.unwrap_or(now)));
            let Some(holder) = spec.holder_identity.filter(|holder| !holder.is_empty()) else { continue };
            let Some(since) = since else { return Holding::Held { lease, holder } };
            let lasts =
                Duration::from_secs(spec.lease_duration_seconds.unwrap_or_default().try_into().unwrap_or_default());
            let left = (since + lasts.min(LONGEST_LEASE)).saturating_duration_since(now);
            let is_longer = match &holding {
                Holding::Unknown { left: other, .. } => left > *other,
                _ => !left.is_zero(),
            };
            if is_longer {
                holding = Holding::Unknown { lease, holder, left };
            }
        }
        holding
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_lease_is_held_that_changes_and_expires_that_does_not() {
        let lease = |namespace: &str, holder: Value, renewed: &str| -> Lease {
            let spec = json!({"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed});
            serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": "l"}, "spec": spec})).unwrap()
        };
        let (start, holder) = (Instant::now(), || "a".to_owned());
        let after = |seconds| start + Duration::from_secs(seconds);
        let unknown = |namespace: &str, left| Holding::Unknown {
            lease: Key::new(namespace, "l"),
            holder: holder(),
            left: Duration::from_secs(left),
        };
        // Its holder's clock is far from ours, either way.
        for renewed in ["2006-01-01T00:00:00.000000Z", "2106-01-01T00:00:00.000000Z"] {
            let mut seen = SeenLeases::default();
            let held = || vec![lease("ns", json!("a"), renewed)];
            assert_eq!(seen.observe(held(), after(0)), unknown("ns", 15));
            assert_eq!(seen.observe(held(), after(14)), unknown("ns", 1));
            assert_eq!(seen.observe(held(), after(15)), Holding::Nobody);
            let renewed = vec![lease("ns", json!("a"), "2026-01-01T00:00:00.000000Z")];
            let held = Holding::Held { lease: Key::new("ns", "l"), holder: holder() };
            assert_eq!(seen.observe(renewed, after(15)), held);
        }
        let mut for_years = lease("ns", json!("a"), "2026-01-01T00:00:00.000000Z");
        for_years.spec.as_mut().unwrap().lease_duration_seconds = Some(i32::MAX);
        assert_eq!(SeenLeases::default().observe(vec![for_years], start), unknown("ns", 60));
        let (first, second) = ("2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:01.000000Z");
        let mut seen = SeenLeases::default();
        assert_eq!(seen.observe(vec![lease("ns", json!(""), first)], after(0)), Holding::Nobody);
        // One of two that nobody has renewed for a while, and one that was acquired since.
        let both = |second_holder: Value| vec![lease("ns", json!(""), first), lease("other", second_holder, first)];
        assert_eq!(seen.observe(both(json!("a")), after(1)), unknown("other", 15));
        let acquired = vec![lease("ns", json!("b"), second), lease("other", json!("a"), first)];
        let held = Holding::Held { lease: Key::new("ns", "l"), holder: "b".to_owned() };
        assert_eq!(seen.observe(acquired, after(2)), held);
        assert_eq!(SeenLeases::default().observe(Vec::new(), start), Holding::Nobody);
    }
}
