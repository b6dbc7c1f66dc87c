//! Admission goes on without Istio, and while it is installed and switched off.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use cluster::{Cluster, ClusterOptions, ControllerProcess, Reply, report};

use crate::TIMEOUT;
use crate::stage::{KINDS, kind, options, workspace, workspaces};

/// W13, but for the time that a route takes: `tests/reconcile/istio.rs`.
#[test]
fn admission_serves_without_istio_and_while_it_is_installed() {
    let cluster = Cluster::start(ClusterOptions { virtual_service_crd: false, ..ClusterOptions::default() }).unwrap();
    let namespace = cluster.namespace("istio").unwrap();
    let (api, there) = (cluster.api(), workspaces(&namespace));
    let routes = format!("/apis/networking.istio.io/v1/namespaces/{namespace}/virtualservices");
    let controller = ControllerProcess::start(&cluster, &options()).unwrap();
    api.create(KINDS, &kind("istio")).and_then(Reply::ok).unwrap();
    api.create(&there, &workspace("istio", "lab")).and_then(Reply::ok).unwrap();
    let wait_routes = |controller: &ControllerProcess<'_>, count: usize| {
        let waited = controller.wait_for(&format!("{count} routes"), TIMEOUT, || {
            let list = api.get(&routes).and_then(Reply::ok).map_err(|error| error.to_string())?;
            if list["items"].as_array().is_some_and(|routes| routes.len() == count) {
                Ok(())
            } else {
                Err(list.to_string())
            }
        });
        waited.unwrap();
    };

    let installed = AtomicBool::new(false);
    let answers: Vec<u16> = thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut answers = Vec::new();
            while !installed.load(Ordering::Relaxed) {
                let probe = workspace("istio", "probe");
                answers.push(api.create(&format!("{there}?dryRun=All"), &probe).unwrap().status);
            }
            answers
        });
        cluster.install_virtual_service_crd().unwrap();
        wait_routes(&controller, 1);
        installed.store(true, Ordering::Relaxed);
        client.join().unwrap()
    });
    controller.terminate(TIMEOUT).unwrap();
    drop(controller);

    let controller = ControllerProcess::start(&cluster, &options().arg("--use-istio=false")).unwrap();
    let last = api.create(&format!("{there}?dryRun=All"), &workspace("istio", "probe")).unwrap().status;
    wait_routes(&controller, 0);
    let refused = answers.iter().chain([&last]).filter(|status| **status != 201).count();
    let figure = format!("{refused} of {} refused", answers.len() + 1);
    report("W13", refused == 0, figure, "0: Workspaces while Istio's CRD is installed, and with Istio off");
    assert_eq!(refused, 0, "{answers:?} {last}");
}
