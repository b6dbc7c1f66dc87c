//! Plays the events of a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use certs::Schedule;
use cluster::{Exit, Mark, Server, Signal};

use super::census::Census;
use super::plan::{Event, Planned, RESTARTED, STEADY};
use super::site::{Replica, Site, USERS, locked};
use super::verdict::Sort;
use crate::PATIENCE;
use crate::proxy::{End, Events};
use crate::world::{LEASE, wait};

/// By how much events are late.
const LATE: Duration = Duration::from_secs(1);

/// Waits until it is time; false when it is over before.
fn wait_until(due: Instant, is_over: &AtomicBool) -> bool {
    while !is_over.load(Ordering::SeqCst) {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        thread::sleep(left.min(Duration::from_millis(200)));
    }
    false
}

/// Plays what is done to certificates.
pub fn certificates(site: &Site, track: &[Planned], began: Instant, is_over: &AtomicBool) {
    let schedule = Schedule::new(4 * site.form.leaf, site.form.leaf).unwrap();
    for planned in track {
        if !wait_until(began + planned.at, is_over) {
            return;
        }
        site.store_certificate(|held| {
            let now = SystemTime::now();
            // The CA before is to sign a certificate first.
            if held.leaf_issuer() != held.ca() {
                return None;
            }
            match planned.event {
                Event::RotateCa => held.rotate_ca(&schedule, now).ok(),
                _ => held.renew_leaf(held.names(), &schedule, now).ok(),
            }
        });
    }
}

/// Plays what is done to watches.
pub fn watches(site: &Site, track: &[Planned], began: Instant, is_over: &AtomicBool) {
    for planned in track {
        if !wait_until(began + planned.at, is_over) {
            return;
        }
        let proxies =
            || site.proxies.iter().enumerate().filter(|(number, _)| planned.replica.is_none_or(|it| it == *number));
        match planned.event {
            Event::CutWatches => proxies().for_each(|(_, proxy)| proxy.end_watches(End::Cut)),
            Event::ExpireWatches => proxies().for_each(|(_, proxy)| proxy.end_watches(End::Expired)),
            _ => {
                let _delayed = locked(&site.delays);
                proxies().for_each(|(_, proxy)| proxy.events(Events::Late(LATE)));
                thread::sleep(site.form.pace.delayed);
                proxies().for_each(|(_, proxy)| proxy.events(Events::Forward));
                // The last of them are on their way.
                thread::sleep(LATE);
            }
        }
    }
}

/// Plays what disrupts the replicas and the API server, and looks meanwhile.
pub struct Player<'a> {
    site: &'a Site,
    pub replicas: Vec<Replica>,
    /// How long after the event another replica led.
    pub fail_overs: Vec<(Event, Duration)>,
    pub duplicates: BTreeSet<String>,
    /// Pods that replicas have deleted, by name.
    pub deleted_pods: BTreeMap<String, BTreeSet<String>>,
    mark: Mark,
}

impl<'a> Player<'a> {
    /// With these replicas, the first of which leads.
    pub fn new(site: &'a Site, replicas: Vec<Replica>) -> Self {
        let mark = site.cluster.audit().mark().unwrap();
        let (duplicates, deleted_pods) = (BTreeSet::new(), BTreeMap::new());
        Self { site, replicas, fail_overs: Vec::new(), duplicates, deleted_pods, mark }
    }

    pub fn play(&mut self, track: &[Planned], began: Instant, is_over: &AtomicBool) {
        let mut looked = Instant::now();
        for planned in track {
            if !wait_until(began + planned.at, is_over) {
                return;
            }
            println!("soak: {:.0?} {:?}", began.elapsed(), planned.event);
            match planned.event {
                Event::KillLeader => self.kill_leader(),
                Event::HangLeader => self.hang_leader(),
                Event::RollingRestart => self.rolling_restart(),
                Event::RestartApiServer => self.restart_api_server(),
                _ => self.take_rights(),
            }
            self.wait_settled();
            if looked.elapsed() > Duration::from_secs(20) {
                self.look();
                looked = Instant::now();
            }
        }
        wait_until(began + self.site.form.pace.duration, is_over);
    }

    /// Which replica leads, once one does.
    fn leader(&self) -> usize {
        wait("a leader", || self.replicas.iter().position(leads).ok_or_else(|| "none leads".to_owned()))
    }

