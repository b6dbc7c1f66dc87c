//! Kinds and options in use cannot be changed or deleted, unused ones can.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cluster::{CONTROLLER_USER, Reply};
use serde_json::{Value, json};

use crate::stage::{KINDS, Stage, cluster, fixture, kind, refusal_message, workspace, workspaces};
use crate::{TIMEOUT, report};

/// How long an option may still count as used after its last Workspace was deleted, and how soon a Workspace without its kind
/// says so.
const LATENCY: Duration = Duration::from_secs(1);
const CLIENTS: usize = 8;

fn in_parallel(count: usize, work: impl Fn(usize) + Sync) {
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let work = &work;
            scope.spawn(move || (client..count).step_by(CLIENTS).for_each(work));
        }
    });
}

/// An update of the stored kind with one change.
fn update(name: &str, change: impl Fn(&mut Value)) -> Reply {
    let (api, path) = (cluster().api(), format!("{KINDS}/{name}"));
    let mut kind = api.get(&path).unwrap().ok().unwrap();
    change(&mut kind["spec"]["podTemplate"]["options"]);
    api.replace(&path, &kind).unwrap()
}

fn remove_large(options: &mut Value) {
    options["podConfig"]["values"].as_array_mut().unwrap().retain(|value| value["id"] != "large");
}

fn change_image(options: &mut Value) {
    options["imageConfig"]["values"][0]["spec"]["image"] = json!("registry.example.com/other:1");
}

/// A8: an option that 2,000 Workspaces use is refused while others are created and deleted; an unused one is free at
/// once.
#[test]
fn an_option_in_use_stays_and_an_unused_one_can_go() {
    const USERS: usize = 2_000;
    const TRIES: usize = 30;
    let _stage = Stage::admission_only(&[]);
    let namespace = cluster().namespace("option").unwrap();
    let there = workspaces(&namespace);
    fixture().create(KINDS, &kind("option")).unwrap().ok().unwrap();
    in_parallel(USERS, |number| {
        fixture().create(&there, &workspace("option", &format!("user-{number:04}"))).unwrap().ok().unwrap();
    });

    let over = AtomicBool::new(false);
    let refused = thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0;
            while !over.load(Ordering::Relaxed) {
                let name = format!("churn-{}", round % 50);
                fixture().create(&there, &workspace("option", &name)).unwrap();
                fixture().delete(&format!("{there}/{name}")).unwrap();
                round += 1;
            }
        });
        let tries = (0..TRIES).map(|number| {
            let reply = if number % 2 == 0 { update("option", change_image) } else { remove_small() };
            let text = refusal_message(&reply).unwrap_or_default();
            usize::from(
                reply.status == 422 && text.contains("is in use and cannot be") && text.contains("workspace(s): "),
            )
        });
        let refused = tries.sum::<usize>();
        over.store(true, Ordering::Relaxed);
        refused
    });

    // One Workspace selects the other size, and is then deleted.
    let mut last = workspace("option", "last-user");
    last["spec"]["podTemplate"]["options"]["podConfig"] = json!("large");
    fixture().create(&there, &last).unwrap().ok().unwrap();
    let in_use = update("option", remove_large);
    let held = refusal_message(&in_use).unwrap_or_default();
    assert!(
        held.contains(&format!("cannot be removed: used by 1 workspace(s): {namespace}/last-user")),
        "{}",
        in_use.body
    );
    fixture().delete(&format!("{there}/last-user")).unwrap().ok().unwrap();
    let left = Instant::now();
    let freed = cluster().wait_for("the unused option to be free", TIMEOUT, || {
        let reply = update("option", remove_large);
        if reply.status == 200 { Ok(left.elapsed()) } else { Err(reply.body) }
    });
    let freed = freed.unwrap();
    let pass = refused == TRIES && freed <= LATENCY;
    report("A8", pass, format!("{refused}/{TRIES} refused, free after {} ms", freed.as_millis()), "all, 1000 ms");
    assert!(pass);
    fixture().delete(&there).unwrap().ok().unwrap();
}

fn remove_small() -> Reply {
    update("option", |options| {
        options["podConfig"]["values"].as_array_mut().unwrap().retain(|value| value["id"] != "small");
        options["podConfig"]["spawner"]["default"] = json!("large");
    })
}

