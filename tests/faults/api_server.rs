//! W1 to W4 and W8: an API server that is gone, answers wrong or not at all, and watches that lag.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cluster::{Exit, Server, report};
use http::Method;

use crate::proxy::{End, Events, Proxy, Treatment, is_watch, is_write};
use crate::world::{Replica, Scale, USERS, World, names, wait};
use crate::{PATIENCE, at_most, none, within};

/// A replica behind a proxy, and its proxy.
fn behind_proxy(world: &World, user: &'static str) -> (Replica, Proxy) {
    let kubeconfig = world.cluster.kubeconfig(user).unwrap();
    let proxy = Proxy::start(&kubeconfig);
    (world.replica_with(user, proxy.kubeconfig(&kubeconfig)), proxy)
}

fn exits_in_order(replica: &Replica) {
    assert_eq!(replica.process.terminate(PATIENCE).unwrap(), Exit::Code(0), "{}", replica.process.log());
}

fn survives_an_outage(id: &str, scale: Scale, outage: Duration) {
    let world = World::new("outage", scale);
    let replica = world.replica(USERS[0]);
    world.wait_one_leader(&[&replica]);
    let all = names(scale.workspaces);
    for name in &all {
        world.create(name);
    }
    world.wait_complete(all.len());
    let pid = replica.process.pid().unwrap();

    world.cluster.kill_server(Server::KubeApiserver);
    std::thread::sleep(outage);
    world.cluster.start_server(Server::KubeApiserver).unwrap();
    let paused = |name: &String| world.set_paused(name, true);
    // In the first moment in which it answers.
    wait("the API server to answer", || paused(&all[0]));
    let back = Instant::now();
    for name in &all[1..] {
        paused(name).unwrap();
    }
    world.create("new");
    // Pods are the business of others, which take longer.
    world.wait_children("new");
    world.wait_scaled(&all, 0);
    within(
        id,
        "from the return of the API server until everything is caught up",
        back.elapsed(),
        Duration::from_secs(5),
    );
    world.wait_state(&all, "Paused");
    world.wait_state(&["new".to_owned()], "Running");
    assert_eq!(replica.process.pid().unwrap(), pid);
    world.wait_one_leader(&[&replica]);
    exits_in_order(&replica);
}

#[test]
fn w1_an_outage_of_the_api_server_is_caught_up_with() {
    survives_an_outage("W1", Scale { workspaces: 10, ..Scale::SHORT }, Duration::from_secs(8));
}

#[test]
#[ignore = "long: make test-long"]
fn w1_an_outage_of_a_minute_is_caught_up_with() {
    survives_an_outage("W1-long", Scale { workspaces: 50, ..Scale::FULL }, Duration::from_mins(1));
}

/// A replica whose three Workspaces run, behind a proxy.
fn running_behind_proxy(world: &World) -> (Replica, Proxy, Vec<String>) {
    let (replica, proxy) = behind_proxy(world, USERS[0]);
    world.wait_one_leader(&[&replica]);
    let all = names(3);
    for name in &all {
        world.create(name);
    }
    world.wait_complete(all.len());
    (replica, proxy, all)
}

/// Pauses or starts all of them, and waits until that is so. Each resource is listed no more than so often by then.
fn converges(id: &str, what: &str, world: &World, (proxy, all): (&Proxy, &[String]), limit: Duration, lists: usize) {
    let paused = !world.is_paused(&all[0]);
    for name in all {
        world.set_paused(name, paused).unwrap();
    }
    let began = Instant::now();
    world.wait_state(all, if paused { "Paused" } else { "Running" });
    within(id, &format!("until everything is as it should be, {what}"), began.elapsed(), limit);
    let most = proxy.take_lists().values().max().copied().unwrap_or(0);
    at_most(id, &format!("lists of one resource, {what}"), most, lists);
}

#[test]
fn w2_watches_that_break_are_resumed() {
    let world = World::new("watches", Scale::FULL);
    let (replica, proxy, all) = running_behind_proxy(&world);
    let seconds = Duration::from_secs;
    let under_test = (&proxy, all.as_slice());
    proxy.take_lists();
    proxy.end_watches(End::Cut);
    converges("W2", "after watches were cut in the middle of an event", &world, under_test, seconds(10), 0);
    proxy.end_watches(End::Expired);
    converges("W2", "after watches had expired", &world, under_test, seconds(10), 1);
    for (what, events) in [("with each event twice", Events::Twice), ("with events 2 s late", Events::Late(seconds(2)))]
    {
        proxy.events(events);
        converges("W2", what, &world, under_test, seconds(20), 0);
        proxy.events(Events::Forward);
    }
    exits_in_order(&replica);
}

