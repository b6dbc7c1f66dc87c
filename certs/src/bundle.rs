//! The CA certificates that clients trust, as `caBundle` and `ca.crt` hold them.

use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::timestamp::{from_unix, rfc3339};

/// More than a rotation needs (two), and than a Secret that is deleted again and again makes in a while. Without a limit such a
/// bundle would outgrow what an object can hold.
const MAX_CERTIFICATES: usize = 16;

/// Clocks of clients may be behind ours: a certificate is valid from this long before it is issued.
pub(crate) const BACKDATED: Duration = Duration::from_hours(1);

/// The characters of a line of PEM (RFC 7468, section 2).
const PEM_LINE: usize = 64;

/// A certificate that may sign others.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustedCa {
    der: Vec<u8>,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl TrustedCa {
    /// None where this is not the certificate of a CA.
    pub(crate) fn new(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() || !certificate.is_ca() {
            return None;
        }
        Some(Self {
            der: der.to_vec(),
            not_before: from_unix(certificate.validity().not_before.timestamp())?,
            not_after: from_unix(certificate.validity().not_after.timestamp())?,
        })
    }

    /// The certificate in DER.
    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// The last moment of its validity.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// When it was issued, if by [`crate::Ca::issue`]: its validity begins a little earlier.
    pub(crate) fn issued_at(&self) -> SystemTime {
        self.not_before + BACKDATED
    }

    /// The certificate as PEM.
    pub fn pem(&self) -> String {
        let text = STANDARD.encode(&self.der);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for line in text.as_bytes().chunks(PEM_LINE) {
            pem.extend(line.iter().map(|byte| char::from(*byte)));
            pem.push('\n');
        }
        pem + "-----END CERTIFICATE-----\n"
    }

    /// Whether it is about this public key (`SubjectPublicKeyInfo`, DER).
    pub(crate) fn has_key(&self, public_key: &[u8]) -> bool {
        X509Certificate::from_der(&self.der).is_ok_and(|(_, certificate)| certificate.public_key().raw == public_key)
    }

    /// Whether it has signed this certificate (DER).
    pub(crate) fn has_signed(&self, certificate: &[u8]) -> bool {
        let parsed = X509Certificate::from_der(certificate).ok().zip(X509Certificate::from_der(&self.der).ok());
        parsed.is_some_and(|((_, certificate), (_, authority))| {
            certificate.issuer().as_raw() == authority.subject().as_raw()
                && certificate.verify_signature(Some(authority.public_key())).is_ok()
        })
    }
}

impl fmt::Debug for TrustedCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustedCa({} to {})", rfc3339(self.not_before), rfc3339(self.not_after))
    }
}

/// Certificates of CAs, each once, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle(Vec<TrustedCa>);

impl Bundle {
    /// All certificates of CAs in the text. What else is there is skipped, as the API server does with a `caBundle`.
    pub fn parse(pem: &[u8]) -> Self {
        let certificates = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
        let mut bundle = Self::default();
        for certificate in certificates.filter_map(|certificate| TrustedCa::new(&certificate)) {
            if !bundle.contains(&certificate) && bundle.0.len() < MAX_CERTIFICATES {
                bundle.0.push(certificate);
            }
        }
        bundle
    }

    /// Only this certificate.
    pub fn of(certificate: TrustedCa) -> Self {
        Self(vec![certificate])
    }

    /// With this certificate as the first, and without those that are expired.
    #[must_use]
    pub fn add(&self, certificate: &TrustedCa, now: SystemTime) -> Self {
        let others = self.0.iter().filter(|other| *other != certificate && now <= other.not_after).cloned();
        Self(std::iter::once(certificate.clone()).chain(others).take(MAX_CERTIFICATES).collect())
    }

    /// With this certificate as the last.
    #[must_use]
    pub fn append(&self, certificate: &TrustedCa) -> Self {
        let others = self.0.iter().filter(|other| *other != certificate).take(MAX_CERTIFICATES - 1).cloned();
        Self(others.chain([certificate.clone()]).collect())
    }