/// The cache may lag behind a Workspace that was created a moment ago: the API server is asked before an option is
/// removed.
#[test]
fn an_option_that_was_selected_a_moment_ago_stays() {
    const ROUNDS: usize = 50;
    let _stage = Stage::admission_only(&[]);
    let namespace = cluster().namespace("selected").unwrap();
    let mut refused = 0;
    for round in 0..ROUNDS {
        let name = format!("selected-{round}");
        fixture().create(KINDS, &kind(&name)).unwrap().ok().unwrap();
        let mut user = workspace(&name, &name);
        user["spec"]["podTemplate"]["options"]["podConfig"] = json!("large");
        let kind = cluster().api().get(&format!("{KINDS}/{name}")).unwrap().ok().unwrap();
        let mut less = kind.clone();
        remove_large(&mut less["spec"]["podTemplate"]["options"]);
        fixture().create(&workspaces(&namespace), &user).unwrap().ok().unwrap();
        let reply = cluster().api().replace(&format!("{KINDS}/{name}"), &less).unwrap();
        refused += usize::from(reply.status == 422);
    }
    report("option-guard", refused == ROUNDS, refused, ROUNDS);
    assert_eq!(refused, ROUNDS);
}

/// A7: a kind is deleted while Workspaces of it are created. One left without a kind reports it in its status.
#[test]
fn a_workspace_whose_kind_went_at_the_same_time_is_shown_as_such() {
    const RACES: usize = 300;
    let stage = Stage::with(&[]);
    let namespace = cluster().namespace("race").unwrap();
    let there = workspaces(&namespace);
    let (mut orphans, mut slowest) = (0, Duration::ZERO);
    for race in 0..RACES {
        let name = format!("race-{race}");
        cluster().api().create(KINDS, &kind(&name)).unwrap().ok().unwrap();
        let created = thread::scope(|scope| {
            let create = scope.spawn(|| cluster().api().create(&there, &workspace(&name, &name)).unwrap());
            cluster().api().delete(&format!("{KINDS}/{name}")).unwrap();
            create.join().unwrap()
        });
        let kind_is_gone = cluster().api().get(&format!("{KINDS}/{name}")).unwrap().status == 404;
        if created.status != 201 || !kind_is_gone {
            continue;
        }
        orphans += 1;
        let left = Instant::now();
        let shown = stage.controller.wait_for("the Workspace to say that its kind is gone", TIMEOUT, || {
            let status = cluster().api().get(&format!("{there}/{name}")).unwrap().json()["status"].clone();
            if status.to_string().contains("WorkspaceKindNotFound") {
                Ok(left.elapsed())
            } else {
                Err(status.to_string())
            }
        });
        slowest = slowest.max(shown.unwrap());
    }
    let figure = format!("{} ms, {orphans} of {RACES} without their kind", slowest.as_millis());
    report("A7", slowest <= LATENCY, figure, "1000 ms until that is shown");
    assert!(slowest <= LATENCY, "{slowest:?}");
    fixture().delete(&there).unwrap().ok().unwrap();
}

/// A5: objects in the caches are not read again, others are read once.
#[test]
fn reviews_cost_the_api_server_nothing_on_a_hit() {
    const REVIEWS: usize = 10_000;
    let stage = Stage::admission_only(&[]);
    let namespace = cluster().namespace("hits").unwrap();
    let there = format!("{}?dryRun=All", workspaces(&namespace));
    cluster().api().create(KINDS, &kind("hits")).unwrap().ok().unwrap();
    let warm = stage.controller.wait_for("the cache to know the kind", TIMEOUT, || {
        let mark = cluster().audit().mark().unwrap();
        cluster().api().create(&there, &workspace("hits", "warm")).unwrap().ok().unwrap();
        let reads = cluster().audit().since(mark).unwrap().by(CONTROLLER_USER).resource("workspacekinds").verb("get");
        if reads.is_empty() { Ok(()) } else { Err(format!("{reads:?}")) }
    });
    warm.unwrap();
    let mark = cluster().audit().mark().unwrap();
    in_parallel(REVIEWS, |number| {
        // One in a hundred names a kind that does not exist.
        let (kind, code) = if number % 100 == 0 { ("misses", 422) } else { ("hits", 201) };
        let reply = cluster().api().create(&there, &workspace(kind, &format!("hit-{number}"))).unwrap();
        assert_eq!(reply.status, code, "{}", reply.body);
    });
    // Renewed watches do not count.
    let asked = cluster().audit().since(mark).unwrap().by(CONTROLLER_USER).filter(|request| request.verb != "watch");
    let misses = asked.clone().resource("workspacekinds").name("misses").verb("get");
    let pass = misses.count() == REVIEWS / 100 && asked.count() == misses.count();
    report("A5", pass, format!("{} reads, {} for misses", asked.count(), misses.count()), REVIEWS / 100);
    assert!(pass, "{asked:?}");
}
