#![allow(clippy::unwrap_used, clippy::panic)]
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::*;

const DAY: Duration = Duration::from_hours(24);
const YEAR: Duration = Duration::from_hours(24 * 365);
const HOST: &str = "webhook.ns.svc";
/// How late one of the API servers learns what to trust.
const API_SERVER_LAG: Duration = Duration::from_secs(30);

fn schedule() -> Schedule {
    Schedule::new(YEAR, 30 * DAY).unwrap()
}

fn names() -> Vec<SubjectAltName> {
    vec![HOST.into()]
}

/// 2024-10-04
fn start() -> SystemTime {
    UNIX_EPOCH + 20_000 * DAY
}

fn issue(now: SystemTime) -> Material {
    Material::issue(&Bundle::default(), &names(), &schedule(), now).unwrap()
}

fn published(held: &Material, since: SystemTime) -> Published {
    let mut published = Published::default();
    published.observe(held.trusted().clone(), since);
    published
}

/// The step at a time, where clients have trusted all of `held` since it was issued.
fn step(held: &Material, now: SystemTime) -> Step {
    schedule().next(held, Some(&published(held, start())), &names(), now)
}

#[test]
fn a_ca_is_valid_for_several_certificates() {
    assert!(Schedule::new(4 * DAY, DAY).is_ok());
    let error = Schedule::new(Duration::from_hours(95), DAY).unwrap_err();
    assert_eq!(error, "a CA has to be valid for at least 4 times as long as its certificates");
}

#[test]
fn short_validities_scale_what_follows_from_them() {
    let of = |leaf: Duration| Schedule::new(100 * leaf, leaf).unwrap();
    assert_eq!((of(30 * DAY).settle(), of(30 * DAY).skew()), (Duration::from_mins(1), Duration::from_mins(5)));
    let short = of(Duration::from_secs(20));
    assert_eq!((short.settle(), short.skew()), (Duration::from_secs(1), Duration::from_secs(2)));
}

#[test]
fn a_certificate_is_renewed_for_its_last_third() {
    let held = issue(start());
    assert_eq!(step(&held, start()), Step::Keep);
    assert_eq!(step(&held, start() + 20 * DAY - Duration::from_secs(1)), Step::Keep);
    assert_eq!(step(&held, start() + 20 * DAY + Duration::from_secs(1)), Step::RenewLeaf);
    assert_eq!(step(&held, start() + 100 * DAY), Step::RenewLeaf);
}

#[test]
fn a_name_that_is_missing_is_added_once_and_renewals_drop_what_nobody_wants() {
    let (now, schedule) = (start(), schedule());
    let held = issue(now);
    let wanted = ["new.ns.svc".into()];
    let trusted = published(&held, now);
    assert_eq!(schedule.next(&held, Some(&trusted), &wanted, now), Step::RenewLeaf);
    let both = schedule.names_to_issue(&held, &wanted, now);
    assert_eq!(both, ["new.ns.svc".into(), HOST.into()]);
    let held = Material::from_pem(&held.renew_leaf(&both, &schedule, now).unwrap()).unwrap();
    for wanted in [&wanted[..], &names(), &both] {
        assert_eq!(schedule.next(&held, Some(&trusted), wanted, now), Step::Keep, "{wanted:?}");
    }
    let later = now + 21 * DAY;
    assert_eq!(schedule.names_to_issue(&held, &wanted, later), wanted);
}

