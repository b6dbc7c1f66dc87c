//! Runs the queue: a bounded number of objects at a time, each in a task of its own, so that one that panics or hangs
//! affects no other.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use super::queue::{Queue, ReconcileCause, Requeue};
use crate::metrics::{Controller, Metrics, ReconcileResult};
use crate::reconcile::span;
use crate::stores::slim::Key;
use crate::stores::{Triggers, Urgency};

/// How long running reconciles may take when the process shuts down: with the last Events and the release of the Lease less than
/// the process has for all of that.
const DRAIN: Duration = Duration::from_secs(3);

/// What a reconcile returns: what to remember until the next one, and when that is.
pub(in crate::reconcile) type Reconciled<M> = (M, Requeue);

struct Runner<'a, M> {
    queue: Queue,
    /// What is remembered of objects that are not being reconciled. Boxed, because a table has many empty places.
    memories: HashMap<Key, Box<M>>,
    running: HashMap<Id, Running>,
    tasks: JoinSet<Reconciled<M>>,
    controller: Controller,
    metrics: &'a Metrics,
}

struct Running {
    key: Key,
    began: Instant,
    span: Span,
}

/// Reconciles the objects that `triggers` names, at most `concurrency` at a time, until `shutdown`.
///
/// `reconcile` takes the key of an object, why it is reconciled, and what was remembered of it. It runs in the span of that
/// reconcile, to which it adds the generation.
pub(in crate::reconcile) async fn run<M, F>(
    controller: Controller,
    triggers: &Triggers,
    concurrency: usize,
    metrics: &Metrics,
    shutdown: impl Future<Output = ()>,
    reconcile: impl Fn(Key, ReconcileCause, M) -> F,
) where
    M: Default + Send + 'static,
    F: Future<Output = Reconciled<M>> + Send + 'static,
{
    metrics.announce_controller(controller, concurrency);
    let mut runner = Runner {
        queue: Queue::default(),
        memories: HashMap::new(),
        running: HashMap::new(),
        tasks: JoinSet::new(),
        controller,
        metrics,
    };
    let mut shutdown = std::pin::pin!(shutdown);
    // One timer for all: each that is made anew and due before all others wakes the runtime for nothing.
    let mut timer = std::pin::pin!(tokio::time::sleep_until(Instant::now()));
    loop {
        let now = Instant::now();
        while runner.running.len() < concurrency
            && let Some(key) = runner.queue.start(now)
        {
            runner.begin(key, now, &reconcile);
        }
        metrics.set_queue_depth(controller, runner.queue.len());
        let next = runner.queue.next_due();
        metrics.set_queue_oldest(controller, next);
        let due = next.filter(|_| runner.running.len() < concurrency);
        if let Some(due) = due
            && due != timer.deadline()
        {
            timer.as_mut().reset(due);
        }
        tokio::select! {
            () = &mut shutdown => break,
            taken = triggers.take() => runner.add(taken),
            Some(returned) = runner.tasks.join_next_with_id() => runner.finish(returned),
            () = &mut timer, if due.is_some() => {}
        }
    }
    let drained = async { while runner.tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!(
            controller = controller.as_str(),
            "still reconciling at shutdown; the next start goes on from there"
        );
    }
}

impl<M: Default + Send + 'static> Runner<'_, M> {
    fn add(&mut self, keys: HashMap<Key, Urgency>) {
        let now = Instant::now();
        for (key, urgency) in keys {
            self.metrics.queue_added(self.controller);
            self.queue.add(key, urgency, now);
        }
    }

    fn begin<F>(&mut self, key: Key, now: Instant, reconcile: &impl Fn(Key, ReconcileCause, M) -> F)
    where
        F: Future<Output = Reconciled<M>> + Send + 'static,
    {
        let memory = self.memories.remove(&key).map(|memory| *memory).unwrap_or_default();
        self.metrics.reconcile_started(self.controller);
        self.metrics.queue_waited(self.controller, self.queue.waited(&key));
        let cause = self.queue.cause(&key);
        let span = span::reconcile(self.controller, &key, cause.as_str());
        let id = self.tasks.spawn(reconcile(key.clone(), cause, memory).instrument(span.clone())).id();
        self.running.insert(id, Running { key, began: now, span });
    }

