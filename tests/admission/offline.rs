//! The command line gives the same verdict on an object as the API server: schema, CEL rules and webhook.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crds::testing::Generator;
use fastrand::Rng;
use serde_json::{Value, json};
use webhook::Policy;
use webhook::testing::Cause;
use workspaces_controller::offline::{InputFile, Severity, check};

use crate::pod_rules::kinds::Kinds;
use crate::pod_rules::tables::Tables;
use crate::report;
use crate::stage::{KINDS, Stage, base, cluster, fixture, refusal_message, workspaces};

const OBJECTS: usize = 2_000;
const CLIENTS: usize = 8;

/// Values that replace one of an object, to compare both verdicts.
fn odd_value(random: &mut Rng) -> Value {
    let values = [
        Value::Null,
        json!(""),
        json!("x"),
        json!("No Such Thing"),
        json!("é".repeat(300)),
        json!("a".repeat(5_000)),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(70_000),
        json!(4_294_967_296_u64),
        json!(true),
        json!([]),
        json!({}),
        json!(["x"]),
        json!({"x": 1}),
        json!("100m"),
        json!("{{ . }}"),
    ];
    values[random.usize(..values.len())].clone()
}

/// Paths to all values below `spec`.
fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| paths(value, &format!("{path}/{}", escaped(key)), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| paths(item, &format!("{path}/{index}"), found));
        }
        _ => {}
    }
}

/// Changes, removes, adds or duplicates a value; one in three objects is left unchanged.
fn mutated(mut object: Value, random: &mut Rng) -> Value {
    let mut found = Vec::new();
    paths(&object["spec"], "/spec", &mut found);
    let path = &found[random.usize(..found.len())];
    let (parent, key) = path.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/").replace("~0", "~");
    match random.u8(..6) {
        0 | 1 => *object.pointer_mut(path).unwrap() = odd_value(random),
        2 => match object.pointer_mut(parent).unwrap() {
            Value::Object(fields) => drop(fields.remove(&key)),
            Value::Array(items) => drop(items.remove(key.parse().unwrap())),
            _ => {}
        },
        3 => match object.pointer_mut(path).unwrap() {
            Value::Object(fields) => drop(fields.insert("unknownField".to_owned(), odd_value(random))),
            Value::Array(items) if !items.is_empty() => items.push(items[0].clone()),
            _ => {}
        },
        _ => {}
    }
    object
}

/// The verdict of the API server: whether it would store the object, and the causes if the webhook refused it.
fn server(object: &Value) -> (bool, Option<Vec<Cause>>) {
    let collection = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => workspaces(namespace),
        None => KINDS.to_owned(),
    };
    let reply = cluster().api().create(&format!("{collection}?dryRun=All&fieldValidation=Strict"), object).unwrap();
    let by_webhook = refusal_message(&reply).map(|_| {
        let causes = reply.json()["details"]["causes"].clone();
        serde_json::from_value(causes).unwrap_or_else(|error| panic!("{error}: {}", reply.body))
    });
    (reply.status < 400, by_webhook)
}

/// The verdict of the command line.
fn offline(object: &Value, stored: &[InputFile]) -> (bool, Vec<Cause>) {
    // A file is YAML, in which some characters have to be escaped.
    let text = crds::apply_body::body(object).unwrap().get().to_owned();
    let found = check(&[InputFile::new("object.json", text)], stored, &Policy::default());
    assert_eq!(found.unreadable, [], "{object}");
    let errors = found.findings.iter().filter(|finding| finding.severity == Severity::Error && !finding.masked);
    let causes: Vec<(String, String)> = errors.map(|error| (error.field.clone(), error.message.clone())).collect();
    let causes: Vec<Cause> =
        causes.into_iter().map(|(field, message)| Cause { field, reason: String::new(), message }).collect();
    (causes.is_empty(), causes)
}

#[test]
fn the_command_line_and_the_api_server_agree() {
    let _stage = Stage::admission_only(&[]);
    let namespace = cluster().namespace("offline").unwrap();
    let kind = base("workspace_kind/base/dialect_port_id.yaml");
    let mut stored_kind = kind.clone();
    stored_kind["metadata"]["name"] = json!("offline");
    fixture().create(KINDS, &stored_kind).unwrap().ok().unwrap();
    let stored = [InputFile::new("stored.json", stored_kind.to_string())];

    let mut generator = Generator::new(11);
    let mut random = Rng::with_seed(11);
    let tables = Tables::read();
    let mut odd_kinds = Kinds::new(&tables, 11).filter(|kind| !kind.odd.is_empty()).map(|kind| kind.kind);
    let objects: Vec<Value> = (0..OBJECTS)
        .map(|number| {
            let object = if number % 4 == 0 {
                // What becomes the pod is odd.
                return odd_kinds.next().unwrap();
            } else if number % 2 == 0 {
                serde_json::to_value(generator.workspace_kind()).unwrap()
            } else {
                let mut workspace = base("workspace/base/plain.yaml");
                workspace["metadata"] = json!({"name": format!("offline-{number}"), "namespace": namespace});
                workspace["spec"]["kind"] = json!("offline");
                workspace["spec"]["podTemplate"]["podMetadata"] = json!({"labels": {"team": "a"}});
                workspace["spec"]["podTemplate"]["volumes"]["data"] = json!([{"pvcName": "d", "mountPath": "/data"}]);
                workspace["spec"]["podTemplate"]["volumes"]["secrets"] =
                    json!([{"secretName": "s", "mountPath": "/secret", "defaultMode": 0o600}]);
                workspace
            };
            mutated(object, &mut random)
        })
        .collect();

    let (wrong, refused, by_webhook) = (Mutex::new(Vec::new()), AtomicUsize::new(0), AtomicUsize::new(0));
    let compare = |object: &Value| {
        let (accepts, causes) = server(object);
        let (clean, found) = offline(object, &stored);
        refused.fetch_add(usize::from(!accepts), Ordering::Relaxed);
        by_webhook.fetch_add(usize::from(causes.is_some()), Ordering::Relaxed);
        let same_causes = causes.as_ref().is_none_or(|causes| {
            let text = |causes: &[Cause]| -> Vec<String> {
                causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
            };
            // The webhook lists fifty and counts the rest, the command line lists all.
            causes.len() > 50 || text(causes) == text(&found)
        });
        if accepts != clean || !same_causes {
            let text = format!("{object}\n  server: {accepts} {causes:#?}\n  offline: {clean} {found:#?}");
            wrong.lock().unwrap().push(text);
        }
    };
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (objects, compare) = (&objects, &compare);
            scope.spawn(move || objects.iter().skip(client).step_by(CLIENTS).for_each(compare));
        }
    });
    let (wrong, refused, by_webhook) = (wrong.into_inner().unwrap(), refused.into_inner(), by_webhook.into_inner());
    let agreed = OBJECTS - wrong.len();
    report(
        "offline",
        wrong.is_empty(),
        format!("{agreed}/{OBJECTS}, {refused} refused, {by_webhook} by the webhook"),
        OBJECTS,
    );
    assert!(wrong.is_empty(), "{}", wrong.iter().take(10).cloned().collect::<Vec<_>>().join("\n"));
    assert!(refused > OBJECTS / 10 && refused < OBJECTS - OBJECTS / 10, "both sides are seen: {refused}");
}
