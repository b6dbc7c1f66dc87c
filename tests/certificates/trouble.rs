//! What else may happen to the Secret and to the webhook configuration, and what readiness and log say about it.

use std::thread;
use std::time::{Duration, Instant};

use cluster::ControllerProcess;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::handshake::served;
use crate::installation::{Installation, api, cluster, encode, port, start};
use crate::load::Load;
use crate::{TIMEOUT, within};

/// The line of `/readyz` about the certificate, once it is that.
fn wait_reason(replica: &ControllerProcess<'_>, expected: &str) {
    let seen = replica.wait_for("the reason", TIMEOUT, || {
        let (_, body) = replica.health("/readyz?verbose").map_err(|error| error.to_string())?;
        let line = body.lines().find(|line| line.contains("certificate")).unwrap_or_default().to_owned();
        if line == expected { Ok(()) } else { Err(line) }
    });
    seen.unwrap_or_else(|error| panic!("{error}\nexpected: {expected}\n{}", replica.log()));
}

fn not_ready(reason: &str) -> String {
    format!("[-]certificate not ready: {reason}")
}

const READY: &str = "[+]certificate ok";

/// A line of the log, but for the time.
fn count_logged(replica: &ControllerProcess<'_>, text: &str) -> usize {
    replica.log().lines().filter(|line| line.contains(text)).count()
}

#[test]
fn a_secret_that_is_deleted_or_spoilt_is_made_again_without_a_failed_request() {
    let installation = Installation::new("spoilt").short_lived(Duration::from_mins(2));
    let replicas = installation.start_replicas(2);
    let ports = [port(&replicas[0]), port(&replicas[1])];
    let delete = || drop(api().delete(&installation.secret_path()).unwrap().ok().unwrap());
    let patch = |data: &Value| drop(api().merge_patch(&installation.secret_path(), data).unwrap().ok().unwrap());
    let spoil: [(&str, &dyn Fn()); 4] = [
        ("deleted", &delete),
        ("emptied", &|| patch(&json!({"data": {"tls.crt": "", "tls.key": "", "ca.crt": null, "ca.key": null}}))),
        ("garbage", &|| patch(&json!({"data": {"tls.crt": encode("garbage")}}))),
        ("another key", &|| patch(&json!({"data": {"ca.key": encode("another")}}))),
    ];
    let load = Load::default();
    thread::scope(|scope| {
        let _stop = load.start(scope, &installation);
        for (what, spoil) in spoil {
            let mark = cluster().audit().mark().unwrap();
            let (before, trusted) = (installation.stored("tls.crt").unwrap(), installation.bundle().unwrap());
            spoil();
            let taken = cluster().wait_for(&format!("a new certificate to be served: {what}"), TIMEOUT, || {
                let bundle = installation.bundle().ok_or("no caBundle")?;
                let stored = installation.stored("tls.crt").filter(|stored| *stored != before && !stored.is_empty());
                let new = certificate(&stored.ok_or("no new one")?).ok_or("none yet")?;
                let served = ports.map(|port| served(port, &bundle));
                if served.iter().all(|served| served.as_ref() == Ok(&new)) {
                    Ok(bundle)
                } else {
                    Err(format!("{:?}", served.map(|one| one.map(|_| ()))))
                }
            });
            let bundle = taken.unwrap_or_else(|error| panic!("{error}\n{}", replicas[0].log()));
            assert!(
                bundle.ends_with(&trusted) && bundle.len() > trusted.len(),
                "{what}: what was trusted is no longer"
            );
            let writes = installation.writes(mark).count();
            assert_eq!(writes, 2, "{what}: not one of the Secret and one of caBundle");
        }
        trust_only_the_newest(&installation);
    });
    let (requests, failed) = load.results();
    assert!(failed.is_empty() && requests > 50, "{} of {requests}: {:?}", failed.len(), failed.first());
}

