//! Check C2 and the rest of reloading: what is replaced, kept and reported, and readiness.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use certs::{Ca, Issued, LoadError, ReloadOutcome, Reloader, Resolver};

use crate::handshake::served_serial;
use crate::volume::{DAY, Volume, ca, leaf, write};

/// A volume, what serves it, and the CA to prove it against.
struct Served {
    volume: Volume,
    resolver: Arc<Resolver>,
    reloader: Reloader,
    ca: Ca,
    now: SystemTime,
}

impl Served {
    fn nothing_yet() -> Self {
        let now = SystemTime::now();
        let volume = Volume::new();
        let resolver = Arc::new(Resolver::new());
        let reloader = Reloader::new(volume.source(), Arc::clone(&resolver));
        Self { volume, resolver, reloader, ca: ca(now), now }
    }

    /// With one good pair in service.
    fn new() -> Self {
        let mut served = Self::nothing_yet();
        served.publish_good();
        served
    }

    fn leaf(&self) -> Issued {
        leaf(&self.ca, self.now)
    }

    /// Publishes a new pair, expects it in service at the next poll, returns its serial number.
    fn publish_good(&mut self) -> String {
        self.volume.publish(&self.leaf());
        let ReloadOutcome::Replaced { serial } = self.poll() else { panic!("a valid pair was not served") };
        self.assert_serves(&serial);
        serial
    }

    fn poll(&mut self) -> ReloadOutcome {
        self.reloader.poll(self.now)
    }

    /// By a real handshake, and by what metrics read.
    fn assert_serves(&self, serial: &str) {
        assert_eq!(served_serial(&self.resolver, &self.ca).unwrap(), serial);
        let held = self.resolver.current();
        assert_eq!(held.served.as_ref().unwrap().serial, serial);
    }

    fn last_error(&self) -> Option<String> {
        let held = self.resolver.current();
        held.last_error.as_ref().map(ToString::to_string)
    }
}

/// What a bad publication holds, given a good pair, and the message, where DIR is the volume.
struct Bad {
    name: &'static str,
    fill: fn(&Path, &Served),
    message: &'static str,
}

const BAD: [Bad; 10] = [
    Bad {
        name: "empty certificate",
        fill: |dir, served| write(dir, "", &served.leaf().key_pem),
        message: "DIR/tls.crt: empty; write the certificate chain into it as PEM",
    },
    Bad {
        name: "empty key",
        fill: |dir, served| write(dir, &served.leaf().chain_pem, ""),
        message: "DIR/tls.key: empty; write the private key into it as PEM",
    },
    Bad {
        name: "cut certificate",
        fill: |dir, served| {
            let leaf = served.leaf();
            write(dir, &leaf.chain_pem[..300], &leaf.key_pem);
        },
        message: "DIR/tls.crt: cut off inside a PEM block; write the whole certificate chain again",
    },
    Bad {
        name: "cut key",
        fill: |dir, served| {
            let leaf = served.leaf();
            write(dir, &leaf.chain_pem, &leaf.key_pem[..100]);
        },
        message: "DIR/tls.key: cut off inside a PEM block; write the whole private key again",
    },
    Bad {
        name: "mismatched",
        fill: |dir, served| write(dir, &served.leaf().chain_pem, &served.leaf().key_pem),
        message: "DIR/tls.key: private key does not belong to the first certificate of \
                  DIR/tls.crt; replace both files together",
    },
    Bad {
        name: "expired",
        fill: |dir, served| {
            let then = SystemTime::UNIX_EPOCH + 20_000 * DAY;
            let leaf = served.ca.issue_leaf(&["a.test".into()], then, DAY).unwrap();
            write(dir, &leaf.chain_pem, &leaf.key_pem);
        },
        message: "DIR/tls.crt: certificate expired at 2024-10-05T00:00:00Z; replace it with a valid one",
    },
    Bad {
        name: "directory as certificate",
        fill: |dir, served| {
            fs::create_dir(dir.join("tls.crt")).unwrap();
            fs::write(dir.join("tls.key"), served.leaf().key_pem).unwrap();
        },
        message: "DIR/tls.crt: is a directory; replace it with a file that holds the certificate \
                  chain as PEM",
    },
    Bad {
        name: "directory as key",
        fill: |dir, served| {
            fs::write(dir.join("tls.crt"), served.leaf().chain_pem).unwrap();
            fs::create_dir(dir.join("tls.key")).unwrap();
        },
        message: "DIR/tls.key: is a directory; replace it with a file that holds the private key \
                  as PEM",
    },
    Bad {
        name: "dangling links",
        fill: |_, _| (),
        message: "DIR/tls.crt: link to ..data/tls.crt, which does not exist; restore the target or \
                  replace the link",
    },
    Bad {
        name: "dangling key",
        fill: |dir, served| fs::write(dir.join("tls.crt"), served.leaf().chain_pem).unwrap(),
        message: "DIR/tls.key: link to ..data/tls.key, which does not exist; restore the target or \
                  replace the link",
    },
];

