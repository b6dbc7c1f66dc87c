//! When each Workspace is looked at next. Pure: the runner tells the time.
//!
//! One Workspace is never looked at twice at the same time; what happens meanwhile makes it due again. Failures are
//! repeated with a growing pause, news with a short one. An event that concerns many Workspaces, such as a start or an edit
//! of their kind, holds up nobody's own: those are only taken when nothing else is due.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::stores::Urgency;
use crate::stores::slim::Key;

/// News about children and pods come in swarms; they are looked at together.
const SETTLE: Duration = Duration::from_millis(50);
/// The pause after a first failure, and the least one between a failure and the next try.
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const LONGEST_BACK_OFF: Duration = Duration::from_mins(5);

/// How a look at a Workspace ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Nothing to do until something changes.
    Done,
    /// To be looked at again after that long, if nothing changes before.
    Again(Duration),
    /// It did not work and may the next time; to be looked at again after that long at the latest.
    Failed(Option<Duration>),
    /// There is no such Workspace any longer.
    Gone,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    slots: HashMap<Key, Slot>,
    prompt: Order,
    bulk: Order,
    waiting: usize,
}

/// Earliest first. An entry that is not its slot's [`Due`] is out of date.
type Order = BinaryHeap<Reverse<(Instant, Key)>>;

/// When a Workspace is looked at next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Due {
    at: Instant,
    /// Only when nothing else is due.
    bulk: bool,
}

#[derive(Debug, Default)]
struct Slot {
    due: Option<Due>,
    running: bool,
    failures: u32,
    last_failure: Option<Instant>,
}

impl Queue {
    /// Something changed about a Workspace.
    pub fn add(&mut self, key: Key, urgency: Urgency, now: Instant) {
        let wanted = match urgency {
            Urgency::Now | Urgency::Bulk => now,
            Urgency::Settling => now + SETTLE,
        };
        let last_failure = self.slots.get(&key).and_then(|slot| slot.last_failure);
        let at = last_failure.map_or(wanted, |failed| wanted.max(failed + FIRST_BACK_OFF));
        self.schedule(key, Due { at, bulk: urgency == Urgency::Bulk });
    }

    /// Takes a Workspace whose time has come; [`Queue::finished`] must follow.
    pub fn start(&mut self, now: Instant) -> Option<Key> {
        for bulk in [false, true] {
            if let Some(at) = self.first(bulk)
                && at <= now
            {
                let Reverse((_, key)) = self.order(bulk).pop()?;
                let slot = self.slots.get_mut(&key)?;
                slot.due = None;
                slot.running = true;
                self.waiting -= 1;
                return Some(key);
            }
        }
        None
    }

    /// The time at which [`Queue::start`] has something next.
    pub fn next_due(&mut self) -> Option<Instant> {
        [self.first(false), self.first(true)].into_iter().flatten().min()
    }

    /// The time of the first in one of the orders.
    fn first(&mut self, bulk: bool) -> Option<Instant> {
        let order = if bulk { &mut self.bulk } else { &mut self.prompt };
        while let Some(Reverse((at, key))) = order.peek() {
            let due = Some(Due { at: *at, bulk });
            if self.slots.get(key).is_some_and(|slot| slot.due == due && !slot.running) {
                return Some(*at);
            }
            order.pop();
        }
        None
    }

    fn order(&mut self, bulk: bool) -> &mut Order {
        if bulk { &mut self.bulk } else { &mut self.prompt }
    }

    /// A look has ended.
    pub fn finished(&mut self, key: Key, verdict: Verdict, now: Instant) {
        let Some(slot) = self.slots.get_mut(&key) else { return };
        slot.running = false;
        let mut news = slot.due.take();
        if news.is_some() {
            self.waiting -= 1;
        }
        let mut after = match verdict {
            Verdict::Done | Verdict::Gone => None,
            Verdict::Again(after) => Some(after),
            Verdict::Failed(after) => after,
        };
        if let Verdict::Failed(_) = verdict {
            slot.failures = slot.failures.saturating_add(1);
            slot.last_failure = Some(now);
            let pause = back_off(slot.failures);
            after = Some(after.map_or(pause, |after| after.clamp(FIRST_BACK_OFF, pause)));
            news = news.map(|news| Due { at: news.at.max(now + FIRST_BACK_OFF), ..news });
        } else {
            slot.failures = 0;
            slot.last_failure = None;
        }
        if news.is_none() && after.is_none() {
            self.slots.remove(&key);
            return;
        }
        if let Some(after) = after {
            self.schedule(key.clone(), Due { at: now + after, bulk: false });
        }
        if let Some(news) = news {
            self.schedule(key, news);
        }
    }

