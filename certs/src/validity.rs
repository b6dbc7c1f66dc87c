//! For how long a CA and its certificates are valid. What follows from that is in `schedule`.

use std::time::Duration;

/// So many times the validity of a certificate, at least, is that of its CA.
const LEAVES: u32 = 4;

/// For how long certificates are valid, and what follows from that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Schedule {
    pub(crate) ca: Duration,
    pub(crate) leaf: Duration,
}

impl Schedule {
    /// The validity of a CA and of a certificate. The error is the rule.
    pub fn new(ca: Duration, leaf: Duration) -> Result<Self, String> {
        if ca / LEAVES < leaf {
            return Err(format!("a CA has to be valid for at least {LEAVES} times as long as its certificates"));
        }
        Ok(Self { ca, leaf })
    }

    /// The validity of a CA.
    pub fn ca(&self) -> Duration {
        self.ca
    }

    /// The validity of a server certificate.
    pub fn leaf(&self) -> Duration {
        self.leaf
    }
}
