//! Floats as text: the digits come from Rust's formatting, which is exact, the layout is Go's.

/// The most digits after the first that a float can have before only zeros follow.
const MAX_DIGITS: usize = 767;
/// Digits after the decimal point of `%f` and `%e`.
const DEFAULT_PRECISION: usize = 6;
/// The most digits after the decimal point.
const MAX_FRACTION: usize = 1074;

/// Significant digits, without zeros at the end, and where the decimal point stands: `0.digits * 10^point`.
struct Decimal {
    digits: Vec<u8>,
    point: i32,
}

impl Decimal {
    /// Reads what `{:e}` writes.
    fn read(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let mut digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        let exponent = exponent.parse::<i32>().unwrap_or(0);
        let point = if digits.is_empty() { 0 } else { exponent + 1 };
        Self { digits, point }
    }

    /// The fewest digits that are enough to read `value` back, and of those the nearest. Where two are as near, Go takes
    /// the even one; Rust takes either.
    fn shortest(value: f64) -> Self {
        let shortest = Self::read(&format!("{value:e}"));
        let count = shortest.digits.len();
        if shortest.digits.last().is_none_or(|digit| digit % 2 == 0) {
            return shortest;
        }
        // Half-way means: exactly one more digit, a five.
        let next = format!("{value:.count$e}");
        if !next.split('e').next().is_some_and(|mantissa| mantissa.ends_with('5')) {
            return shortest;
        }
        let exact = Self::read(&format!("{value:.MAX_DIGITS$e}"));
        if exact.digits.len() != count + 1 {
            return shortest;
        }
        let Some(below) = read_integer(&exact.digits[..count]) else {
            return shortest;
        };
        let even = below + below % 2;
        let exponent = shortest.point - i32::try_from(count).unwrap_or(0);
        match format!("{even}e{exponent}").parse::<f64>() {
            Ok(read) if read.to_bits() == value.to_bits() => {
                let digits = even.to_string();
                let text = format!("{digits}e{}", exponent + i32::try_from(digits.len()).unwrap_or(0) - 1);
                Self::read(&text)
            }
            _ => shortest,
        }
    }
}

