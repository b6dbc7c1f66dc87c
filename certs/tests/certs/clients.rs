//! Which clients are served where a certificate is demanded of them.

use std::sync::Arc;
use std::time::SystemTime;

use certs::{ALPN_HTTP_1_1, Ca, ClientCaError, ClientVerifier, Resolver, server_config};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use crate::handshake::connect;
use crate::volume::{NAMES, Volume, ca, leaf};

/// A CA of clients, and its PEM. All have the same name.
fn clients() -> (Issuer<'static, KeyPair>, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "clients");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}

type Credentials = (CertificateDer<'static>, PrivateKeyDer<'static>);

fn issue(issuer: &Issuer<'static, KeyPair>, name: &str, usage: ExtendedKeyUsagePurpose) -> Credentials {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![usage];
    let certificate = params.signed_by(&key, issuer).unwrap();
    (certificate.der().clone(), PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap())
}

fn client(ca: &Ca, version: &'static SupportedProtocolVersion, credentials: Option<&Credentials>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.cert_pem().as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match credentials {
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate.clone()], key.clone_key()).unwrap(),
        None => builder.with_no_client_auth(),
    })
}

#[test]
fn only_clients_of_a_trusted_ca_with_an_allowed_name_are_served() {
    let now = SystemTime::now();
    let serving = ca(now);
    let mut volume = Volume::new();
    volume.publish(&leaf(&serving, now));
    let resolver = Arc::new(Resolver::new());
    resolver.replace(volume.load(now));
    let ((ours, ours_pem), (other, other_pem)) = (clients(), clients());
    let issue_for = |issuer, name| issue(issuer, name, ExtendedKeyUsagePurpose::ClientAuth);
    let (api_server, somebody) = (issue_for(&ours, "kube-apiserver"), issue_for(&ours, "somebody"));
    let of_another = issue_for(&other, "kube-apiserver");
    let of_a_server = issue(&ours, "kube-apiserver", ExtendedKeyUsagePurpose::ServerAuth);

    let named = Arc::new(ClientVerifier::new(["kube-apiserver".to_owned()]));
    let any = Arc::new(ClientVerifier::new([]));
    for version in [&TLS12, &TLS13] {
        let served = |verifier: &Arc<ClientVerifier>, credentials: Option<&Credentials>| {
            let server = server_config(Arc::clone(&resolver), &[ALPN_HTTP_1_1], Some(Arc::clone(verifier))).unwrap();
            connect(&Arc::new(server), &client(&serving, version, credentials), NAMES[0]).map(drop)
        };
        let refused = |verifier: &Arc<ClientVerifier>, credentials: Option<&Credentials>, why: &str| {
            let error = served(verifier, credentials).unwrap_err();
            assert!(error.starts_with("server: ") && error.contains(why), "{version:?}: {error}");
        };
        let nobody = Arc::new(ClientVerifier::new([]));
        refused(&nobody, Some(&api_server), "UnknownIssuer");
        for verifier in [&named, &any] {
            assert_eq!(verifier.trust(ours_pem.as_bytes()), Ok(1));
            assert_eq!(served(verifier, Some(&api_server)), Ok(()));
            refused(verifier, None, "no certificates");
            refused(verifier, Some(&of_another), "UnknownIssuer");
            refused(verifier, Some(&of_a_server), "extended key usage");
            // What cannot be used changes nothing.
            assert_eq!(verifier.trust(b"nothing"), Err(ClientCaError::Empty));
            assert!(matches!(verifier.trust(b"-----BEGIN CERTIFICATE-----\n!"), Err(ClientCaError::Pem(_))));
            let broken = format!("{ours_pem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
            let unusable = verifier.trust(broken.as_bytes());
            assert!(matches!(unusable, Err(ClientCaError::Unusable { number: 2, .. })), "{unusable:?}");
            assert_eq!(served(verifier, Some(&api_server)), Ok(()));
            assert_eq!(verifier.trust(format!("{other_pem}{ours_pem}").as_bytes()), Ok(2));
            assert_eq!(served(verifier, Some(&of_another)), Ok(()));
        }
        refused(&named, Some(&somebody), "ApplicationVerificationFailure");
        assert_eq!(served(&any, Some(&somebody)), Ok(()));
    }
}