/// Without an event or a bookmark for 75 s a watch is resumed, and is silent again. What happens meanwhile is seen when one is not.
#[test]
#[ignore = "long: make test-long"]
fn w2_watches_that_say_nothing_for_five_minutes_are_resumed() {
    let world = World::new("silence", Scale::FULL);
    let (replica, proxy, all) = running_behind_proxy(&world);
    let mark = world.mark();
    proxy.take_lists();
    proxy.events(Events::Silence);
    std::thread::sleep(Duration::from_mins(5));
    let resumed = world.requests(&replica, mark).verb("watch").resource("workspaces").count();
    at_most("W2-long", "watches of Workspaces in five silent minutes", resumed, 5);
    assert!(resumed >= 3, "{resumed}");
    proxy.events(Events::Forward);
    converges("W2-long", "after five silent minutes", &world, (&proxy, &all), Duration::from_secs(10), 1);
    exits_in_order(&replica);
}

/// A list is refused as too old, in the middle of its pages or at the beginning of a watch.
#[test]
fn w2_lists_that_are_refused_as_too_old_are_repeated() {
    let world = World::new("lists", Scale { workspaces: 3, ..Scale::FULL });
    let (replica, proxy) = behind_proxy(&world, USERS[0]);
    world.wait_one_leader(&[&replica]);
    world.create("before");
    world.wait_complete(1);
    proxy.take_lists();
    let refused = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&refused);
    proxy.treat(move |request| {
        let is_it = is_watch(request) && request.uri().path().ends_with("/workspaces");
        if is_it && counted.fetch_add(1, Ordering::SeqCst) < 2 { Treatment::Answer(410) } else { Treatment::Forward }
    });
    proxy.end_watches(End::Expired);
    world.create("after");
    world.wait_complete(2);
    assert!(refused.load(Ordering::SeqCst) >= 2, "nothing was refused");
    at_most("W2", "lists of Workspaces, of which two are refused", proxy.take_lists()["workspaces"], 3);
    exits_in_order(&replica);
}

#[test]
fn w3_a_write_without_an_answer_is_given_up_and_repeated() {
    let world = World::new("swallowed", Scale { workspaces: 10, ..Scale::FULL });
    let (replica, proxy) = behind_proxy(&world, USERS[0]);
    world.wait_one_leader(&[&replica]);
    let swallowed = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&swallowed);
    // The first write of a Service.
    proxy.treat(move |request| {
        let is_it = is_write(request) && request.uri().path().contains("/services/");
        if is_it && counted.fetch_add(1, Ordering::SeqCst) == 0 { Treatment::Swallow } else { Treatment::Forward }
    });
    let all = names(world.scale.workspaces);
    world.create("unlucky");
    wait("the write that gets no answer", || {
        if swallowed.load(Ordering::SeqCst) > 0 { Ok(()) } else { Err("none".to_owned()) }
    });
    let began = Instant::now();
    for name in &all {
        world.create(name);
    }
    world.wait_state(&all, "Running");
    within("W3", "until ten others run meanwhile", began.elapsed(), Duration::from_secs(8));
    assert_eq!(world.children_of("services", Some("unlucky")), 0, "it was not swallowed");
    wait("the write to be repeated", || {
        if world.children_of("services", Some("unlucky")) == 1 { Ok(()) } else { Err("no Service".to_owned()) }
    });
    within("W3", "until the write that got no answer is repeated", began.elapsed(), Duration::from_secs(15));
    world.wait_complete(all.len() + 1);
    exits_in_order(&replica);
}

/// The most requests of one sort that came within a second.
fn most_in_a_second(times: &mut [Instant]) -> usize {
    times.sort();
    let second = Duration::from_secs(1);
    (0..times.len())
        .map(|from| times[from..].iter().take_while(|time| **time - times[from] < second).count())
        .max()
        .unwrap_or(0)
}

