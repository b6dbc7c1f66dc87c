//! When each object is reconciled next. Pure: the runner passes the time.
//!
//! One object is never reconciled twice at the same time; an event during its reconcile makes it due once more. Failures are
//! retried with a growing pause, events of dependents are debounced. An event that concerns many objects, such as a start,
//! does not hold up those with an event of their own: as long as any of these is due, the many get one turn in four.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::stores::Urgency;
use crate::stores::slim::Key;

/// Events of dependents come in bursts; one reconcile does for all of a burst.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// The pause after a first failure, and the least one between a failure and the next try.
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const LONGEST_BACK_OFF: Duration = Duration::from_mins(5);

/// When an object that was reconciled is reconciled again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::reconcile) enum Requeue {
    /// When something changes.
    Done,
    /// After that long, if nothing changes before.
    After(Duration),
    /// With a growing pause, for it failed; after that long at the latest.
    Retry(Option<Duration>),
    /// Never: there is no such object any longer, and its memory is dropped.
    Forget,
}

impl Requeue {
    /// Not later than `pause` from now.
    #[must_use]
    pub fn or_after(self, pause: Option<Duration>) -> Self {
        let Some(pause) = pause else { return self };
        match self {
            Self::Done => Self::After(pause),
            Self::After(after) => Self::After(after.min(pause)),
            Self::Retry(after) => Self::Retry(Some(after.map_or(pause, |after| after.min(pause)))),
            Self::Forget => Self::Forget,
        }
    }

    /// As a failure.
    #[must_use]
    pub fn or_retry(self) -> Self {
        match self {
            Self::Done => Self::Retry(None),
            Self::After(after) => Self::Retry(Some(after)),
            Self::Retry(_) | Self::Forget => self,
        }
    }
}

/// Why an object is reconciled, for its log lines.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::reconcile) enum ReconcileCause {
    /// It changed.
    #[default]
    Changed,
    /// A dependent object changed.
    DependentChanged,
    /// A start, or a change that concerns many objects.
    Bulk,
    /// A time came that its last reconcile asked for.
    Timer,
    /// Its last reconcile failed.
    Retry,
}

impl ReconcileCause {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::DependentChanged => "dependent changed",
            Self::Bulk => "start or bulk change",
            Self::Timer => "timer",
            Self::Retry => "retry",
        }
    }

    /// The label of metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::DependentChanged => "dependent_changed",
            Self::Bulk => "bulk",
            Self::Timer => "timer",
            Self::Retry => "retry",
        }
    }
}

/// For so many objects there is always room.
const FEW: usize = 64;
/// Every n-th turn is for an object of a bulk event, so that those are reconciled too.
const BULK_EVERY: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Queue {
    slots: HashMap<Key, Slot>,
    /// By [`Class`]; earliest first. An entry whose time differs from that of its slot is out of date.
    orders: [BinaryHeap<Reverse<(Instant, Key)>>; 2],
    waiting: usize,
    /// How many individual turns there were since the last bulk one.
    since_bulk: usize,
}

/// The class of objects that a turn is for; an index of what is kept for each.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Class {
    /// An object with an event of its own.
    #[default]
    Individual,
    /// One of many with a common event.
    Bulk,
}

#[derive(Debug, Default)]
struct Slot {
    /// By [`Class`].
    due: [Option<Instant>; 2],
    /// Why, by [`Class`].
    causes: [ReconcileCause; 2],
    /// How long it was due before the reconcile that runs, or ran last.
    waited: Duration,
    /// The class of the reconcile that runs, or ran last.
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
    /// An event concerns the object.
    pub fn add(&mut self, key: Key, urgency: Urgency, now: Instant) {
        let (wanted, class, cause) = match urgency {
            Urgency::Now => (now, Class::Individual, ReconcileCause::Changed),
            Urgency::Debounced => (now + DEBOUNCE, Class::Individual, ReconcileCause::DependentChanged),
            Urgency::Bulk => (now, Class::Bulk, ReconcileCause::Bulk),
        };
        let last_failure = self.slots.get(&key).and_then(|slot| slot.last_failure);
        let due = last_failure.map_or(wanted, |failed| wanted.max(failed + FIRST_BACK_OFF));
        self.schedule(key, due, class, cause);
    }

    /// Takes an object that is due; [`Queue::finished`] must follow.
    pub fn start(&mut self, now: Instant) -> Option<Key> {
        let bulk_first = self.since_bulk + 1 >= BULK_EVERY;
        let classes = if bulk_first { [Class::Bulk, Class::Individual] } else { [Class::Individual, Class::Bulk] };
        let class = classes.into_iter().find(|class| self.first(*class).is_some_and(|due| due <= now))?;
        self.since_bulk = if class == Class::Bulk { 0 } else { self.since_bulk + 1 };
        let Reverse((_, key)) = self.orders[class as usize].pop()?;
        let slot = self.slots.get_mut(&key)?;
        slot.waited = now - slot.due[class as usize].unwrap_or(now);
        // One reconcile does for both.
        slot.due = [None; 2];
        slot.class = class;
        slot.running = true;
        self.waiting -= 1;
        Some(key)
    }

