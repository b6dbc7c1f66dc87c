//! Quantities of resources, with the meaning that apimachinery gives them (`pkg/api/resource`): which text is one, how
//! large it is, and how it is written.

use std::cmp::Ordering;
use std::fmt::{self, Display, Formatter};

use decimal::Decimal;

mod decimal;

/// What is wrong with a text that is no quantity.
pub const MALFORMED: &str = "must be a number with an optional suffix: n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, \
                             Ei, or a whole exponent such as e3";

/// The precision of a quantity, and of one in a list of resources, as powers of ten.
const NANO: i32 = -9;
const MILLI: i32 = -3;

/// The most digits of a number that is surely below two to the power of 63.
const SMALL_DIGITS: usize = 18;

/// A quantity of a resource. Two are equal if their values are, however they are written.
#[derive(Clone, Debug)]
pub struct Quantity<'a> {
    amount: Amount,
    notation: Notation,
    /// The text, where it need not be written in another way.
    text: Option<&'a str>,
}

#[derive(Clone, Debug)]
enum Amount {
    /// An integer and a power of ten.
    Small(i64, i32),
    Large(Decimal),
}

/// How a quantity is written: with the suffixes of its text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Notation {
    /// `k`, `M`, …
    Decimal,
    /// `Ki`, `Mi`, …
    Binary,
    /// `e3`, `e6`, …
    Exponent,
}

/// The suffixes of powers of ten and of two.
const DECIMAL_SUFFIXES: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY_SUFFIXES: [(&str, i32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

impl<'a> Quantity<'a> {
    /// The quantity that a text means; `None` if it is malformed.
    ///
    /// What is more precise than a billionth is rounded away from zero; with a binary suffix, what exceeds 64 bits is
    /// the largest such number.
    pub fn parse(text: &'a str) -> Option<Self> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let digits_of = |text: &'a str| text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let (whole, rest) = digits_of(unsigned);
        let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), digits_of);
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let number = Number { text, negative: text.starts_with('-'), whole: whole.trim_start_matches('0'), fraction };
        let find =
            |suffixes: &[(&str, i32)]| suffixes.iter().find(|(known, _)| *known == suffix).map(|(_, power)| *power);
        if let Some(exponent) = find(&BINARY_SUFFIXES) {
            return Some(number.binary(exponent));
        }
        if let Some(exponent) = find(&DECIMAL_SUFFIXES) {
            return Some(number.decimal(exponent, Notation::Decimal));
        }
        let exponent: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
        // apimachinery takes the lower bits, too.
        #[allow(clippy::cast_possible_truncation)]
        let exponent = exponent as i32;
        Some(number.decimal(exponent, Notation::Exponent))
    }

    /// The quantity in the notation that writes each value in a way of its own.
    #[must_use]
    pub fn in_exponents(self) -> Self {
        Self { notation: Notation::Exponent, text: None, ..self }
    }

    /// The quantity as the API server keeps it in `limits` and `requests`: rounded away from zero to thousandths.
    #[must_use]
    pub fn in_resource_list(self) -> Self {
        let amount = match self.amount {
            Amount::Small(_, scale) if scale >= MILLI => return self,
            Amount::Small(value, scale) => Amount::Small(divided(value, MILLI - scale), MILLI),
            Amount::Large(decimal) => Amount::Large(decimal.round_up(MILLI.into())),
        };
        Self { amount, text: None, ..self }
    }

    /// Whether it is less than nothing.
    pub fn is_negative(&self) -> bool {
        match &self.amount {
            Amount::Small(value, _) => *value < 0,
            Amount::Large(decimal) => decimal.negative,
        }
    }

    /// Whether it is nothing.
    pub fn is_zero(&self) -> bool {
        match &self.amount {
            Amount::Small(value, _) => *value == 0,
            Amount::Large(decimal) => decimal.is_zero(),
        }
    }

    /// Whole units, rounded up. Where they exceed 64 bits the upper ones are lost, as there.
    pub fn units(&self) -> i64 {
        self.in_units_of(0)
    }

    /// Thousandths, rounded up. Where they exceed 64 bits the upper ones are lost, as there.
    pub fn thousandths(&self) -> i64 {
        self.in_units_of(MILLI)
    }

    fn in_units_of(&self, unit: i32) -> i64 {
        match &self.amount {
            Amount::Small(value, scale) if *scale < unit => divided(*value, unit - scale),
            Amount::Small(value, scale) => multiplied(*value, scale.saturating_sub(unit)),
            Amount::Large(decimal) => decimal.low_bits(unit.into()),
        }
    }

    fn as_decimal(&self) -> Decimal {
        match &self.amount {
            Amount::Small(value, scale) => Decimal::from((*value, *scale)),
            Amount::Large(decimal) => decimal.clone(),
        }
    }
}

/// A number without its suffix.
struct Number<'a> {
    text: &'a str,
    negative: bool,
    /// Without leading zeros.
    whole: &'a str,
    fraction: &'a str,
}

