//! Kinds as large as the API server stores them, as expensive as possible. Without limits these tests would run
//! for hours.

use serde_json::{Value, json};
use webhook::{Question, WORKSPACE_KIND_PATH};

use crate::{ask, serving_facts, verdict};

fn kind() -> Value {
    serde_json::to_value(crds::testing::workspace_kind("jupyterlab")).unwrap()
}

/// The answer to the creation of a kind, and its size. A busy machine gets the longest timeout of an API server.
async fn answer(kind: &Value) -> (Value, usize) {
    let answer = ask(
        &serving_facts(&[], &[]),
        &format!("{WORKSPACE_KIND_PATH}?timeout=30s"),
        &Question::create(kind).review("u"),
    )
    .await;
    let size = answer.to_string().len();
    (answer, size)
}

/// To compare thousands of long ids with thousands of others would take hours.
#[tokio::test]
async fn thousands_of_redirects_to_nowhere_are_refused_in_time() {
    let mut kind = kind();
    let values = kind["spec"]["podTemplate"]["options"]["podConfig"]["values"].as_array_mut().unwrap();
    values.extend((0..2000).map(|index| {
        json!({
            "id": format!("{index:0>256}"), "spawner": {"displayName": "Size"}, "spec": {},
            "redirect": {"to": format!("{index:x>256}")},
        })
    }));
    let (answer, _) = answer(&kind).await;
    let found = verdict(&answer);
    assert_eq!(found.causes.len(), 51);
    assert_eq!(found.causes[50].message, "… and 1950 more");
}

/// Decoded, each of them needs 3 KB: 300 KB of text would need more memory than a pod has.
#[tokio::test]
async fn volumes_without_end_are_refused_before_they_are_all_read() {
    let mut kind = kind();
    kind["spec"]["podTemplate"]["extraVolumes"] = json!(vec![json!({}); 100_000]);
    let found = verdict(&answer(&kind).await.0);
    let causes: Vec<_> = found.causes.iter().map(|cause| (&*cause.field, &*cause.message)).collect();
    let message = "Invalid value: length 501, expected a list of at most 500 items";
    assert_eq!((found.refused, causes), (Some(422), vec![("spec.podTemplate.extraVolumes", message)]));
}

#[tokio::test]
async fn more_values_than_any_kind_has_are_not_read() {
    let mut kind = kind();
    kind["spec"]["podTemplate"]["extraEnv"] = json!(vec![json!({}); 250_000]);
    let (answer, _) = answer(&kind).await;
    let status = &answer["response"]["status"];
    assert_eq!((answer["response"]["uid"].as_str(), status["code"].as_u64()), (Some("u"), Some(400)));
    let message = "the AdmissionReview does not decode: it has more than 400000 values";
    assert_eq!(status["message"], message);
}

#[tokio::test]
async fn thousands_of_entries_for_no_port_are_refused_in_time() {
    let mut kind = kind();
    let template = &mut kind["spec"]["podTemplate"];
    let ports = (0..5000).map(|index| json!({"id": format!("{index:0>32}"), "port": 1 + index}));
    template["options"]["imageConfig"]["values"][0]["spec"]["ports"] = ports.collect();
    template["ports"] = (0..5000).map(|index| json!({"portId": format!("{index:x>32}")})).collect();
    let found = verdict(&answer(&kind).await.0);
    assert_eq!(found.causes[50].message, format!("… and {} more", 5000 - 50));
}

/// A message does not list thousands of ids, and there are up to fifty of them.
#[tokio::test]
async fn an_unknown_port_among_thousands_makes_no_giant_answer() {
    let mut kind = kind();
    let template = &mut kind["spec"]["podTemplate"];
    let ports = (0..5000).map(|index| json!({"id": format!("port-{index}"), "port": 1 + index}));
    template["options"]["imageConfig"]["values"][0]["spec"]["ports"] = ports.collect();
    template["ports"] = Value::Null;
    let long = "x".repeat(1000);
    let variable =
        |index| json!({"name": format!("V{index}"), "value": format!("{{{{ httpPathPrefix \"{long}{index}\" }}}}")});
    template["extraEnv"] = (0..60).map(variable).collect();
    let (answer, size) = answer(&kind).await;
    let message = &verdict(&answer).causes[0].message;
    assert!(message.contains("(valid ids: ") && message.ends_with(" and 4982 more)"), "{message}");
    assert!(size < 500_000, "{size}");
}
