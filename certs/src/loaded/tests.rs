//! Every error in the contents, with its whole message, and what is read from valid ones.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::issue::{Ca, Issued};

const DAY: Duration = Duration::from_hours(24);

/// 2026-01-02T03:04:05Z
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_767_323_045)
}

fn issued() -> Issued {
    let ca = Ca::issue("tests", now(), 10 * DAY).unwrap();
    ca.issue_leaf(&["localhost".into()], now(), DAY).unwrap()
}

fn load_at(certificate: &str, key: &str, now: SystemTime) -> Result<Loaded, LoadError> {
    let pair = PemPair {
        certificate_place: "/certs/tls.crt".into(),
        key_place: "/certs/tls.key".into(),
        certificate: certificate.into(),
        key: key.into(),
    };
    Loaded::from_pem(&pair, now)
}

fn fault(certificate: &str, key: &str) -> String {
    load_at(certificate, key, now()).unwrap_err().to_string()
}

/// A block with the same header and footer, but other contents.
fn block(label: &str, base64: &str) -> String {
    format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
}

#[test]
fn reads_dates_serial_and_fingerprint_of_the_first_certificate() {
    let issued = issued();
    let loaded = load_at(&issued.chain_pem, &issued.key_pem, now()).unwrap();
    assert_eq!(loaded.not_before, now() - Duration::from_hours(1));
    assert_eq!(loaded.not_after, now() + DAY);
    assert_eq!(loaded.certified_key.cert.len(), 2);
    let der = &loaded.certified_key.cert[0];
    assert_eq!(loaded.fingerprint, hex(&Sha256::digest(der)));
    assert_eq!(loaded.fingerprint.len(), 64);
}

/// As `openssl x509 -serial` shows it but for the case: the number, without the octet that DER puts before a high bit.
#[test]
fn writes_the_serial_as_a_number_in_whole_octets() {
    for (bytes, text) in [(vec![0x0a], "0a"), (vec![0x80, 0x01], "8001"), (vec![0x7f, 0x00, 0xff], "7f00ff")] {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["a.test".to_owned()]).unwrap();
        params.serial_number = Some(bytes.into());
        let certificate = params.self_signed(&key).unwrap();
        let loaded = load_at(&certificate.pem(), &key.serialize_pem(), now()).unwrap();
        assert_eq!(loaded.serial, text);
    }
}

#[test]
fn accepts_foreign_blocks_text_and_line_ends() {
    let issued = issued();
    let key = format!("{}{}", block("EC PARAMETERS", "BggqhkjOPQMBBw=="), issued.key_pem);
    let chain = format!("subject=webhook\n{}\n\n", issued.chain_pem).replace('\n', "\r\n");
    let loaded = load_at(&chain, &key, now()).unwrap();
    assert_eq!(loaded.certified_key.cert.len(), 2);
    // One file with everything, named twice, is a common way to deliver a pair.
    let both = format!("{}{}", issued.key_pem, issued.chain_pem);
    load_at(&both, &both, now()).unwrap();
}

#[test]
fn refuses_unfit_certificates() {
    let issued = issued();
    let other = self::issued();
    let key = issued.key_pem.as_str();
    let half = &issued.chain_pem[..issued.chain_pem.len() / 4];
    let cases = [
        ("", "empty; write the certificate chain into it as PEM"),
        (" \n\t\n", "empty; write the certificate chain into it as PEM"),
        (half, "cut off inside a PEM block; write the whole certificate chain again"),
        ("-----BE", "cut off inside a PEM block; write the whole certificate chain again"),
        ("-----BEGIN CERTIF", "cut off inside a PEM block; write the whole certificate chain again"),
        ("\u{1}\u{2}binary", "not PEM; write the certificate chain as PEM, from -----BEGIN to -----END"),
        (key, "PEM without a certificate; write the certificate chain into it, the server's own first"),
        (&block("CERTIFICATE", "!!!!"), "damaged PEM block; write the whole certificate chain again"),
    ];
    for (certificate, message) in cases {
        assert_eq!(fault(certificate, key), format!("/certs/tls.crt: {message}"));
    }
    assert_eq!(
        fault(&other.chain_pem, key),
        "/certs/tls.key: private key does not belong to the first certificate of /certs/tls.crt; \
         replace both files together"
    );
}

