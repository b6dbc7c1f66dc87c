//! Routes that another client undoes again and again, as the Go controller does where it still makes them. Pure, but for the clock.

use std::time::Duration;

use tokio::time::Instant;

use super::super::apply::Hash;
use super::super::contest::Contest;
use crate::render::ChildKind;

/// For how long such a route is left to the other client.
const LEFT: Duration = Duration::from_mins(5);

/// What is remembered of the writes of a route.
#[derive(Debug, Default)]
pub(super) struct Undone {
    /// What was written last.
    written: Option<Hash>,
    contest: Option<Box<Contest>>,
    /// When it was last left to the other client.
    left: Option<Instant>,
}

impl Undone {
    /// The route was written. The same as before only where somebody undid that.
    pub fn written(&mut self, hash: Hash) {
        let is_same = self.written.replace(hash) == Some(hash);
        if Contest::begins(&mut self.contest, is_same.then_some(ChildKind::VirtualService)) {
            self.left = Some(Instant::now());
        }
    }

    /// For how much longer it is left to the other client, if it is.
    pub fn left_for(&self) -> Option<Duration> {
        LEFT.checked_sub(self.left?.elapsed()).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_route_is_left_for_some_minutes_once_it_was_undone_often() {
        let (mut undone, hash) = (Undone::default(), Hash::of_text("route"));
        // The first write undoes nothing.
        for writes in [6, 5] {
            for write in 0..writes {
                assert_eq!(undone.left_for(), None, "{write}");
                undone.written(hash);
                tokio::time::advance(Duration::from_secs(2)).await;
            }
            assert_eq!(undone.left_for(), Some(Duration::from_secs(298)));
            tokio::time::advance(Duration::from_secs(298)).await;
            assert_eq!(undone.left_for(), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn changes_and_what_is_undone_now_and_then_leave_it() {
        let mut undone = Undone::default();
        for change in 0..20 {
            undone.written(Hash::of_text(&change.to_string()));
        }
        for _ in 0..20 {
            tokio::time::advance(Duration::from_mins(1)).await;
            undone.written(Hash::of_text("route"));
        }
        assert_eq!(undone.left_for(), None);
    }
}
