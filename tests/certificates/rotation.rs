//! C3: a CA is rotated while requests come, and one of two replicas learns of it late.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use certs::{Bundle, Material, Schedule};
use cluster::{Flow, Relay, report};
use serde_json::json;

use crate::exactly;
use crate::handshake::served;
use crate::installation::{Installation, api, cluster, encode, kubeconfig, port, start};
use crate::load::Load;

#[test]
fn c3_a_ca_is_rotated_without_a_failed_request() {
    rotate(Duration::from_secs(24), Duration::from_secs(6));
}

#[test]
#[ignore = "long"]
fn c3_a_ca_is_rotated_without_a_failed_request_with_a_replica_90_s_behind() {
    rotate(Duration::from_mins(5), Duration::from_secs(90));
}

/// What a replica served at a moment, and what was published just before.
struct Sample {
    at: Instant,
    replica: usize,
    bundle: String,
    /// Whether the certificate is of the first CA; nothing where it did not verify.
    of_old: Result<bool, String>,
}

/// `leaf` is the validity of certificates; the second replica learns of everything that much later.
fn rotate(leaf: Duration, behind: Duration) {
    let installation = Installation::new("rotated").short_lived(leaf);
    let old = store_a_ca_near_its_end(&installation, leaf);
    let relay = Relay::to_api_server(cluster()).unwrap();
    let mut late = installation.options(1);
    late.kubeconfig = Some(relay.kubeconfig(&kubeconfig(1)).unwrap());
    let replicas = [start(&installation.options(0)), start(&late)];
    let ports = [port(&replicas[0]), port(&replicas[1])];
    installation.balance(&replicas);
    installation.wait_called();
    assert_eq!(installation.bundle().as_deref(), Some(&*old), "the rotation came too early");
    relay.set(Flow::Held);

    let (load, samples) = (Load::default(), Mutex::new(Vec::new()));
    let began = Instant::now();
    thread::scope(|scope| {
        let _stop = load.start(scope, &installation);
        for (replica, port) in ports.into_iter().enumerate() {
            let (installation, old, load, samples) = (&installation, &old, &load, &samples);
            scope.spawn(move || {
                while !load.is_stopped() {
                    let at = Instant::now();
                    let Some(bundle) = installation.bundle() else { continue };
                    let of_old = served(port, &bundle).map(|_| served(port, old).is_ok());
                    samples.lock().unwrap().push(Sample { at, replica, bundle, of_old });
                    thread::sleep(Duration::from_millis(50));
                }
            });
        }
        let wait = |what: &str, done: &dyn Fn(&str) -> bool| {
            let seen = cluster().wait_for(what, 3 * leaf, || {
                let bundle = installation.bundle().unwrap_or_default();
                if done(&bundle) { Ok(Instant::now()) } else { Err(bundle) }
            });
            seen.unwrap_or_else(|error| panic!("{error}\n{}", replicas[0].log()))
        };
        let added = wait("a second CA", &|bundle| bundle.contains(&*old) && bundle.len() > old.len());
        // It has been held back since before.
        thread::sleep(behind.saturating_sub(added.elapsed()));
        relay.set(Flow::Open);
        wait("the first CA to go", &|bundle| !bundle.is_empty() && !bundle.contains(&*old));
        thread::sleep(Duration::from_secs(1));
    });
    let took = began.elapsed();
    let (requests, failed) = load.results();
    let samples = samples.into_inner().unwrap();
    println!("C3 pass {requests} creates, {} handshakes in {took:.0?}, certificates of {leaf:?}", samples.len());
    assert!(requests > 100 && samples.len() > 100);
    exactly("C3", &format!("creates that failed {:?}", failed.first()), failed.len(), 0);
    check_order(&samples, &old, behind);
    for replica in &replicas {
        assert_eq!(replica.exited().unwrap(), None, "{}", replica.log());
    }
}

fn check_order(samples: &[Sample], old: &str, behind: Duration) {
    let unverified: Vec<&String> = samples.iter().filter_map(|sample| sample.of_old.as_ref().err()).collect();
    exactly("C3", &format!("handshakes that did not verify {:?}", unverified.first()), unverified.len(), 0);
    let first_new = |replica: usize| {
        samples
            .iter()
            .filter(|sample| sample.replica == replica && sample.of_old == Ok(false))
            .map(|sample| sample.at)
            .min()
    };
    let with_both = samples.iter().filter(|sample| sample.bundle.contains(old) && sample.bundle.len() > old.len());
    let (first_both, last_both) = with_both.fold((None, None), |(first, last), sample| {
        (Some(first.map_or(sample.at, |at: Instant| at.min(sample.at))), last.max(Some(sample.at)))
    });
    let (first_both, last_both) = (first_both.unwrap(), last_both.unwrap());
    let (prompt, late) = (first_new(0).unwrap(), first_new(1).unwrap());
    let ahead = prompt.duration_since(first_both);
    report(
        "C3",
        prompt > first_both,
        format!("{ahead:.1?}"),
        "0 s: from both CAs in caBundle to the first certificate of the new one",
    );
    assert!(prompt > first_both);
    let lag = late.saturating_duration_since(prompt);
    report("C3", lag * 2 > behind, format!("{lag:.1?}"), format!("{behind:?}: how much later the second replica was"));
    let last_old = samples.iter().filter(|sample| sample.of_old == Ok(true)).map(|sample| sample.at).max().unwrap();
    let slack = last_both.saturating_duration_since(last_old);
    report(
        "C3",
        last_old < last_both,
        format!("{slack:.1?}"),
        "0 s: from the last certificate of the old CA to its end in caBundle",
    );
    assert!(last_old < last_both && late < last_both);
}

/// As replicas would have left it: its CA has been signing for half of its time, which is when it is replaced, but for some
/// seconds in which the replicas start.
fn store_a_ca_near_its_end(installation: &Installation, leaf: Duration) -> String {
    let schedule = Schedule::new(4 * leaf, leaf).unwrap();
    let now = SystemTime::now();
    let names = ["127.0.0.1".into()];
    let issued = now - 2 * leaf + Duration::from_secs(5);
    let held = Material::issue(&Bundle::default(), &names, &schedule, issued).unwrap();
    let pem = held.renew_leaf(&names, &schedule, now).unwrap();
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": installation.name, "labels": {"app.kubernetes.io/managed-by": "workspaces-controller"}},
        "data": {
            "tls.crt": encode(&pem.certificate), "tls.key": encode(&pem.key),
            "ca.crt": encode(&pem.trusted), "ca.key": encode(&pem.ca_key),
        },
    });
    let path = format!("/api/v1/namespaces/{}/secrets", installation.name);
    api().create(&path, &secret).unwrap().ok().unwrap();
    pem.trusted
}