    /// The certificates that both have, in the order of this bundle.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.iter().filter(|certificate| other.contains(certificate)).cloned().collect())
    }

    /// Whether it has this certificate.
    pub fn contains(&self, certificate: &TrustedCa) -> bool {
        self.0.contains(certificate)
    }

    /// The certificates, the newest first.
    pub fn certificates(&self) -> &[TrustedCa] {
        &self.0
    }

    /// The one that has signed this certificate (DER).
    pub(crate) fn issuer_of(&self, certificate: &[u8]) -> Option<&TrustedCa> {
        self.0.iter().find(|authority| authority.has_signed(certificate))
    }

    /// One PEM block after the other, the newest first.
    pub fn pem(&self) -> String {
        self.0.iter().map(TrustedCa::pem).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::{Duration, UNIX_EPOCH};

    use crate::issue::Ca;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn now() -> SystemTime {
        UNIX_EPOCH + 20_000 * DAY
    }

    fn ca(days: u32) -> TrustedCa {
        Ca::issue("ca", now(), days * DAY).unwrap().certificate().clone()
    }

    #[test]
    fn is_read_as_it_was_written() {
        let bundle = Bundle::of(ca(1)).add(&ca(2), now());
        let text = bundle.pem();
        assert_eq!(text.matches("-----BEGIN CERTIFICATE-----\n").count(), 2);
        assert!(text.lines().all(|line| line.len() <= 64) && text.ends_with("-----END CERTIFICATE-----\n"));
        assert_eq!(Bundle::parse(text.as_bytes()), bundle);
        assert_eq!(Bundle::parse(&[text.as_bytes(), text.as_bytes()].concat()), bundle);
    }

    /// As the API server does with a caBundle: only a text without any certificate is an error there.
    #[test]
    fn what_is_no_ca_is_skipped() {
        let authority = Ca::issue("ca", now(), DAY).unwrap();
        let issued = authority.issue_leaf(&["a.test".into()], now(), DAY).unwrap();
        let text = format!(
            "some words\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{}{}",
            issued.key_pem, issued.chain_pem
        );
        assert_eq!(Bundle::parse(text.as_bytes()), Bundle::of(authority.certificate().clone()));
        for nothing in ["", "no PEM", "-----BEGIN CERTIFICATE-----\n"] {
            assert_eq!(Bundle::parse(nothing.as_bytes()), Bundle::default(), "{nothing:?}");
        }
    }

    #[test]
    fn what_is_added_comes_first_and_what_is_expired_goes() {
        let (first, second, third) = (ca(1), ca(10), ca(10));
        let bundle = Bundle::of(first.clone()).add(&second, now());
        assert_eq!(bundle.certificates(), [second.clone(), first.clone()]);
        assert_eq!(bundle.add(&first, now()).certificates(), [first, second.clone()]);
        assert_eq!(bundle.add(&third, now() + 2 * DAY).certificates(), [third, second]);
    }

    #[test]
    fn does_not_grow_for_ever() {
        let newest = ca(1);
        let many = (0..40).fold(Bundle::default(), |bundle, _| bundle.add(&ca(1), now())).add(&newest, now());
        assert_eq!(many.certificates().len(), MAX_CERTIFICATES);
        assert_eq!(many.certificates()[0], newest);
    }

    /// Two CAs of one name: the name alone does not say which one has signed.
    #[test]
    fn the_issuer_is_found_by_its_signature() {
        let (old, new) = (Ca::issue("ca", now(), DAY).unwrap(), Ca::issue("ca", now(), DAY).unwrap());
        let bundle = Bundle::of(old.certificate().clone()).add(new.certificate(), now());
        for authority in [&old, &new] {
            let issued = authority.issue_leaf(&["a.test".into()], now(), DAY).unwrap();
            let leaf = CertificateDer::from_pem_slice(issued.chain_pem.as_bytes()).unwrap();
            assert_eq!(bundle.issuer_of(&leaf), Some(authority.certificate()));
        }
        let other = Ca::issue("ca", now(), DAY).unwrap().issue_leaf(&["a.test".into()], now(), DAY).unwrap();
        let leaf = CertificateDer::from_pem_slice(other.chain_pem.as_bytes()).unwrap();
        assert_eq!(bundle.issuer_of(&leaf), None);
    }
}
