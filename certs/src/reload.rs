//! Decides whether a new reading of the source is served.

use std::sync::Arc;
use std::time::SystemTime;

use crate::load_error::LoadError;
use crate::loaded::Loaded;
use crate::pair::{PairSource, PemPair};
use crate::resolver::Resolver;

/// The result of one poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReloadOutcome {
    /// The source holds the pair that is served.
    Unchanged,
    /// A new pair is served from the next handshake on.
    Replaced {
        /// Serial number of the new certificate, as in [`Loaded::serial`].
        serial: String,
    },
    /// The reading was refused; the previous pair, if any, stays in service.
    Kept {
        /// The reason.
        error: LoadError,
        /// Whether the previous poll had the same result, so it has been reported already.
        repeated: bool,
    },
}

/// Keeps a [`Resolver`] up to date with a [`PairSource`]; the caller polls it.
///
/// A poll without a change costs a reading and a hash: parsing happens only for new content, and
/// for content that was refused because of its dates.
#[derive(Debug)]
pub struct Reloader {
    source: Box<dyn PairSource>,
    resolver: Arc<Resolver>,
    served: Option<[u8; 32]>,
    refused: Option<([u8; 32], LoadError)>,
}

impl Reloader {
    /// Nothing is read before the first poll.
    pub fn new(source: impl PairSource + 'static, resolver: Arc<Resolver>) -> Self {
        Self { source: Box::new(source), resolver, served: None, refused: None }
    }

    /// Reads the source once and serves its pair if it is valid. Blocks as long as the source does.
    pub fn poll(&mut self, now: SystemTime) -> ReloadOutcome {
        match self.examine(now) {
            Ok(None) => {
                self.resolver.keep(None);
                ReloadOutcome::Unchanged
            }
            Ok(Some(loaded)) => {
                let serial = loaded.serial.clone();
                self.resolver.replace(loaded);
                ReloadOutcome::Replaced { serial }
            }
            Err(error) => {
                let repeated = self.resolver.current().last_error.as_ref() == Some(&error);
                self.resolver.keep(Some(&error));
                ReloadOutcome::Kept { error, repeated }
            }
        }
    }

    /// `None` if the source holds the pair that is served already.
    fn examine(&mut self, now: SystemTime) -> Result<Option<Loaded>, LoadError> {
        let pair = self.source.read()?;
        let digest = pair.digest();
        if self.served == Some(digest) {
            return Ok(None);
        }
        if let Some((refused, error)) = &self.refused
            && *refused == digest
        {
            return Err(error.clone());
        }
        self.parse(&pair, digest, now).map(Some)
    }

    fn parse(&mut self, pair: &PemPair, digest: [u8; 32], now: SystemTime) -> Result<Loaded, LoadError> {
        let loaded = Loaded::from_pem(pair, now);
        match &loaded {
            Ok(_) => {
                self.served = Some(digest);
                self.refused = None;
            }
            // These depend on the time: they are parsed again at every poll.
            Err(error) if error.depends_on_time() => self.refused = None,
            Err(error) => self.refused = Some((digest, error.clone())),
        }
        loaded
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::sync::Mutex;

    use crate::pair::SourceError;

    use super::*;

    /// A source with one text as certificate and key.
    #[derive(Debug, Clone)]
    struct MemorySource(Arc<Mutex<Result<&'static str, SourceError>>>);

    impl PairSource for MemorySource {
        fn read(&self) -> Result<PemPair, SourceError> {
            let text = self.0.lock().unwrap().clone()?;
            Ok(PemPair {
                certificate_place: "certificate".into(),
                key_place: "key".into(),
                certificate: text.into(),
                key: text.into(),
            })
        }
    }

    /// An error that replaces the parser's is returned: the result is cached, not computed again.
    #[test]
    fn refused_content_is_not_parsed_again() {
        let source = MemorySource(Arc::new(Mutex::new(Ok("no PEM"))));
        let mut reloader = Reloader::new(source.clone(), Arc::new(Resolver::new()));
        let now = SystemTime::UNIX_EPOCH;
        assert!(matches!(reloader.poll(now), ReloadOutcome::Kept { .. }));
        let remembered = LoadError::NoKey { place: "elsewhere".into() };
        reloader.refused.as_mut().unwrap().1 = remembered.clone();
        let again = reloader.poll(now);
        assert!(matches!(again, ReloadOutcome::Kept { error, .. } if error == remembered));
        *source.0.lock().unwrap() = Ok("still no PEM");
        let other = reloader.poll(now);
        assert!(matches!(other, ReloadOutcome::Kept { error, .. } if error != remembered));
    }

    #[test]
    fn an_error_of_the_source_is_reported_once() {
        let error = SourceError("the Secret is missing; create it".to_owned());
        let source = MemorySource(Arc::new(Mutex::new(Err(error.clone()))));
        let mut reloader = Reloader::new(source, Arc::new(Resolver::new()));
        for repeated in [false, true] {
            let kept = ReloadOutcome::Kept { error: error.clone().into(), repeated };
            assert_eq!(reloader.poll(SystemTime::UNIX_EPOCH), kept);
        }
    }
}
