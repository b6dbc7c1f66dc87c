//! A kind in use cannot be deleted, however new its Workspace is.

use serde_json::json;

use crate::stage::{KINDS, Stage, cluster, kind, refusal_message, workspace, workspaces};
use crate::{TIMEOUT, report};

#[test]
fn a_kind_in_use_cannot_be_deleted() {
    let _stage = Stage::with(&[]);
    let (api, namespace) = (cluster().api(), cluster().namespace("guard").unwrap());
    api.create(KINDS, &kind("guarded")).unwrap().ok().unwrap();
    for name in ["d", "b", "a", "c"] {
        api.create(&workspaces(&namespace), &workspace("guarded", name)).unwrap().ok().unwrap();
    }
    let reply = api.delete(&format!("{KINDS}/guarded")).unwrap();
    let first: Vec<String> = ["a", "b", "c"].map(|name| format!("{namespace}/{name}")).into();
    let used = format!("WorkspaceKind is used by 4 workspace(s): {} and 1 more", first.join(", "));
    let message = format!("Operation cannot be fulfilled on WorkspaceKind.kubeflow.org \"guarded\": {used}");
    assert_eq!((reply.status, refusal_message(&reply)), (409, Some(message.clone())));
    let status = reply.json();
    assert_eq!(status["reason"], "Conflict");
    assert_eq!(status["details"]["causes"], json!([{"message": used}]));

    let output = cluster().kubectl(&["delete", "workspacekind", "guarded"]).unwrap();
    let shown = format!(
        "Error from server (Conflict): admission webhook \"vworkspacekind.kb.io\" denied the request: {message}\n"
    );
    assert_eq!((output.stderr, output.success), (shown, false));

    // Nor can the whole collection.
    let reply = api.delete(KINDS).unwrap();
    assert_eq!(reply.status, 409, "{}", reply.body);

    api.delete(&workspaces(&namespace)).unwrap().ok().unwrap();
    let deleted = cluster().wait_for("the kind to be deleted", TIMEOUT, || {
        let reply = api.delete(&format!("{KINDS}/guarded")).unwrap();
        if reply.status < 400 { Ok(()) } else { Err(reply.body) }
    });
    deleted.unwrap();
}

/// Neither the status of the kind nor any cache has the Workspace yet.
#[test]
fn a_workspace_created_a_moment_ago_counts() {
    let _stage = Stage::with(&[]);
    let (api, namespace) = (cluster().api(), cluster().namespace("moment").unwrap());
    let rounds = 100;
    let mut refused = 0;
    for round in 0..rounds {
        let name = format!("moment-{round}");
        api.create(KINDS, &kind(&name)).unwrap().ok().unwrap();
        api.create(&workspaces(&namespace), &workspace(&name, &name)).unwrap().ok().unwrap();
        let reply = api.delete(&format!("{KINDS}/{name}")).unwrap();
        let used = format!("WorkspaceKind is used by 1 workspace(s): {namespace}/{name}");
        refused +=
            usize::from(reply.status == 409 && refusal_message(&reply).is_some_and(|text| text.ends_with(&used)));
    }
    report("delete-guard", refused == rounds, refused, rounds);
    assert_eq!(refused, rounds);
}
