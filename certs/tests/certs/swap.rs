//! Torture: one thread publishes as the kubelet does, without a pause, while another polls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use certs::{ReloadOutcome, Reloader, Resolver};

use crate::handshake::served_serial;
use crate::volume::{Volume, ca, leaf};

const POLLS: usize = 2_000;
const SWAPS_SEEN: usize = 200;
const PATIENCE: Duration = Duration::from_mins(2);

#[test]
fn every_poll_during_swaps_serves_one_whole_pair() {
    let now = SystemTime::now();
    let ca = ca(now);
    let pairs = [leaf(&ca, now), leaf(&ca, now)];
    let serials = pairs.each_ref().map(|pair| {
        let mut volume = Volume::new();
        volume.publish(pair);
        volume.load(now).serial
    });

    let mut volume = Volume::new();
    volume.publish(&pairs[0]);
    let source = volume.source();
    let resolver = Arc::new(Resolver::new());
    let mut reloader = Reloader::new(source, Arc::clone(&resolver));

    let done = AtomicBool::new(false);
    let swaps = AtomicUsize::new(0);
    thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let swap = swaps.fetch_add(1, Ordering::Relaxed);
                volume.publish(&pairs[(swap + 1) % 2]);
            }
        });
        let started = Instant::now();
        let (mut polls, mut replaced) = (0, 0);
        // However a poll goes wrong, the publisher has to end, or the scope would wait for it for ever.
        let mut fault = None;
        while fault.is_none() && (polls < POLLS || replaced < SWAPS_SEEN) {
            polls += 1;
            match reloader.poll(now) {
                ReloadOutcome::Unchanged => {}
                ReloadOutcome::Replaced { serial } if serials.contains(&serial) => {
                    replaced += 1;
                    let shown = served_serial(&resolver, &ca);
                    if shown.as_ref() != Ok(&serial) {
                        fault = Some(format!("poll {polls} loaded {serial}, clients see {shown:?}"));
                    }
                }
                other => fault = Some(format!("poll {polls}: {other:?}")),
            }
            if started.elapsed() > PATIENCE {
                fault = Some(format!("only {replaced} swaps seen in {polls} polls"));
            }
        }
        done.store(true, Ordering::Relaxed);
        publisher.join().unwrap();
        let swaps = swaps.load(Ordering::Relaxed);
        assert_eq!(fault, None, "after {swaps} swaps");
        println!("{polls} polls during {swaps} swaps saw {replaced} new pairs, each whole");
    });
}