#[test]
fn a_new_ca_signs_once_it_has_been_published_for_a_while() {
    let schedule = schedule();
    let held = issue(start());
    let now = start() + YEAR - 60 * DAY + Duration::from_secs(1);
    let renewed = Material::from_pem(&held.renew_leaf(&names(), &schedule, now).unwrap()).unwrap();
    assert_eq!(step(&renewed, now - Duration::from_secs(2)), Step::Keep);
    assert_eq!(step(&renewed, now), Step::RotateCa);
    let rotated = Material::from_pem(&renewed.rotate_ca(&schedule, now).unwrap()).unwrap();
    assert_eq!(rotated.trusted().certificates(), [rotated.ca().clone(), held.ca().clone()]);
    assert_eq!(rotated.leaf_issuer(), held.ca());

    // Not while clients trust the old one alone, and not at once after that.
    let mut trusted = published(&held, start());
    let next = |trusted: &Published, at| schedule.next(&rotated, Some(trusted), &names(), at);
    assert_eq!(next(&trusted, now + DAY), Step::Keep);
    trusted.observe(rotated.trusted().clone(), now + DAY);
    let settled = now + DAY + Duration::from_mins(1);
    assert_eq!(next(&trusted, settled - Duration::from_secs(1)), Step::Keep);
    assert_eq!(next(&trusted, settled), Step::RenewLeaf);
    // Where there are no clients, there is nothing to wait for; and an expired certificate is of no use.
    assert_eq!(schedule.next(&rotated, None, &names(), now), Step::RenewLeaf);
    assert_eq!(next(&published(&held, start()), now + 31 * DAY), Step::RenewLeaf);

    let served = Material::from_pem(&rotated.renew_leaf(&names(), &schedule, settled).unwrap()).unwrap();
    assert_eq!(served.leaf_issuer(), rotated.ca());
    // The last certificate of the old one was as old as the new one at least.
    let expired = now + 30 * DAY + Duration::from_mins(5);
    let served = Material::from_pem(&served.renew_leaf(&names(), &schedule, expired).unwrap()).unwrap();
    assert_eq!(schedule.next(&served, Some(&trusted), &names(), expired - Duration::from_secs(2)), Step::Keep);
    assert_eq!(schedule.next(&served, Some(&trusted), &names(), expired), Step::DropOldCas);
    let alone = Material::from_pem(&served.drop_old_cas()).unwrap();
    assert_eq!(alone.trusted().certificates(), [rotated.ca().clone()]);
    assert_eq!(schedule.next(&alone, Some(&trusted), &names(), expired), Step::Keep);
}

#[test]
fn a_replica_gives_up_nothing_good_for_what_clients_may_not_know() {
    let (now, schedule) = (start(), schedule());
    let (old, new) = (issue(now), issue(now));
    let serving = Serving { issuer: old.ca().clone(), not_after: old.leaf_not_after() };
    let takes = |served: Option<&Serving>, published: Option<&Published>, at| {
        schedule.is_to_be_served(&new, served, published, at)
    };
    let mut trusted = published(&old, now);
    assert!(!takes(Some(&serving), Some(&trusted), now));
    assert!(takes(None, Some(&trusted), now), "it has nothing else");
    assert!(takes(Some(&serving), None, now), "there are no clients");
    assert!(takes(Some(&serving), Some(&Published::default()), now), "what it serves is not trusted either");
    assert!(takes(Some(&serving), Some(&trusted), old.leaf_not_after() + Duration::from_secs(1)), "it is expired");
    trusted.observe(old.trusted().add(new.ca(), now), now);
    assert!(!takes(Some(&serving), Some(&trusted), now + Duration::from_secs(59)));
    assert!(takes(Some(&serving), Some(&trusted), now + Duration::from_mins(1)));
    // Withdrawn and published again, the time begins anew.
    trusted.observe(old.trusted().clone(), now + DAY);
    trusted.observe(old.trusted().add(new.ca(), now), now + DAY);
    assert!(!takes(Some(&serving), Some(&trusted), now + DAY));
}

/// What is stored, or what clients trust: every version, with the time of its write.
struct History<T>(Vec<(SystemTime, T)>);

impl<T> History<T> {
    /// The number of the version that was current then.
    fn at(&self, time: SystemTime) -> usize {
        self.0.iter().rposition(|(written, _)| *written <= time).unwrap()
    }

    fn last(&self) -> usize {
        self.0.len() - 1
    }
}

