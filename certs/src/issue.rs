//! Issues a CA and the server certificates under it. Randomness comes from ring, time from the caller.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SanType,
};
use rustls::pki_types::DnsName;

use crate::bundle::{BACKDATED, TrustedCa};
use crate::timestamp::{rfc3339, utc};

/// The upper bound of `commonName` in RFC 5280, appendix A.
const MAX_COMMON_NAME: usize = 64;

/// A name that a server proves to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectAltName {
    /// A host name, such as `workspaces-webhook-service.kubeflow-workspaces.svc`.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

impl SubjectAltName {
    /// An address if it reads as one, else a host name, if it is one.
    pub fn checked(name: &str) -> Result<Self, IssueError> {
        let name = Self::from(name);
        san(&name).map(|_| name)
    }
}

impl From<&str> for SubjectAltName {
    /// An address if it reads as one, else a host name (checked when the certificate is issued).
    fn from(name: &str) -> Self {
        name.parse().map_or_else(|_| Self::Dns(name.to_owned()), Self::Ip)
    }
}

impl From<IpAddr> for SubjectAltName {
    fn from(address: IpAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for SubjectAltName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

/// Why nothing was issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The common name is empty or too long.
    #[error("common name of {length} characters; use 1 to {MAX_COMMON_NAME}")]
    CommonName {
        /// Its length in characters.
        length: usize,
    },
    /// A server certificate for no name at all.
    #[error("no name to issue a certificate for; give at least one host name or address")]
    NoNames,
    /// Not a host name.
    #[error("{name:?} is not a host name or address; use letters, digits, '-' and '.', no wildcard")]
    InvalidName {
        /// The name as given.
        name: String,
    },
    /// A validity that is empty, or reaches dates that X.509 cannot write.
    #[error("validity must be at least a second and end before the year 10000")]
    Validity,
    /// The CA is expired.
    #[error("the CA expired at {}; issue a new one", rfc3339(*.not_after))]
    CaExpired {
        /// The last moment of its validity.
        not_after: SystemTime,
    },
    /// Key generation or signing failed.
    #[error("issuing failed: {0}")]
    Crypto(#[from] rcgen::Error),
}

/// A certificate authority of our own: a self-signed certificate and the key that signs with it.
#[derive(Debug)]
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: TrustedCa,
}

/// Why a certificate and a key are no CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    /// The key cannot be read, or not be used to sign.
    #[error("the key of the CA cannot be used: it has to be PEM, PKCS#8")]
    Key,
    /// The key is another one's.
    #[error("the key of the CA does not belong to its certificate")]
    Mismatched,
}

/// A server certificate with its key, as the files `tls.crt` and `tls.key` hold them.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// PEM: the server certificate, then its CA.
    pub chain_pem: String,
    /// PEM, PKCS#8: the key of the server certificate.
    pub key_pem: String,
}

/// Without the key: this may end up in logs.
impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("chain_pem", &self.chain_pem).finish_non_exhaustive()
    }
}

impl Ca {
    /// Issues a CA with a new ECDSA P-256 key, valid from an hour before `now` until `now + validity`.
    ///
    /// It may sign server certificates but no further CA.
    pub fn issue(common_name: &str, now: SystemTime, validity: Duration) -> Result<Self, IssueError> {
        let length = common_name.chars().count();
        if !(1..=MAX_COMMON_NAME).contains(&length) {
            return Err(IssueError::CommonName { length });
        }
        let not_after = end(now, validity)?;
        let mut params = validity_params(now, not_after)?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = new_key()?;
        let certificate = TrustedCa::new(params.self_signed(&key)?.der()).ok_or(IssueError::Validity)?;
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// The CA of a certificate that was issued before, with its key as [`Ca::key_pem`] gives it.
    pub fn from_parts(certificate: TrustedCa, key_pem: &str) -> Result<Self, CaError> {
        let key = KeyPair::from_pem(key_pem).map_err(|_| CaError::Key)?;
        if !certificate.has_key(&key.subject_public_key_info()) {
            return Err(CaError::Mismatched);
        }
        let issuer = Issuer::from_ca_cert_der(&certificate.der().into(), key).map_err(|_| CaError::Key)?;
        Ok(Self { issuer, certificate })
    }

    /// The CA certificate as PEM: what clients trust (`caBundle`).
    pub fn cert_pem(&self) -> String {
        self.certificate.pem()
    }

    /// The CA certificate.
    pub fn certificate(&self) -> &TrustedCa {
        &self.certificate
    }

    /// The key that it signs with, as PEM, PKCS#8.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// The last moment of the CA's validity.
    pub fn not_after(&self) -> SystemTime {
        self.certificate.not_after()
    }

    /// Issues a server certificate for `names` with a new ECDSA P-256 key.
    ///
    /// It is valid from an hour before `now` until `now + validity`, but never longer than its CA. The serial number
    /// follows from the key, so no two certificates share one.
    pub fn issue_leaf(
        &self,
        names: &[SubjectAltName],
        now: SystemTime,
        validity: Duration,
    ) -> Result<Issued, IssueError> {
        if names.is_empty() {
            return Err(IssueError::NoNames);
        }
        if now > self.not_after() {
            return Err(IssueError::CaExpired { not_after: self.not_after() });
        }
        let not_after = end(now, validity)?.min(self.not_after());
        let mut params = validity_params(now, not_after)?;
        params.subject_alt_names = names.iter().map(san).collect::<Result<_, _>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = new_key()?;
        let leaf = params.signed_by(&key, &self.issuer)?;
        Ok(Issued { chain_pem: leaf.pem() + &self.cert_pem(), key_pem: key.serialize_pem() })
    }
}

fn new_key() -> Result<KeyPair, IssueError> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

/// No subject, no serial number of our own: rcgen then derives the serial number from the key.
fn validity_params(now: SystemTime, not_after: SystemTime) -> Result<CertificateParams, IssueError> {
    let not_before = now.checked_sub(BACKDATED).and_then(utc);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = not_before.ok_or(IssueError::Validity)?;
    params.not_after = utc(not_after).ok_or(IssueError::Validity)?;
    Ok(params)
}

fn end(now: SystemTime, validity: Duration) -> Result<SystemTime, IssueError> {
    if validity < Duration::from_secs(1) {
        return Err(IssueError::Validity);
    }
    let end = now.checked_add(validity).and_then(utc);
    // Rounded as it is written: X.509 drops fractions of a second.
    end.map(SystemTime::from).ok_or(IssueError::Validity)
}

fn san(name: &SubjectAltName) -> Result<SanType, IssueError> {
    match name {
        SubjectAltName::Ip(address) => Ok(SanType::IpAddress(*address)),
        SubjectAltName::Dns(name) => {
            let invalid = || IssueError::InvalidName { name: name.clone() };
            DnsName::try_from(name.as_str()).map_err(|_| invalid())?;
            let name = name.as_str().try_into().map_err(|_| invalid())?;
            Ok(SanType::DnsName(name))
        }
    }
}
