//! TLS handshakes in memory: a rustls client that trusts only the CA against our server configuration.

use std::sync::Arc;
use std::time::SystemTime;

use certs::{ALPN_HTTP_1_1, Ca, Resolver, server_config};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::volume::{DAY, NAMES, Volume, ca, leaf};

/// What the client saw when the handshake succeeded.
#[derive(Debug, PartialEq)]
pub struct Seen {
    pub serial: String,
    pub alpn: Option<Vec<u8>>,
    pub chain_length: usize,
    pub kind: HandshakeKind,
}

/// A client that trusts `ca` alone.
pub fn client(ca: &Ca, version: &'static SupportedProtocolVersion, alpn: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.cert_pem().as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

/// A listener's configuration over what `resolver` holds now and later.
fn server(resolver: &Arc<Resolver>) -> Arc<ServerConfig> {
    Arc::new(server_config(Arc::clone(resolver), &[ALPN_HTTP_1_1], None).unwrap())
}

/// The server's words after "server:", the client's after "client:".
pub fn connect(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>, name: &str) -> Result<Seen, String> {
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().map_err(|error| format!("server: {error}"))?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().map_err(|error| format!("client: {error}"))?;
    }
    let chain = client.peer_certificates().unwrap();
    let (_, certificate) = X509Certificate::from_der(&chain[0]).unwrap();
    Ok(Seen {
        serial: serial(&certificate),
        alpn: client.alpn_protocol().map(<[u8]>::to_vec),
        chain_length: chain.len(),
        kind: client.handshake_kind().unwrap(),
    })
}

/// As [`certs::Loaded::serial`] writes it: DER puts a zero octet before a number with its high bit set.
fn serial(certificate: &X509Certificate<'_>) -> String {
    let octets = certificate.raw_serial_as_string();
    octets.strip_prefix("00:").unwrap_or(&octets).replace(':', "")
}

/// The serial number that a new TLS 1.3 connection is shown.
pub fn served_serial(resolver: &Arc<Resolver>, ca: &Ca) -> Result<String, String> {
    let client = Arc::new(client(ca, &TLS13, &[ALPN_HTTP_1_1]));
    connect(&server(resolver), &client, NAMES[0]).map(|seen| seen.serial)
}

fn serving(ca: &Ca) -> (Arc<Resolver>, String) {
    let now = SystemTime::now();
    let mut volume = Volume::new();
    volume.publish(&leaf(ca, now));
    let loaded = volume.load(now);
    let serial = loaded.serial.clone();
    let resolver = Arc::new(Resolver::new());
    resolver.replace(loaded);
    (resolver, serial)
}

#[test]
fn proves_host_name_and_address_in_both_versions() {
    let ca = ca(SystemTime::now());
    let (resolver, serial) = serving(&ca);
    for version in [&TLS12, &TLS13] {
        for name in NAMES {
            let client = Arc::new(client(&ca, version, &[b"h2", ALPN_HTTP_1_1]));
            let expected = Seen {
                serial: serial.clone(),
                alpn: Some(ALPN_HTTP_1_1.to_vec()),
                chain_length: 2,
                kind: HandshakeKind::Full,
            };
            assert_eq!(connect(&server(&resolver), &client, name), Ok(expected), "{name}");
        }
    }
}

#[test]
fn proves_nothing_for_another_name_or_another_ca() {
    let now = SystemTime::now();
    let ca = ca(now);
    let (resolver, _) = serving(&ca);
    let fault = |client: ClientConfig, name| connect(&server(&resolver), &Arc::new(client), name).unwrap_err();
    let mine = || client(&ca, &TLS13, &[]);
    for name in ["other.test.svc", "127.0.0.2"] {
        let message = fault(mine(), name);
        assert!(message.starts_with("client: invalid peer certificate: certificate not valid for name"), "{message}");
    }
    // The same name, but another key.
    let stranger = client(&crate::volume::ca(now), &TLS13, &[]);
    let message = fault(stranger, NAMES[0]);
    assert!(message.starts_with("client: invalid peer certificate: "), "{message}");
}

#[test]
fn serves_clients_without_alpn_and_refuses_http2_alone() {
    let ca = ca(SystemTime::now());
    let (resolver, _) = serving(&ca);
    let plain = Arc::new(client(&ca, &TLS13, &[]));
    assert_eq!(connect(&server(&resolver), &plain, NAMES[0]).unwrap().alpn, None);
    let http2 = Arc::new(client(&ca, &TLS13, &[b"h2"]));
    assert_eq!(
        connect(&server(&resolver), &http2, NAMES[0]),
        Err("server: peer doesn't support any known protocol".to_owned())
    );
}

/// One client that would resume its session meets a new certificate at its next connection.
#[test]
fn shows_a_new_certificate_to_a_returning_client() {
    let now = SystemTime::now();
    let ca = ca(now);
    for version in [&TLS12, &TLS13] {
        let (resolver, first) = serving(&ca);
        let client = Arc::new(client(&ca, version, &[]));
        let server = server(&resolver);
        assert_eq!(connect(&server, &client, NAMES[0]).unwrap().serial, first);
        let mut volume = Volume::new();
        volume.publish(&leaf(&ca, now));
        let second = volume.load(now);
        let serial = second.serial.clone();
        resolver.replace(second);
        let seen = connect(&server, &client, NAMES[0]).unwrap();
        assert_eq!((seen.serial, seen.kind), (serial, HandshakeKind::Full));
    }
}

#[test]
fn refuses_handshakes_until_something_is_loaded() {
    let ca = ca(SystemTime::now());
    let message = served_serial(&Arc::new(Resolver::new()), &ca).unwrap_err();
    assert!(message.starts_with("server: "), "{message}");
}

/// A chain under an expired CA proves nothing, however long the leaf was asked to live.
#[test]
fn a_leaf_ends_with_its_ca() {
    let then = SystemTime::now() - 3 * DAY;
    let ca = Ca::issue("old", then, DAY).unwrap();
    let issued = ca.issue_leaf(&NAMES.map(Into::into), then, 30 * DAY).unwrap();
    let mut volume = Volume::new();
    volume.publish(&issued);
    let loaded = volume.load(then);
    assert_eq!(loaded.not_after, ca.not_after());
    let resolver = Arc::new(Resolver::new());
    resolver.replace(loaded);
    let message = served_serial(&resolver, &ca).unwrap_err();
    assert!(message.starts_with("client: invalid peer certificate: certificate expired"), "{message}");
}
