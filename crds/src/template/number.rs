//! Number literals: their type and value in Go. The syntax decides the type, as for Go's untyped constants.

use super::quote::{quoted, unquote_rune};
use super::token::TokenKind;

/// The value of a number literal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Constant {
    Int(i64),
    Float(f64),
    Complex(f64, f64),
    /// An integer that only an unsigned type could hold; using it is an error.
    OverflowsInt,
}

/// Parses a literal that the lexer classified as a number. Errors are Go's.
pub(super) fn parse(kind: TokenKind, text: &str) -> Result<Constant, String> {
    match kind {
        TokenKind::CharConstant => unquote_rune(text).map(|value| Constant::Int(i64::from(value))),
        TokenKind::Complex => complex(text),
        _ => simple(text),
    }
}

fn simple(text: &str) -> Result<Constant, String> {
    if let Some(value) = text.strip_suffix('i').and_then(|imaginary| float(imaginary).ok()) {
        return Ok(Constant::Complex(0.0, value));
    }
    let looks_like_float = text.contains(['.', 'e', 'E', 'p', 'P']);
    let is_hex_integer = (text.starts_with("0x") || text.starts_with("0X")) && !text.contains(['p', 'P']);
    if let Some(integer) = integer(text) {
        // A signed hexadecimal integer with the digit `e` is a float to Go: the sign hides its prefix.
        #[allow(clippy::cast_precision_loss, reason = "Go converts in the same way")]
        return Ok(match integer {
            Integer::Signed(value) if looks_like_float && !is_hex_integer => Constant::Float(value as f64),
            Integer::Signed(value) => Constant::Int(value),
            Integer::Unsigned(value) if looks_like_float && !is_hex_integer => Constant::Float(value as f64),
            Integer::Unsigned(_) => Constant::OverflowsInt,
        });
    }
    match float(text) {
        Ok(_) if !looks_like_float => Err(format!("integer overflow: {}", quoted(text.as_bytes()))),
        Ok(value) => Ok(Constant::Float(value)),
        Err(_) => Err(format!("illegal number syntax: {}", quoted(text.as_bytes()))),
    }
}

enum Integer {
    Signed(i64),
    /// More than a signed integer holds.
    Unsigned(u64),
}

/// An integer in any of Go's bases.
fn integer(text: &str) -> Option<Integer> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    let (digits, radix) = match lower.as_bytes() {
        [b'0', b'x', ..] => (&lower[2..], 16),
        [b'0', b'o', ..] => (&lower[2..], 8),
        [b'0', b'b', ..] => (&lower[2..], 2),
        [b'0', _, ..] => (&lower[1..], 8),
        _ => (&lower[..], 10),
    };
    if lower.contains('_') && !underscores_separate_digits(&lower) {
        return None;
    }
    let mut magnitude: u64 = 0;
    let mut any = false;
    for c in digits.chars().filter(|c| *c != '_') {
        let digit = c.to_digit(radix)?;
        magnitude = magnitude.checked_mul(u64::from(radix))?.checked_add(u64::from(digit))?;
        any = true;
    }
    if !any {
        return None;
    }
    if text.starts_with('-') {
        return 0_i64.checked_sub_unsigned(magnitude).map(Integer::Signed);
    }
    match i64::try_from(magnitude) {
        Ok(value) => Some(Integer::Signed(value)),
        Err(_) if text.starts_with('+') => None,
        Err(_) => Some(Integer::Unsigned(magnitude)),
    }
}

/// Underscores only between digits, or between a base prefix and a digit. `text` is in lower case, without its sign.
fn underscores_separate_digits(text: &str) -> bool {
    let bytes = text.as_bytes();
    let has_prefix = matches!(bytes, [b'0', b'b' | b'o' | b'x', ..]);
    let is_hex = matches!(bytes, [b'0', b'x', ..]);
    let (mut after_digit, mut after_underscore) = (has_prefix, false);
    for byte in &bytes[if has_prefix { 2 } else { 0 }..] {
        if byte.is_ascii_digit() || (is_hex && matches!(byte, b'a'..=b'f')) {
            (after_digit, after_underscore) = (true, false);
        } else if *byte == b'_' {
            if !after_digit {
                return false;
            }
            (after_digit, after_underscore) = (false, true);
        } else {
            if after_underscore {
                return false;
            }
            after_digit = false;
        }
    }
    !after_underscore
}

/// Why a float was not read, in the words of Go's `strconv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FloatError {
    Syntax,
    Range,
}