impl<'a> Number<'a> {
    fn decimal(&self, exponent: i32, notation: Notation) -> Quantity<'a> {
        let places = i32::try_from(self.fraction.len()).unwrap_or(i32::MAX);
        let scale = exponent.wrapping_sub(places);
        let mantissa = self.small_mantissa().filter(|_| scale >= NANO);
        if let Some(mantissa) = mantissa {
            let as_written = scale % 3 == 0 && !self.whole.is_empty() && !self.ends_in_thousands();
            return Quantity {
                amount: Amount::Small(if self.negative { -mantissa } else { mantissa }, scale),
                notation,
                text: as_written.then_some(self.text),
            };
        }
        let decimal = Decimal::new(self.negative, self.digits(), scale.into());
        Quantity { amount: Amount::Large(decimal.round_up(NANO.into())), notation, text: None }
    }

    fn binary(&self, exponent: i32) -> Quantity<'a> {
        let factor = 1_u64 << exponent;
        let places = i64::try_from(self.fraction.len()).unwrap_or(i64::MAX);
        let whole = self.small_mantissa().filter(|_| self.fraction.is_empty());
        // apimachinery's estimate of the digits of the product.
        let digits = self.whole.len().max(1) + usize::try_from(exponent * 3 / 10).unwrap_or_default();
        if let Some(whole) = whole.filter(|_| digits <= 14)
            && let Some(value) = i64::try_from(factor).ok().and_then(|factor| whole.checked_mul(factor))
        {
            let amount = Amount::Small(if self.negative { -value } else { value }, 0);
            return Quantity { amount, notation: Notation::Binary, text: (whole % 8 != 0).then_some(self.text) };
        }
        let decimal = Decimal::new(false, self.digits(), -places).times(factor).round_up(NANO.into());
        let largest = Decimal::from((i64::MAX, 0));
        let notation =
            if !decimal.is_zero() && decimal < Decimal::from((1, 0)) { Notation::Decimal } else { Notation::Binary };
        let capped = decimal.min(largest);
        let decimal = Decimal { negative: self.negative && !capped.is_zero(), ..capped };
        Quantity { amount: Amount::Large(decimal), notation, text: None }
    }

    /// The digits as a number, if there are few enough.
    fn small_mantissa(&self) -> Option<i64> {
        let digits = self.whole.len().max(1) + self.fraction.len();
        let number = |text: &str| text.parse().unwrap_or(0_i64);
        // At most 18 digits do not overflow.
        let shift = 10_i64.checked_pow(u32::try_from(self.fraction.len()).ok()?)?;
        (digits <= SMALL_DIGITS).then(|| number(self.whole) * shift + number(self.fraction))
    }

    fn ends_in_thousands(&self) -> bool {
        let mut last = self.whole.bytes().chain(self.fraction.bytes()).rev();
        (0..3).all(|_| last.next() == Some(b'0'))
    }

    fn digits(&self) -> Vec<u8> {
        self.whole.bytes().chain(self.fraction.bytes()).map(|digit| digit - b'0').collect()
    }
}

/// `value` in units that are larger by a power of ten, rounded away from zero.
fn divided(value: i64, power: i32) -> i64 {
    let divisor = 10_i64.checked_pow(power.unsigned_abs());
    divisor.map_or(value.signum(), |divisor| value / divisor + (value % divisor).signum())
}

/// `value` in units that are smaller by a power of ten. apimachinery multiplies by the common powers at once and loses
/// upper bits, by others step by step, and gives up with 0.
fn multiplied(value: i64, power: i32) -> i64 {
    let factor = 10_i64.checked_pow(power.unsigned_abs());
    match (power, factor) {
        (0..=3 | 6 | 9, Some(factor)) => value.wrapping_mul(factor),
        (_, factor) => factor.and_then(|factor| value.checked_mul(factor)).unwrap_or(0),
    }
}

impl Ord for Quantity<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        if let (Amount::Small(one, scale), Amount::Small(other, other_scale)) = (&self.amount, &other.amount)
            && scale == other_scale
        {
            return one.cmp(other);
        }
        self.as_decimal().cmp(&other.as_decimal())
    }
}

impl PartialOrd for Quantity<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Quantity<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity<'_> {}

