//! Contests: another client modifies what we wrote again and again.

use std::time::Duration;

use tokio::time::Instant;

use crate::render::ChildKind;

/// How often in a row a client has to modify a child again just after it was written before that counts as one: nobody does
/// so by hand.
const CONTESTED_AFTER: u32 = 5;
/// After how long without another such change it is over.
const CONTESTED_OVER: Duration = Duration::from_mins(1);

/// A child whose fields another client modifies again and again.
#[derive(Debug)]
pub(super) struct Contest {
    child: ChildKind,
    last: Instant,
    /// How often they did.
    count: u32,
}

impl Contest {
    /// Counts that another client modified that child after it was written, or that none was modified. True once it has become
    /// a contest, and not again until it has stopped for a while.
    pub fn begins(held: &mut Option<Box<Self>>, modified: Option<ChildKind>) -> bool {
        let now = Instant::now();
        *held = held.take().filter(|contest| now - contest.last < CONTESTED_OVER);
        let Some(child) = modified else { return false };
        let contest = held.take().filter(|contest| contest.child == child);
        let contest = held.insert(contest.unwrap_or_else(|| Box::new(Self { child, last: now, count: 0 })));
        contest.last = now;
        contest.count = contest.count.saturating_add(1);
        contest.count == CONTESTED_AFTER
    }
}
