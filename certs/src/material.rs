//! What all replicas share where the process is its own authority: the CA that signs, all CAs that clients trust, and the pair
//! that is served. It is stored as one object, so that whoever reads it has parts that belong together.

use std::fmt;
use std::net::IpAddr;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::{FromDer, GeneralName};

use crate::bundle::{Bundle, TrustedCa};
use crate::issue::{Ca, CaError, IssueError, Issued, SubjectAltName};
use crate::load_error::LoadError;
use crate::loaded::Loaded;
use crate::pair::PemPair;
use crate::validity::Schedule;

/// The name of the CA. All have the same: clients tell them apart by their keys.
const COMMON_NAME: &str = "workspaces-webhook-ca";

/// The parts of [`Material`] as PEM texts, as a Secret of type `kubernetes.io/tls` has them.
#[derive(Clone, PartialEq, Eq)]
pub struct MaterialPem {
    /// `tls.crt`: the server certificate, then its CA.
    pub certificate: String,
    /// `tls.key`: the key of the server certificate, PKCS#8.
    pub key: String,
    /// `ca.crt`: the CAs that clients trust, the one that signs first.
    pub trusted: String,
    /// `ca.key`: the key of the first CA, PKCS#8.
    pub ca_key: String,
}

/// Without the keys: this may end up in logs.
impl fmt::Debug for MaterialPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaterialPem")
            .field("certificate", &self.certificate)
            .field("trusted", &self.trusted)
            .finish_non_exhaustive()
    }
}