impl Display for Quantity<'_> {
    /// Writes the canonical form: a number without a fraction, and the largest suffix of its notation.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(text) = self.text {
            return f.write_str(text);
        }
        let Decimal { negative, mut digits, mut exponent } = self.as_decimal();
        if digits.is_empty() {
            return f.write_str("0");
        }
        if negative {
            f.write_str("-")?;
        }
        let units = self.units().unsigned_abs();
        if self.notation == Notation::Binary && exponent >= 0 && units >= 1024 {
            let power = (units.trailing_zeros() / 10).min(6);
            let suffix =
                BINARY_SUFFIXES.iter().find(|(_, of)| of.unsigned_abs() == power * 10).map_or("", |(suffix, _)| suffix);
            return write!(f, "{}{suffix}", units >> (power * 10));
        }
        while exponent % 3 != 0 {
            digits.push(0);
            exponent -= 1;
        }
        for digit in digits {
            write!(f, "{digit}")?;
        }
        match self.notation {
            Notation::Exponent if exponent != 0 => write!(f, "e{exponent}"),
            Notation::Exponent => Ok(()),
            // apimachinery writes no suffix where it knows none.
            _ => f.write_str(
                DECIMAL_SUFFIXES.iter().find(|(_, of)| i64::from(*of) == exponent).map_or("", |(suffix, _)| suffix),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn quantity(text: &str) -> Quantity<'_> {
        Quantity::parse(text).unwrap()
    }

    #[test]
    fn a_quantity_is_its_value() {
        let same = [
            ("1", "1000m"),
            ("1", "1.0"),
            ("0.5", "500m"),
            (".5", "5e-1"),
            ("1Gi", "1024Mi"),
            ("1k", "1000"),
            ("1E3", "1k"),
            ("-1", "-1000m"),
            ("+2", "2"),
            ("1n", "0.0000000001"),
            ("1.", "1"),
            ("0", "-0"),
            ("0e5", "0Ki"),
            ("0.5Ki", "512"),
            ("9223372036854775807", "9Ei"),
            ("100Ei", "8Ei"),
            ("9Ei", "9223372036854775807"),
            ("123456789012345678901234567890", "123456789012345678901234567.890k"),
            ("1e4294967299", "1e3"),
        ];
        for (one, other) in same {
            assert_eq!(quantity(one), quantity(other), "{one} {other}");
            assert_eq!(quantity(one).in_exponents().to_string(), quantity(other).in_exponents().to_string());
        }
        let ascending = [
            "-1E30", "-1E", "-1Ki", "-2", "-1", "-1n", "0", "1n", "0.9", "1", "1001m", "1G", "1Gi", "1E", "1Ei", "100E",
        ];
        assert!(ascending.is_sorted_by(|one, other| quantity(one) < quantity(other)));
    }

    #[test]
    fn a_malformed_quantity_is_none() {
        for odd in [
            "",
            "x",
            "1x",
            "1.2.3",
            ".",
            "-",
            "1e",
            "1 Gi",
            " 1",
            "1Ki2",
            "1e1.5",
            "1mm",
            "1ki",
            "1K",
            "--1",
            "1e99999999999999999999",
        ] {
            assert!(Quantity::parse(odd).is_none(), "{odd}");
        }
    }

    /// Text, as it is written, as it is in a list of resources, and there: whole units and thousandths. Taken from
    /// apimachinery.
    #[test]
    fn a_quantity_is_written_and_counted_as_by_the_api_server() {
        let cases = [
            ("0", "0", "0", 0, 0),
            ("+1", "+1", "+1", 1, 1000),
            ("007", "007", "007", 7, 7000),
            ("1.50", "1500m", "1500m", 2, 1500),
            ("0.1", "100m", "100m", 1, 100),
            ("1500", "1500", "1500", 1500, 1_500_000),
            ("2000", "2k", "2k", 2000, 2_000_000),
            ("1n", "1n", "1m", 1, 1),
            ("-1500u", "-1500u", "-2m", -1, -2),
            ("0.0000000001", "1n", "1m", 1, 1),
            ("1e3", "1e3", "1e3", 1000, 1_000_000),
            ("1e4", "10e3", "10e3", 10_000, 10_000_000),
            ("1Gi", "1Gi", "1Gi", 1 << 30, 1_073_741_824_000),
            ("1024Mi", "1Gi", "1Gi", 1 << 30, 1_073_741_824_000),
            ("1.5Gi", "1536Mi", "1536Mi", 1_610_612_736, 1_610_612_736_000),
            ("0.5Ki", "512", "512", 512, 512_000),
            ("0.3Ki", "307200m", "307200m", 308, 307_200),
            ("8Ei", "9223372036854775807", "9223372036854775807", i64::MAX, -1000),
            ("1Ei", "1Ei", "1Ei", 1 << 60, i64::MIN),
            ("1E", "1E", "1E", 1_000_000_000_000_000_000, 0),
            ("10E", "10E", "10E", 0, 0),
            ("1000E", "1", "1", 0, 0),
            (
                "99999999999999999999",
                "99999999999999999999",
                "99999999999999999999",
                7_766_279_631_452_241_919,
                200_376_420_520_688_664,
            ),
        ];
        for (text, written, kept, units, thousandths) in cases {
            let quantity = quantity(text);
            let in_list = quantity.clone().in_resource_list();
            let found = (quantity.to_string(), in_list.to_string(), in_list.units(), in_list.thousandths());
            assert_eq!(found, (written.to_owned(), kept.to_owned(), units, thousandths), "{text}");
        }
    }
}
