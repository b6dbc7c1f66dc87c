//! The pair that is to be served, from the loop that found it to the reloader.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use certs::{Issued, Material, PairSource, PemPair, SourceError};

/// What is offered; the loop sets it.
#[derive(Clone, Default)]
pub(super) struct OfferedPair(Arc<Mutex<Option<Result<Offer, SourceError>>>>);

/// A pair and where it is from.
#[derive(Clone)]
pub(super) struct Offer {
    place: String,
    certificate: String,
    key: String,
}

impl Offer {
    /// The pair of a Secret.
    pub fn of(material: &Material, secret: &str) -> Self {
        let Issued { chain_pem, key_pem } = material.pair().clone();
        Self { place: format!("Secret {secret}"), certificate: chain_pem, key: key_pem }
    }
}

/// Without the key.
impl fmt::Debug for OfferedPair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OfferedPair")
    }
}

impl OfferedPair {
    pub fn set(&self, offer: Result<Offer, String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(offer.map_err(SourceError));
    }
}

impl PairSource for OfferedPair {
    fn read(&self) -> Result<PemPair, SourceError> {
        let offer = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Offer { place, certificate, key } =
            offer.unwrap_or_else(|| Err(SourceError("nothing has been read yet".to_owned())))?;
        Ok(PemPair {
            certificate_place: format!("{place}: tls.crt"),
            key_place: format!("{place}: tls.key"),
            certificate: certificate.into_bytes(),
            key: key.into_bytes(),
        })
    }
}
