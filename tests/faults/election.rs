//! Leader election with real processes, and with a real client-go elector. The long forms have the product's own times.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cluster::{Exit, Flow, GoElector, Mark, Relay, Reply, Requests, Signal, report};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::world::{LEASE, Replica, Scale, USERS, World, names, wait};
use crate::{PATIENCE, none, within};

/// Waits for the first write of the replica, and returns how long that was after `from`.
fn until_it_writes(world: &World, replica: &Replica, mark: Mark, from: Instant) -> Duration {
    wait("a write of the next leader", || {
        if world.writes(replica, mark).is_empty() { Err("none".to_owned()) } else { Ok(from.elapsed()) }
    })
}

/// Two replicas, the first of which leads.
fn pair(world: &World) -> (Replica, Replica) {
    let first = world.replica(USERS[0]);
    world.wait_one_leader(&[&first]);
    let second = world.replica(USERS[1]);
    (first, second)
}

fn a_killed_leader_is_followed(id: &str, scale: Scale) {
    let world = World::new("killed", scale);
    let (leader, standby) = pair(&world);
    let before = world.mark();
    let all = names(scale.workspaces);
    for name in &all[..scale.workspaces / 2] {
        world.create(name);
    }
    until_it_writes(&world, &leader, before, Instant::now());
    let killed = Instant::now();
    leader.process.kill().unwrap();
    let mark = world.mark();
    assert!(world.writes(&standby, before).is_empty(), "the standby wrote: {:?}", world.writes(&standby, before));
    for name in &all[scale.workspaces / 2..] {
        world.create(name);
    }
    let took = until_it_writes(&world, &standby, mark, killed);
    within(id, "from the kill of the leader to the first write of the standby", took, scale.take_over());
    world.wait_complete(scale.workspaces);
}

#[test]
fn e1_a_killed_leader_is_followed() {
    a_killed_leader_is_followed("E1", Scale::SHORT);
}

#[test]
#[ignore = "long: make test-long"]
fn e1_a_killed_leader_of_500_is_followed() {
    a_killed_leader_is_followed("E1-long", Scale::FULL);
}

#[test]
fn the_status_page_says_who_leads() {
    let world = World::new("status", Scale::SHORT);
    let (leader, standby) = pair(&world);
    let said = |replica: &Replica| replica.process.status().unwrap()["leadership"].clone();
    let lease = format!("{}/{LEASE}", world.namespace);
    let leads = said(&leader);
    assert_eq!((&leads["role"], &leads["lease"]), (&json!("leader"), &json!(lease)), "{leads}");
    assert!(leads["since"].as_str().unwrap().parse::<Timestamp>().is_ok(), "{leads}");
    let holder = world.lease()["spec"]["holderIdentity"].clone();
    wait("the standby to have read the Lease", || {
        let stands_by = said(&standby);
        if stands_by["role"] == "standby" { Ok(()) } else { Err(stands_by.to_string()) }
    });
    assert_eq!((&leads["holder"], &said(&standby)["holder"]), (&holder, &holder));
    assert_eq!(leader.process.terminate(PATIENCE).unwrap(), Exit::Code(0));
    wait("the standby to say that it leads", || {
        let follows = said(&standby);
        if follows["role"] == "leader" && follows["holder"] != holder { Ok(()) } else { Err(follows.to_string()) }
    });
}

/// A client-go elector that stands by: it has read the Lease.
fn client_go(world: &World, identity: &str) -> GoElector {
    let mark = world.mark();
    let lease = (world.namespace.as_str(), LEASE);
    let go = GoElector::start(world.cluster, USERS[2], lease, identity, world.scale.times()).unwrap();
    wait("client-go to read the Lease", || {
        let reads = world.cluster.audit().since(mark).unwrap().by(USERS[2]).resource("leases").verb("get").accepted();
        if reads.is_empty() { Err("not yet".to_owned()) } else { Ok(()) }
    });
    go
}

