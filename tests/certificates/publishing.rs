//! C4: somebody else writes into `caBundle`.

use std::time::{Duration, Instant};

use cluster::Mark;
use serde_json::{Value, json};

use crate::installation::{Installation, api, cluster, encode};
use crate::{TIMEOUT, exactly, within};

const TIMES: usize = 50;

#[test]
fn c4_what_is_taken_out_of_ca_bundle_is_put_back() {
    let installation = Installation::new("emptied");
    let other = certs::Ca::issue("somebody else", std::time::SystemTime::now(), Duration::from_hours(1)).unwrap();
    let other = encode(&other.cert_pem());
    let _replicas = installation.start_replicas(2);
    let bundle = installation.bundle().unwrap();
    let both = |value: &Value| {
        let change = |number: usize| match value {
            Value::Null => json!({"op": "remove", "path": format!("/webhooks/{number}/clientConfig/caBundle")}),
            value => {
                json!({"op": "replace", "path": format!("/webhooks/{number}/clientConfig/caBundle"), "value": value})
            }
        };
        json!([change(0), change(1)])
    };
    let one = json!([{"op": "remove", "path": "/webhooks/1/clientConfig/caBundle"}]);
    let changes = [both(&Value::Null), both(&json!(other)), both(&json!("")), one];
    let before = without_bundles(installation.configuration().unwrap());
    let mark = cluster().audit().mark().unwrap();
    let mut slowest = Duration::ZERO;
    for number in 0..TIMES {
        let change = &changes[number % changes.len()];
        api().json_patch(&installation.configuration_path(), change).unwrap().ok().unwrap();
        let began = Instant::now();
        let back = cluster().wait_for("caBundle to be put back", TIMEOUT, || {
            if installation.bundle().as_ref() == Some(&bundle) { Ok(()) } else { Err(format!("after {change}")) }
        });
        back.unwrap();
        slowest = slowest.max(began.elapsed());
    }
    // One more, so that a second write of the same would have come by then.
    settle(&installation, mark);
    within(
        "C4",
        &format!("slowest of {TIMES} times that somebody emptied or replaced caBundle"),
        slowest,
        Duration::from_secs(1),
    );
    exactly("C4", "writes", installation.writes(mark).count(), TIMES);
    let after = installation.configuration().unwrap();
    assert_eq!(without_bundles(after.clone()), before);
    assert_eq!(owned(&after), json!({"f:webhooks": owned_bundles()}));
}

/// Waits until neither replica writes any more.
fn settle(installation: &Installation, mark: Mark) {
    let mut seen = installation.writes(mark).count();
    let quiet = cluster().wait_for("no further write", TIMEOUT, || {
        std::thread::sleep(Duration::from_millis(1500));
        let now = installation.writes(mark).count();
        if std::mem::replace(&mut seen, now) == now { Ok(()) } else { Err("another write") }
    });
    quiet.unwrap();
}

fn without_bundles(mut configuration: Value) -> Value {
    configuration["metadata"] = json!(null);
    for webhook in configuration["webhooks"].as_array_mut().unwrap() {
        webhook["clientConfig"].as_object_mut().unwrap().remove("caBundle");
    }
    configuration
}

/// The fields that the controller owns.
fn owned(configuration: &Value) -> Value {
    let entries = configuration["metadata"]["managedFields"].as_array().unwrap();
    let ours: Vec<&Value> = entries.iter().filter(|entry| entry["manager"] == "workspaces-controller").collect();
    assert_eq!(ours.len(), 1, "{entries:?}");
    ours[0]["fieldsV1"].clone()
}

fn owned_bundles() -> Value {
    let bundle = json!({"f:clientConfig": {"f:caBundle": {}}});
    json!({"k:{\"name\":\"vworkspace.kb.io\"}": bundle, "k:{\"name\":\"vworkspacekind.kb.io\"}": bundle})
}

/// A client that does so again and again is not fought: two writes a second, of each replica.
#[test]
fn who_empties_it_again_and_again_is_put_up_with() {
    let installation = Installation::new("contested");
    let replicas = installation.start_replicas(1);
    let mark = cluster().audit().mark().unwrap();
    let began = Instant::now();
    let empty = json!([
        {"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": ""},
        {"op": "replace", "path": "/webhooks/1/clientConfig/caBundle", "value": ""},
    ]);
    while began.elapsed() < Duration::from_secs(5) {
        api().json_patch(&installation.configuration_path(), &empty).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    let seconds = began.elapsed().as_secs();
    let writes = installation.writes(mark).count();
    assert!((3..=2 * usize::try_from(seconds).unwrap() + 2).contains(&writes), "{writes} writes in {seconds} s");
    let contested =
        replicas[0].metric("workspaces_contested_writes_total", &[("resource", "validatingwebhookconfigurations")]);
    assert!(contested.unwrap() > Some(1.0));
    installation.wait_called();
}
