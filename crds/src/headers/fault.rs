//! Where a header is written, and what is wrong with it.

use crate::value_template::key;

/// The place of a header within `requestHeaders`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum HeaderPlace {
    /// `set[name]`
    Set(String),
    /// `add[name]`
    Add(String),
    /// `remove[index]`, with the name there.
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

    /// The path of the field, with `base` as that of `requestHeaders`.
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
    /// The value is a duplicate.
    Duplicate,
    /// The field must not be set, or not to this value.
    Forbidden,
}

/// What is wrong with a header.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeaderFault {
    /// Its place.
    pub place: HeaderPlace,
    /// The class of the fault.
    pub kind: FaultKind,
    /// The value that is wrong: the name for faults of the name, else the value as written.
    pub value: String,
    /// What is wrong and what to write instead.
    pub detail: String,
    /// The offset of the wrong byte in the value as written, if known.
    pub at: Option<usize>,
}
