//! When each Workspace is looked at next. Pure: the runner tells the time.
//!
//! One Workspace is never looked at twice at the same time; what happens meanwhile makes it due again. Failures are
//! repeated with a growing pause, news with a short one. An event that concerns many Workspaces, such as a start or an edit
//! of their kind, holds up nobody's own: those get one turn in four as long as anything else is due.

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
pub(in crate::reconcile) enum Verdict {
    /// Nothing to do until something changes.
    Done,
    /// To be looked at again after that long, if nothing changes before.
    Again(Duration),
    /// It did not work and may the next time; to be looked at again after that long at the latest.
    Failed(Option<Duration>),
    /// There is no such Workspace any longer.
    Gone,
}

/// After so many Workspaces with something of their own one of many is taken, so that those end too.
const BULK_EVERY: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Queue {
    slots: HashMap<Key, Slot>,
    /// By [`Class`]; earliest first. An entry whose time is not that of its slot is out of date.
    orders: [BinaryHeap<Reverse<(Instant, Key)>>; 2],
    waiting: usize,
    /// How many were taken since the last one of many.
    since_bulk: usize,
}

/// Why a Workspace is looked at; an index of what is kept for each.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Class {
    /// Something happened to it.
    #[default]
    Own,
    /// Something happened to many.
    Bulk,
}

#[derive(Debug, Default)]
struct Slot {
    /// By [`Class`].
    due: [Option<Instant>; 2],
    /// The class of the look that runs, or ran last.
    class: Class,
    running: bool,
    failures: u32,
    last_failure: Option<Instant>,
}

impl Slot {
    fn is_waiting(&self) -> bool {
        self.due.iter().any(Option::is_some)
    }
}

impl Queue {
    /// Something changed about a Workspace.
    pub fn add(&mut self, key: Key, urgency: Urgency, now: Instant) {
        let (wanted, class) = match urgency {
            Urgency::Now => (now, Class::Own),
            Urgency::Settling => (now + SETTLE, Class::Own),
            Urgency::Bulk => (now, Class::Bulk),
        };
        let last_failure = self.slots.get(&key).and_then(|slot| slot.last_failure);
        let due = last_failure.map_or(wanted, |failed| wanted.max(failed + FIRST_BACK_OFF));
        self.schedule(key, due, class);
    }

    /// Takes a Workspace whose time has come; [`Queue::finished`] must follow.
    pub fn start(&mut self, now: Instant) -> Option<Key> {
        let bulk_first = self.since_bulk + 1 >= BULK_EVERY;
        let classes = if bulk_first { [Class::Bulk, Class::Own] } else { [Class::Own, Class::Bulk] };
        let class = classes.into_iter().find(|class| self.first(*class).is_some_and(|due| due <= now))?;
        self.since_bulk = if class == Class::Bulk { 0 } else { self.since_bulk + 1 };
        let Reverse((_, key)) = self.orders[class as usize].pop()?;
        let slot = self.slots.get_mut(&key)?;
        // One look does for whatever it was wanted.
        slot.due = [None; 2];
        slot.class = class;
        slot.running = true;
        self.waiting -= 1;
        Some(key)
    }

    /// The time at which [`Queue::start`] has something next.
    pub fn next_due(&mut self) -> Option<Instant> {
        [self.first(Class::Own), self.first(Class::Bulk)].into_iter().flatten().min()
    }

    /// The time of the first of a class.
    fn first(&mut self, class: Class) -> Option<Instant> {
        let order = &mut self.orders[class as usize];
        while let Some(Reverse((due, key))) = order.peek() {
            if self.slots.get(key).is_some_and(|slot| slot.due[class as usize] == Some(*due) && !slot.running) {
                return Some(*due);
            }
            order.pop();
        }
        None
    }