struct Replica {
    /// How late it learns of a change.
    lag: Duration,
    /// Its clock is that much ahead.
    ahead: Duration,
    /// Until then it learns of nothing; and what it saw last.
    cut_off: Option<(SystemTime, SystemTime)>,
    published: Published,
    serving: Option<(Serving, CertificateDer<'static>)>,
    /// Whether it has seen, since its start, that clients trust what it serves: before that it is sent no requests.
    ready: bool,
}

impl Replica {
    fn is_cut_off(&self, now: SystemTime) -> bool {
        self.cut_off.is_some_and(|(until, _)| now <= until)
    }
}

/// Replicas that share a Secret and a webhook configuration.
struct World {
    now: SystemTime,
    secret: History<Option<Rc<Material>>>,
    bundle: History<Bundle>,
    replicas: Vec<Replica>,
    seed: u64,
    /// Whether a certificate verifies against that version of the bundle, at any time of its validity.
    verified: HashMap<(Vec<u8>, usize), bool>,
    steps: HashMap<&'static str, usize>,
}

impl World {
    fn new(seed: u64) -> Self {
        let replica = |lag, ahead| Replica {
            lag: Duration::from_secs(lag),
            ahead: Duration::from_secs(ahead),
            cut_off: None,
            published: Published::default(),
            serving: None,
            ready: false,
        };
        Self {
            now: start(),
            secret: History(vec![(UNIX_EPOCH, None)]),
            bundle: History(vec![(UNIX_EPOCH, Bundle::default())]),
            replicas: vec![replica(0, 0), replica(240, 7), replica(600, 2)],
            seed,
            verified: HashMap::new(),
            steps: HashMap::new(),
        }
    }

    /// A number below `limit` (xorshift: the same for the same seed).
    fn chance(&mut self, limit: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % limit
    }

    fn count(&mut self, step: &'static str) {
        *self.steps.entry(step).or_default() += 1;
    }

    /// One look of a replica. True if it has written.
    fn act(&mut self, number: usize) -> bool {
        let replica = &mut self.replicas[number];
        let now = self.now + replica.ahead;
        let seen = match replica.cut_off {
            Some((until, seen)) if self.now < until => seen,
            _ => self.now - replica.lag,
        };
        let (secret, bundle) = (self.secret.at(seen), self.bundle.at(seen));
        // As with a resourceVersion: who has not seen the last version cannot write.
        let may_write = (secret == self.secret.last(), bundle == self.bundle.last());
        replica.published.observe(self.bundle.0[bundle].1.clone(), now);
        let Some(held) = self.secret.0[secret].1.clone() else {
            let serving = replica.serving.as_ref().map(|(serving, _)| serving.issuer.clone());
            let trusted = self.bundle.0[bundle].1.clone();
            let trusted = serving.map_or(trusted.clone(), |ca| trusted.add(&ca, now));
            if may_write.0 {
                let material = Material::issue(&trusted, &names(), &schedule(), now).unwrap();
                self.secret.0.push((self.now, Some(Rc::new(material))));
                self.count("issued");
            }
            return may_write.0;
        };
        let serving = replica.serving.as_ref().map(|(serving, _)| serving);
        if schedule().is_to_be_served(&held, serving, Some(&replica.published), now) {
            let chain = held.pem().certificate;
            let leaf = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
            let serving = Serving { issuer: held.leaf_issuer().clone(), not_after: held.leaf_not_after() };
            replica.serving = Some((serving, leaf));
        }
        replica.ready |=
            replica.serving.as_ref().is_some_and(|(serving, _)| replica.published.contains(&serving.issuer));
        let mut written = false;
        if replica.published.bundle() != held.trusted() && may_write.1 {
            self.bundle.0.push((self.now, held.trusted().clone()));
            self.count("published");
            written = true;
        }
        let step = schedule().next(&held, Some(&self.replicas[number].published), &names(), now);
        if step == Step::Keep || !may_write.0 {
            return written;
        }
        let (what, pem) = match step {
            Step::Keep => return written,
            Step::RenewLeaf => ("renewed", held.renew_leaf(&names(), &schedule(), now).unwrap()),
            Step::RotateCa => ("rotated", held.rotate_ca(&schedule(), now).unwrap()),
            Step::DropOldCas => ("dropped", held.drop_old_cas()),
        };
        self.secret.0.push((self.now, Some(Rc::new(Material::from_pem(&pem).unwrap()))));
        self.count(what);
        true
    }