    /// Which replica leads, and it is not the steady one: that hangs until another one leads.
    fn leader_to_stop(&mut self) -> usize {
        loop {
            match self.leader() {
                STEADY => self.hang_leader(),
                leader => return leader,
            }
            self.wait_settled();
        }
    }

    /// The replica that `choose` finds to lead, while no watch is delayed, for as long as the guard is held.
    fn leader_in_time(&mut self, choose: impl Fn(&mut Self) -> usize) -> (usize, MutexGuard<'a, ()>) {
        loop {
            let leader = choose(self);
            let site = self.site;
            let in_time = locked(&site.delays);
            // Meanwhile it may have lost the Lease.
            if leads(&self.replicas[leader]) {
                return (leader, in_time);
            }
        }
    }

    fn kill_leader(&mut self) {
        let (leader, _in_time) = self.leader_in_time(Self::leader_to_stop);
        let holder = self.site.holder();
        let killed = SystemTime::now();
        self.site.during(Sort::Killed, || self.replicas[leader].process.kill().unwrap());
        self.replicas[leader] = self.site.start(leader);
        let took = self.site.fail_over(&holder, killed);
        self.fail_overs.push((Event::KillLeader, took));
    }

    fn hang_leader(&mut self) {
        let (leader, _in_time) = self.leader_in_time(|player| player.leader());
        let holder = self.site.holder();
        let process = &self.replicas[leader].process;
        let (stopped, began) = (SystemTime::now(), Instant::now());
        self.site.during(Sort::Hung, || {
            process.signal(Signal::STOP).unwrap();
            self.fail_overs.push((Event::HangLeader, self.site.fail_over(&holder, stopped)));
            thread::sleep((self.site.form.lease[0].mul_f64(4.0 / 3.0)).saturating_sub(began.elapsed()));
            process.signal(Signal::CONT).unwrap();
        });
    }

    fn rolling_restart(&mut self) {
        let leader = self.leader_to_stop();
        for number in RESTARTED.into_iter().filter(|number| *number != leader).chain([leader]) {
            let next = self.site.start(number);
            let old = std::mem::replace(&mut self.replicas[number], next);
            let _in_time = locked(&self.site.delays);
            let is_asked = leads(&old);
            let holder = self.site.holder();
            let asked = SystemTime::now();
            old.process.signal(Signal::TERM).unwrap();
            if is_asked {
                self.fail_overs.push((Event::RollingRestart, self.site.fail_over(&holder, asked)));
            }
            assert_eq!(old.process.wait_exit(PATIENCE).unwrap(), Exit::Code(0), "{}", old.process.log());
        }
    }

    fn restart_api_server(&self) {
        let cluster = self.site.cluster;
        self.site.during(Sort::ApiServerGone, || {
            cluster.kill_server(Server::KubeApiserver);
            cluster.start_server(Server::KubeApiserver).unwrap();
            cluster.wait_api_server().unwrap();
        });
    }

    fn take_rights(&self) {
        self.site.during(Sort::WithoutRights, || {
            self.site.take_rights();
            thread::sleep(self.site.form.pace.without_rights);
            self.site.give_rights();
        });
    }

    /// Waits until every replica runs and is ready, and one leads.
    fn wait_settled(&self) {
        for replica in &self.replicas {
            replica.process.wait_ready(PATIENCE).unwrap();
        }
        wait("one leader", || match self.replicas.iter().filter(|replica| leads(replica)).count() {
            1 => Ok(()),
            others => Err(format!("{others} lead")),
        });
    }

    /// Looks for duplicates, and for pods that were deleted.
    pub fn look(&mut self) {
        let site = self.site;
        let Census { duplicates, .. } = wait("a census", || site.census().map_err(|error| error.to_string()));
        self.duplicates.extend(duplicates);
        let audit = self.site.cluster.audit();
        let next = audit.mark().unwrap();
        for request in audit.since(self.mark).unwrap().verb("delete").resource("pods").accepted().0 {
            if USERS.contains(&&*request.user) {
                // What came after the mark is seen again.
                self.deleted_pods.entry(request.name).or_default().insert(request.received);
            }
        }
        self.mark = next;
    }
}

fn leads(replica: &Replica) -> bool {
    replica.process.metric("leader_election_master_status", &[("name", LEASE)]).ok().flatten() == Some(1.0)
}
