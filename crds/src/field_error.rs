//! The parts of apimachinery's `field.Error` (`util/validation/field`): the class of an error and the value it quotes.

use serde_json::Value;

use crate::value_template::{quotable, quoted, shortened};

/// The class of an error, as apimachinery's `field.ErrorType`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FaultType {
    /// The value is not allowed.
    Invalid,
    /// The value is not one of those allowed.
    NotSupported,
    /// A value is missing.
    Required,
    /// The value is a duplicate.
    Duplicate,
    /// The value names something that does not exist.
    NotFound,
    /// The field must not be set, or not to this value.
    Forbidden,
    /// The value is too long.
    TooLong,
}

impl FaultType {
    /// The reason of the cause in a `metav1.Status`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::NotFound => "FieldValueNotFound",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
        }
    }

    /// The beginning of the message.
    pub fn text(self) -> &'static str {
        match self {
            Self::Invalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::NotFound => "Not found",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
        }
    }
}

/// The value that a message quotes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum QuotedValue {
    /// None: the class of the error has none.
    Omitted,
    /// A string, quoted as Go's `%q` and cut at 256 bytes.
    Text(String),
    /// A number.
    Number(i64),
    /// A block of fields or a boolean, as JSON, cut at 256 bytes.
    Block(String),
}

impl QuotedValue {
    /// A block of fields.
    pub fn block(block: &impl serde::Serialize) -> Self {
        let json = serde_json::to_string(block).unwrap_or_default();
        Self::Block(quotable(&json).to_owned())
    }
}

impl std::fmt::Display for QuotedValue {
    /// The value as a message quotes it; nothing where it is omitted.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Omitted => Ok(()),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::Number(number) => number.fmt(f),
            Self::Block(json) => f.write_str(&shortened(json, str::to_owned)),
        }
    }
}

impl From<&str> for QuotedValue {
    fn from(text: &str) -> Self {
        Self::Text(quotable(text).to_owned())
    }
}

impl From<&String> for QuotedValue {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<i64> for QuotedValue {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<i32> for QuotedValue {
    fn from(number: i32) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for QuotedValue {
    fn from(value: bool) -> Self {
        Self::Block(Value::Bool(value).to_string())
    }
}
