//! A decimal number of any length and magnitude, for quantities that 64 bits do not hold.

use std::cmp::Ordering;

/// A number: its digits times a power of ten. Neither the first nor the last digit is zero; zero has no digits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Decimal {
    pub negative: bool,
    /// The values of the digits, the most significant first.
    pub digits: Vec<u8>,
    pub exponent: i64,
}

impl Decimal {
    /// The number with these digits times ten to the power of `exponent`.
    pub fn new(negative: bool, digits: Vec<u8>, exponent: i64) -> Self {
        let mut number = Self { negative, digits, exponent };
        number.normalize();
        number
    }

    fn normalize(&mut self) {
        let zeros = self.digits.iter().rev().take_while(|digit| **digit == 0).count();
        self.digits.truncate(self.digits.len() - zeros);
        self.digits.drain(..self.digits.iter().take_while(|digit| **digit == 0).count());
        if self.digits.is_empty() {
            (self.negative, self.exponent) = (false, 0);
        } else {
            self.exponent += length(zeros);
        }
    }

    pub fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// The product with an integer.
    #[must_use]
    pub fn times(&self, factor: u64) -> Self {
        let (mut carry, mut reversed) = (0, Vec::with_capacity(self.digits.len() + 20));
        for digit in self.digits.iter().rev() {
            carry += u128::from(*digit) * u128::from(factor);
            reversed.push(last_digit(carry));
            carry /= 10;
        }
        while carry > 0 {
            reversed.push(last_digit(carry));
            carry /= 10;
        }
        reversed.reverse();
        Self::new(self.negative, reversed, self.exponent)
    }

    /// The next multiple of ten to the power of `exponent`, away from zero.
    #[must_use]
    pub fn round_up(&self, exponent: i64) -> Self {
        if self.is_zero() || self.exponent >= exponent {
            return self.clone();
        }
        let kept = self.magnitude().checked_sub(exponent).and_then(|kept| usize::try_from(kept).ok()).unwrap_or(0);
        let mut digits = self.digits[..kept].to_vec();
        // What is cut off ends in a digit that is not zero, so the rest always goes up.
        let nines = digits.iter().rev().take_while(|digit| **digit == 9).count();
        digits.truncate(kept - nines);
        match digits.last_mut() {
            Some(last) => *last += 1,
            None => digits.push(1),
        }
        Self::new(self.negative, digits, exponent + length(nines))
    }

    /// The number of digits before the point; negative if zeros follow the point.
    fn magnitude(&self) -> i64 {
        self.exponent.saturating_add(length(self.digits.len()))
    }

    /// The lowest 64 bits of the number in units of ten to the power of `unit`, rounded up, in two's complement.
    pub fn low_bits(&self, unit: i64) -> i64 {
        let number = self.round_up(unit);
        let digits =
            number.digits.iter().fold(0_i64, |bits, digit| bits.wrapping_mul(10).wrapping_add((*digit).into()));
        // Ten to the power of 64 and more is a multiple of two to the power of 64.
        let zeros = number.exponent.saturating_sub(unit).clamp(0, 64);
        let bits = (0..zeros).fold(digits, |bits, _| bits.wrapping_mul(10));
        if number.negative { bits.wrapping_neg() } else { bits }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.is_zero(), number.negative) {
            (true, _) => 0,
            (false, negative) => {
                if negative {
                    -1
                } else {
                    1
                }
            }
        };
        let size = || self.magnitude().cmp(&other.magnitude()).then_with(|| self.digits.cmp(&other.digits));
        sign(self).cmp(&sign(other)).then_with(|| match sign(self) {
            0 => Ordering::Equal,
            1 => size(),
            _ => size().reverse(),
        })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<(i64, i32)> for Decimal {
    /// A mantissa and its power of ten.
    fn from((mantissa, exponent): (i64, i32)) -> Self {
        let digits = mantissa.unsigned_abs().to_string().bytes().map(|digit| digit - b'0').collect();
        Self::new(mantissa < 0, digits, exponent.into())
    }
}

fn last_digit(number: u128) -> u8 {
    // The remainder is below ten.
    u8::try_from(number % 10).unwrap_or_default()
}

/// The length of a text that is in memory.
fn length(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