/// What a backup held. Replicas serve a certificate of a CA that it does not know.
#[test]
fn an_older_secret_that_is_restored_takes_no_trust_from_what_is_served() {
    let installation = Installation::new("restored").short_lived(Duration::from_mins(2));
    let replicas = installation.start_replicas(2);
    let ports = [port(&replicas[0]), port(&replicas[1])];
    let backup = api().get(&installation.secret_path()).unwrap().ok().unwrap()["data"].clone();
    let is_served_by_both = |what: &str, is_it: &dyn Fn(&str) -> bool| {
        let found = cluster().wait_for(what, TIMEOUT, || {
            let bundle = installation.bundle().ok_or("no caBundle")?;
            let stored = installation.stored("tls.crt").filter(|stored| is_it(stored)).ok_or("not stored")?;
            let leaf = certificate(&stored).ok_or("none yet")?;
            let served = ports.map(|port| served(port, &bundle));
            let is_served = served.iter().all(|served| served.as_ref() == Ok(&leaf));
            if is_served { Ok(bundle) } else { Err(format!("{:?}", served.map(|one| one.map(|_| ())))) }
        });
        found.unwrap_or_else(|error| panic!("{error}\n{}", replicas[0].log()))
    };
    let first = installation.stored("tls.crt").unwrap();
    api().delete(&installation.secret_path()).unwrap().ok().unwrap();
    let trusted = is_served_by_both("a new certificate to be served", &|stored| stored != first);
    let load = Load::default();
    thread::scope(|scope| {
        let _stop = load.start(scope, &installation);
        api().merge_patch(&installation.secret_path(), &json!({"data": backup})).unwrap().ok().unwrap();
        is_served_by_both("the restored certificate to be served", &|stored| stored == first);
        // Some replica may serve a certificate of the other CA for a while yet.
        let is_trusted = |text: Option<String>| {
            let text = text.unwrap_or_default();
            if trusted.split_inclusive("-----END CERTIFICATE-----\n").all(|ca| text.contains(ca)) {
                Ok(())
            } else {
                Err(text)
            }
        };
        let kept = cluster()
            .wait_for("the CA to be in the Secret again", TIMEOUT, || is_trusted(installation.stored("ca.crt")));
        kept.unwrap_or_else(|error| panic!("{error}\n{}", replicas[0].log()));
        is_trusted(installation.bundle()).unwrap();
    });
    let (requests, failed) = load.results();
    assert!(failed.is_empty() && requests > 10, "{} of {requests}: {:?}", failed.len(), failed.first());
}

/// As the documentation says, for a key that others may know.
fn trust_only_the_newest(installation: &Installation) {
    let (stored, mark) = (installation.stored("ca.crt").unwrap(), cluster().audit().mark().unwrap());
    let end = "-----END CERTIFICATE-----\n";
    let first = stored.split_inclusive(end).next().unwrap();
    assert!(first.len() < stored.len());
    let patch = json!({"data": {"ca.crt": encode(first)}});
    api().merge_patch(&installation.secret_path(), &patch).unwrap().ok().unwrap();
    let followed = cluster().wait_for("caBundle to follow", TIMEOUT, || {
        if installation.bundle().as_deref() == Some(first) {
            Ok(())
        } else {
            Err(installation.bundle().unwrap_or_default())
        }
    });
    followed.unwrap();
    installation.wait_called();
    assert_eq!(installation.writes(mark).count(), 1);
}

/// The first certificate of a PEM text.
fn certificate(pem: &str) -> Option<Vec<u8>> {
    Some(CertificateDer::from_pem_slice(pem.as_bytes()).ok()?.to_vec())
}