    /// How many Workspaces wait for their time.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// The earlier time holds, and whether it is one of many only as long as nothing else asks for it.
    fn schedule(&mut self, key: Key, wanted: Due) {
        let slot = self.slots.entry(key.clone()).or_default();
        let due = match slot.due {
            Some(held) => Due { at: held.at.min(wanted.at), bulk: held.bulk && wanted.bulk },
            None => {
                self.waiting += 1;
                wanted
            }
        };
        let is_new = slot.due.replace(due) != Some(due);
        if is_new && !slot.running {
            self.order(due.bulk).push(Reverse((due.at, key)));
        }
    }
}

/// The pause after so many failures in a row.
fn back_off(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (FIRST_BACK_OFF * 2_u32.pow(doublings)).min(LONGEST_BACK_OFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("ns", name)
    }

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn news_that_settles_is_looked_at_once_and_changes_at_once() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(key("a"), Urgency::Settling, now);
        queue.add(key("a"), Urgency::Settling, now + 20 * MS);
        assert_eq!(queue.start(now), None);
        assert_eq!(queue.next_due(), Some(now + SETTLE));
        assert_eq!(queue.start(now + SETTLE), Some(key("a")));
        assert_eq!(queue.start(now + SETTLE), None);
        queue.add(key("b"), Urgency::Settling, now);
        queue.add(key("b"), Urgency::Now, now);
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.start(now), Some(key("b")));
        assert_eq!(queue.len(), 0);
    }

    #[tokio::test]
    async fn one_workspace_is_never_looked_at_twice_at_a_time() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(key("a"), Urgency::Now, now);
        assert_eq!(queue.start(now), Some(key("a")));
        queue.add(key("a"), Urgency::Now, now);
        assert_eq!((queue.start(now), queue.next_due(), queue.len()), (None, None, 1));
        queue.finished(key("a"), Verdict::Done, now + MS);
        assert_eq!(queue.start(now + MS), Some(key("a")));
        queue.finished(key("a"), Verdict::Done, now + MS);
        assert_eq!((queue.start(now + MS), queue.len(), queue.slots.len()), (None, 0, 0));
    }

    #[tokio::test]
    async fn failures_back_off_to_five_minutes_and_news_shortens_that_to_a_second() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        queue.add(key("a"), Urgency::Now, now);
        let mut pauses = Vec::new();
        for _ in 0..11 {
            assert_eq!(queue.start(now), Some(key("a")));
            queue.finished(key("a"), Verdict::Failed(None), now);
            let due = queue.next_due().unwrap_or(now);
            pauses.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(queue.start(now), Some(key("a")));
        queue.finished(key("a"), Verdict::Failed(None), now);
        queue.add(key("a"), Urgency::Now, now + MS);
        assert_eq!(queue.next_due(), Some(now + FIRST_BACK_OFF));
        assert_eq!(queue.start(now + FIRST_BACK_OFF), Some(key("a")));
        queue.finished(key("a"), Verdict::Done, now + FIRST_BACK_OFF);
        queue.add(key("a"), Urgency::Now, now + FIRST_BACK_OFF);
        assert_eq!(queue.next_due(), Some(now + FIRST_BACK_OFF), "a success ends it");
    }

    #[tokio::test]
    async fn one_of_many_waits_for_those_that_were_changed_themselves() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for name in ["m1", "m2", "m3"] {
            queue.add(key(name), Urgency::Bulk, now);
        }
        queue.add(key("own"), Urgency::Now, now + MS);
        queue.add(key("m3"), Urgency::Now, now + 2 * MS);
        assert_eq!(queue.len(), 4);
        let later = now + 2 * MS;
        let order: Vec<_> = std::iter::from_fn(|| queue.start(later)).map(|key| key.name).collect();
        assert_eq!(order, ["m3", "own", "m1", "m2"]);
        queue.add(key("m1"), Urgency::Bulk, later);
        queue.finished(key("m1"), Verdict::Again(Duration::from_secs(15)), later);
        assert_eq!(queue.next_due(), Some(later), "news do not wait for a timer");
        assert_eq!(queue.len(), 1);
    }

    #[tokio::test]
    async fn a_failure_is_tried_again_when_the_look_asked_for_it_or_sooner() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        queue.add(key("a"), Urgency::Now, now);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            assert_eq!(queue.start(now), Some(key("a")));
            queue.finished(key("a"), Verdict::Failed(Some(Duration::from_secs(5))), now);
            let due = queue.next_due().unwrap_or(now);
            pauses.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(pauses, [1, 2, 4, 5, 5, 5]);
    }

    #[tokio::test]
    async fn a_timer_gives_way_to_news() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(key("a"), Urgency::Now, now);
        assert_eq!(queue.start(now), Some(key("a")));
        queue.finished(key("a"), Verdict::Again(Duration::from_secs(15)), now);
        assert_eq!(queue.next_due(), Some(now + Duration::from_secs(15)));
        queue.add(key("a"), Urgency::Settling, now);
        assert_eq!(queue.next_due(), Some(now + SETTLE));
        assert_eq!(queue.len(), 1);
    }
}