fn an_api_server_that_often_fails_is_not_hammered(id: &str, scale: Scale, lasts: Duration) {
    const CODES: [u16; 4] = [429, 500, 503, 409];
    let world = World::new("failing", scale);
    let (replica, proxy) = behind_proxy(&world, USERS[0]);
    world.wait_one_leader(&[&replica]);
    let all = names(scale.workspaces);
    for name in &all {
        world.create(name);
    }
    world.wait_complete(all.len());
    // Every write that fails, by method and path.
    let failed: Arc<std::sync::Mutex<BTreeMap<String, Vec<Instant>>>> = Arc::default();
    let (recorded, count) = (Arc::clone(&failed), AtomicUsize::new(0));
    proxy.treat(move |request| {
        if request.uri().path().contains("/leases/") {
            return Treatment::Forward;
        }
        let number = count.fetch_add(1, Ordering::SeqCst);
        // Three of ten, in no order that a pattern of requests could meet.
        if number.wrapping_mul(2_654_435_761) % 1000 >= 300 {
            return Treatment::Forward;
        }
        if request.method() == Method::PATCH {
            let key = format!("{} {}", request.method(), request.uri().path());
            recorded.lock().unwrap().entry(key).or_default().push(Instant::now());
        }
        Treatment::Answer(CODES[number % CODES.len()])
    });
    proxy.end_watches(End::Expired);
    let traffic = world.traffic(all.clone());
    std::thread::sleep(lasts);
    drop(traffic);
    let last: BTreeMap<String, bool> =
        all.iter().enumerate().map(|(number, name)| (name.clone(), number % 2 == 0)).collect();
    for (name, paused) in &last {
        world.set_paused(name, *paused).unwrap();
    }
    proxy.treat(|_| Treatment::Forward);
    let ended = Instant::now();
    for (name, paused) in &last {
        world.wait_state(std::slice::from_ref(name), if *paused { "Paused" } else { "Running" });
    }
    within(id, "until everything is as it should be after the failures", ended.elapsed(), Duration::from_secs(30));
    let mut failed = failed.lock().unwrap();
    let total: usize = failed.values().map(Vec::len).sum();
    assert!(total > 10, "only {total} writes failed");
    let (of, most) = failed
        .iter_mut()
        .map(|(of, times)| (of.clone(), most_in_a_second(times)))
        .max_by_key(|(_, most)| *most)
        .unwrap();
    at_most(id, &format!("tries of one write that failed, in any second, of {total} ({of})"), most, 1);
    exits_in_order(&replica);
}

#[test]
fn w4_an_api_server_that_often_fails_is_not_hammered() {
    an_api_server_that_often_fails_is_not_hammered(
        "W4",
        Scale { workspaces: 10, ..Scale::FULL },
        Duration::from_secs(15),
    );
}

#[test]
#[ignore = "long: make test-long"]
fn w4_an_api_server_that_fails_for_two_minutes_is_not_hammered() {
    an_api_server_that_often_fails_is_not_hammered(
        "W4-long",
        Scale { workspaces: 50, ..Scale::FULL },
        Duration::from_mins(2),
    );
}

fn late_events_make_no_duplicates(id: &str, scale: Scale, late: Duration) {
    let world = World::new("late", scale);
    let (leader, to_leader) = behind_proxy(&world, USERS[0]);
    world.wait_one_leader(&[&leader]);
    let (standby, to_standby) = behind_proxy(&world, USERS[1]);
    for proxy in [&to_leader, &to_standby] {
        proxy.events(Events::Late(late));
    }
    let all = names(scale.workspaces);
    let mark = world.mark();
    for name in &all {
        world.create(name);
    }
    // Half-way: it has made some, and has not seen all of them.
    wait("a part of the children", || {
        let made = world.created(&leader, mark);
        if made >= all.len() * 2 { Ok(()) } else { Err(made.to_string()) }
    });
    leader.process.kill().unwrap();
    assert!(world.created(&leader, mark) < all.len() * 4, "all had been made");
    world.wait_complete(all.len());
    assert!(world.created(&standby, mark) > 0, "the standby made none");
    report(id, true, all.len(), "each: ServiceAccounts, StatefulSets, Services and VirtualServices");
    for proxy in [&to_leader, &to_standby] {
        proxy.events(Events::Forward);
    }
    none(id, "deletions", &world.deletions(&[&leader, &standby], mark));
    exits_in_order(&standby);
}

#[test]
fn w8_late_events_and_a_killed_leader_make_no_duplicates() {
    late_events_make_no_duplicates("W8", Scale { workspaces: 60, ..Scale::SHORT }, Duration::from_secs(2));
}

#[test]
#[ignore = "long: make test-long"]
fn w8_late_events_and_a_killed_leader_of_300_make_no_duplicates() {
    late_events_make_no_duplicates("W8-long", Scale { workspaces: 300, ..Scale::FULL }, Duration::from_secs(5));
}
