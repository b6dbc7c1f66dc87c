use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::de::DeserializeOwned;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use workspaces_controller::stores::collection::Collection;
use workspaces_controller::stores::slim::Slim;
use workspaces_controller::stores::{Stores, Watched};
struct A;
static LIVE: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);
static SIZES: [AtomicIsize; 4096] = [const { AtomicIsize::new(0) }; 4096];
static ON: AtomicUsize = AtomicUsize::new(0);
fn rounded(n: usize) -> isize {
    // mimalloc-like size classes
    let n = n.max(8);
    let n = if n <= 64 {
        n.div_ceil(8) * 8
    } else {
        let p = (n - 1).ilog2();
        let step = 1usize << (p - 2);
        n.div_ceil(step) * step
    };
    n as isize
}
fn note(n: usize, sign: isize) {
    let r = rounded(n);
    let l = LIVE.fetch_add(sign * r, Relaxed) + sign * r;
    PEAK.fetch_max(l, Relaxed);
    SIZES[(r as usize / 8).min(4095)].fetch_add(sign, Relaxed);
}
unsafe impl GlobalAlloc for A {
    unsafe fn alloc(&self, l: Layout) -> *mut u8 {
        note(l.size(), 1);
        unsafe { System.alloc(l) }
    }
    unsafe fn dealloc(&self, p: *mut u8, l: Layout) {
        note(l.size(), -1);
        unsafe { System.dealloc(p, l) }
    }
}
#[global_allocator]
static G: A = A;
fn live() -> isize {
    LIVE.load(Relaxed)
}
fn snapshot() -> Vec<isize> {
    SIZES.iter().map(|s| s.load(Relaxed)).collect()
}
fn load<T: Slim + DeserializeOwned>(name: &str, items: &[serde_json::Value]) {
    let texts: Vec<String> = items.iter().map(|i| i.to_string()).collect();
    let c = Collection::<T>::default();
    let before = live();
    for t in &texts {
        c.put(serde_json::from_str::<T>(t).unwrap());
    }
    let n = texts.len().max(1) as isize;
    println!("{name:<16} {:>6} B each, size_of {}", (live() - before) / n, std::mem::size_of::<T>());
    let _ = ON.load(Relaxed);
    if n == 1 {
        println!("{}", texts.first().cloned().unwrap_or_default());
    }
    drop(c);
}
fn main() {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let args: Vec<String> = std::env::args().collect();
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    rt.block_on(async {
        let config =
            Config::from_custom_kubeconfig(Kubeconfig::read_from(&args[1]).unwrap(), &KubeConfigOptions::default())
                .await
                .unwrap();
        let client = Client::try_from(config).unwrap();
        if args.len() > 2 {
            let n: usize = args[2].parse().unwrap();
            let api: kube::Api<crds::WorkspaceKind> = kube::Api::all(client.clone());
            let _ = api.create(&Default::default(), &crds::testing::workspace_kind("lab")).await;
            let api: kube::Api<crds::Workspace> = kube::Api::namespaced(client.clone(), "default");
            for i in 0..n {
                let mut w = crds::testing::workspace("default", &format!("ws-{i}"), "lab");
                w.metadata.uid = None;
                let _ = api.create(&Default::default(), &w).await;
            }
        }
        let line = ["workspaces-controller"].map(std::ffi::OsString::from);
        let settings = match workspaces_controller::cli::parse(
            line,
            &workspaces_controller::config::Environment::from_iter(
                Vec::<(std::ffi::OsString, std::ffi::OsString)>::new(),
            ),
        ) {
            Ok(workspaces_controller::cli::Invocation::Run(s)) => Arc::new(*s),
            _ => panic!(),
        };
        let metrics = Arc::new(workspaces_controller::metrics::Metrics::new());
        let start = live();
        let (stores, tasks) = Stores::start(&client, Watched { notebooks: false, children: true, istio: true });
        for (_, t) in tasks {
            tokio::spawn(t);
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        let n = stores.workspaces().keys().len() as isize;
        let cached = live() - start;
        let s0 = snapshot();
        println!("stores: {} for {n}: {} B each", cached, cached / n.max(1));
        tokio::spawn(workspaces_controller::reconcile::run(
            client.clone(),
            stores.clone(),
            settings,
            metrics.clone(),
            std::future::pending::<()>(),
        ));
        let secs = std::env::var("SECS").ok().and_then(|s| s.parse().ok()).unwrap_or(15);
        tokio::time::sleep(Duration::from_secs(secs)).await;
        println!(
            "all: {} B each; peak over start {} B each",
            (live() - start) / n.max(1),
            (PEAK.load(Relaxed) - start) / n.max(1)
        );
        let s1 = snapshot();
        for (i, (a, b)) in s0.iter().zip(&s1).enumerate() {
            let d = b - a;
            if d.abs() >= n / 2 && n > 0 {
                println!(
                    "  reconcile: {:>6} x {} B ({:.2} a Workspace = {} B)",
                    d,
                    i * 8,
                    d as f64 / n as f64,
                    d * i as isize * 8 / n
                );
            }
        }
        for (i, a) in s0.iter().enumerate() {
            if *a * i as isize * 8 / n.max(1) >= 40 {
                println!(
                    "  stores: {:>6} x {} B ({:.2} a Workspace = {} B)",
                    a,
                    i * 8,
                    *a as f64 / n as f64,
                    a * i as isize * 8 / n
                );
            }
        }
        let list = async |path: &str| {
            let v: serde_json::Value =
                client.request(http::Request::get(path).body(Vec::new()).unwrap()).await.unwrap();
            v["items"].as_array().cloned().unwrap_or_default()
        };
        let l = "labelSelector=notebooks.kubeflow.org/workspace-name";
        load::<workspaces_controller::stores::workspace::StoredWorkspace>(
            "Workspace",
            &list("/apis/kubeflow.org/v1beta1/workspaces").await,
        );
        for p in [
            "/api/v1/serviceaccounts",
            "/apis/apps/v1/statefulsets",
            "/api/v1/services",
            "/apis/networking.istio.io/v1/virtualservices",
        ] {
            load::<workspaces_controller::stores::child::Child>(
                p.rsplit('/').next().unwrap(),
                &list(&format!("{p}?{l}")).await,
            );
        }
        load::<workspaces_controller::stores::pod::Pod>("pod", &list(&format!("/api/v1/pods?{l}")).await);
    });
    std::process::exit(0);
}
