//! Where a header is written, and what is wrong with it.

use crate::value_template::key;

/// Where a header stands within `requestHeaders`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum HeaderPlace {
    /// `set[name]`
    Set(String),
    /// `add[name]`
    Add(String),
    /// `remove[index]`, with the name that stands there.
    Remove(usize, String),
    /// All of them together.
    All,
}

impl HeaderPlace {
    /// The name of the header; empty for all of them together.
    pub fn name(&self) -> &str {
        match self {
            Self::Set(name) | Self::Add(name) | Self::Remove(_, name) => name,
            Self::All => "",
        }
    }

    /// The field, where `requestHeaders` or its like is at `base`.
    pub fn field(&self, base: &str) -> String {
        match self {
            Self::Set(name) => key(&format!("{base}.set"), name),
            Self::Add(name) => key(&format!("{base}.add"), name),
            Self::Remove(index, _) => format!("{base}.remove[{index}]"),
            Self::All => base.to_owned(),
        }
    }
}

/// The class of a fault, as apimachinery's `field.ErrorType`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FaultKind {
    /// The value is not allowed.
    Invalid,
    /// The value is there twice.
    Duplicate,
    /// The field must not be used so.
    Forbidden,
}

/// What is wrong with a header.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeaderFault {
    /// Where it stands.
    pub place: HeaderPlace,
    /// The class of the fault.
    pub kind: FaultKind,
    /// The value that is wrong: the name for faults of the name, else the value as written.
    pub value: String,
    /// What is wrong and what to write instead.
    pub detail: String,
    /// The byte of the value as written that is wrong, where that is known.
    pub at: Option<usize>,
}
