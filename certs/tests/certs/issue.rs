//! What is written into the certificates, read back by a parser that took no part in writing them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use certs::{Ca, IssueError, SubjectAltName};
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_SIG_ECDSA_WITH_SHA256};
use x509_parser::pem::Pem;
use x509_parser::prelude::{GeneralName, ParsedExtension, X509Certificate};

use crate::volume::DAY;

/// 2026-01-02T03:04:05.75Z
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_767_323_045_750)
}

const NOW_SECONDS: i64 = 1_767_323_045;

fn blocks(pem: &str) -> Vec<Pem> {
    Pem::iter_from_buffer(pem.as_bytes()).collect::<Result<_, _>>().unwrap()
}

fn validity(certificate: &X509Certificate<'_>) -> (i64, i64) {
    let validity = certificate.validity();
    (validity.not_before.timestamp() - NOW_SECONDS, validity.not_after.timestamp() - NOW_SECONDS)
}

fn assert_p256(certificate: &X509Certificate<'_>) {
    let algorithm = &certificate.public_key().algorithm;
    assert_eq!(algorithm.algorithm, OID_KEY_TYPE_EC_PUBLIC_KEY);
    let curve = algorithm.parameters.as_ref().unwrap().as_oid().unwrap();
    assert_eq!(curve, OID_EC_P256);
    assert_eq!(certificate.signature_algorithm.algorithm, OID_SIG_ECDSA_WITH_SHA256);
}

fn key_id(certificate: &X509Certificate<'_>) -> Vec<u8> {
    let mut ids = certificate.extensions().iter();
    ids.find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    })
    .unwrap()
}

#[test]
fn a_ca_signs_servers_and_no_further_ca() {
    let ca = Ca::issue("workspaces-webhook-ca", now(), 10 * DAY).unwrap();
    let pem = ca.cert_pem();
    let blocks = blocks(&pem);
    assert_eq!(blocks.len(), 1);
    let certificate = blocks[0].parse_x509().unwrap();

    assert_eq!(certificate.subject().to_string(), "CN=workspaces-webhook-ca");
    assert_eq!(certificate.issuer(), certificate.subject());
    assert_eq!(validity(&certificate), (-3600, 10 * 86_400));
    assert_eq!(ca.not_after(), UNIX_EPOCH + Duration::from_secs(1_767_323_045 + 10 * 86_400));
    let constraints = certificate.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = certificate.key_usage().unwrap().unwrap();
    assert!(usage.critical);
    assert_eq!(usage.value.to_string(), "Key Cert Sign, CRL Sign");
    assert!(certificate.extended_key_usage().unwrap().is_none());
    assert_p256(&certificate);
    certificate.verify_signature(None).unwrap();
}

#[test]
fn a_leaf_serves_its_names_and_signs_nothing() {
    let ca = Ca::issue("ca", now(), 10 * DAY).unwrap();
    let names: Vec<SubjectAltName> =
        ["webhook.ns.svc", "localhost", "127.0.0.1", "::1"].map(SubjectAltName::from).into();
    let issued = ca.issue_leaf(&names, now(), DAY).unwrap();
    let chain = blocks(&issued.chain_pem);
    assert_eq!(chain.len(), 2);
    let leaf = chain[0].parse_x509().unwrap();
    let authority = chain[1].parse_x509().unwrap();

    assert_eq!(chain[1].contents, blocks(&ca.cert_pem())[0].contents);
    assert_eq!(leaf.issuer(), authority.subject());
    assert_eq!(validity(&leaf), (-3600, 86_400));
    let constraints = leaf.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && !constraints.value.ca);
    let usage = leaf.key_usage().unwrap().unwrap();
    assert_eq!(usage.value.to_string(), "Digital Signature");
    let extended = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.server_auth && !extended.client_auth && !extended.any);
    let subject_alt_names = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(
        subject_alt_names.value.general_names,
        [
            GeneralName::DNSName("webhook.ns.svc"),
            GeneralName::DNSName("localhost"),
            GeneralName::IPAddress(&[127, 0, 0, 1]),
            GeneralName::IPAddress(&Ipv6Addr::LOCALHOST.octets()),
        ]
    );
    let authority_key_id = leaf.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref(),
        _ => None,
    });
    assert_eq!(authority_key_id.unwrap().0, key_id(&authority));
    assert_p256(&leaf);
    leaf.verify_signature(Some(authority.public_key())).unwrap();
    assert!(leaf.verify_signature(None).is_err());
}

#[test]
fn the_key_is_pkcs8_and_new_every_time() {
    let ca = Ca::issue("ca", now(), 10 * DAY).unwrap();
    let mut keys = BTreeSet::new();
    let mut serials = BTreeSet::new();
    for _ in 0..20 {
        let issued = ca.issue_leaf(&["a.test".into()], now(), DAY).unwrap();
        assert_eq!(blocks(&issued.key_pem)[0].label, "PRIVATE KEY");
        let chain = blocks(&issued.chain_pem);
        let leaf = chain[0].parse_x509().unwrap();
        // RFC 5280, 4.1.2.2: positive and at most 20 octets.
        assert!((1..=20).contains(&leaf.raw_serial().len()));
        assert!(leaf.raw_serial()[0] < 0x80);
        serials.insert(leaf.raw_serial().to_vec());
        keys.insert(issued.key_pem);
    }
    assert_eq!((keys.len(), serials.len()), (20, 20));
}

#[test]
fn reads_addresses_and_host_names() {
    let loopback: IpAddr = "127.0.0.1".parse().unwrap();
    assert_eq!(SubjectAltName::from("127.0.0.1"), SubjectAltName::Ip(loopback));
    assert_eq!(SubjectAltName::from(loopback), SubjectAltName::Ip(loopback));
    assert_eq!(SubjectAltName::from("a.test"), SubjectAltName::Dns("a.test".to_owned()));
}

#[test]
fn refuses_names_that_are_none() {
    let ca = Ca::issue("ca", now(), DAY).unwrap();
    let issue = |names: &[SubjectAltName]| ca.issue_leaf(names, now(), DAY).unwrap_err();
    assert_eq!(issue(&[]).to_string(), "no name to issue a certificate for; give at least one host name or address");
    for name in ["", "a b", "*.test", "host:443", "a..b", "m\u{fc}nchen.test", "-a"] {
        assert_eq!(
            issue(&["fine.test".into(), name.into()]).to_string(),
            format!("{name:?} is not a host name or address; use letters, digits, '-' and '.', no wildcard")
        );
    }
    for (name, length) in [(String::new(), 0), ("x".repeat(65), 65)] {
        let error = Ca::issue(&name, now(), DAY).unwrap_err();
        assert_eq!(error, IssueError::CommonName { length });
        assert_eq!(error.to_string(), format!("common name of {length} characters; use 1 to 64"));
    }
    Ca::issue(&"x".repeat(64), now(), DAY).unwrap();
}

#[test]
fn refuses_a_validity_that_proves_nothing() {
    let ca = Ca::issue("ca", now(), DAY).unwrap();
    for validity in [Duration::ZERO, Duration::from_millis(999), Duration::MAX, 3_000_000 * DAY] {
        assert_eq!(
            Ca::issue("ca", now(), validity).unwrap_err().to_string(),
            "validity must be at least a second and end before the year 10000"
        );
        assert_eq!(ca.issue_leaf(&["a.test".into()], now(), validity), Err(IssueError::Validity));
    }
    assert_eq!(
        ca.issue_leaf(&["a.test".into()], now() + 2 * DAY, DAY).unwrap_err().to_string(),
        "the CA expired at 2026-01-03T03:04:05Z; issue a new one"
    );
}