/// A float, decimal or hexadecimal. An integer in decimal notation is one too.
fn float(text: &str) -> Result<f64, FloatError> {
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    if lower.contains('_') && !underscores_separate_digits(&lower) {
        return Err(FloatError::Syntax);
    }
    let digits: String = lower.chars().filter(|c| *c != '_').collect();
    let magnitude = match digits.strip_prefix("0x") {
        Some(hex) => hex_float(hex)?,
        // Rust's parser also accepts words such as `inf`; the lexer never classifies them as numbers.
        None if digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'+' | b'-')) => {
            decimal_float(&digits)?
        }
        None => return Err(FloatError::Syntax),
    };
    if magnitude.is_infinite() {
        return Err(FloatError::Range);
    }
    Ok(if negative { -magnitude } else { magnitude })
}

/// The digits of an exponent. Go stops reading after the first five significant ones.
fn exponent(digits: &str) -> Result<i64, FloatError> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(FloatError::Syntax);
    }
    Ok(digits.bytes().fold(0, |read, byte| if read < 10_000 { read * 10 + i64::from(byte - b'0') } else { read }))
}

fn decimal_float(text: &str) -> Result<f64, FloatError> {
    let parse = |text: &str| text.parse::<f64>().map_err(|_| FloatError::Syntax);
    match text.split_once('e') {
        Some((mantissa, power)) if power.len() > 5 => {
            let digits = power.strip_prefix(['+', '-']).unwrap_or(power);
            let sign = if power.starts_with('-') { "-" } else { "" };
            parse(&format!("{mantissa}e{sign}{}", exponent(digits)?))
        }
        _ => parse(text),
    }
}

/// `1.8p3` in hexadecimal; the exponent, a power of two, has to be there.
fn hex_float(text: &str) -> Result<f64, FloatError> {
    let (mantissa, power) = text.split_once('p').ok_or(FloatError::Syntax)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let magnitude = exponent(power.strip_prefix(['+', '-']).unwrap_or(power))?;
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if whole.len() + fraction.len() == 0 || !is_hex(whole) || !is_hex(fraction) {
        return Err(FloatError::Syntax);
    }
    let mut exponent = if power.starts_with('-') { -magnitude } else { magnitude };
    exponent -= 4 * i64::try_from(fraction.len()).unwrap_or(0);
    let mut bits: u64 = 0;
    let mut sticky = false;
    for digit in whole.chars().chain(fraction.chars()) {
        let digit = u64::from(digit.to_digit(16).unwrap_or(0));
        if bits >> 60 == 0 {
            bits = bits << 4 | digit;
        } else {
            sticky |= digit != 0;
            exponent += 4;
        }
    }
    scale(bits, sticky, exponent).ok_or(FloatError::Range)
}

/// `bits * 2^exponent`, rounded to even; `sticky` says that `bits` was cut. `None` if it is too large.
fn scale(bits: u64, sticky: bool, exponent: i64) -> Option<f64> {
    if bits == 0 {
        return Some(0.0);
    }
    let shift = i64::from(bits.leading_zeros());
    let (bits, exponent) = (bits << shift, exponent - shift);
    // The value is 1.xxx * 2^top, with 53 bits kept, fewer below 2^-1022.
    let top = exponent + 63;
    let kept = if top < -1022 { 53 - (-1022 - top) } else { 53 };
    if kept < 0 {
        return Some(0.0);
    }
    let dropped = 64 - kept;
    let (mut mantissa, rest) = match u32::try_from(dropped) {
        Ok(64) => (0, bits),
        Ok(dropped) => (bits >> dropped, bits << (64 - dropped)),
        Err(_) => return None,
    };
    let half = 1_u64 << 63;
    if rest > half || (rest == half && (sticky || mantissa & 1 == 1)) {
        mantissa += 1;
    }
    // A carry out of the mantissa lands in the exponent, where it belongs.
    let biased = if kept == 53 { u64::try_from(top + 1022).ok()? } else { 0 };
    if biased > 2045 {
        return None;
    }
    let raw = (biased << 52) + mantissa;
    (raw < 2047 << 52).then(|| f64::from_bits(raw))
}

/// `1+2i`: read as Go's `fmt.Sscan` does, which is not how it reads single numbers.
fn complex(text: &str) -> Result<Constant, String> {
    const BROKEN: &str = "syntax error scanning complex number";
    let bytes = text.as_bytes();
    let real = float_token(bytes);
    if !matches!(bytes.get(real), Some(b'+' | b'-')) {
        return Err(BROKEN.to_owned());
    }
    let imaginary = real + 1 + float_token(&bytes[real + 1..]);
    if bytes.get(imaginary) != Some(&b'i') {
        return Err(BROKEN.to_owned());
    }
    let value = |text: &str| {
        float(text).map_err(|error| {
            let reason = match error {
                FloatError::Syntax => "invalid syntax",
                FloatError::Range => "value out of range",
            };
            format!("strconv.ParseFloat: parsing {}: {reason}", quoted(text.as_bytes()))
        })
    };
    Ok(Constant::Complex(value(&text[..real])?, value(&text[real..imaginary])?))
}

