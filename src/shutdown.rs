//! Shutdown: in order after a signal, at once when a background task fails.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::serve::{Drain, DrainState};
use crate::tasks::{TaskError, TaskName, Tasks};

/// A signal that stops the process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StopSignal {
    /// SIGTERM: Kubernetes terminates the pod.
    Terminate,
    /// SIGINT: Ctrl-C in a terminal.
    Interrupt,
}

/// How long the steps of an orderly shutdown take. Where requests are routed elsewhere within a second or two, as Services do, they stay
/// under the 10 seconds that manifests usually give a controller (`terminationGracePeriodSeconds`); a slower load balancer
/// needs more, and is waited for as long as its requests come.
#[derive(Clone, Copy, Debug)]
pub struct Grace {
    /// Not ready, but still serving: time for Kubernetes to route new requests to other replicas. SIGINT skips it.
    pub announce: Duration,
    /// It takes longer until no request has come for this long,
    pub quiet: Duration,
    /// but never longer than this.
    pub longest_announce: Duration,
    /// For requests and reconciles in flight.
    pub finish: Duration,
}

impl Default for Grace {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { announce: seconds(3), quiet: seconds(2), longest_announce: seconds(15), finish: seconds(6) }
    }
}

/// Why the shutdown was not orderly.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ShutdownError {
    /// A background task ended.
    #[error("{0}; exiting, so that the process is restarted")]
    Task(#[from] TaskError),
    /// A second signal came during shutdown.
    #[error("second signal during shutdown: exiting at once")]
    SecondSignal,
    /// Some tasks did not finish in time.
    #[error("shutdown incomplete after {seconds} s, still running: {0}", .names.join(", "), seconds = .limit.as_secs_f32())]
    Unfinished {
        /// The tasks.
        names: Vec<TaskName>,
        /// The time they had.
        limit: Duration,
    },
}

/// The parts of a running process.
#[derive(Debug, Default)]
pub struct Process {
    /// Run until the process exits: watches, probes.
    pub steady: Tasks,
    /// Return once the drain has reached their state: the webhook's server, the reconcile loops.
    pub draining: Tasks,
    /// Stops the draining tasks.
    pub drain: Drain,
}

impl Process {
    /// Runs until a signal comes, then shuts down.
    pub async fn run(mut self, mut signals: mpsc::Receiver<StopSignal>, grace: Grace) -> Result<(), ShutdownError> {
        let signal = tokio::select! {
            end = self.steady.ended() => return Err(end.into()),
            end = self.draining.ended() => return Err(end.into()),
            signal = next(&mut signals) => signal,
        };
        tracing::info!(signal = ?signal, "signal received, shutting down");
        tokio::select! {
            result = self.finish(signal, grace) => result,
            _ = next(&mut signals) => Err(ShutdownError::SecondSignal),
        }
    }

    async fn finish(&mut self, signal: StopSignal, grace: Grace) -> Result<(), ShutdownError> {
        self.drain.advance(DrainState::Announced);
        if signal == StopSignal::Terminate {
            self.announced(grace).await;
        }
        self.drain.advance(DrainState::Closing);
        let names = self.draining.finish(grace.finish).await;
        if names.is_empty() { Ok(()) } else { Err(ShutdownError::Unfinished { names, limit: grace.finish }) }
    }
}

