//! Decides what one more reading of the files means for what is served.

use std::sync::Arc;
use std::time::SystemTime;

use crate::files::{FileSource, PemPair};
use crate::load_error::LoadError;
use crate::loaded::Loaded;
use crate::resolver::Resolver;

/// How one poll ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The files hold what is served.
    Unchanged,
    /// A new pair is served from the next handshake on.
    Replaced {
        /// Serial number of the new certificate, as in [`Loaded::serial`].
        serial: String,
    },
    /// The reading was refused; what was served before (possibly nothing) stays in service.
    Kept {
        /// Why.
        error: LoadError,
        /// The poll before ended the same way, so this has been reported already.
        repeated: bool,
    },
}

/// Keeps a [`Resolver`] in step with a [`FileSource`]; the caller polls it, about every 500 ms.
///
/// A poll without a change costs the reading of two small files and a hash: parsing happens only for new content, and
/// for content that was refused because of its dates.
#[derive(Debug)]
pub struct Reloader {
    source: FileSource,
    resolver: Arc<Resolver>,
    served: Option<[u8; 32]>,
    refused: Option<([u8; 32], LoadError)>,
}

impl Reloader {
    /// Nothing is read before the first poll.
    pub fn new(source: FileSource, resolver: Arc<Resolver>) -> Self {
        Self { source, resolver, served: None, refused: None }
    }

    /// Reads the files once and serves what they hold if it is good. Blocks on the file system, never for long.
    pub fn poll(&mut self, now: SystemTime) -> Outcome {
        match self.examine(now) {
            Ok(None) => {
                self.resolver.keep(None);
                Outcome::Unchanged
            }
            Ok(Some(loaded)) => {
                let serial = loaded.serial.clone();
                self.resolver.replace(loaded);
                Outcome::Replaced { serial }
            }
            Err(error) => {
                let repeated = self.resolver.current().last_error.as_ref() == Some(&error);
                self.resolver.keep(Some(&error));
                Outcome::Kept { error, repeated }
            }
        }
    }

    /// `None` when the files hold what is served already.
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
            // Time alone may mend these: they are parsed again at every poll.
            Err(error) if error.depends_on_time() => self.refused = None,
            Err(error) => self.refused = Some((digest, error.clone())),
        }
        loaded
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::fs;

    use super::*;

    /// Another text put in place of what the parser said comes back: the verdict is remembered, not found again.
    #[test]
    fn refused_content_is_not_parsed_again() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["tls.crt", "tls.key"] {
            fs::write(dir.path().join(name), "no PEM").unwrap();
        }
        let resolver = Arc::new(Resolver::new());
        let mut reloader = Reloader::new(FileSource::new(dir.path()), resolver);
        let now = SystemTime::UNIX_EPOCH;
        assert!(matches!(reloader.poll(now), Outcome::Kept { .. }));
        let remembered = LoadError::NoKey { path: dir.path().into() };
        reloader.refused.as_mut().unwrap().1 = remembered.clone();
        let again = reloader.poll(now);
        assert!(matches!(again, Outcome::Kept { error, .. } if error == remembered));
        fs::write(dir.path().join("tls.crt"), "still no PEM").unwrap();
        let other = reloader.poll(now);
        assert!(matches!(other, Outcome::Kept { error, .. } if error != remembered));
    }
}
