//! The built-in functions, except those that only print. Their arguments have been evaluated and counted.

use std::cmp::Ordering;

use super::limits::{Exceeded, Meter};
use super::node::Function;
use super::value::{Str, Value};

/// Why a function returned no value.
pub(super) enum Failure {
    /// Go's text, without `error calling …`.
    Error(String),
    Limit(Exceeded),
    /// It would print a value that does not exist.
    NoValue,
}

impl From<Exceeded> for Failure {
    fn from(exceeded: Exceeded) -> Self {
        Self::Limit(exceeded)
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Self {
        Self::Error(text.to_owned())
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Error(text)
    }
}

type Result<T> = std::result::Result<T, Failure>;

const NOT_COMPARABLE: &str = "invalid type for comparison";

fn incompatible(a: &Value<'_>, b: &Value<'_>) -> Failure {
    format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name()).into()
}

/// The order of two values; `None` if they have none, as booleans and Go's NaN.
fn order(a: &Value<'_>, b: &Value<'_>, meter: &mut Meter) -> Result<Option<Ordering>> {
    Ok(match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Byte(a), Value::Byte(b)) => Some(a.cmp(b)),
        (Value::Int(a), Value::Byte(b)) => Some(a.cmp(&i64::from(*b))),
        (Value::Byte(a), Value::Int(b)) => Some(i64::from(*a).cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::String(a), Value::String(b)) => {
            meter.read(a.bytes().len().min(b.bytes().len()))?;
            Some(a.bytes().cmp(b.bytes()))
        }
        (Value::Bool(_), Value::Bool(_)) | (Value::Complex(..), Value::Complex(..)) => None,
        _ => return Err(incompatible(a, b)),
    })
}

#[allow(clippy::float_cmp, reason = "equality is what the template asks for")]
fn equal(a: &Value<'_>, b: &Value<'_>, meter: &mut Meter) -> Result<bool> {
    match (a, b) {
        (Value::Nil, b) => Ok(b.is_nil()),
        (_, Value::Nil) => Ok(false),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Complex(ar, ai), Value::Complex(br, bi)) => Ok(ar == br && ai == bi),
        (Value::String(a), Value::String(b)) if a.bytes().len() != b.bytes().len() => Ok(false),
        _ => Ok(order(a, b, meter)? == Some(Ordering::Equal)),
    }
}

fn any_equal(args: &[Value<'_>], meter: &mut Meter) -> Result<bool> {
    let Some((first, [_, ..])) = args.split_first() else {
        return Err("missing argument for comparison".into());
    };
    for other in &args[1..] {
        if equal(first, other, meter)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn less(a: &Value<'_>, b: &Value<'_>, meter: &mut Meter) -> Result<bool> {
    if a.is_nil() || b.is_nil() {
        return Err(NOT_COMPARABLE.into());
    }
    match order(a, b, meter)? {
        Some(order) => Ok(order == Ordering::Less),
        None if matches!((a, b), (Value::Float(_), Value::Float(_))) => Ok(false),
        None => Err(NOT_COMPARABLE.into()),
    }
}

/// A comparison; all but `eq` take two arguments.
pub(super) fn compare(function: Function, args: &[Value<'_>], meter: &mut Meter) -> Result<bool> {
    let [a, b] = args else {
        return any_equal(args, meter);
    };
    Ok(match function {
        Function::Ne => !equal(a, b, meter)?,
        Function::Lt => less(a, b, meter)?,
        Function::Le => less(a, b, meter)? || equal(a, b, meter)?,
        Function::Gt => !(less(a, b, meter)? || equal(a, b, meter)?),
        Function::Ge => !less(a, b, meter)?,
        _ => equal(a, b, meter)?,
    })
}

pub(super) fn len(value: &Value<'_>) -> Result<i64> {
    match value {
        Value::String(text) => Ok(i64::try_from(text.bytes().len()).unwrap_or(i64::MAX)),
        Value::Nil => Err("reflect: call of reflect.Value.Type on zero Value".into()),
        other => Err(format!("len of type {}", other.type_name()).into()),
    }
}

/// An index of something with `length` elements; `length` itself is allowed.
fn position(index: &Value<'_>, length: usize) -> Result<usize> {
    let index = match index {
        Value::Int(index) => *index,
        Value::Byte(index) => i64::from(*index),
        Value::Nil => return Err("cannot index slice/array with nil".into()),
        other => return Err(format!("cannot index slice/array with type {}", other.type_name()).into()),
    };
    usize::try_from(index)
        .ok()
        .filter(|position| *position <= length)
        .ok_or_else(|| format!("index out of range: {index}").into())
}

pub(super) fn index<'t>(item: &Value<'t>, indexes: &[Value<'t>]) -> Result<Value<'t>> {
    if item.is_nil() {
        return Err("index of untyped nil".into());
    }
    let mut item = item.clone();
    for index in indexes {
        let Value::String(text) = &item else {
            return Err(format!("can't index item of type {}", item.type_name()).into());
        };
        let bytes = text.bytes();
        let byte = bytes.get(position(index, bytes.len())?).ok_or("reflect: string index out of range")?;
        item = Value::Byte(*byte);
    }
    Ok(item)
}

pub(super) fn slice<'t>(item: &Value<'t>, indexes: &[Value<'t>]) -> Result<Str<'t>> {
    if item.is_nil() {
        return Err("slice of untyped nil".into());
    }
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()).into());
    }
    let Value::String(text) = item else {
        return Err(format!("can't slice item of type {}", item.type_name()).into());
    };
    if indexes.len() == 3 {
        return Err("cannot 3-index slice a string".into());
    }
    let length = text.bytes().len();
    let mut bounds = [0, length];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, length)?;
    }
    let [from, to] = bounds;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}").into());
    }
    Ok(text.slice(from, to))
}
