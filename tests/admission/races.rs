//! Requests right after those that they depend on.

use std::thread;

use crate::report;
use crate::stage::{KINDS, Stage, cluster, kind, workspace, workspaces};

/// A6: the kind is not in the cache yet.
#[test]
fn a_workspace_right_after_its_kind_is_not_refused() {
    const CLIENTS: usize = 5;
    let _stage = Stage::with(&[]);
    let namespace = cluster().namespace("right-after").unwrap();
    let rounds = 500;
    let client = |client: usize| -> Vec<String> {
        let (api, mut refused) = (cluster().api(), Vec::new());
        for round in (client..rounds).step_by(CLIENTS) {
            let name = format!("right-after-{round}");
            api.create(KINDS, &kind(&name)).unwrap().ok().unwrap();
            let reply = api.create(&workspaces(&namespace), &workspace(&name, &name)).unwrap();
            refused.extend((reply.status != 201).then_some(reply.body));
        }
        refused
    };
    let refused: Vec<String> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || client(number))).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    report("A6", refused.is_empty(), format!("{}/{rounds}", refused.len()), format!("0/{rounds}"));
    assert!(refused.is_empty(), "{refused:#?}");
}
