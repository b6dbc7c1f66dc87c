//! When what is done with [`Material`]: a pure function of what is stored, of what clients trust, and of the time.
//!
//! Two rules make a rotation safe for any number of replicas, without an agreement between them:
//!
//! - **Trusted before served.** A certificate of a new CA is issued only once clients have trusted that CA for a while
//!   ([`Schedule::settle`]), and no replica gives up one that clients trust for one that they may not know yet
//!   ([`Schedule::is_to_be_served`]).
//! - **Trusted until expired.** The write that stores a new CA throws the key of the one before away, so all certificates of that
//!   one are as old as the new CA at least. Once the longest of them has expired, nobody can serve one, and only then clients
//!   stop trusting it.
//!
//! So a replica that learns of nothing for days goes on serving a certificate that clients trust, until that expires, which is
//! what its readiness reports.

use std::time::{Duration, SystemTime};

use crate::bundle::{Bundle, TrustedCa};
use crate::issue::SubjectAltName;
use crate::material::Material;
use crate::validity::Schedule;

/// The most that it takes an API server to see a change of what it trusts, however many there are of them.
const LONGEST_SETTLE: Duration = Duration::from_mins(1);
/// The most that the clocks of replicas and clients differ.
const LARGEST_SKEW: Duration = Duration::from_mins(5);
/// A certificate is renewed for the last third of its validity.
const RENEWAL: u32 = 3;

/// What is to be done next. Each but the first is one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Keep,
    /// To issue a certificate, see [`Material::renew_leaf`].
    RenewLeaf,
    /// To add a CA, see [`Material::rotate_ca`].
    RotateCa,
    /// To drop the others, see [`Material::drop_old_cas`].
    DropOldCas,
}

impl Schedule {
    /// For how long a CA has to have been published before certificates of it are served.
    pub fn settle(&self) -> Duration {
        LONGEST_SETTLE.min(self.leaf / 20)
    }

    fn skew(&self) -> Duration {
        LARGEST_SKEW.min(self.leaf / 10)
    }

    /// The next step. `published` is what clients trust, or nothing where there are no clients. The certificate is to
    /// have all these names.
    pub fn next(
        &self,
        held: &Material,
        published: Option<&Published>,
        names: &[SubjectAltName],
        now: SystemTime,
    ) -> Step {
        // A certificate must not end before its time because its CA does.
        if left(held.ca().not_after(), now) < 2 * self.leaf {
            return Step::RotateCa;
        }
        let leaf_left = left(held.leaf_not_after(), now);
        let is_due = if held.leaf_issuer() == held.ca() {
            leaf_left < self.leaf / RENEWAL || !names.iter().all(|name| held.names().contains(name))
        } else {
            leaf_left.is_zero() || self.is_settled(held.ca(), published, now)
        };
        if is_due {
            return Step::RenewLeaf;
        }
        let nobody_serves_others = held.ca().issued_at() + self.leaf + self.skew() <= now;
        if nobody_serves_others && held.trusted().certificates().len() > 1 && held.leaf_issuer() == held.ca() {
            return Step::DropOldCas;
        }
        Step::Keep
    }

    /// The names of a certificate that is issued now. While replicas differ about them, as during an upgrade, it has those of
    /// both, or each would renew the certificate of the other.
    pub fn names_to_issue(&self, held: &Material, names: &[SubjectAltName], now: SystemTime) -> Vec<SubjectAltName> {
        let is_renewal = left(held.leaf_not_after(), now) < self.leaf / RENEWAL;
        let others = held.names().iter().filter(|name| !is_renewal && !names.contains(name));
        names.iter().chain(others).cloned().collect()
    }

    /// Whether a replica that serves a certificate of `served` goes over to the one of `held`.
    pub fn is_to_be_served(
        &self,
        held: &Material,
        served: Option<&Serving>,
        published: Option<&Published>,
        now: SystemTime,
    ) -> bool {
        let (Some(served), Some(trusted)) = (served, published) else { return true };
        let is_good = now <= served.not_after && trusted.bundle.contains(&served.issuer);
        !is_good || served.issuer == *held.leaf_issuer() || self.is_settled(held.leaf_issuer(), published, now)
    }

    fn is_settled(&self, ca: &TrustedCa, published: Option<&Published>, now: SystemTime) -> bool {
        published.is_none_or(|published| published.since(ca).is_some_and(|since| since + self.settle() <= now))
    }
}

/// Nothing where that is past.
fn left(until: SystemTime, now: SystemTime) -> Duration {
    until.duration_since(now).unwrap_or_default()
}

/// The certificate that a replica serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// The CA that has signed it.
    pub issuer: TrustedCa,
    /// The last moment of its validity.
    pub not_after: SystemTime,
}

/// What clients trust, as one replica has seen it.
#[derive(Debug, Clone, Default)]
pub struct Published {
    bundle: Bundle,
    since: Vec<(TrustedCa, SystemTime)>,
}

impl Published {
    /// Clients trust this bundle now.
    pub fn observe(&mut self, bundle: Bundle, now: SystemTime) {
        let seen = |ca: &TrustedCa| self.since(ca).map_or(now, |since| since.min(now));
        self.since = bundle.certificates().iter().map(|ca| (ca.clone(), seen(ca))).collect();
        self.bundle = bundle;
    }

    /// Since when they have trusted this CA, as far as was seen; nothing where they do not.
    pub fn since(&self, ca: &TrustedCa) -> Option<SystemTime> {
        self.since.iter().find(|(seen, _)| seen == ca).map(|(_, since)| *since)
    }

    /// Whether they trust this CA.
    pub fn contains(&self, ca: &TrustedCa) -> bool {
        self.bundle.contains(ca)
    }

    /// All that they trust.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }
}

#[cfg(test)]
mod tests;