#[test]
fn c2_a_bad_pair_never_takes_the_place_of_a_good_one() {
    for bad in BAD {
        let mut served = Served::nothing_yet();
        let serial = served.publish_good();
        let mut volume = std::mem::replace(&mut served.volume, Volume::new());
        volume.publish_with(|dir| (bad.fill)(dir, &served));
        served.volume = volume;

        let dir = served.volume.path().display().to_string();
        let message = bad.message.replace("DIR", &dir);
        for repeated in [false, true] {
            let ReloadOutcome::Kept { error, repeated: again } = served.poll() else {
                panic!("{}: served, or not noticed", bad.name)
            };
            assert_eq!(error.to_string(), message, "{}", bad.name);
            assert_eq!(again, repeated, "{}", bad.name);
            served.assert_serves(&serial);
            assert_eq!(served.last_error().as_deref(), Some(message.as_str()));
        }

        // Still ready: the pair in service is good, until its own end, and then the answer says what went wrong.
        let held = served.resolver.current();
        let end = held.served.as_ref().unwrap().not_after;
        assert!(held.ready(served.now) && held.ready(end), "{}", bad.name);
        let after = end + DAY;
        assert!(!held.ready(after), "{}", bad.name);
        let why = held.not_ready(after).unwrap().to_string();
        assert!(why.starts_with("the served TLS certificate expired at "), "{why}");
        assert!(why.ends_with(&format!(" ({message})")), "{why}");

        let repaired = served.publish_good();
        assert_ne!(repaired, serial);
        assert_eq!(served.last_error(), None, "{}", bad.name);
    }
    println!("C2 pass 1 poll to repair, limit 2 polls of 500 ms");
}

#[test]
fn nothing_loaded_is_not_ready_and_says_why() {
    let mut served = Served::nothing_yet();
    let held = served.resolver.current();
    assert!(!held.ready(served.now));
    assert_eq!(held.not_ready(served.now).unwrap().to_string(), "no TLS certificate is loaded");
    let path = served.volume.path().join("tls.crt");
    let expected = format!("{}: no such file; put the certificate chain there as PEM", path.display());
    assert!(matches!(served.poll(), ReloadOutcome::Kept { error, repeated: false } if error.to_string() == expected));
    assert_eq!(
        served.resolver.current().not_ready(served.now).unwrap().to_string(),
        format!("no TLS certificate is loaded ({expected})")
    );
    served.publish_good();
    assert!(served.resolver.current().ready(served.now));
}

#[test]
fn the_served_pair_coming_back_is_no_change_and_clears_the_error() {
    let mut served = Served::nothing_yet();
    let good = served.leaf();
    served.volume.publish(&good);
    assert!(matches!(served.poll(), ReloadOutcome::Replaced { .. }));
    served.volume.publish_with(|_| ());
    assert!(matches!(served.poll(), ReloadOutcome::Kept { .. }));
    served.volume.publish(&good);
    assert_eq!(served.poll(), ReloadOutcome::Unchanged);
    assert_eq!(served.last_error(), None);
}

/// At a `now` after its end a parse would refuse the pair: `Unchanged` shows that it was not parsed.
#[test]
fn unchanged_content_is_not_parsed_again() {
    let mut served = Served::new();
    let after = served.now + 2 * DAY;
    assert_eq!(served.reloader.poll(after), ReloadOutcome::Unchanged);
    assert!(!served.resolver.current().ready(after));
    assert_eq!(
        served.resolver.current().not_ready(after).unwrap().to_string().split(" at ").next(),
        Some("the served TLS certificate expired")
    );
}

#[test]
fn content_decides_not_the_modification_time() {
    let mut served = Served::nothing_yet();
    let dir = served.volume.path().to_owned();
    let at = SystemTime::UNIX_EPOCH + 20_000 * DAY;
    let write_at = |issued: &Issued| {
        write(&dir, &issued.chain_pem, &issued.key_pem);
        for name in ["tls.crt", "tls.key"] {
            let file = File::options().write(true).open(dir.join(name)).unwrap();
            file.set_modified(at).unwrap();
        }
    };
    let (first, second) = (served.leaf(), served.leaf());
    write_at(&first);
    assert!(matches!(served.poll(), ReloadOutcome::Replaced { .. }));
    write_at(&second);
    let ReloadOutcome::Replaced { serial } = served.poll() else {
        panic!("new content under an old date was not noticed")
    };
    served.assert_serves(&serial);
    // The same bytes under a new date.
    write(&dir, &second.chain_pem, &second.key_pem);
    assert_eq!(served.poll(), ReloadOutcome::Unchanged);
}

#[test]
fn a_pair_from_the_future_is_taken_when_its_time_comes() {
    let mut served = Served::nothing_yet();
    served.now = SystemTime::UNIX_EPOCH + 20_000 * DAY;
    let ca = ca(served.now);
    served.volume.publish(&leaf(&ca, served.now + DAY));
    let path = served.volume.path().join("tls.crt");
    let message = format!(
        "{}: certificate is not valid before 2024-10-04T23:00:00Z; check this machine's clock or \
         replace it",
        path.display()
    );
    for repeated in [false, true] {
        let ReloadOutcome::Kept { error, repeated: again } = served.poll() else { panic!("served too early") };
        assert_eq!((error.to_string(), again), (message.clone(), repeated));
    }
    let later = served.now + DAY;
    assert!(matches!(served.reloader.poll(later), ReloadOutcome::Replaced { .. }));
}

/// An invalid pair that is replaced by another invalid one is reported.
#[test]
fn a_new_fault_is_not_a_repetition() {
    let mut served = Served::new();
    let leaf = served.leaf();
    let mut kept = |certificate: &str, key: &str| {
        served.volume.publish_with(|dir| write(dir, certificate, key));
        match served.poll() {
            ReloadOutcome::Kept { error, repeated } => (error, repeated),
            other => panic!("{other:?}"),
        }
    };
    let (first, repeated) = kept("", &leaf.key_pem);
    assert!(matches!(first, LoadError::Empty { .. }) && !repeated);
    let (second, repeated) = kept(&leaf.chain_pem, "");
    assert!(second != first && !repeated);
}