#[test]
fn a_secret_of_somebody_else_is_left_alone_until_it_goes() {
    let installation = Installation::new("foreign");
    let foreign = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": installation.name},
        "data": {"tls.crt": encode("theirs"), "tls.key": encode("theirs")},
    });
    let secrets = format!("/api/v1/namespaces/{}/secrets", installation.name);
    api().create(&secrets, &foreign).unwrap().ok().unwrap();
    let mark = cluster().audit().mark().unwrap();
    let replica = installation.start_unready(0);
    let reason = format!(
        "Secret {0}/{0}: it was not made by this controller and is left alone: delete it, or name another one with \
         --dynamic-serving-secret-name",
        installation.name
    );
    wait_reason(&replica, &not_ready(&format!("no TLS certificate is loaded ({reason})")));
    assert!(installation.writes(mark).is_empty());
    api().delete(&installation.secret_path()).unwrap().ok().unwrap();
    replica.wait_ready(TIMEOUT).unwrap();
    assert_eq!(count_logged(&replica, &reason), 1, "{}", replica.log());

    // A replica that serves goes on doing so.
    api().delete(&installation.secret_path()).unwrap().ok().unwrap();
    let taken = cluster().wait_for("the Secret to be taken", TIMEOUT, || {
        let reply = api().create(&secrets, &foreign).unwrap();
        if reply.status == 201 {
            return Ok(());
        }
        api().delete(&installation.secret_path()).unwrap();
        Err(reply.body)
    });
    taken.unwrap();
    replica
        .wait_for("the reason to be logged", TIMEOUT, || {
            if count_logged(&replica, &reason) == 2 { Ok(()) } else { Err(replica.log()) }
        })
        .unwrap();
    wait_reason(&replica, READY);
    let metric = |name: &str| replica.metric(name, &[]).unwrap().unwrap();
    assert!(metric("workspaces_certificate_last_read_successful") < 0.5);
    assert!(metric("workspaces_certificate_trusted") > 0.5);
    assert_eq!(installation.secret().unwrap()["data"], foreign["data"]);
}

#[test]
fn a_configuration_that_is_missing_or_anothers_is_named_and_waited_for() {
    let installation = Installation::without_configuration("missing");
    let name = &installation.name;
    let replica = installation.start_unready(0);
    let cannot = "the CA of the certificate cannot be published";
    let missing = format!(
        "{cannot}: ValidatingWebhookConfiguration {name}: it does not exist: install it, or name another one with \
         --validating-webhook-configuration-name"
    );
    wait_reason(&replica, &not_ready(&missing));
    assert_eq!(count_logged(&replica, &missing), 1, "{}", replica.log());
    assert!(replica.metric("workspaces_certificate_trusted", &[]).unwrap().unwrap() < 0.5);
    installation.install_configuration();
    let began = Instant::now();
    wait_reason(&replica, READY);
    within("C4", "from the configuration that is installed later to ready", began.elapsed(), Duration::from_secs(1));

    let mark = cluster().audit().mark().unwrap();
    let elsewhere = installation.configuration_at("https://other.example:443");
    api().delete(&installation.configuration_path()).unwrap().ok().unwrap();
    wait_reason(&replica, &not_ready(&missing));
    let path = installation.configuration_path();
    let all = path.rsplit_once('/').unwrap().0;
    api().create(all, &elsewhere).unwrap().ok().unwrap();
    let other = format!(
        "{cannot}: ValidatingWebhookConfiguration {name}: it calls other.example, but the certificate is valid for \
         127.0.0.1: set --dynamic-serving-dns-names to the host that is called, or --validating-webhook-configuration-name \
         to another configuration"
    );
    wait_reason(&replica, &not_ready(&other));
    let mut injected = installation.configuration_at(&installation.balancer.url());
    injected["metadata"]["annotations"] = json!({"cert-manager.io/inject-ca-from": "a/b"});
    api().merge_patch(&path, &injected).unwrap().ok().unwrap();
    let injector = format!(
        "{cannot}: ValidatingWebhookConfiguration {name}: its annotation cert-manager.io/inject-ca-from lets another program write \
         caBundle: remove the annotation"
    );
    wait_reason(&replica, &not_ready(&injector));
    assert!(installation.writes(mark).is_empty());
    api().merge_patch(&path, &json!({"metadata": {"annotations": null}})).unwrap().ok().unwrap();
    wait_reason(&replica, READY);
    assert_eq!(installation.writes(mark).count(), 1);
}

