//! Which lookups a review makes in caches and on the API server, how often, and what happens when they fail.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crds::WorkspaceKind;
use serde_json::{Value, json};
use webhook::testing::{Behaviour, FakeLookup};
use webhook::{BindCheck, Policy, Question, WORKSPACE_KIND_PATH, WORKSPACE_PATH, router};

use crate::{ask, kind, refusal_with, serving, verdict, workspace};

#[tokio::test]
async fn a_failed_lookup_says_why() {
    let review = Question::delete(&kind()).review("u");
    let status = refusal_with(FakeLookup::behaving(Behaviour::Unavailable), WORKSPACE_KIND_PATH, &review).await;
    assert_eq!(
        status,
        json!({
            "metadata": {}, "status": "Failure", "code": 503, "reason": "ServiceUnavailable",
            "message": "the caches have not synced yet", "details": {"retryAfterSeconds": 1},
        })
    );
    let status = refusal_with(FakeLookup::behaving(Behaviour::Fails), WORKSPACE_KIND_PATH, &review).await;
    assert_eq!(
        status,
        json!({
            "metadata": {}, "status": "Failure", "code": 500, "reason": "InternalError",
            "message": "not allowed to list workspaces",
        })
    );
}

/// The cache is asked first; the API server only before a refusal that depends on it, and once.
#[tokio::test]
async fn a_stale_cache_refuses_nobody() {
    let kind: Arc<WorkspaceKind> = Arc::new(crds::testing::workspace_kind("jupyterlab"));
    let create = Question::create(&workspace()).review("u");
    let fresh = FakeLookup { kinds: vec![kind.clone()], ..FakeLookup::default() };
    let lagging = FakeLookup { live_kinds: Some(vec![kind.clone()]), ..FakeLookup::default() };
    let mut old = (*kind).clone();
    old.spec.pod_template.options.image_config.values.remove(0);
    let outdated =
        FakeLookup { kinds: vec![Arc::new(old)], live_kinds: Some(vec![kind.clone()]), ..FakeLookup::default() };
    let gone = FakeLookup { kinds: vec![], ..FakeLookup::default() };
    for (lookup, refused, lookups) in [(fresh, None, 0), (lagging, None, 1), (outdated, None, 1), (gone, Some(422), 1)]
    {
        let lookup = Arc::new(lookup);
        let router = router(lookup.clone(), Arc::default(), Arc::new(|_: &'static str, _: u16, _: Duration| {}));
        assert_eq!(verdict(&ask(&router, WORKSPACE_PATH, &create).await).refused, refused);
        assert_eq!(lookup.live_lookups.load(Ordering::Relaxed), lookups);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_hangs_is_refused_before_the_api_server_gives_up() {
    let router = serving(FakeLookup::behaving(Behaviour::Hangs), Policy::default());
    let start = tokio::time::Instant::now();
    let review = Question::create(&workspace()).review("u");
    let status = ask(&router, &format!("{WORKSPACE_PATH}?timeout=5s"), &review).await["response"]["status"].clone();
    assert_eq!(start.elapsed().as_millis() / 10, 450, "{:?}", start.elapsed());
    assert_eq!((&status["code"], &status["reason"]), (&json!(503), &json!("ServiceUnavailable")));
    assert_eq!(status["details"]["retryAfterSeconds"], 1);
}

/// A kind that grants the ClusterRole `view`.
fn kind_with_role() -> Value {
    let mut kind = kind();
    kind["spec"]["podTemplate"]["serviceAccount"] = json!({"clusterRoles": [{"name": "view"}]});
    kind
}

#[tokio::test]
async fn a_right_that_cannot_be_looked_up_is_refused_warned_of_or_passed_over() {
    let create = Question::create(&kind_with_role()).review("u");
    let unknown =
        "whether the caller may bind ClusterRole \"view\" could not be determined: the caches have not synced yet";
    let ask_with = async |check| {
        let policy = Policy { cluster_role_bind: check, ..Policy::default() };
        ask(&serving(FakeLookup::behaving(Behaviour::Unavailable), policy), WORKSPACE_KIND_PATH, &create).await["response"].clone()
    };
    let enforced = ask_with(BindCheck::Enforce).await;
    assert_eq!(enforced["status"]["code"], 503);
    assert_eq!(enforced["status"]["message"], unknown);
    assert_eq!(enforced["status"]["details"]["retryAfterSeconds"], 1);
    let warned = ask_with(BindCheck::Warn).await;
    let field = "spec.podTemplate.serviceAccount.clusterRoles[view]";
    let warnings = json!([format!("{field}: {unknown}")]);
    assert_eq!((&warned["allowed"], &warned["warnings"]), (&json!(true), &warnings));
    let off = ask_with(BindCheck::Off).await;
    assert_eq!((&off["allowed"], &off["warnings"]), (&json!(true), &json!(null)));
}

/// A review sends a request to the API server only where the caches may be outdated.
#[tokio::test]
async fn the_api_server_is_asked_only_where_it_matters() {
    let (plain, with_role, workspace) = (kind(), kind_with_role(), workspace());
    let mut described = plain.clone();
    described["spec"]["spawner"]["description"] = json!("Another one");
    let without = |list: &str| {
        let mut kind = plain.clone();
        kind["spec"]["podTemplate"]["options"][list]["values"].as_array_mut().unwrap().pop();
        kind
    };
    let (fewer_images, fewer_pods) = (without("imageConfig"), without("podConfig"));
    let mut both = fewer_images.clone();
    both["spec"]["podTemplate"]["options"]["podConfig"] =
        fewer_pods["spec"]["podTemplate"]["options"]["podConfig"].clone();
    let mut same_role = with_role.clone();
    same_role["spec"]["spawner"]["description"] = json!("Another one");
    let cases = [
        ("a new kind", Question::create(&plain), 0),
        ("an edit beside the options", Question::update(&described, &plain), 0),
        ("two options that nobody uses are removed", Question::update(&both, &plain), 1),
        ("a ClusterRole is listed", Question::create(&with_role), 1),
        ("a ClusterRole stays", Question::update(&same_role, &with_role), 0),
        ("a Workspace of a known kind", Question::create(&workspace), 0),
    ];
    for (what, question, asked) in cases {
        let lookup = Arc::new(FakeLookup::new(std::slice::from_ref(&plain), &[]).unwrap());
        let path = if question.object.unwrap()["kind"] == "Workspace" { WORKSPACE_PATH } else { WORKSPACE_KIND_PATH };
        let router = router(lookup.clone(), Arc::default(), Arc::new(|_: &'static str, _: u16, _: Duration| {}));
        let answer = ask(&router, path, &question.review("u")).await;
        assert_eq!(answer["response"]["allowed"], true, "{what}: {answer}");
        assert_eq!(lookup.live_lookups.load(Ordering::Relaxed), asked, "{what}");
    }
}

/// An option that is in use in the cache needs no second lookup.
#[tokio::test]
async fn an_option_that_the_cache_knows_to_be_in_use_is_refused_at_once() {
    let (old, mut user) = (kind(), workspace());
    let mut new = old.clone();
    let values = new["spec"]["podTemplate"]["options"]["podConfig"]["values"].as_array_mut().unwrap();
    let removed = values.pop().unwrap();
    user["spec"]["podTemplate"]["options"]["podConfig"] = removed["id"].clone();
    let lookup = Arc::new(FakeLookup::new(std::slice::from_ref(&old), &[user]).unwrap());
    let router = router(lookup.clone(), Arc::default(), Arc::new(|_: &'static str, _: u16, _: Duration| {}));
    let answer = ask(&router, WORKSPACE_KIND_PATH, &Question::update(&new, &old).review("u")).await;
    assert_eq!(answer["response"]["status"]["code"], 422, "{answer}");
    assert_eq!(lookup.live_lookups.load(Ordering::Relaxed), 0);
}

/// Parts that an older schema accepted may not decode any more; the rest is still compared.
#[tokio::test]
async fn an_unreadable_part_of_the_stored_kind_protects_no_change_of_another() {
    let (mut old, user) = (kind_with_role(), workspace());
    old["spec"]["podTemplate"]["ports"][0]["protocol"] = json!("TCP");
    let mut new = kind_with_role();
    let image = &user["spec"]["podTemplate"]["options"]["imageConfig"];
    let values = new["spec"]["podTemplate"]["options"]["imageConfig"]["values"].as_array_mut().unwrap();
    values.iter_mut().find(|value| value["id"] == *image).unwrap()["spec"]["image"] =
        json!("registry.example.com/other:1");
    let lookup =
        FakeLookup { may_bind: Some(Vec::new()), ..FakeLookup::new(&[], std::slice::from_ref(&user)).unwrap() };
    let answer =
        ask(&serving(lookup, Policy::default()), WORKSPACE_KIND_PATH, &Question::update(&new, &old).review("u")).await;
    let causes = answer["response"]["status"]["details"]["causes"].as_array().unwrap();
    assert_eq!(causes.len(), 1, "{answer}");
    assert!(causes[0]["message"].as_str().unwrap().contains("is in use and cannot be changed"), "{answer}");
}
