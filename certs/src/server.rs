//! The TLS side of the webhook's listener.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};

use crate::clients::ClientVerifier;
use crate::resolver::Resolver;

/// The protocol name of HTTP/1.1 in ALPN.
pub const ALPN_HTTP_1_1: &[u8] = b"http/1.1";

/// TLS 1.2 and 1.3 with ring's cryptography, whatever the process default is; certificates come from `resolver`.
///
/// `clients` demands a certificate of each client; without it none is asked for one. `alpn` lists the protocols offered, the preferred
/// first. A client that offers none of them is refused; one that offers no ALPN at all is served.
pub fn server_config(
    resolver: Arc<Resolver>,
    alpn: &[&[u8]],
    clients: Option<Arc<ClientVerifier>>,
) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?;
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(resolver);
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    // A resumed session proves the certificate of its first handshake: without resumption every new connection sees
    // the certificate that is served now. API servers keep few connections, for long.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
