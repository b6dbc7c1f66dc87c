//! What a probe is about.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::activity::policy::ProbeSpec;
use crate::activity::run::Run;

/// What a probe is about: what it found says nothing about another run, nor what another probe would find.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Probed {
    /// The run of the container.
    pub run: Run,
    /// A digest of how the kind configures the probe.
    pub spec: u64,
}

impl Probed {
    pub fn new(run: Run, spec: &ProbeSpec<'_>) -> Self {
        let mut hasher = DefaultHasher::new();
        spec.hash(&mut hasher);
        Self { run, spec: hasher.finish() }
    }
}
