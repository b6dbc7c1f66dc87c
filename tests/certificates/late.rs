//! A replica whose watch of the Secret is late, while that of the webhook configuration is not: the loop inside the test.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use certs::Schedule;
use futures::StreamExt as _;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use kube::Client;
use kube::client::Body;
use tokio::sync::watch;
use workspaces_controller::client::Access;
use workspaces_controller::config::SelfManaged;
use workspaces_controller::metrics::Metrics;
use workspaces_controller::tls::self_managed::Authority;

use crate::TIMEOUT;
use crate::installation::{Installation, api, cluster, kubeconfig};

type Answer = UnsyncBoxBody<Bytes, kube::Error>;

/// Sends a request; what a watch of Secrets delivers is held back while `open` is false.
async fn send(client: Client, open: watch::Receiver<bool>, request: Request<Body>) -> kube::Result<Response<Answer>> {
    let uri = request.uri().to_string();
    let is_held = uri.contains("/secrets?") && uri.contains("watch=");
    let (parts, body) = client.send(request).await?.into_parts();
    if !is_held {
        return Ok(Response::from_parts(parts, body.boxed_unsync()));
    }
    let chunks = body.into_data_stream().then(move |chunk| {
        let mut open = open.clone();
        async move {
            let _ = open.wait_for(|open| *open).await;
            chunk.map(Frame::data)
        }
    });
    Ok(Response::from_parts(parts, StreamBody::new(chunks).boxed_unsync()))
}

#[test]
fn a_replica_whose_watch_is_late_takes_nothing_back() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let installation = Installation::new("late");
    let _prompt = installation.start_replicas(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (open, is_open) = watch::channel(true);
    let settings = SelfManaged {
        namespace: installation.name.clone(),
        secret: installation.name.clone(),
        names: vec!["127.0.0.1".into()],
        schedule: Schedule::new(Duration::from_hours(8760), Duration::from_hours(720)).unwrap(),
        configuration: installation.name.clone(),
    };
    let check = runtime.block_on(async {
        let service = Access::configure(Some(&kubeconfig(1))).await.unwrap().client().unwrap();
        let service = tower::service_fn(move |request| send(service.clone(), is_open.clone(), request));
        let authority = Authority::new(Client::new(service, "default"), settings, true, Arc::new(Metrics::new()));
        let check = authority.check();
        tokio::spawn(authority.keep());
        check
    });
    cluster().wait_for("the late replica to be ready", TIMEOUT, &check).unwrap();

    open.send(false).unwrap();
    let (before, mark) = (installation.bundle().unwrap(), cluster().audit().mark().unwrap());
    api().delete(&installation.secret_path()).unwrap().ok().unwrap();
    let added = cluster().wait_for("another CA", TIMEOUT, || {
        installation.bundle().filter(|bundle| bundle.ends_with(&before) && bundle.len() > before.len())
    });
    let added = added.unwrap();
    // The late one sees another caBundle than that of the Secret which it knows, and looks at that before it writes.
    let looked = cluster().wait_for("it to look", TIMEOUT, || {
        let reads = cluster().audit().since(mark).unwrap().by("replica-1").verb("get").name(&installation.name);
        let reads = reads.resource("secrets");
        if reads.is_empty() { Err("no look") } else { Ok(Instant::now()) }
    });
    let looked = looked.unwrap();
    while looked.elapsed() < Duration::from_secs(3) {
        assert_eq!(installation.bundle().as_ref(), Some(&added), "it was taken back");
        std::thread::sleep(Duration::from_millis(20));
    }
    let writes = cluster().audit().since(mark).unwrap().by("replica-1").writes().name(&installation.name);
    assert!(writes.is_empty(), "{writes:?}");
    open.send(true).unwrap();
    cluster().wait_for("the late replica to be ready", TIMEOUT, &check).unwrap();
    runtime.shutdown_background();
}