/// The Go controller stands by, and leads; ours follows it.
fn takes_turns_with_client_go(id: &str, scale: Scale) {
    let world = World::new("go", scale);
    let ours = world.replica(USERS[0]);
    world.wait_one_leader(&[&ours]);
    let go = client_go(&world, "go");
    let killed = Instant::now();
    ours.process.kill().unwrap();
    let led = wait("client-go to lead", || if go.leads() { Ok(killed.elapsed()) } else { Err("not yet".to_owned()) });
    // client-go polls: in up to 2.2 times its retry period.
    within(id, "from the kill of ours to the lead of client-go", led, scale.lease.mul_f64(25.0 / 15.0));

    let ours = world.replica(USERS[0]);
    let before = world.mark();
    world.create("lab");
    // As long as several of its attempts, were it to make any.
    wait("client-go to renew", || {
        let renewals =
            world.cluster.audit().since(before).unwrap().by(USERS[2]).resource("leases").verb("update").accepted();
        if renewals.count() > 3 { Ok(()) } else { Err(renewals.count().to_string()) }
    });
    assert!(go.leads() && !ours.leads());
    none(id, "writes of ours while client-go leads", &world.writes(&ours, before));
    let released = Instant::now();
    go.signal(Signal::TERM).unwrap();
    let took = until_it_writes(&world, &ours, before, released);
    within(id, "from the release by client-go to the first write of ours", took, Duration::from_secs(2));
    world.wait_complete(1);

    let go = client_go(&world, "go-again");
    let asked = Instant::now();
    ours.process.signal(Signal::TERM).unwrap();
    let led = wait("client-go to lead", || if go.leads() { Ok(asked.elapsed()) } else { Err("not yet".to_owned()) });
    // It polls.
    within(id, "from SIGTERM of ours to the lead of client-go", led, Duration::from_secs(2) + scale.retry.mul_f64(2.2));
    assert_eq!(ours.process.wait_exit(PATIENCE).unwrap(), Exit::Code(0));
}

#[test]
fn e1_ours_and_client_go_exclude_each_other() {
    takes_turns_with_client_go("E1", Scale::SHORT);
}

#[test]
#[ignore = "long: make test-long"]
fn e1_ours_and_client_go_exclude_each_other_at_full_length() {
    takes_turns_with_client_go("E1-long", Scale::FULL);
}

#[test]
fn e2_a_leader_that_is_asked_to_stop_hands_over() {
    let world = World::new("asked", Scale { workspaces: 5, ..Scale::FULL });
    let (leader, standby) = pair(&world);
    let all = names(world.scale.workspaces);
    for name in &all {
        world.create(name);
    }
    let traffic = world.traffic(all);
    wait("edits", || {
        if traffic.edits.load(Ordering::SeqCst) > 5 { Ok(()) } else { Err("none") }.map_err(str::to_owned)
    });
    let mark = world.mark();
    let asked = Instant::now();
    leader.process.signal(Signal::TERM).unwrap();
    let took = until_it_writes(&world, &standby, mark, asked);
    within("E2", "from SIGTERM of the leader to the first write of the standby", took, Duration::from_secs(2));
    assert_eq!(leader.process.wait_exit(PATIENCE).unwrap(), Exit::Code(0));
    assert!(standby.leads());
}

