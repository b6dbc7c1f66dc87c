//! How many bytes of request bodies all connections of a listener hold together: without a bound a few hundred clients
//! that each send what one may send would be more than the process may have.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A body of this size is taken whatever the others hold: one that is larger than nearly every review has to be sent to
/// be refused for the others' sake.
const ALWAYS_TAKEN: usize = 64 * 1024;

/// Shared by all connections of a listener.
#[derive(Debug)]
pub(super) struct BodyBudget {
    limit: usize,
    held: AtomicUsize,
}

/// What one request holds; given back when the last owner is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<BodyBudget>,
    held: AtomicUsize,
    refused: AtomicBool,
}

impl BodyBudget {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, held: AtomicUsize::new(0) })
    }

    pub(super) fn share(self: &Arc<Self>) -> Arc<Share> {
        Arc::new(Share { budget: Arc::clone(self), held: AtomicUsize::new(0), refused: AtomicBool::new(false) })
    }
}

impl Share {
    /// Takes further bytes. False when that is too much, at which the request has to end.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let mine = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let all = self.budget.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let good = all <= self.budget.limit || mine <= ALWAYS_TAKEN;
        if !good {
            self.refused.store(true, Ordering::Relaxed);
        }
        good
    }

    /// Whether bytes were refused.
    pub(super) fn refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(*self.held.get_mut(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_bodies_give_way_and_small_ones_do_not() {
        let budget = BodyBudget::new(200_000);
        let (first, second, small) = (budget.share(), budget.share(), budget.share());
        assert!(first.take(150_000));
        assert!(second.take(50_000));
        assert!(small.take(60_000), "a small body was refused");
        assert!(!second.take(40_000));
        assert!(second.refused() && !small.refused() && !first.refused());
        drop((first, second));
        let next = budget.share();
        assert!(next.take(100_000), "what was held has not been given back");
        drop((small, next));
        assert_eq!(budget.held.load(Ordering::Relaxed), 0);
    }
}
