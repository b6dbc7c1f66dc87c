//! H5 as a rolling restart: two replicas behind a load balancer that is slow to notice that one is not ready any more, while Workspaces
//! are created.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::{Balancer, Exit, report};

use crate::PATIENCE;
use crate::load::steadily;
use crate::world::{Replica, Scale, USERS, World};

/// A replica with the certificate of the first one.
fn replica(world: &World, user: &'static str, certificate: Option<(PathBuf, String)>) -> Replica {
    world.replica_that_admits(user, certificate)
}

fn no_create_is_refused(id: &str, slow: Duration, per_second: u32) {
    let world = World::new("rolling", Scale::FULL);
    let balancer = Balancer::start(slow).unwrap();
    let first = replica(&world, USERS[0], None);
    let certificate = Some((first.process.certificate_dir().to_owned(), first.process.ca_pem().to_owned()));
    let second = replica(&world, USERS[1], certificate.clone());
    let mut running = vec![(balancer.watch(&first.process), first), (balancer.watch(&second.process), second)];
    running[0].1.process.register_webhooks_at(&balancer.url()).unwrap();
    running[0].1.process.wait_asked(PATIENCE).unwrap();

    let is_over = AtomicBool::new(false);
    let (sent, failures) = std::thread::scope(|scope| {
        let creates =
            scope.spawn(|| steadily(per_second, &is_over, |number| world.try_create(&format!("lab-{number}"))));
        for user in [USERS[0], USERS[1]] {
            let next = replica(&world, user, certificate.clone());
            let next = (balancer.watch(&next.process), next);
            let (_watched, old) = running.remove(0);
            assert_eq!(old.process.terminate(PATIENCE).unwrap(), Exit::Code(0), "{}", old.process.log());
            running.push(next);
        }
        is_over.store(true, Ordering::SeqCst);
        creates.join().unwrap()
    });
    world.unregister();
    let what = format!(
        "of {sent} creates refused, {per_second} a second, while the endpoints are removed {} s late",
        slow.as_secs()
    );
    report(id, failures.is_empty(), failures.len(), format!("0: {what}"));
    assert!(failures.is_empty(), "{what}: {:?}", failures.first());
    assert!(sent > 50, "{sent}");
}

#[test]
fn h5_a_rolling_restart_refuses_no_create() {
    no_create_is_refused("H5", Duration::from_secs(2), 20);
}

#[test]
#[ignore = "long: make test-long"]
fn h5_a_rolling_restart_behind_slow_load_balancers_refuses_no_create() {
    for seconds in [0, 2, 10] {
        no_create_is_refused("H5-long", Duration::from_secs(seconds), 100);
    }
}
