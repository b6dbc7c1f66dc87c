//! Which clients may connect at all: those with a certificate that a CA of the caller's file has issued.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use x509_parser::parse_x509_certificate;

/// Why a text has no CAs of clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientCaError {
    /// It cannot be read as PEM.
    #[error("it is not PEM: {0}")]
    Pem(String),
    /// There is no certificate in it.
    #[error("there is no certificate in it")]
    Empty,
    /// A certificate cannot be that of a CA.
    #[error("certificate {number} cannot be used: {why}")]
    Unusable {
        /// Which one, from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// Demands a certificate of each client, at each handshake by the CAs that are known then.
#[derive(Debug)]
pub struct ClientVerifier {
    /// The accepted common names; all, if there are none.
    names: BTreeSet<String>,
    current: ArcSwapOption<Authorities>,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
struct Authorities(Arc<dyn ClientCertVerifier>);

impl ClientVerifier {
    /// Accepts nobody until it has CAs, and then clients with one of these common names, or with any, if there are none.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let provider = Arc::new(ring::default_provider());
        Self { names: names.into_iter().collect(), current: ArcSwapOption::empty(), provider }
    }

    /// Trusts the CAs of this PEM text from the next handshake on, and no others; returns how many. After an error those that
    /// were trusted still are.
    pub fn trust(&self, pem: &[u8]) -> Result<usize, ClientCaError> {
        let mut roots = RootCertStore::empty();
        for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let certificate = certificate.map_err(|error| ClientCaError::Pem(error.to_string()))?;
            let unusable = |error: Error| ClientCaError::Unusable { number: index + 1, why: error.to_string() };
            roots.add(certificate).map_err(unusable)?;
        }
        let count = roots.len();
        let provider = Arc::clone(&self.provider);
        // The only errors are no CA, and revocation lists, of which there are none.
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier = verifier.map_err(|_| ClientCaError::Empty)?;
        self.current.store(Some(Arc::new(Authorities(verifier))));
        Ok(count)
    }

    fn has_accepted_name(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, certificate)) = parse_x509_certificate(certificate) else { return false };
        let mut names = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        self.names.is_empty() || names.any(|name| self.names.contains(name))
    }
}

impl ClientCertVerifier for ClientVerifier {
    /// None: with a list of names some clients would choose to present no certificate.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let authorities = self.current.load();
        let Some(authorities) = &*authorities else { return Err(CertificateError::UnknownIssuer.into()) };
        let verified =
            authorities.0.verify_client_cert(end_entity, intermediates, now).map_err(|error| match error {
                // That of a CA with the same name as one of ours. As it is, the client would read `error decrypting message`.
                Error::InvalidCertificate(CertificateError::BadSignature) => CertificateError::UnknownIssuer.into(),
                error => error,
            })?;
        if self.has_accepted_name(end_entity) {
            return Ok(verified);
        }
        // The client reads `access denied`.
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