    /// Why the object that is reconciled now is.
    pub fn cause(&self, key: &Key) -> ReconcileCause {
        self.slots.get(key).map_or_else(ReconcileCause::default, |slot| slot.causes[slot.class as usize])
    }

    /// How long the object that is reconciled now was due before.
    pub fn waited(&self, key: &Key) -> Duration {
        self.slots.get(key).map_or(Duration::ZERO, |slot| slot.waited)
    }

    /// The time at which [`Queue::start`] has something next.
    pub fn next_due(&mut self) -> Option<Instant> {
        [self.first(Class::Individual), self.first(Class::Bulk)].into_iter().flatten().min()
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

    /// The reconcile of an object has returned.
    pub fn finished(&mut self, key: &Key, requeue: Requeue, now: Instant) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        slot.running = false;
        let class = slot.class;
        self.waiting -= usize::from(slot.is_waiting());
        let causes = slot.causes;
        let mut events = std::mem::take(&mut slot.due);
        let mut after = match requeue {
            Requeue::Done | Requeue::Forget => None,
            Requeue::After(after) => Some(after),
            Requeue::Retry(after) => after,
        };
        let is_failure = matches!(requeue, Requeue::Retry(_));
        if is_failure {
            slot.failures = slot.failures.saturating_add(1);
            slot.last_failure = Some(now);
            let pause = back_off(slot.failures);
            after = Some(after.map_or(pause, |after| after.clamp(FIRST_BACK_OFF, pause)));
            events = events.map(|due| due.map(|due| due.max(now + FIRST_BACK_OFF)));
        } else {
            slot.failures = 0;
            slot.last_failure = None;
        }
        let timer = if is_failure { ReconcileCause::Retry } else { ReconcileCause::Timer };
        let wanted = [
            (events[0], Class::Individual, causes[0]),
            (events[1], Class::Bulk, causes[1]),
            (after.map(|after| now + after), class, timer),
        ];
        if wanted.iter().all(|(due, ..)| due.is_none()) {
            self.slots.remove(key);
            self.shrink();
        }
        for (due, class, cause) in wanted {
            if let Some(due) = due {
                self.schedule(key.clone(), due, class, cause);
            }
        }
    }

    /// How many objects wait.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Returns the room that a start or another bulk event took, at which all objects wait.
    fn shrink(&mut self) {
        let few = self.slots.len().max(FEW);
        if self.slots.capacity() > 4 * few {
            self.slots.shrink_to(2 * few);
            self.orders.iter_mut().for_each(|order| order.shrink_to(2 * few));
        }
    }