/// Of a certificate for the names of before, and of a CA that is trusted already: both stay trusted.
#[test]
fn the_way_from_another_source_needs_no_gap() {
    let installation = Installation::new("moved");
    let theirs = certs::Ca::issue("theirs", std::time::SystemTime::now(), Duration::from_hours(10)).unwrap().cert_pem();
    let bundle = |number: usize| json!({"op": "add", "path": format!("/webhooks/{number}/clientConfig/caBundle"), "value": encode(&theirs)});
    api().json_patch(&installation.configuration_path(), &json!([bundle(0), bundle(1)])).unwrap().ok().unwrap();
    let _replicas = installation.start_replicas(1);
    let bundle = installation.bundle().unwrap();
    assert!(bundle.ends_with(&theirs) && bundle.len() > theirs.len(), "{bundle}");
}

#[test]
fn a_name_that_is_missing_in_the_certificate_is_added() {
    let installation = Installation::new("renamed");
    let replicas = installation.start_replicas(1);
    let mark = cluster().audit().mark().unwrap();
    let trusted = installation.bundle();
    let options = installation.options(1).arg("--dynamic-serving-dns-names=more.example");
    let second = start(&options);
    let ports = [port(&replicas[0]), port(&second)];
    let taken = cluster().wait_for("both to serve the new one", TIMEOUT, || {
        let stored = certificate(&installation.stored("tls.crt").ok_or("no Secret")?).ok_or("none yet")?;
        let bundle = installation.bundle().ok_or("no caBundle")?;
        let served = ports.map(|port| served(port, &bundle));
        let is_new = installation.writes(mark).count() == 1 && served.iter().all(|one| one.as_ref() == Ok(&stored));
        if is_new { Ok(()) } else { Err(format!("{:?}", installation.writes(mark))) }
    });
    taken.unwrap();
    assert_eq!(installation.bundle(), trusted);
}

#[test]
fn rights_that_are_missing_are_named() {
    let installation = Installation::new("forbidden");
    let name = &installation.name;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "poor"}});
    api().create(&format!("/api/v1/namespaces/{name}/serviceaccounts"), &account).unwrap().ok().unwrap();
    let mut options = installation.options(0);
    options.kubeconfig = Some(cluster().as_service_account(name, "poor").unwrap().kubeconfig);
    options.wait_ready = false;
    let replica = start(&options);
    let user = format!("system:serviceaccount:{name}:poor");
    let reason = format!(
        "no TLS certificate is loaded (Secret {name}/{name}: secrets \"{name}\" is forbidden: User \"{user}\" cannot watch resource \
         \"secrets\" in API group \"\" in the namespace \"{name}\": add to the rules of the Role: {{apiGroups: [\"\"], resources: \
         [\"secrets\"], verbs: [\"get\", \"list\", \"watch\", \"create\", \"patch\"]}})"
    );
    wait_reason(&replica, &not_ready(&reason));
}

/// The keys are in no log, whatever its level.
#[test]
fn no_key_is_logged() {
    let installation = Installation::new("trace").short_lived(Duration::from_secs(12));
    let replica =
        start(&installation.options(0).env("RUST_LOG", "trace,kube=trace,hyper=trace,rustls=trace,tower=trace"));
    let mut keys = Vec::new();
    let renewed = cluster().wait_for("a renewal and a rotation", TIMEOUT, || {
        for key in ["tls.key", "ca.key"].map(|key| installation.stored(key).unwrap()) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        if keys.len() > 4 { Ok(()) } else { Err(format!("{} keys", keys.len())) }
    });
    renewed.unwrap();
    let log = replica.log();
    assert!(log.contains("\"level\":\"TRACE\""), "nothing is traced");
    for key in keys {
        for line in key.lines().filter(|line| !line.starts_with("-----")) {
            assert!(!log.contains(line), "a key is logged");
            assert!(!log.contains(encode(&key).get(40..80).unwrap()), "a key is logged");
        }
    }
}
