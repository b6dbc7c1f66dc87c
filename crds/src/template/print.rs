//! Values as text: the output of Go's `fmt` for each verb and flag. Directives are read by [`super::printf`].

use super::float;
use super::limits::{Exceeded, Sink};
use super::quote::{can_backquote, quote, quoted_rune};
use super::runes::{count, is_printable, prefix};
use super::value::Value;

type Result = std::result::Result<(), Exceeded>;

/// The options of one directive.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag that a directive may carry")]
pub(super) struct Flags {
    pub(super) minus: bool,
    pub(super) plus: bool,
    pub(super) sharp: bool,
    pub(super) space: bool,
    pub(super) zero: bool,
    /// `%#v`, which is not the same as the flag `#`.
    pub(super) sharp_v: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

/// Writes values.
pub(super) struct Printer<'a> {
    pub(super) sink: Sink<'a>,
    pub(super) flags: Flags,
}

/// Go's `Sprint`: spaces between operands of which neither is a string.
pub(super) fn print(sink: Sink<'_>, values: &[Value<'_>]) -> Result {
    let mut printer = Printer { sink, flags: Flags::default() };
    let mut after_string = true;
    for value in values {
        let is_string = matches!(value, Value::String(_));
        if !is_string && !after_string {
            printer.sink.put(b" ")?;
        }
        printer.value(value, 'v')?;
        after_string = is_string;
    }
    Ok(())
}

/// Go's `Sprintln`: spaces between all operands, a newline at the end.
pub(super) fn println(sink: Sink<'_>, values: &[Value<'_>]) -> Result {
    let mut printer = Printer { sink, flags: Flags::default() };
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            printer.sink.put(b" ")?;
        }
        printer.value(value, 'v')?;
    }
    printer.sink.put(b"\n")
}

