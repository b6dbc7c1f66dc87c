//! When each Workspace is looked at next. Pure: the runner tells the time.
//!
//! One Workspace is never looked at twice at the same time; what happens meanwhile makes it due again. Failures are
//! repeated with a growing pause, news with a short one.

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
    /// It did not work and may the next time.
    Failed,
    /// There is no such Workspace any longer.
    Gone,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    slots: HashMap<Key, Slot>,
    /// Earliest first. An entry whose time is not that of its slot is out of date.
    order: BinaryHeap<Reverse<(Instant, Key)>>,
    waiting: usize,
}

#[derive(Debug, Default)]
struct Slot {
    due: Option<Instant>,
    running: bool,
    failures: u32,
    last_failure: Option<Instant>,
}

impl Queue {
    /// Something changed about a Workspace.
    pub fn add(&mut self, key: Key, urgency: Urgency, now: Instant) {
        let wanted = match urgency {
            Urgency::Now => now,
            Urgency::Settling => now + SETTLE,
        };
        let last_failure = self.slots.get(&key).and_then(|slot| slot.last_failure);
        let due = last_failure.map_or(wanted, |failed| wanted.max(failed + FIRST_BACK_OFF));
        self.schedule(key, due);
    }

    /// Takes a Workspace whose time has come; [`Queue::finished`] must follow.
    pub fn start(&mut self, now: Instant) -> Option<Key> {
        while let Some(Reverse((due, key))) = self.order.peek() {
            let slot = self.slots.get_mut(key).filter(|slot| slot.due == Some(*due) && !slot.running);
            match slot {
                Some(_) if *due > now => return None,
                Some(slot) => {
                    slot.due = None;
                    slot.running = true;
                    self.waiting -= 1;
                    return self.order.pop().map(|Reverse((_, key))| key);
                }
                None => {
                    self.order.pop();
                }
            }
        }
        None
    }

    /// The time at which [`Queue::start`] has something next.
    pub fn next_due(&mut self) -> Option<Instant> {
        while let Some(Reverse((due, key))) = self.order.peek() {
            if self.slots.get(key).is_some_and(|slot| slot.due == Some(*due) && !slot.running) {
                return Some(*due);
            }
            self.order.pop();
        }
        None
    }

    /// A look has ended.
    pub fn finished(&mut self, key: Key, verdict: Verdict, now: Instant) {
        let Some(slot) = self.slots.get_mut(&key) else { return };
        slot.running = false;
        let news = slot.due.take();
        if news.is_some() {
            self.waiting -= 1;
        }
        let next = match verdict {
            Verdict::Failed => {
                slot.failures = slot.failures.saturating_add(1);
                slot.last_failure = Some(now);
                let news = news.map(|news| news.max(now + FIRST_BACK_OFF));
                Some(news.unwrap_or_else(|| now + back_off(slot.failures)))
            }
            Verdict::Done | Verdict::Gone => news,
            Verdict::Again(after) => Some(news.map_or(now + after, |news| news.min(now + after))),
        };
        if verdict != Verdict::Failed {
            slot.failures = 0;
            slot.last_failure = None;
        }
        match next {
            Some(due) => self.schedule(key, due),
            None => {
                self.slots.remove(&key);
            }
        }
    }

    /// How many Workspaces wait for their time.
    pub fn len(&self) -> usize {
        self.waiting
    }

    fn schedule(&mut self, key: Key, due: Instant) {
        let slot = self.slots.entry(key.clone()).or_default();
        match slot.due {
            Some(held) if held <= due => return,
            Some(_) => {}
            None => self.waiting += 1,
        }
        slot.due = Some(due);
        if !slot.running {
            self.order.push(Reverse((due, key)));
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
            queue.finished(key("a"), Verdict::Failed, now);
            let due = queue.next_due().unwrap_or(now);
            pauses.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(queue.start(now), Some(key("a")));
        queue.finished(key("a"), Verdict::Failed, now);
        queue.add(key("a"), Urgency::Now, now + MS);
        assert_eq!(queue.next_due(), Some(now + FIRST_BACK_OFF));
        assert_eq!(queue.start(now + FIRST_BACK_OFF), Some(key("a")));
        queue.finished(key("a"), Verdict::Done, now + FIRST_BACK_OFF);
        queue.add(key("a"), Urgency::Now, now + FIRST_BACK_OFF);
        assert_eq!(queue.next_due(), Some(now + FIRST_BACK_OFF), "a success ends it");
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