/// What somebody does to the Lease: a JSON patch, or none to delete it.
fn faults() -> [(&'static str, Option<Value>); 5] {
    let garbage = |seconds: i32| {
        json!([{"op": "replace", "path": "/spec", "value": {
            "holderIdentity": "garbage", "leaseDurationSeconds": seconds, "leaseTransitions": i32::MAX,
            "renewTime": "2099-01-01T00:00:00.000000Z", "acquireTime": "1970-01-01T00:00:00.000000Z",
        }}])
    };
    [
        ("deleted", None),
        ("emptied", Some(json!([{"op": "replace", "path": "/spec", "value": {}}]))),
        ("left without a holder", Some(json!([{"op": "replace", "path": "/spec/holderIdentity", "value": ""}]))),
        ("filled with garbage", Some(garbage(1))),
        ("filled with garbage for years", Some(garbage(i32::MAX))),
    ]
}

fn a_broken_lease_has_one_leader_again(id: &str, scale: Scale) {
    let world = World::new("broken", scale);
    let (first, second) = pair(&world);
    let (api, lease) = (world.cluster.api(), world.lease_path());
    for (fault, patch) in faults() {
        let broken = Instant::now();
        let answer = match patch {
            Some(patch) => api.json_patch(&lease, &patch),
            None => api.delete(&lease),
        };
        answer.and_then(Reply::ok).unwrap();
        wait("the Lease to name one of them again", || {
            let holder = world.lease()["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
            if holder.is_empty() || holder == "garbage" { Err(holder) } else { Ok(()) }
        });
        world.wait_one_leader(&[&first, &second]);
        let what = format!("until one leader again after the Lease is {fault}");
        within(id, &what, broken.elapsed(), scale.take_over());
    }
}

#[test]
fn e3_a_broken_lease_has_one_leader_again() {
    a_broken_lease_has_one_leader_again("E3", Scale::SHORT);
}

#[test]
#[ignore = "long: make test-long"]
fn e3_a_broken_lease_of_full_length_has_one_leader_again() {
    a_broken_lease_has_one_leader_again("E3-long", Scale::FULL);
}

/// When the API server answered the last of these.
fn last(requests: &Requests) -> Timestamp {
    requests.0.iter().map(|request| request.answered.parse().unwrap()).max().unwrap()
}

/// When the first of these came.
fn first(requests: &Requests) -> Timestamp {
    requests.0.iter().map(|request| request.received.parse().unwrap()).min().unwrap()
}

fn a_leader_that_is_cut_off_writes_no_more(id: &str, scale: Scale) {
    let world = World::new("cut", scale);
    let relay = Relay::to_api_server(world.cluster).unwrap();
    let kubeconfig = relay.kubeconfig(&world.cluster.kubeconfig(USERS[0]).unwrap()).unwrap();
    let began = world.mark();
    let leader = world.replica_with(USERS[0], kubeconfig);
    world.wait_one_leader(&[&leader]);
    let standby = world.replica(USERS[1]);
    let all = names(20);
    for name in &all {
        world.create(name);
    }
    world.wait_complete(all.len());
    let traffic = world.traffic(all);
    let mark = world.mark();
    until_it_writes(&world, &leader, mark, Instant::now());
    relay.set(Flow::Cut);
    let cut = Instant::now();
    let took = until_it_writes(&world, &standby, mark, cut);
    within(id, "from the cut to the first write of the standby", took, scale.take_over());
    // Cut off for four Leases in all, so that whatever it may still send is sent.
    std::thread::sleep((scale.lease * 4).saturating_sub(cut.elapsed()));
    let healed = world.mark();
    relay.set(Flow::Open);
    wait("the one that was cut off to see that it is not the leader", || {
        if leader.process.log().contains("the Lease can be read and written again") && !leader.leads() {
            Ok(())
        } else {
            Err(leader.process.log().lines().last().unwrap_or_default().to_owned())
        }
    });
    let edits = traffic.edits.load(Ordering::SeqCst);
    wait(
        "more edits",
        || {
            if traffic.edits.load(Ordering::SeqCst) > edits + 40 { Ok(()) } else { Err("few".to_owned()) }
        },
    );
    drop(traffic);
    none(id, "writes of the one that was cut off, after that", &world.writes(&leader, healed));
    let (its, of_next) = (world.writes(&leader, began), world.writes(&standby, began));
    let renewals = world.cluster.audit().since(began).unwrap().by(USERS[0]).resource("leases").accepted().writes();
    let after_renewal = last(&its).duration_since(last(&renewals)).try_into().unwrap_or_default();
    within(id, "from its last renewal to its last write", after_renewal, scale.deadline);
    let gap = first(&of_next).duration_since(last(&its));
    let what = "more than 0: from its last write to the first of the next leader";
    report(id, gap.is_positive(), format!("{gap:#}"), what);
    assert!(gap.is_positive(), "two writers at once");
    world.wait_one_leader(&[&leader, &standby]);
}

#[test]
fn e4_a_leader_that_is_cut_off_writes_no_more() {
    a_leader_that_is_cut_off_writes_no_more("E4", Scale::SHORT);
}

#[test]
#[ignore = "long: make test-long"]
fn e4_a_leader_that_is_cut_off_for_a_minute_writes_no_more() {
    a_leader_that_is_cut_off_writes_no_more("E4-long", Scale::FULL);
}

fn a_leader_that_hung_writes_no_more(id: &str, scale: Scale) {
    let world = World::new("hung", scale);
    let (leader, standby) = pair(&world);
    let all = names(20);
    for name in &all {
        world.create(name);
    }
    world.wait_complete(all.len());
    let traffic = world.traffic(all);
    let mark = world.mark();
    until_it_writes(&world, &leader, mark, Instant::now());
    let stopped = Instant::now();
    leader.process.signal(Signal::STOP).unwrap();
    until_it_writes(&world, &standby, mark, stopped);
    std::thread::sleep((scale.lease * 2).saturating_sub(stopped.elapsed()));
    let woken = world.mark();
    leader.process.signal(Signal::CONT).unwrap();
    wait("the one that hung to see that it is not the leader", || {
        if leader.process.log().contains("not the leader any more") { Ok(()) } else { Err(leader.process.log()) }
    });
    let edits = traffic.edits.load(Ordering::SeqCst);
    wait(
        "more edits",
        || {
            if traffic.edits.load(Ordering::SeqCst) > edits + 40 { Ok(()) } else { Err("few".to_owned()) }
        },
    );
    none(id, "writes of the one that hung", &world.writes(&leader, woken));
    assert!(standby.leads() && !leader.leads());

    let (mark, asked) = (world.mark(), Instant::now());
    standby.process.signal(Signal::TERM).unwrap();
    let took = until_it_writes(&world, &leader, mark, asked);
    within(id, "until it leads and writes again, once elected", took, Duration::from_secs(2));
}

#[test]
fn e5_a_leader_that_hung_writes_no_more() {
    a_leader_that_hung_writes_no_more("E5", Scale::SHORT);
}

#[test]
#[ignore = "long: make test-long"]
fn e5_a_leader_that_hung_for_half_a_minute_writes_no_more() {
    a_leader_that_hung_writes_no_more("E5-long", Scale::FULL);
}