impl Printer<'_> {
    pub(super) fn value(&mut self, value: &Value<'_>, verb: char) -> Result {
        match (value, verb) {
            (Value::Nil, 'T' | 'v') => self.padded(b"<nil>"),
            (_, 'T') => self.string(value.type_name().as_bytes()),
            (Value::Bool(value), 't' | 'v') => self.padded(if *value { b"true" } else { b"false" }),
            (Value::Int(number), 'v' | 'd' | 'b' | 'o' | 'O' | 'x' | 'X' | 'c' | 'q' | 'U') => {
                self.number(number.unsigned_abs(), *number < 0, verb)
            }
            (Value::Byte(byte), 'v') if self.flags.sharp_v => {
                let sharp = std::mem::replace(&mut self.flags.sharp, true);
                let written = self.integer(u64::from(*byte), false, 16, 'x');
                self.flags.sharp = sharp;
                written
            }
            (Value::Byte(byte), 'v' | 'd' | 'b' | 'o' | 'O' | 'x' | 'X' | 'c' | 'q' | 'U') => {
                self.number(u64::from(*byte), false, verb)
            }
            (Value::Float(value), 'v' | 'b' | 'g' | 'G' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E') => {
                self.float(*value, verb)
            }
            (Value::Complex(real, imaginary), 'v' | 'b' | 'g' | 'G' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E') => {
                self.sink.put(b"(")?;
                self.float(*real, verb)?;
                let plus = std::mem::replace(&mut self.flags.plus, true);
                self.float(*imaginary, verb)?;
                self.flags.plus = plus;
                self.sink.put(b"i)")
            }
            (Value::String(text), 'v') if self.flags.sharp_v => self.quoted_string(text.bytes()),
            (Value::String(text), 'v' | 's') => self.string(text.bytes()),
            (Value::String(text), 'x' | 'X') => self.hex_string(text.bytes(), verb),
            (Value::String(text), 'q') => self.quoted_string(text.bytes()),
            _ => self.bad_verb(value, verb),
        }
    }

    /// `%!d(string=a)`.
    fn bad_verb(&mut self, value: &Value<'_>, verb: char) -> Result {
        self.sink.put(b"%!")?;
        self.sink.put_char(verb)?;
        self.sink.put(b"(")?;
        self.sink.put(value.type_name().as_bytes())?;
        if !value.is_nil() {
            self.sink.put(b"=")?;
            self.value(value, 'v')?;
        }
        self.sink.put(b")")
    }

    /// Writes what has `length` characters between the padding that the width asks for.
    fn pad(&mut self, length: usize, zeros: bool, write: impl FnOnce(&mut Self) -> Result) -> Result {
        let missing = self.flags.width.unwrap_or(0).saturating_sub(length);
        if self.flags.minus {
            write(self)?;
            return self.sink.fill(b' ', missing);
        }
        self.sink.fill(if zeros && self.flags.zero { b'0' } else { b' ' }, missing)?;
        write(self)
    }

    /// `text`, padded with spaces, or with zeros if the flags say so.
    fn padded(&mut self, text: &[u8]) -> Result {
        if self.flags.width.unwrap_or(0) == 0 {
            return self.sink.put(text);
        }
        self.pad(count(text), true, |printer| printer.sink.put(text))
    }

    fn truncated<'b>(&self, text: &'b [u8]) -> &'b [u8] {
        self.flags.precision.map_or(text, |precision| prefix(text, precision))
    }

    fn string(&mut self, text: &[u8]) -> Result {
        self.padded(self.truncated(text))
    }

    fn quoted_string(&mut self, text: &[u8]) -> Result {
        let text = self.truncated(text);
        self.sink.meter().read(text.len())?;
        if self.flags.sharp && can_backquote(text) {
            return self.pad(count(text) + 2, true, |printer| {
                printer.sink.put(b"`")?;
                printer.sink.put(text)?;
                printer.sink.put(b"`")
            });
        }
        let ascii = self.flags.plus;
        let mut length = 0;
        if self.flags.width.is_some() {
            quote(text, ascii, &mut |piece: &[u8]| {
                length += count(piece);
                Ok::<(), Exceeded>(())
            })?;
        }
        self.pad(length, true, |printer| quote(text, ascii, &mut |piece: &[u8]| printer.sink.put(piece)))
    }

    /// Each byte as two hexadecimal digits.
    fn hex_string(&mut self, text: &[u8], verb: char) -> Result {
        let text = &text[..text.len().min(self.flags.precision.unwrap_or(usize::MAX))];
        let Flags { sharp, space, .. } = self.flags;
        if text.is_empty() {
            return self.pad(0, true, |_| Ok(()));
        }
        let prefixes = if !sharp {
            0
        } else if space {
            text.len()
        } else {
            1
        };
        let spaces = if space { text.len() - 1 } else { 0 };
        let prefix: &[u8] = if verb == 'X' { b"0X" } else { b"0x" };
        self.pad(2 * text.len() + 2 * prefixes + spaces, true, |printer| {
            for (i, byte) in text.iter().enumerate() {
                if i > 0 && space {
                    printer.sink.put(b" ")?;
                }
                if sharp && (i == 0 || space) {
                    printer.sink.put(prefix)?;
                }
                printer.sink.put(&hex_digits(*byte, verb == 'X'))?;
            }
            Ok(())
        })
    }

    fn number(&mut self, magnitude: u64, negative: bool, verb: char) -> Result {
        // Go converts the number to a character.
        let code = if negative { magnitude.wrapping_neg() } else { magnitude };
        let character = || u32::try_from(code).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
        match verb {
            'b' => self.integer(magnitude, negative, 2, verb),
            'o' | 'O' => self.integer(magnitude, negative, 8, verb),
            'x' | 'X' => self.integer(magnitude, negative, 16, verb),
            'c' => self.padded(character().encode_utf8(&mut [0; 4]).as_bytes()),
            'q' => self.padded(quoted_rune(character(), self.flags.plus).as_bytes()),
            'U' => self.unicode(code),
            _ => self.integer(magnitude, negative, 10, verb),
        }
    }

    fn integer(&mut self, magnitude: u64, negative: bool, base: u32, verb: char) -> Result {
        let Flags { plus, space, sharp, zero, minus, width, precision, .. } = self.flags;
        if precision == Some(0) && magnitude == 0 {
            return self.sink.fill(b' ', width.unwrap_or(0));
        }
        let digits = match base {
            2 => format!("{magnitude:b}"),
            8 => format!("{magnitude:o}"),
            16 if verb == 'X' => format!("{magnitude:X}"),
            16 => format!("{magnitude:x}"),
            _ => magnitude.to_string(),
        };
        let signed = negative || plus || space;
        let wanted = match precision {
            Some(precision) => precision,
            None if zero && !minus => width.unwrap_or(0).saturating_sub(usize::from(signed)),
            None => 0,
        };
        let zeros = wanted.saturating_sub(digits.len());
        let mut prefix = String::new();
        if negative {
            prefix.push('-');
        } else if signed {
            prefix.push(if plus { '+' } else { ' ' });
        }
        if verb == 'O' {
            prefix.push_str("0o");
        }
        match base {
            2 if sharp => prefix.push_str("0b"),
            8 if sharp && zeros == 0 && magnitude != 0 => prefix.push('0'),
            16 if sharp => prefix.push_str(if verb == 'X' { "0X" } else { "0x" }),
            _ => {}
        }
        self.pad(prefix.len() + zeros + digits.len(), false, |printer| {
            printer.sink.put(prefix.as_bytes())?;
            printer.sink.fill(b'0', zeros)?;
            printer.sink.put(digits.as_bytes())
        })
    }

    /// `U+0041`, with the character itself if the flag `#` is set.
    fn unicode(&mut self, code: u64) -> Result {
        let digits = format!("{code:04X}");
        let zeros = self.flags.precision.unwrap_or(0).saturating_sub(digits.len());
        let character =
            u32::try_from(code).ok().and_then(char::from_u32).filter(|c| self.flags.sharp && is_printable(*c));
        let quoted = character.map(|c| format!(" '{c}'")).unwrap_or_default();
        self.pad(2 + zeros + digits.len() + quoted.chars().count(), false, |printer| {
            printer.sink.put(b"U+")?;
            printer.sink.fill(b'0', zeros)?;
            printer.sink.put(digits.as_bytes())?;
            printer.sink.put(quoted.as_bytes())
        })
    }

    fn float(&mut self, value: f64, verb: char) -> Result {
        let notation = match verb {
            'v' => 'g',
            'F' => 'f',
            verb => verb,
        };
        let precision = self.flags.precision;
        // The digits are made before they are written.
        self.sink.meter().made(precision.unwrap_or(0))?;
        let mut text = float::unsigned(value, notation, precision);
        if self.flags.sharp && notation != 'b' {
            keep_point(&mut text, notation, precision);
        }
        let Flags { plus, space, zero, minus, width, .. } = self.flags;
        let sign: &[u8] = match (value.is_sign_negative(), plus, space) {
            (true, _, _) => b"-",
            (false, true, _) => b"+",
            (false, false, true) => b" ",
            (false, false, false) => b"",
        };
        let length = sign.len() + text.len();
        if zero && !minus && !sign.is_empty() && width.is_some_and(|width| width > length) {
            self.sink.put(sign)?;
            self.sink.fill(b'0', width.unwrap_or(0) - length)?;
            return self.sink.put(&text);
        }
        self.pad(length, true, |printer| {
            printer.sink.put(sign)?;
            printer.sink.put(&text)
        })
    }
}

/// The flag `#`: a decimal point always, and with `%g` the zeros that it would drop.
fn keep_point(text: &mut Vec<u8>, notation: char, precision: Option<usize>) {
    let mut wanted = match notation {
        'g' | 'G' | 'x' => precision.unwrap_or(6),
        _ => 0,
    };
    let is_hex = matches!(notation, 'x' | 'X');
    let exponent = text.iter().position(|byte| matches!(byte, b'p' | b'P') || (!is_hex && matches!(byte, b'e' | b'E')));
    let tail = text.split_off(exponent.unwrap_or(text.len()));
    let significant = text.iter().filter(|byte| **byte != b'.').skip_while(|byte| **byte == b'0').count();
    wanted = wanted.saturating_sub(significant);
    if !text.contains(&b'.') {
        if text == b"0" {
            wanted = wanted.saturating_sub(1);
        }
        text.push(b'.');
    }
    text.resize(text.len() + wanted, b'0');
    text.extend(tail);
}

fn hex_digits(byte: u8, upper: bool) -> [u8; 2] {
    let digits: &[u8; 16] = if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]
}
