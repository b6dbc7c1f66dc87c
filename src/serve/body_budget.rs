//! The total size of request bodies in flight on a listener: without a limit, a few hundred clients that each send the
//! largest body would exceed the memory of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A body of up to this size is never refused: nearly every review is smaller.
const ALWAYS_ACCEPTED: usize = 64 * 1024;

/// Shared by all connections of a listener.
#[derive(Debug)]
pub(super) struct BodyBudget {
    limit: usize,
    reserved: AtomicUsize,
}

/// The part of one request; released when the last owner is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<BodyBudget>,
    reserved: AtomicUsize,
    refused: AtomicBool,
}

impl BodyBudget {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, reserved: AtomicUsize::new(0) })
    }

    pub(super) fn share(self: &Arc<Self>) -> Arc<Share> {
        Arc::new(Share { budget: Arc::clone(self), reserved: AtomicUsize::new(0), refused: AtomicBool::new(false) })
    }
}

impl Share {
    /// Reserves further bytes. False when that exceeds the limit; the request must be refused then.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        let mine = self.reserved.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let all = self.budget.reserved.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let within = all <= self.budget.limit || mine <= ALWAYS_ACCEPTED;
        if !within {
            self.refused.store(true, Ordering::Relaxed);
        }
        within
    }

    /// Whether a reservation failed.
    pub(super) fn refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.reserved.fetch_sub(*self.reserved.get_mut(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_bodies_are_refused_and_small_ones_are_not() {
        let budget = BodyBudget::new(200_000);
        let (first, second, small) = (budget.share(), budget.share(), budget.share());
        assert!(first.reserve(150_000));
        assert!(second.reserve(50_000));
        assert!(small.reserve(60_000), "a small body was refused");
        assert!(!second.reserve(40_000));
        assert!(second.refused() && !small.refused() && !first.refused());
        drop((first, second));
        let next = budget.share();
        assert!(next.reserve(100_000), "reserved bytes were not released");
        drop((small, next));
        assert_eq!(budget.reserved.load(Ordering::Relaxed), 0);
    }
}