/// Why texts are no material: one line that names the text. None has what was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MaterialError {
    /// There is no CA.
    #[error("ca.crt: no certificate of a CA")]
    NoCa,
    /// The key of the CA is not that of the first certificate.
    #[error("ca.key: {0}")]
    Ca(#[from] CaError),
    /// The pair cannot be served.
    #[error(transparent)]
    Pair(#[from] LoadError),
    /// The server certificate is of none of the CAs.
    #[error("tls.crt: not signed by a CA of ca.crt")]
    ForeignLeaf,
}

/// A CA, the CAs that clients are to trust, and a server certificate of one of them.
#[derive(Debug)]
pub struct Material {
    ca: Ca,
    trusted: Bundle,
    trusted_pem: String,
    pair: Issued,
    leaf: Leaf,
}

/// What has to be known of the server certificate.
#[derive(Debug)]
struct Leaf {
    not_after: SystemTime,
    names: Vec<SubjectAltName>,
    /// The CA that has signed it.
    issuer: TrustedCa,
}

impl Material {
    /// A new CA and a first certificate of it. Clients trust `trusted` so far: they go on doing so for a while, since replicas may
    /// still serve certificates of these.
    pub fn issue(
        trusted: &Bundle,
        names: &[SubjectAltName],
        schedule: &Schedule,
        now: SystemTime,
    ) -> Result<Self, IssueError> {
        let ca = Ca::issue(COMMON_NAME, now, schedule.ca())?;
        let trusted = trusted.add(ca.certificate(), now);
        let pair = ca.issue_leaf(names, now, schedule.leaf())?;
        Self::new(ca, trusted, pair)
    }

    /// The same with a new server certificate.
    pub fn renew_leaf(
        &self,
        names: &[SubjectAltName],
        schedule: &Schedule,
        now: SystemTime,
    ) -> Result<MaterialPem, IssueError> {
        let Issued { chain_pem, key_pem } = self.ca.issue_leaf(names, now, schedule.leaf())?;
        Ok(MaterialPem { certificate: chain_pem, key: key_pem, ..self.pem() })
    }

    /// The same with a new CA beside those before, which has signed nothing yet.
    pub fn rotate_ca(&self, schedule: &Schedule, now: SystemTime) -> Result<MaterialPem, IssueError> {
        let ca = Ca::issue(COMMON_NAME, now, schedule.ca())?;
        let trusted = self.trusted.add(ca.certificate(), now);
        Ok(MaterialPem { trusted: trusted.pem(), ca_key: ca.key_pem(), ..self.pem() })
    }

    /// The same without the CAs that sign no longer.
    pub fn drop_old_cas(&self) -> MaterialPem {
        MaterialPem { trusted: self.ca.cert_pem(), ..self.pem() }
    }

    /// The same, but this CA is trusted too: a certificate of it is served.
    pub fn trust_too(&self, ca: &TrustedCa) -> MaterialPem {
        MaterialPem { trusted: self.trusted.append(ca).pem(), ..self.pem() }
    }

    /// Reads what was stored. Whether it is valid at this moment is not looked at: the [`Schedule`] does that.
    pub fn from_pem(pem: &MaterialPem) -> Result<Self, MaterialError> {
        let trusted = Bundle::parse(pem.trusted.as_bytes());
        let first = trusted.certificates().first().ok_or(MaterialError::NoCa)?;
        let ca = Ca::from_parts(first.clone(), &pem.ca_key)?;
        let pair = Issued { chain_pem: pem.certificate.clone(), key_pem: pem.key.clone() };
        let leaf = Leaf::read(&pair, &trusted)?;
        // What is published has no key, should somebody have put one there.
        let has_others = pem.trusted.split("-----BEGIN ").skip(1).any(|block| !block.starts_with("CERTIFICATE-----"));
        let trusted_pem = if has_others { trusted.pem() } else { pem.trusted.clone() };
        Ok(Self { ca, trusted, trusted_pem, pair, leaf })
    }

    fn new(ca: Ca, trusted: Bundle, pair: Issued) -> Result<Self, IssueError> {
        let leaf = Leaf::read(&pair, &trusted).map_err(|_| IssueError::Validity)?;
        Ok(Self { ca, trusted_pem: trusted.pem(), trusted, pair, leaf })
    }

    /// The texts to be stored.
    pub fn pem(&self) -> MaterialPem {
        MaterialPem {
            certificate: self.pair.chain_pem.clone(),
            key: self.pair.key_pem.clone(),
            trusted: self.trusted_pem.clone(),
            ca_key: self.ca.key_pem(),
        }
    }

    /// The pair to be served.
    pub fn pair(&self) -> &Issued {
        &self.pair
    }

    /// The CA that signs from now on.
    pub fn ca(&self) -> &TrustedCa {
        self.ca.certificate()
    }

    /// The CAs that clients are to trust, the one that signs first.
    pub fn trusted(&self) -> &Bundle {
        &self.trusted
    }

    /// The text of [`Material::trusted`] as it is stored: all replicas publish the same bytes.
    pub fn trusted_pem(&self) -> &str {
        &self.trusted_pem
    }

    /// The CA of the server certificate.
    pub fn leaf_issuer(&self) -> &TrustedCa {
        &self.leaf.issuer
    }

    /// The last moment of the server certificate's validity.
    pub fn leaf_not_after(&self) -> SystemTime {
        self.leaf.not_after
    }

    /// The names that the server certificate proves.
    pub fn names(&self) -> &[SubjectAltName] {
        &self.leaf.names
    }
}

impl Leaf {
    fn read(pair: &Issued, trusted: &Bundle) -> Result<Self, MaterialError> {
        let texts = PemPair {
            certificate_place: "tls.crt".to_owned(),
            key_place: "tls.key".to_owned(),
            certificate: pair.chain_pem.clone().into_bytes(),
            key: pair.key_pem.clone().into_bytes(),
        };
        let loaded = Loaded::of_any_time(&texts)?;
        let certificate = loaded.certified_key.end_entity_cert().map_err(|_| MaterialError::ForeignLeaf)?;
        let issuer = trusted.issuer_of(certificate).ok_or(MaterialError::ForeignLeaf)?.clone();
        Ok(Self { not_after: loaded.not_after, names: names_of(certificate), issuer })
    }
}

/// The names of a certificate; those of kinds that servers do not have are left out.
fn names_of(certificate: &CertificateDer<'_>) -> Vec<SubjectAltName> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(SubjectAltName::Dns((*name).to_owned())),
        GeneralName::IPAddress(octets) => {
            let address = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
            address.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from)).ok().map(SubjectAltName::Ip)
        }
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn schedule() -> Schedule {
        Schedule::new(400 * DAY, 30 * DAY).unwrap()
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + 20_000 * DAY
    }

    fn issue() -> Material {
        let names = ["a.test", "127.0.0.1", "::1"].map(SubjectAltName::from);
        Material::issue(&Bundle::default(), &names, &schedule(), now()).unwrap()
    }

    #[test]
    fn is_read_as_it_was_stored() {
        let material = issue();
        let read = Material::from_pem(&material.pem()).unwrap();
        assert_eq!(read.pem(), material.pem());
        assert_eq!(read.names(), ["a.test", "127.0.0.1", "::1"].map(SubjectAltName::from));
        assert_eq!((read.leaf_not_after(), read.ca().not_after()), (now() + 30 * DAY, now() + 400 * DAY));
        assert_eq!(read.trusted(), &Bundle::of(read.ca().clone()));
        assert_eq!(read.leaf_issuer(), read.ca());
    }

    /// All replicas publish the same bytes, also those of a version that would write them otherwise.
    #[test]
    fn the_stored_text_is_what_is_published() {
        let mut pem = issue().pem();
        pem.trusted = format!("# ours\n{}\n", pem.trusted);
        assert_eq!(Material::from_pem(&pem).unwrap().trusted_pem(), pem.trusted);
    }

    #[test]
    fn a_key_among_the_trusted_certificates_is_not_published() {
        let mut pem = issue().pem();
        let certificates = pem.trusted.clone();
        pem.trusted += &pem.ca_key;
        assert!(pem.trusted.contains("PRIVATE KEY"));
        assert_eq!(Material::from_pem(&pem).unwrap().trusted_pem(), certificates);
    }

    #[test]
    fn a_ca_that_was_read_signs_as_before() {
        let read = Material::from_pem(&issue().pem()).unwrap();
        let renewed = Material::from_pem(&read.renew_leaf(&["b.test".into()], &schedule(), now()).unwrap()).unwrap();
        assert_eq!((renewed.leaf_issuer(), renewed.ca()), (read.ca(), read.ca()));
        assert_eq!(renewed.names(), ["b.test".into()]);
        let rotated = Material::from_pem(&read.rotate_ca(&schedule(), now()).unwrap()).unwrap();
        assert_eq!(rotated.trusted().certificates(), [rotated.ca().clone(), read.ca().clone()]);
        assert_eq!((rotated.leaf_issuer(), &rotated.pem().key), (read.ca(), &read.pem().key));
        assert_ne!(rotated.pem().ca_key, read.pem().ca_key);
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let (good, other) = (issue().pem(), issue().pem());
        let refused = |pem: MaterialPem| Material::from_pem(&pem).unwrap_err().to_string();
        let table = [
            (MaterialPem { trusted: String::new(), ..good.clone() }, "ca.crt: no certificate of a CA"),
            (
                MaterialPem { ca_key: "x".to_owned(), ..good.clone() },
                "ca.key: the key of the CA cannot be used: it has to be PEM, PKCS#8",
            ),
            (
                MaterialPem { ca_key: other.ca_key.clone(), ..good.clone() },
                "ca.key: the key of the CA does not belong to its certificate",
            ),
            (
                MaterialPem { certificate: other.certificate.clone(), key: other.key.clone(), ..good.clone() },
                "tls.crt: not signed by a CA of ca.crt",
            ),
            (
                MaterialPem { certificate: String::new(), ..good.clone() },
                "tls.crt: empty; write the certificate chain into it as PEM",
            ),
            (
                MaterialPem { key: other.key.clone(), ..good.clone() },
                "tls.key: private key does not belong to the first certificate of tls.crt; replace both files together",
            ),
        ];
        for (pem, message) in table {
            assert_eq!(refused(pem), message);
        }
    }

    #[test]
    fn debug_output_holds_no_key() {
        let material = issue();
        let pem = material.pem();
        let text = format!("{material:?} {pem:?}");
        for secret in [&pem.key, &pem.ca_key] {
            let line = secret.lines().nth(1).unwrap();
            assert!(!text.contains(line) && !text.contains("PRIVATE KEY"), "{text}");
        }
    }
}