/// The number that `digits` are; there are at most 17 of them.
fn read_integer(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The absolute value of `value` as Go's verbs `b e E f g G x X` write it. Without `precision`, `g` and `x` take the fewest
/// digits that are enough to read the value back. No literal is infinite or not a number.
pub(super) fn unsigned(value: f64, notation: char, precision: Option<usize>) -> Vec<u8> {
    let value = value.abs();
    match (notation, precision) {
        ('b', _) => binary(value),
        ('x' | 'X', _) => hexadecimal(value, notation, precision),
        ('f', precision) => {
            let precision = precision.unwrap_or(DEFAULT_PRECISION);
            let mut text = format!("{value:.*}", precision.min(MAX_FRACTION)).into_bytes();
            text.resize(text.len() + precision.saturating_sub(MAX_FRACTION), b'0');
            text
        }
        ('e' | 'E', precision) => {
            let precision = precision.unwrap_or(DEFAULT_PRECISION);
            let decimal = Decimal::read(&format!("{value:.*e}", precision.min(MAX_DIGITS)));
            scientific(&decimal, precision, notation)
        }
        (_, precision) => general(value, notation, precision),
    }
}

/// `%e`: one digit, `precision` more, and the exponent.
fn scientific(decimal: &Decimal, precision: usize, notation: char) -> Vec<u8> {
    let mut text = vec![decimal.digits.first().copied().unwrap_or(b'0')];
    if precision > 0 {
        text.push(b'.');
        let more = decimal.digits.get(1..).unwrap_or_default();
        text.extend(&more[..more.len().min(precision)]);
        text.resize(2 + precision, b'0');
    }
    let exponent = if decimal.digits.is_empty() { 0 } else { decimal.point - 1 };
    let sign = if exponent < 0 { '-' } else { '+' };
    text.extend(format!("{notation}{sign}{:02}", exponent.unsigned_abs()).bytes());
    text
}

/// `%g`: whichever of `%e` and `%f` suits the size of the exponent.
fn general(value: f64, notation: char, precision: Option<usize>) -> Vec<u8> {
    let decimal = match precision {
        None => Decimal::shortest(value),
        Some(precision) => Decimal::read(&format!("{value:.*e}", precision.clamp(1, MAX_DIGITS + 1) - 1)),
    };
    let digits = i32::try_from(decimal.digits.len()).unwrap_or(i32::MAX);
    let wanted = precision.map_or(digits, |precision| i32::try_from(precision.max(1)).unwrap_or(i32::MAX));
    let exponent_limit = match precision {
        None => 6,
        Some(_) if wanted > digits && digits >= decimal.point => digits,
        Some(_) => wanted,
    };
    let exponent = decimal.point - 1;
    if exponent < -4 || exponent >= exponent_limit {
        let precision = usize::try_from(wanted.min(digits) - 1).unwrap_or(0);
        return scientific(&decimal, precision, if notation == 'G' { 'E' } else { 'e' });
    }
    let wanted = if wanted > decimal.point { digits } else { wanted };
    positional(&decimal, usize::try_from(wanted - decimal.point).unwrap_or(0))
}

/// `%f`, with `fraction` digits after the point.
fn positional(decimal: &Decimal, fraction: usize) -> Vec<u8> {
    let mut text = Vec::new();
    let whole = usize::try_from(decimal.point).unwrap_or(0);
    if whole == 0 {
        text.push(b'0');
    }
    text.extend(decimal.digits.iter().take(whole));
    text.resize(whole.max(1), b'0');
    if fraction > 0 {
        text.push(b'.');
        let zeros = usize::try_from(-decimal.point).unwrap_or(0).min(fraction);
        let end = text.len() + fraction;
        text.resize(text.len() + zeros, b'0');
        text.extend(decimal.digits.iter().skip(whole).take(fraction - zeros));
        text.resize(end, b'0');
    }
    text
}

/// The 53 bits of the mantissa and the power of two they are multiplied with.
fn parts(value: f64) -> (u64, i64) {
    let bits = value.to_bits();
    let mantissa = bits & ((1 << 52) - 1);
    match i64::try_from(bits >> 52).unwrap_or(0) {
        0 => (mantissa, -1074),
        exponent => (mantissa | 1 << 52, exponent - 1075),
    }
}

/// `%b`: the mantissa as an integer, and its power of two.
fn binary(value: f64) -> Vec<u8> {
    let (mantissa, exponent) = parts(value);
    format!("{mantissa}p{exponent:+}").into_bytes()
}

/// `%x`: hexadecimal digits, the first 1 unless the value is zero, and a power of two.
fn hexadecimal(value: f64, notation: char, precision: Option<usize>) -> Vec<u8> {
    let (mut mantissa, mut exponent) = parts(value);
    if mantissa == 0 {
        exponent = -52;
    } else {
        let shift = mantissa.leading_zeros() - 11;
        mantissa <<= shift;
        exponent -= i64::from(shift);
    }
    // The first digit is now bit 52, thirteen more follow.
    if let Some(keep @ 0..=12) = precision {
        let dropped = 52 - 4 * keep;
        let (rest, half) = (mantissa & ((1 << dropped) - 1), 1_u64 << (dropped - 1));
        mantissa >>= dropped;
        if rest > half || (rest == half && mantissa & 1 == 1) {
            mantissa += 1;
        }
        mantissa <<= dropped;
        if mantissa >> 53 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let mut digits = format!("{:013x}", mantissa & ((1 << 52) - 1)).into_bytes();
    match precision {
        None => {
            while digits.last() == Some(&b'0') {
                digits.pop();
            }
        }
        Some(precision) => digits.resize(precision, b'0'),
    }
    let mut text = format!("0x{}", mantissa >> 52).into_bytes();
    if !digits.is_empty() {
        text.push(b'.');
        text.append(&mut digits);
    }
    let exponent = exponent + 52;
    let sign = if exponent < 0 { '-' } else { '+' };
    text.extend(format!("p{sign}{:02}", exponent.unsigned_abs()).bytes());
    if notation == 'X' {
        text.make_ascii_uppercase();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn text(value: f64, notation: char, precision: Option<usize>) -> String {
        String::from_utf8(unsigned(value, notation, precision)).unwrap()
    }

    #[test]
    fn notations_are_those_of_go() {
        for (value, notation, precision, expected) in [
            (123_456_789.0, 'g', None, "1.23456789e+08"),
            (100_000.0, 'g', None, "100000"),
            (0.0001, 'g', None, "0.0001"),
            (0.00001, 'g', None, "1e-05"),
            (0.0, 'g', None, "0"),
            (5e-324, 'g', None, "5e-324"),
            (1234.5678, 'g', Some(3), "1.23e+03"),
            (0.1, 'g', Some(60), "0.1000000000000000055511151231257827021181583404541015625"),
            (100.0, 'g', Some(5), "100"),
            (2.5, 'f', Some(0), "2"),
            (3.5, 'f', Some(0), "4"),
            (0.5, 'f', Some(0), "0"),
            (1.0, 'e', Some(0), "1e+00"),
            (12345.0, 'E', Some(2), "1.23E+04"),
            (1.5, 'b', None, "6755399441055744p-52"),
            (1.5, 'X', None, "0X1.8P+00"),
            (0.0, 'x', None, "0x0p+00"),
            (0.0, 'x', Some(2), "0x0.00p+00"),
            (1.999, 'x', Some(0), "0x1p+01"),
            (2.486_513_907_270_681_3e13, 'g', None, "2.4865139072706812e+13"),
            (1.058_028_127_251_197_3e15, 'G', None, "1.0580281272511972E+15"),
            (1.0, 'x', Some(15), "0x1.000000000000000p+00"),
        ] {
            assert_eq!(text(value, notation, precision), expected, "{value} {notation} {precision:?}");
        }
    }

    #[test]
    fn large_precisions_only_add_zeros() {
        assert_eq!(text(1.5, 'f', Some(2000)), format!("1.5{}", "0".repeat(1999)));
        assert_eq!(text(1.5, 'e', Some(2000)), format!("1.5{}e+00", "0".repeat(1999)));
        assert_eq!(text(5e-324, 'e', Some(800)).len(), 2 + 800 + "e-324".len());
    }
}
