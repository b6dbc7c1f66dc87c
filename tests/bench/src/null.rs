//! A handler that reads the body and answers without parsing it: the lower bound of the cost of a review.
//!
//! It is served by the product's own server, with the same limits and TLS.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use bytes::Bytes;
use workspaces_controller::config::Listen;
use workspaces_controller::metrics::Metrics;
use workspaces_controller::serve::{Drain, Server, ServerLimits, bind};
use workspaces_controller::tls;

use crate::Result;

const ANSWER: &str =
    r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u","allowed":true}}"#;

/// Serves until it is killed. The first line it prints is its port.
pub fn serve(certificates: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let metrics = Arc::new(Metrics::new());
        let mut certificate = tls::files::certificate(Path::new(certificates), Arc::clone(&metrics));
        certificate.poll();
        let (listener, address) = bind(Listen { host: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), port: 0 })?;
        println!("{}", address.port());
        let answer = async |body: Bytes| {
            std::hint::black_box(body);
            ([(CONTENT_TYPE, "application/json")], ANSWER)
        };
        Server {
            name: "null",
            listener,
            tls: Some(certificate.server_config()?),
            router: Router::new().fallback(post(answer)).layer(axum::extract::DefaultBodyLimit::disable()),
            limits: ServerLimits::default(),
            metrics,
            drain: Drain::default(),
        }
        .run()
        .await;
        Ok(())
    })
}