/// How many bytes of `text` Go's scanner reads as a float; whether they are one is checked later.
fn float_token(text: &[u8]) -> usize {
    let mut at = 0;
    let accept = |at: &mut usize, valid: &[u8]| {
        let found = text.get(*at).is_some_and(|byte| valid.contains(byte));
        *at += usize::from(found);
        found
    };
    accept(&mut at, b"+-");
    // It looks for `inf`, and keeps what it found of it.
    accept(&mut at, b"iI");
    let (mut digits, mut exponent): (&[u8], &[u8]) = (b"0123456789_", b"eEpP");
    if accept(&mut at, b"0") && accept(&mut at, b"xX") {
        (digits, exponent) = (b"0123456789abcdefABCDEF_", b"pP");
    }
    while accept(&mut at, digits) {}
    if accept(&mut at, b".") {
        while accept(&mut at, digits) {}
    }
    if accept(&mut at, exponent) {
        accept(&mut at, b"+-");
        while accept(&mut at, b"0123456789_") {}
    }
    at
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn number(text: &str) -> Result<Constant, String> {
        parse(TokenKind::Number, text)
    }

    #[test]
    fn the_notation_decides_the_type() {
        for (text, value) in [
            ("0777", Constant::Int(511)),
            ("0o17", Constant::Int(15)),
            ("0b1_01", Constant::Int(5)),
            ("0x_1F", Constant::Int(31)),
            ("-9223372036854775808", Constant::Int(i64::MIN)),
            ("-0", Constant::Int(0)),
            ("1e3", Constant::Float(1000.0)),
            ("0x1e", Constant::Int(30)),
            ("-0x1e", Constant::Float(-30.0)),
            ("0x1.8p+1", Constant::Float(3.0)),
            ("0_1.5", Constant::Float(1.5)),
            ("1.5i", Constant::Complex(0.0, 1.5)),
            ("9223372036854775808", Constant::OverflowsInt),
        ] {
            assert_eq!(number(text), Ok(value), "{text}");
        }
        assert_eq!(parse(TokenKind::CharConstant, "'a'"), Ok(Constant::Int(97)));
    }

    #[test]
    fn what_is_no_number_is_named_in_the_words_of_go() {
        assert_eq!(number("0888"), Err("integer overflow: \"0888\"".to_owned()));
        for text in ["-", "0x", "0b", "1_", "0x1p", "0x1i", "1e999", "1__0", "0b2"] {
            assert_eq!(number(text), Err(format!("illegal number syntax: \"{text}\"")));
        }
        let complex = |text| parse(TokenKind::Complex, text);
        assert_eq!(complex("1.5e3-2i"), Ok(Constant::Complex(1500.0, -2.0)));
        assert_eq!(complex("0b1+1i"), Err("syntax error scanning complex number".to_owned()));
        assert_eq!(complex("1+i"), Err("syntax error scanning complex number".to_owned()));
        assert_eq!(complex("0x1+1i"), Err("strconv.ParseFloat: parsing \"0x1\": invalid syntax".to_owned()));
        assert_eq!(complex("1+1e999i"), Err("strconv.ParseFloat: parsing \"+1e999\": value out of range".to_owned()));
    }

    #[test]
    fn hexadecimal_floats_round_to_even() {
        for (text, bits) in [
            ("0x1p-1074", 1),
            ("0x1p-1075", 0),
            ("0x1.8p-1075", 1),
            ("0x1.fffffffffffffp1023", f64::MAX.to_bits()),
            ("0x1.00000000000008p0", 1.0_f64.to_bits()),
            ("0x1.000000000000081p0", 1.0_f64.to_bits() + 1),
            ("0x1.fffffffffffff8p-1", 1.0_f64.to_bits()),
            ("0x0.00001p20", 1.0_f64.to_bits()),
        ] {
            assert_eq!(float(text).map(f64::to_bits), Ok(bits), "{text}");
        }
        assert_eq!(float("0x1.fffffffffffff8p1023"), Err(FloatError::Range));
        assert_eq!(float("0x1p99999999999999999999"), Err(FloatError::Range));
        assert_eq!(float("0x1p-99999999999999999999"), Ok(0.0));
    }
}
