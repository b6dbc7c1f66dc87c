//! C5: several replicas start at once where there is no Secret.

use std::time::{Duration, Instant};

use cluster::ControllerOptions;

use crate::handshake::served;
use crate::installation::{Installation, api, cluster, port, start};
use crate::{TIMEOUT, exactly, within};

const REPLICAS: usize = 3;

#[test]
fn c5_three_processes_that_start_at_once_agree_on_one_ca() {
    start_at_once(3);
}

#[test]
#[ignore = "long"]
fn c5_three_processes_that_start_at_once_agree_on_one_ca_thirty_times() {
    start_at_once(30);
}

fn start_at_once(times: usize) {
    let (mut slowest, mut cas, mut written) = (Duration::ZERO, 0, 0);
    for _ in 0..times {
        let installation = Installation::new("at-once");
        let mark = cluster().audit().mark().unwrap();
        let options: Vec<ControllerOptions> = (0..REPLICAS)
            .map(|number| {
                let mut options = installation.options(number);
                options.wait_ready = false;
                options
            })
            .collect();
        let began = Instant::now();
        let replicas: Vec<_> = options.iter().map(start).collect();
        let ports: Vec<u16> = replicas.iter().map(port).collect();
        let leaves = cluster().wait_for("every chain to verify", TIMEOUT, || {
            let bundle = installation.bundle().ok_or("no caBundle")?;
            ports.iter().map(|port| served(*port, &bundle)).collect::<Result<Vec<_>, _>>()
        });
        slowest = slowest.max(began.elapsed());
        let leaves = leaves.unwrap_or_else(|error| panic!("{error}\n{}", replicas[0].log()));
        assert!(leaves.iter().all(|leaf| *leaf == leaves[0]), "they serve different certificates");
        for replica in &replicas {
            replica.wait_ready(TIMEOUT).unwrap();
        }
        installation.balance(&replicas);
        installation.wait_called();
        let bundle = installation.bundle().unwrap();
        assert_eq!(Some(&bundle), installation.stored("ca.crt").as_ref());
        cas += bundle.matches("BEGIN CERTIFICATE").count();
        written += installation.writes(mark).count();
        for replica in &replicas {
            replica.kill().unwrap();
        }
        api().delete(&installation.configuration_path()).unwrap().ok().unwrap();
    }
    exactly("C5", &format!("CAs after {times} starts of three at once"), cas, times);
    exactly("C5", "writes: each time a Secret and a caBundle", written, 2 * times);
    within("C5", "slowest, from the start of the processes to every chain verifying", slowest, Duration::from_secs(5));
}

/// Nothing is written where nothing is to be done, also by those that start later.
#[test]
fn nothing_is_written_at_rest_and_by_a_restart() {
    let installation = Installation::new("rest");
    let replicas = installation.start_replicas(2);
    let mark = cluster().audit().mark().unwrap();
    drop(replicas);
    let _replicas = installation.start_replicas(2);
    // Longer than the longest pause between two looks.
    std::thread::sleep(Duration::from_secs(12));
    let writes = installation.writes(mark);
    assert!(writes.is_empty(), "{writes:?}");
}
