//! The values that a template without data can have.

use std::rc::Rc;

/// Bytes, of the source or produced by a function. Copies and slices share them.
#[derive(Clone, Debug)]
pub(super) enum Str<'t> {
    Source(&'t [u8]),
    Made { bytes: Rc<Vec<u8>>, start: usize, end: usize },
}

impl Str<'_> {
    pub(super) fn made(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        Self::Made { bytes: Rc::new(bytes), start: 0, end }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Source(bytes) => bytes,
            Self::Made { bytes, start, end } => &bytes[*start..*end],
        }
    }

    /// The bytes from `from` to `to`, which are in order and inside.
    pub(super) fn slice(&self, from: usize, to: usize) -> Self {
        match self {
            Self::Source(bytes) => Self::Source(&bytes[from..to]),
            Self::Made { bytes, start, .. } => {
                Self::Made { bytes: Rc::clone(bytes), start: start + from, end: start + to }
            }
        }
    }
}

/// A value, with the type that Go gives it.
#[derive(Clone, Debug)]
pub(super) enum Value<'t> {
    /// No value at all: the data, its fields, `nil`.
    Nil,
    Bool(bool),
    Int(i64),
    /// A byte of a string: `uint8`.
    Byte(u8),
    Float(f64),
    Complex(f64, f64),
    String(Str<'t>),
}

impl Value<'_> {
    /// Go's name of the type; [`Value::Nil`] has none.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Byte(_) => "uint8",
            Self::Float(_) => "float64",
            Self::Complex(..) => "complex128",
            Self::String(_) => "string",
        }
    }

    pub(super) fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// Its truth in `if`.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Byte(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Complex(real, imaginary) => *real != 0.0 || *imaginary != 0.0,
            Self::String(value) => !value.bytes().is_empty(),
        }
    }
}