    fn finish(&mut self, returned: Result<(Id, Reconciled<M>), JoinError>) {
        let id = returned.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(Running { key, began, span }) = self.running.remove(&id) else { return };
        let requeue = if let Ok((_, (memory, requeue))) = returned {
            if requeue != Requeue::Forget {
                self.memories.insert(key.clone(), Box::new(memory));
            }
            requeue
        } else {
            // What it remembered is lost with it, so the next reconcile starts from nothing.
            span.in_scope(|| tracing::error!("the reconcile panicked; will retry"));
            self.metrics.reconcile_panicked(self.controller);
            Requeue::Retry(None)
        };
        let now = Instant::now();
        let result = match requeue {
            Requeue::Done | Requeue::Forget => ReconcileResult::Success,
            Requeue::After(_) => ReconcileResult::RequeueAfter,
            Requeue::Retry(_) => ReconcileResult::Error,
        };
        self.metrics.reconcile_finished(self.controller, result, now - began);
        if result == ReconcileResult::Error {
            self.metrics.queue_retried(self.controller);
        }
        self.queue.finished(&key, requeue, now);
    }
}

/// Dropped, too, where this replica is not the leader any more: nothing waits or runs here then.
impl<M> Drop for Runner<'_, M> {
    fn drop(&mut self) {
        self.metrics.controller_stopped(self.controller);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::{mpsc, oneshot};

    use super::*;
    use crate::stores::captured_log::CapturedLog;

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_counted_and_retried_and_touches_nobody_else() {
        let log = CapturedLog::start();
        let triggers = Arc::new(Triggers::default());
        let metrics = Arc::new(Metrics::new());
        let (done, mut seen) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let tries = Arc::new(AtomicUsize::new(0));
        for name in ["panics-twice", "fine-1", "fine-2"] {
            triggers.add(Key::new("ns", name), Urgency::Now);
        }
        let task = tokio::spawn({
            let (triggers, metrics, tries) = (triggers.clone(), metrics.clone(), tries.clone());
            async move {
                let reconcile = |key: Key, _: ReconcileCause, (): ()| {
                    let (done, tries) = (done.clone(), tries.clone());
                    async move {
                        let panics = key.name() == "panics-twice" && tries.fetch_add(1, Ordering::SeqCst) < 2;
                        assert!(!panics, "on purpose");
                        done.send(key.name().to_owned()).unwrap();
                        ((), Requeue::Done)
                    }
                };
                let shutdown = async { drop(stopped.await) };
                run(Controller::Workspace, &triggers, 2, &metrics, shutdown, reconcile).await;
            }
        });
        let mut names = Vec::new();
        for _ in 0..3 {
            names.push(seen.recv().await.unwrap());
        }
        assert_eq!(names.last().unwrap(), "panics-twice");
        assert_eq!(tries.load(Ordering::SeqCst), 3);
        stop.send(()).unwrap();
        task.await.unwrap();
        let lines = log.lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
        for (line, cause) in lines.iter().zip(["changed", "retry"]) {
            let (span, message) = line.strip_prefix("ERROR reconcile{").unwrap().split_once("}: ").unwrap();
            assert_eq!(message, "the reconcile panicked; will retry");
            let (object, rest) = span.split_once(" reconcileID=").unwrap();
            assert_eq!(object, r#"controller="workspace" namespace="ns" name="panics-twice""#);
            assert_eq!(rest.split_once(' ').unwrap().1, format!("cause=\"{cause}\""));
        }
        let text = metrics.encode().unwrap();
        assert!(text.contains("controller_runtime_reconcile_panics_total{controller=\"workspace\"} 2"), "{text}");
        assert!(
            text.contains("controller_runtime_reconcile_total{controller=\"workspace\",result=\"error\"} 2"),
            "{text}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_limit_run_at_a_time_and_memory_is_kept() {
        let triggers = Arc::new(Triggers::default());
        let metrics = Metrics::new();
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (done, mut seen) = mpsc::unbounded_channel();
        for number in 0..20 {
            triggers.add(Key::new("ns", &number.to_string()), Urgency::Now);
        }
        let reconcile = |_: Key, _: ReconcileCause, count: u32| {
            let (running, most, done) = (running.clone(), most.clone(), done.clone());
            async move {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                done.send(count).unwrap();
                let requeue = if count == 0 { Requeue::After(Duration::from_secs(1)) } else { Requeue::Done };
                (count + 1, requeue)
            }
        };
        let shutdown = async {
            for _ in 0..40 {
                seen.recv().await.unwrap();
            }
        };
        run(Controller::Workspace, &triggers, 3, &metrics, shutdown, reconcile).await;
        assert_eq!(most.load(Ordering::SeqCst), 3);
    }
}