#[test]
fn refuses_certificates_that_are_not_x509() {
    let issued = issued();
    let second_bad = format!("{}{}", issued.chain_pem, block("CERTIFICATE", "AAAA"));
    for (certificate, position) in [(block("CERTIFICATE", "AAAA"), 1), (second_bad, 3)] {
        let message = fault(&certificate, &issued.key_pem);
        let start = format!("/certs/tls.crt: certificate {position} is not valid X.509 (");
        assert!(message.starts_with(&start), "{message}");
        assert!(message.ends_with("); write the certificate chain again"), "{message}");
        assert_eq!(message.lines().count(), 1);
    }
}

#[test]
fn refuses_unfit_keys() {
    let issued = issued();
    let half = &issued.key_pem[..issued.key_pem.len() / 2];
    let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: \
                  AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let encrypted = "private key is encrypted; write it without a passphrase";
    let cases = [
        ("", "empty; write the private key into it as PEM"),
        (half, "cut off inside a PEM block; write the whole private key again"),
        ("hello", "not PEM; write the private key as PEM, from -----BEGIN to -----END"),
        (&issued.chain_pem, "PEM without a private key; write the private key of the certificate into it"),
        (&block("ENCRYPTED PRIVATE KEY", "AAAA"), encrypted),
        (legacy, encrypted),
        (&block("PRIVATE KEY", "!!!!"), "damaged PEM block; write the whole private key again"),
    ];
    for (key, message) in cases {
        assert_eq!(fault(&issued.chain_pem, key), format!("/certs/tls.key: {message}"));
    }
    let message = fault(&issued.chain_pem, &block("PRIVATE KEY", "AAAA"));
    assert!(message.starts_with("/certs/tls.key: private key cannot be used ("), "{message}");
}

#[test]
fn refuses_a_pair_outside_its_validity() {
    let issued = issued();
    let load = |at| load_at(&issued.chain_pem, &issued.key_pem, at);
    let second = Duration::from_secs(1);
    let (first, last) = (now() - Duration::from_hours(1), now() + DAY);
    assert!(load(first).is_ok());
    assert!(load(last).is_ok());
    assert_eq!(
        load(first - second).unwrap_err().to_string(),
        "/certs/tls.crt: certificate is not valid before 2026-01-02T02:04:05Z; \
         check this machine's clock or replace it"
    );
    assert_eq!(
        load(last + second).unwrap_err().to_string(),
        "/certs/tls.crt: certificate expired at 2026-01-03T03:04:05Z; replace it with a valid one"
    );
}

/// Wherever a write stops, the half file is refused; only complete certificates make a chain.
#[test]
fn refuses_every_cut() {
    let issued = issued();
    let (chain, key) = (&issued.chain_pem, &issued.key_pem);
    let end = "-----END CERTIFICATE-----";
    let first_end = chain.find(end).unwrap() + end.len();
    for length in 0..chain.trim_end().len() {
        let cut = load_at(&chain[..length], key, now());
        // The chain of one certificate is whole; a second one that has not begun cannot be missed.
        let whole = (first_end..=first_end + 1).contains(&length);
        assert_eq!(cut.is_ok(), whole, "{length} bytes: {cut:?}");
    }
    for length in 0..key.trim_end().len() {
        let cut = load_at(chain, &key[..length], now());
        assert!(cut.is_err(), "{length} bytes");
    }
}

#[test]
fn debug_output_holds_no_key() {
    let issued = issued();
    let loaded = load_at(&issued.chain_pem, &issued.key_pem, now()).unwrap();
    let shown = format!("{loaded:?}");
    assert!(shown.starts_with("Loaded { not_before: \"2026-01-02T02:04:05Z\""), "{shown}");
    assert!(!shown.contains("key"), "{shown}");
    assert!(!format!("{issued:?}").contains("PRIVATE KEY"));
}