impl Process {
    /// Waits until others receive the requests.
    async fn announced(&self, grace: Grace) {
        let began = Instant::now();
        loop {
            let quiet = self.drain.last_request().map_or(began, |last| last + grace.quiet);
            let until = quiet.max(began + grace.announce);
            if until > began + grace.longest_announce {
                sleep_until(began + grace.longest_announce).await;
                tracing::warn!(
                    "requests still come {} s after this replica stopped being ready, and are refused now: the load balancer takes \
                     longer than that to route them to others",
                    grace.longest_announce.as_secs_f32()
                );
                return;
            }
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

async fn next(signals: &mut mpsc::Receiver<StopSignal>) -> StopSignal {
    match signals.recv().await {
        Some(signal) => signal,
        // No signal can come any more.
        None => std::future::pending().await,
    }
}

/// Subscribes to SIGTERM and SIGINT.
pub fn signals() -> std::io::Result<mpsc::Receiver<StopSignal>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        loop {
            let signal = tokio::select! {
                Some(()) = terminate.recv() => StopSignal::Terminate,
                Some(()) = interrupt.recv() => StopSignal::Interrupt,
                else => return,
            };
            if sender.send(signal).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::future::{pending, ready};

    use tokio::time::sleep;

    use super::*;

    fn process() -> (Process, mpsc::Sender<StopSignal>, mpsc::Receiver<StopSignal>) {
        let (sender, receiver) = mpsc::channel(2);
        let mut process = Process::default();
        for name in ["watch", "certificate", "health"] {
            process.steady.spawn(name, pending());
        }
        let drain = process.drain.clone();
        process.draining.spawn("webhook", async move { drain.reached(DrainState::Closing).await });
        let drain = process.drain.clone();
        process.draining.spawn("reconcile", async move { drain.reached(DrainState::Announced).await });
        (process, sender, receiver)
    }

    #[tokio::test]
    async fn any_task_that_returns_or_panics_stops_the_process_within_a_second() {
        for steady in [true, false] {
            for panics in [true, false] {
                let (mut process, _sender, receiver) = process();
                let tasks = if steady { &mut process.steady } else { &mut process.draining };
                if panics {
                    tasks.spawn("fragile", async { panic!("broken") });
                } else {
                    tasks.spawn("fragile", ready(()));
                }
                let start = Instant::now();
                let stop = process.run(receiver, Grace::default()).await.unwrap_err();
                let seconds = start.elapsed().as_secs_f64();
                assert!(stop.to_string().starts_with("background task \"fragile\" "), "{stop}");
                assert_eq!(stop.to_string().lines().count(), 1);
                assert!(seconds < 1.0);
                println!("H4 pass {seconds:.3} s (limit 1; steady: {steady}, panics: {panics})");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_shuts_down_in_order_and_only_sigterm_is_announced() {
        for (signal, wait) in [(StopSignal::Terminate, Duration::from_secs(3)), (StopSignal::Interrupt, Duration::ZERO)]
        {
            let (process, sender, receiver) = process();
            sender.send(signal).await.unwrap();
            let start = Instant::now();
            assert_eq!(process.run(receiver, Grace::default()).await, Ok(()));
            assert_eq!(start.elapsed(), wait, "{signal:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_still_receives_requests_goes_on_serving_for_a_while() {
        // How long requests come after the signal, and how long the process runs.
        for (requests, runs) in [(0, 3), (500, 3), (2_000, 4), (10_000, 12), (60_000, 15)] {
            let (process, sender, receiver) = process();
            let drain = process.drain.clone();
            sender.send(StopSignal::Terminate).await.unwrap();
            tokio::spawn(async move {
                for _ in 0..requests / 500 {
                    sleep(Duration::from_millis(500)).await;
                    drain.request_came();
                }
            });
            let start = Instant::now();
            assert_eq!(process.run(receiver, Grace::default()).await, Ok(()));
            assert_eq!(start.elapsed().as_secs(), runs, "requests for {requests} ms");
        }
    }

    #[tokio::test]
    async fn a_second_signal_exits_at_once() {
        let (process, sender, receiver) = process();
        sender.send(StopSignal::Terminate).await.unwrap();
        sender.send(StopSignal::Terminate).await.unwrap();
        assert_eq!(process.run(receiver, Grace::default()).await, Err(ShutdownError::SecondSignal));
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_that_do_not_finish_are_named() {
        let (mut process, sender, receiver) = process();
        process.draining.spawn("obstinate", pending());
        sender.send(StopSignal::Interrupt).await.unwrap();
        let stop = process.run(receiver, Grace::default()).await.unwrap_err();
        assert_eq!(stop.to_string(), "shutdown incomplete after 6 s, still running: obstinate");
    }
}
