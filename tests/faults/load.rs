//! Requests at an even rate.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Sends so many requests a second by several clients until it is over; `send` says why one failed. Returns how many there were, and
/// the failures.
pub fn steadily(
    per_second: u32,
    is_over: &AtomicBool,
    send: impl Fn(usize) -> Result<(), String> + Sync,
) -> (usize, Vec<String>) {
    const CLIENTS: usize = 16;
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let due = Duration::from_secs(1) / per_second * u32::try_from(number).unwrap();
                    thread::sleep(due.saturating_sub(began.elapsed()));
                    if let Err(error) = send(number) {
                        failures.lock().unwrap().push(error);
                    }
                }
            });
        }
    });
    (next.into_inner(), failures.into_inner().unwrap())
}