    fn schedule(&mut self, key: Key, due: Instant, class: Class, cause: ReconcileCause) {
        let slot = self.slots.entry(key.clone()).or_default();
        if slot.due[class as usize].is_some_and(|held| held <= due) {
            return;
        }
        self.waiting += usize::from(!slot.is_waiting());
        slot.due[class as usize] = Some(due);
        slot.causes[class as usize] = cause;
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
    async fn events_of_dependents_are_debounced_and_changes_are_not() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(key("a"), Urgency::Debounced, now);
        queue.add(key("a"), Urgency::Debounced, now + 20 * MS);
        assert_eq!(queue.start(now), None);
        assert_eq!(queue.next_due(), Some(now + DEBOUNCE));
        assert_eq!(queue.start(now + DEBOUNCE), Some(key("a")));
        assert_eq!(queue.start(now + DEBOUNCE), None);
        queue.add(key("b"), Urgency::Debounced, now);
        queue.add(key("b"), Urgency::Now, now);
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.start(now), Some(key("b")));
        assert_eq!(queue.len(), 0);
    }

    #[tokio::test]
    async fn one_object_is_never_reconciled_twice_at_a_time() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(key("a"), Urgency::Now, now);
        assert_eq!(queue.start(now), Some(key("a")));
        queue.add(key("a"), Urgency::Now, now);
        assert_eq!((queue.start(now), queue.next_due(), queue.len()), (None, None, 1));
        queue.finished(&key("a"), Requeue::Done, now + MS);
        assert_eq!(queue.start(now + MS), Some(key("a")));
        queue.finished(&key("a"), Requeue::Done, now + MS);
        assert_eq!((queue.start(now + MS), queue.len(), queue.slots.len()), (None, 0, 0));
    }

    #[tokio::test]
    async fn failures_back_off_to_five_minutes_and_an_event_shortens_that_to_a_second() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        queue.add(key("a"), Urgency::Now, now);
        let mut pauses = Vec::new();
        for _ in 0..11 {
            assert_eq!(queue.start(now), Some(key("a")));
            queue.finished(&key("a"), Requeue::Retry(None), now);
            let due = queue.next_due().unwrap_or(now);
            pauses.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(queue.start(now), Some(key("a")));
        queue.finished(&key("a"), Requeue::Retry(None), now);
        queue.add(key("a"), Urgency::Now, now + MS);
        assert_eq!(queue.next_due(), Some(now + FIRST_BACK_OFF));
        assert_eq!(queue.start(now + FIRST_BACK_OFF), Some(key("a")));
        queue.finished(&key("a"), Requeue::Done, now + FIRST_BACK_OFF);
        queue.add(key("a"), Urgency::Now, now + FIRST_BACK_OFF);
        assert_eq!(queue.next_due(), Some(now + FIRST_BACK_OFF), "a success resets the back-off");
    }

    #[tokio::test]
    async fn bulk_events_wait_for_individual_ones_but_not_for_ever() {
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
        let order: Vec<_> = std::iter::from_fn(|| queue.start(later)).map(|key| key.name().to_owned()).collect();
        assert_eq!(order, ["m3", "a", "b", "m1", "c", "d", "e", "m2"]);
        assert_eq!(queue.len(), 0);
    }

    #[tokio::test]
    async fn a_timer_does_not_make_a_bulk_event_individual() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(key("timed"), Urgency::Now, now);
        assert_eq!(queue.start(now), Some(key("timed")));
        queue.finished(&key("timed"), Requeue::After(Duration::from_secs(15)), now);
        for name in ["timed", "fails"] {
            queue.add(key(name), Urgency::Bulk, now);
        }
        queue.add(key("own"), Urgency::Now, now);
        assert_eq!(queue.next_due(), Some(now), "events do not wait for a timer");
        assert_eq!(queue.start(now), Some(key("own")));
        assert_eq!(queue.start(now), Some(key("fails")));
        assert_eq!(queue.start(now), Some(key("timed")));
        // The retry is bulk too, and waits for the event that came meanwhile.
        queue.add(key("fails"), Urgency::Now, now);
        queue.finished(&key("fails"), Requeue::Retry(None), now);
        assert_eq!(queue.next_due(), Some(now + FIRST_BACK_OFF));
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.start(now + FIRST_BACK_OFF), Some(key("fails")));
        assert_eq!((queue.start(now + FIRST_BACK_OFF), queue.len()), (None, 0));
    }

    #[tokio::test]
    async fn a_failure_is_retried_when_the_reconcile_asked_for_it_or_sooner() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        queue.add(key("a"), Urgency::Now, now);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            assert_eq!(queue.start(now), Some(key("a")));
            queue.finished(&key("a"), Requeue::Retry(Some(Duration::from_secs(5))), now);
            let due = queue.next_due().unwrap_or(now);
            pauses.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(pauses, [1, 2, 4, 5, 5, 5]);
    }

    #[tokio::test]
    async fn a_timer_gives_way_to_events() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(key("a"), Urgency::Now, now);
        assert_eq!(queue.start(now), Some(key("a")));
        queue.finished(&key("a"), Requeue::After(Duration::from_secs(15)), now);
        assert_eq!(queue.next_due(), Some(now + Duration::from_secs(15)));
        queue.add(key("a"), Urgency::Debounced, now);
        assert_eq!(queue.next_due(), Some(now + DEBOUNCE));
        assert_eq!(queue.len(), 1);
    }

    #[tokio::test]
    async fn what_a_start_needs_is_given_back() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let names: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
        for name in &names {
            queue.add(key(name), Urgency::Bulk, now);
        }
        while let Some(key) = queue.start(now) {
            let requeue = if key.name() == "7" { Requeue::After(MS) } else { Requeue::Done };
            queue.finished(&key, requeue, now);
        }
        let rooms = [queue.slots.capacity(), queue.orders[0].capacity(), queue.orders[1].capacity()];
        assert!(rooms.into_iter().all(|room| room <= 4 * FEW), "{rooms:?}");
        assert_eq!(queue.start(now + MS), Some(key("7")));
    }

    #[tokio::test]
    async fn every_turn_knows_its_cause() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        let mut next = |queue: &mut Queue, requeue| {
            now = queue.next_due().unwrap_or(now).max(now);
            assert_eq!(queue.start(now), Some(key("a")));
            let cause = queue.cause(&key("a"));
            queue.finished(&key("a"), requeue, now);
            cause
        };
        let now = Instant::now();
        queue.add(key("a"), Urgency::Bulk, now);
        assert_eq!(next(&mut queue, Requeue::After(MS)), ReconcileCause::Bulk);
        assert_eq!(next(&mut queue, Requeue::Retry(None)), ReconcileCause::Timer);
        assert_eq!(next(&mut queue, Requeue::Done), ReconcileCause::Retry);
        queue.add(key("a"), Urgency::Debounced, now);
        assert_eq!(next(&mut queue, Requeue::Done), ReconcileCause::DependentChanged);
        queue.add(key("a"), Urgency::Debounced, now);
        queue.add(key("a"), Urgency::Now, now);
        assert_eq!(next(&mut queue, Requeue::Done), ReconcileCause::Changed);
    }
}