    /// A look has ended.
    pub fn finished(&mut self, key: &Key, verdict: Verdict, now: Instant) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        slot.running = false;
        let class = slot.class;
        self.waiting -= usize::from(slot.is_waiting());
        let mut news = std::mem::take(&mut slot.due);
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
            news = news.map(|due| due.map(|due| due.max(now + FIRST_BACK_OFF)));
        } else {
            slot.failures = 0;
            slot.last_failure = None;
        }
        let wanted = [(news[0], Class::Own), (news[1], Class::Bulk), (after.map(|after| now + after), class)];
        if wanted.iter().all(|(due, _)| due.is_none()) {
            self.slots.remove(key);
        }
        for (due, class) in wanted {
            if let Some(due) = due {
                self.schedule(key.clone(), due, class);
            }
        }
    }

    /// How many Workspaces wait for their time.
    pub fn len(&self) -> usize {
        self.waiting
    }

    fn schedule(&mut self, key: Key, due: Instant, class: Class) {
        let slot = self.slots.entry(key.clone()).or_default();
        if slot.due[class as usize].is_some_and(|held| held <= due) {
            return;
        }
        self.waiting += usize::from(!slot.is_waiting());
        slot.due[class as usize] = Some(due);
        if !slot.running {
            self.orders[class as usize].push(Reverse((due, key)));
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
        queue.finished(&key("a"), Verdict::Done, now + MS);
        assert_eq!(queue.start(now + MS), Some(key("a")));
        queue.finished(&key("a"), Verdict::Done, now + MS);
        assert_eq!((queue.start(now + MS), queue.len(), queue.slots.len()), (None, 0, 0));
    }

    #[tokio::test]
    async fn failures_back_off_to_five_minutes_and_news_shortens_that_to_a_second() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        queue.add(key("a"), Urgency::Now, now);
        let mut pauses = Vec::new();
        for _ in 0..11 {
            assert_eq!(queue.start(now), Some(key("a")));
            queue.finished(&key("a"), Verdict::Failed(None), now);
            let due = queue.next_due().unwrap_or(now);
            pauses.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(queue.start(now), Some(key("a")));
        queue.finished(&key("a"), Verdict::Failed(None), now);
        queue.add(key("a"), Urgency::Now, now + MS);
        assert_eq!(queue.next_due(), Some(now + FIRST_BACK_OFF));
        assert_eq!(queue.start(now + FIRST_BACK_OFF), Some(key("a")));
        queue.finished(&key("a"), Verdict::Done, now + FIRST_BACK_OFF);
        queue.add(key("a"), Urgency::Now, now + FIRST_BACK_OFF);
        assert_eq!(queue.next_due(), Some(now + FIRST_BACK_OFF), "a success ends it");
    }

    #[tokio::test]
    async fn one_of_many_waits_for_those_that_were_changed_themselves_but_not_for_ever() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for name in ["m1", "m2", "m3"] {
            queue.add(key(name), Urgency::Bulk, now);
        }
        for name in ["a", "b", "c", "d", "e"] {
            queue.add(key(name), Urgency::Now, now + MS);
        }
        queue.add(key("m3"), Urgency::Now, now);
        assert_eq!(queue.len(), 8);
        let later = now + MS;
        let order: Vec<_> = std::iter::from_fn(|| queue.start(later)).map(|key| key.name).collect();
        assert_eq!(order, ["m3", "a", "b", "m1", "c", "d", "e", "m2"]);
        assert_eq!(queue.len(), 0);
    }

    #[tokio::test]
    async fn a_timer_makes_no_haste_of_what_concerns_many() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(key("timed"), Urgency::Now, now);
        assert_eq!(queue.start(now), Some(key("timed")));
        queue.finished(&key("timed"), Verdict::Again(Duration::from_secs(15)), now);
        for name in ["timed", "fails"] {
            queue.add(key(name), Urgency::Bulk, now);
        }
        queue.add(key("own"), Urgency::Now, now);
        assert_eq!(queue.next_due(), Some(now), "news do not wait for a timer");
        assert_eq!(queue.start(now), Some(key("own")));
        assert_eq!(queue.start(now), Some(key("fails")));
        assert_eq!(queue.start(now), Some(key("timed")));
        // The next try is one of many too, and waits for the news that came meanwhile.
        queue.add(key("fails"), Urgency::Now, now);
        queue.finished(&key("fails"), Verdict::Failed(None), now);
        assert_eq!(queue.next_due(), Some(now + FIRST_BACK_OFF));
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.start(now + FIRST_BACK_OFF), Some(key("fails")));
        assert_eq!((queue.start(now + FIRST_BACK_OFF), queue.len()), (None, 0));
    }

    #[tokio::test]
    async fn a_failure_is_tried_again_when_the_look_asked_for_it_or_sooner() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        queue.add(key("a"), Urgency::Now, now);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            assert_eq!(queue.start(now), Some(key("a")));
            queue.finished(&key("a"), Verdict::Failed(Some(Duration::from_secs(5))), now);
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
        queue.finished(&key("a"), Verdict::Again(Duration::from_secs(15)), now);
        assert_eq!(queue.next_due(), Some(now + Duration::from_secs(15)));
        queue.add(key("a"), Urgency::Settling, now);
        assert_eq!(queue.next_due(), Some(now + SETTLE));
        assert_eq!(queue.len(), 1);
    }
}
