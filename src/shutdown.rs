//! How the process ends: because it is told to, in order; or because a part of it broke, at once.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::serve::{Drain, DrainState};
use crate::tasks::{EarlyEnd, Tasks};

/// A signal that signals the process to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StopSignal {
    /// SIGTERM: Kubernetes is about to remove the pod.
    Terminate,
    /// SIGINT: a person at a terminal.
    Interrupt,
}

/// How long the steps of an orderly end take. Together they stay under the 10 seconds that manifests of the field give
/// a controller (`terminationGracePeriodSeconds`).
#[derive(Clone, Copy, Debug)]
pub struct Grace {
    /// Not ready, but still serving: time for Kubernetes to send new requests elsewhere. Nobody does that for a person
    /// at a terminal, so SIGINT skips it.
    pub announce: Duration,
    /// For requests and reconciles that have begun.
    pub finish: Duration,
}

impl Default for Grace {
    fn default() -> Self {
        Self { announce: Duration::from_secs(3), finish: Duration::from_secs(6) }
    }
}

/// Why the process did not end in order.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Stop {
    /// A task ended that should not have.
    #[error("{0}; ending the process, so that it is started anew")]
    Task(#[from] EarlyEnd),
    /// A second signal came before the end.
    #[error("told to end twice: ended at once")]
    SecondSignal,
    /// Something did not finish in time.
    #[error("not finished within {seconds} s: {0}", .names.join(", "), seconds = .limit.as_secs_f32())]
    Unfinished {
        /// The tasks.
        names: Vec<&'static str>,
        /// The time they had.
        limit: Duration,
    },
}

/// The parts of a running process.
#[derive(Debug, Default)]
pub struct Process {
    /// Run to the very end: watches, probes.
    pub steady: Tasks,
    /// End by themselves once the drain is far enough: the webhook's server, the reconcile loop.
    pub draining: Tasks,
    /// Tells the latter.
    pub drain: Drain,
}

impl Process {
    /// Runs until asked to end, and then to the end.
    pub async fn run(mut self, mut signals: mpsc::Receiver<StopSignal>, grace: Grace) -> Result<(), Stop> {
        let signal = tokio::select! {
            end = self.steady.ended() => return Err(end.into()),
            end = self.draining.ended() => return Err(end.into()),
            signal = next(&mut signals) => signal,
        };
        tracing::info!(signal = ?signal, "asked to end: finishing what has begun");
        tokio::select! {
            result = self.finish(signal, grace) => result,
            _ = next(&mut signals) => Err(Stop::SecondSignal),
        }
    }

    async fn finish(&mut self, signal: StopSignal, grace: Grace) -> Result<(), Stop> {
        self.drain.advance(DrainState::Announced);
        if signal == StopSignal::Terminate {
            sleep(grace.announce).await;
        }
        self.drain.advance(DrainState::Closing);
        let names = self.draining.finish(grace.finish).await;
        if names.is_empty() { Ok(()) } else { Err(Stop::Unfinished { names, limit: grace.finish }) }
    }
}

async fn next(signals: &mut mpsc::Receiver<StopSignal>) -> StopSignal {
    match signals.recv().await {
        Some(signal) => signal,
        // Nobody is left to signal.
        None => std::future::pending().await,
    }
}

/// The signals of the operating system, from now on.
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
    use std::time::Instant;

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
    async fn any_task_that_ends_or_panics_ends_the_process_within_a_second() {
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
    async fn a_signal_ends_it_in_order_and_only_sigterm_is_announced() {
        for (signal, wait) in [(StopSignal::Terminate, Duration::from_secs(3)), (StopSignal::Interrupt, Duration::ZERO)]
        {
            let (process, sender, receiver) = process();
            sender.send(signal).await.unwrap();
            let start = tokio::time::Instant::now();
            assert_eq!(process.run(receiver, Grace::default()).await, Ok(()));
            assert_eq!(start.elapsed(), wait, "{signal:?}");
        }
    }

    #[tokio::test]
    async fn a_second_signal_ends_it_at_once() {
        let (process, sender, receiver) = process();
        sender.send(StopSignal::Terminate).await.unwrap();
        sender.send(StopSignal::Terminate).await.unwrap();
        assert_eq!(process.run(receiver, Grace::default()).await, Err(Stop::SecondSignal));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_finish_is_named() {
        let (mut process, sender, receiver) = process();
        process.draining.spawn("obstinate", pending());
        sender.send(StopSignal::Interrupt).await.unwrap();
        let stop = process.run(receiver, Grace::default()).await.unwrap_err();
        assert_eq!(stop.to_string(), "not finished within 6 s: obstinate");
    }
}
