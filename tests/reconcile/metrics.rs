//! Metrics: what is counted is what the API server saw.

use cluster::{ClusterOptions, Reply};
use serde_json::json;

use crate::process::{Loop, USER};
use crate::world::{Child, World, control_plane};

#[test]
fn writes_and_workspaces_are_counted_and_series_end_with_their_kind() {
    let cluster = control_plane(ClusterOptions::default());
    let running = Loop::start(cluster, &[]);
    let world = World::on(cluster, "metrics");
    world.create_kind(|_| {});
    let lab = world.create("lab", |_| {});
    let paused = world.create("paused", |spec| spec["paused"] = json!(true));
    lab.wait_running();
    paused.wait_state("Paused");
    // Each kind of write: a repair, a restart with its Event, a deletion.
    lab.patch_child(Child::Service, &json!({"spec": {"selector": {"statefulset": "other"}}}));
    lab.patch(&json!({"podTemplate": {"podMetadata": {"labels": {"edited": "yes"}}}}));
    let total = || running.samples("workspaces_writes_total");
    world.wait("a restart", || {
        let is_counted = total().iter().any(|(labels, _)| labels.starts_with("resource=\"pods\""));
        if is_counted { Ok(()) } else { Err(format!("{:?}", total())) }
    });
    lab.wait_running();
    let users = |count: [u64; 4]| {
        let options = [("imageConfig", "small"), ("imageConfig", "large"), ("podConfig", "tiny"), ("podConfig", "big")];
        let labels = options
            .map(|(list, option)| format!("workspacekind=\"{}\",list=\"{list}\",option=\"{option}\"", world.kind));
        labels.into_iter().zip(count).collect::<Vec<_>>()
    };
    let states = |[running, paused]: [u64; 2]| {
        [("Running", running), ("Terminating", 0), ("Paused", paused), ("Pending", 0), ("Error", 0), ("Unknown", 0)]
            .map(|(state, count)| (format!("state=\"{state}\""), count))
    };
    assert_eq!(running.samples("workspaces_option_users"), users([2, 0, 2, 0]));
    assert_eq!(running.samples("workspaces_workspaces"), states([1, 1]));
    for handle in [&lab, &paused] {
        handle.delete();
        world.wait("it to be gone", || world.find(&handle.path()).map_or(Ok(()), |lab| Err(lab.to_string())));
    }
    world.cluster.api().delete(&world.kind_path()).and_then(Reply::ok).unwrap();
    world.wait("no series of the kind", || {
        let series = running.samples("workspaces_option_users");
        if series.is_empty() { Ok(()) } else { Err(format!("{series:?}")) }
    });
    assert_eq!(running.samples("workspaces_workspaces"), states([0, 0]));
    world.wait("as many writes as the API server has answered", || {
        let seen = world.cluster.audit().all().unwrap().by(USER).writes().accepted();
        let counted: u64 = total().iter().map(|(_, count)| count).sum();
        if seen.count() as u64 == counted { Ok(()) } else { Err(format!("{counted} {:?}\n{seen:?}", total())) }
    });
    running.stop();
}