    /// Every certificate that is served verifies for both API servers, one of which is late.
    fn check(&mut self) {
        let bundles = [self.bundle.last(), self.bundle.at(self.now - API_SERVER_LAG)];
        for (number, replica) in self.replicas.iter().enumerate().filter(|(_, replica)| replica.ready) {
            let Some((serving, leaf)) = &replica.serving else { continue };
            assert!(self.now <= serving.not_after, "replica {number} serves what is expired");
            for bundle in bundles {
                let (roots, now) = (&self.bundle.0[bundle].1, self.now);
                let verifies =
                    self.verified.entry((leaf.to_vec(), bundle)).or_insert_with(|| verifies(leaf, roots, now));
                assert!(*verifies, "replica {number} serves what clients do not trust, {:?}", self.steps);
            }
        }
    }
}

fn verifies(leaf: &CertificateDer<'_>, bundle: &Bundle, now: SystemTime) -> bool {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.pem().as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(ring::default_provider());
    let Ok(verifier) = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build() else {
        return false;
    };
    let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap());
    verifier.verify_server_cert(leaf, &[], &ServerName::try_from(HOST).unwrap(), &[], now).is_ok()
}

/// Three replicas whose clocks and views differ; now and then one is restarted or learns of nothing for eight days, and once in
/// a while somebody deletes the Secret.
#[test]
fn for_ten_years_every_replica_serves_what_clients_trust() {
    const SEEDS: u64 = 2;
    for seed in 1..=SEEDS {
        let mut world = World::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut close_look = world.now;
        // The first start is over when the last replica has seen it.
        let settled = world.now + Duration::from_hours(1);
        let end = world.now + 10 * YEAR;
        while world.now < end {
            let first = usize::try_from(world.chance(3)).unwrap();
            for offset in 0..3 {
                if world.act((first + offset) % 3) {
                    close_look = world.now + Duration::from_hours(1);
                }
            }
            if world.now > settled {
                world.check();
            }
            if world.now > close_look {
                disturb(&mut world);
                world.now += Duration::from_hours(4);
            } else {
                world.now += Duration::from_secs(20);
            }
        }
        let count = |what| world.steps.get(what).copied().unwrap_or_default();
        let (issued, rotated) = (count("issued"), count("rotated"));
        println!("{seed}: {:?}", world.steps);
        assert!(issued > 3 && rotated > 3, "{:?}", world.steps);
        // Each CA is published when it comes and when those before it go.
        assert!(count("published") <= 2 * (issued + rotated), "{:?}", world.steps);
        assert!(count("dropped") <= issued + rotated, "{:?}", world.steps);
        // Every 20 days, and once for each new CA.
        assert!(count("renewed") <= 10 * 365 / 20 + 1 + rotated, "{:?}", world.steps);
    }
}

fn disturb(world: &mut World) {
    let (what, which) = (world.chance(10_000), usize::try_from(world.chance(3)).unwrap());
    let (now, replica) = (world.now, &mut world.replicas[which]);
    match what {
        // A start reads what is stored now.
        0..100 if !replica.is_cut_off(now) => {
            (replica.serving, replica.ready) = (None, false);
            replica.published = Published::default();
        }
        100..200 if !replica.is_cut_off(now) => replica.cut_off = Some((now + 8 * DAY, now - replica.lag)),
        200..203 => world.secret.0.push((now, None)),
        _ => {}
    }
}
