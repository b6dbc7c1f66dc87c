//! Go's format strings: directives, argument numbers, and the marks left where they do not fit the arguments.

use super::limits::{Exceeded, Sink};
use super::print::{Flags, Printer};
use super::runes::first_rune;
use super::value::Value;

/// The largest width and precision in Go.
const MAX_NUMBER: i64 = 1_000_000;

/// Go's `Sprintf`.
pub(super) fn printf(mut sink: Sink<'_>, format: &[u8], values: &[Value<'_>]) -> Result<(), Exceeded> {
    // Directives can take time without writing anything.
    sink.meter().nodes(format.len() / 64)?;
    let mut state = Format {
        printer: Printer { sink, flags: Flags::default() },
        source: format,
        at: 0,
        values,
        next: 0,
        last_bracket: format.iter().rposition(|byte| *byte == b']').unwrap_or(0),
        reordered: false,
        good_number: true,
        after_number: false,
    };
    while state.at < format.len() {
        let literal = &format[state.at..];
        let literal = &literal[..literal.iter().position(|byte| *byte == b'%').unwrap_or(literal.len())];
        state.printer.sink.put(literal)?;
        state.at += literal.len() + 1;
        if state.at <= format.len() {
            state.directive()?;
        }
    }
    state.extra()
}

struct Format<'a, 'v> {
    printer: Printer<'a>,
    source: &'v [u8],
    at: usize,
    values: &'v [Value<'v>],
    /// The value that the next directive uses.
    next: usize,
    /// Where the last `]` is, so that a missing one is searched for only once.
    last_bracket: usize,
    /// Whether any argument number was seen, for then unused values are not mentioned.
    reordered: bool,
    /// Whether the argument numbers of this directive made sense.
    good_number: bool,
    /// Whether an argument number comes right before.
    after_number: bool,
}

impl Format<'_, '_> {
    fn peek(&self) -> Option<u8> {
        self.source.get(self.at).copied()
    }

    /// What follows a percent sign.
    fn directive(&mut self) -> Result<(), Exceeded> {
        self.printer.flags = Flags::default();
        self.good_number = true;
        self.after_number = false;
        self.flags();
        self.argument_number();
        self.width()?;
        if self.peek() == Some(b'.') && self.at + 1 < self.source.len() {
            self.precision()?;
        }
        if !self.after_number {
            self.argument_number();
        }
        if self.at >= self.source.len() {
            return self.printer.sink.put(b"%!(NOVERB)");
        }
        let (verb, length) = first_rune(&self.source[self.at..]);
        let verb = verb.unwrap_or(char::REPLACEMENT_CHARACTER);
        self.at += length;
        self.verb(verb)
    }

    fn verb(&mut self, verb: char) -> Result<(), Exceeded> {
        if verb == '%' {
            return self.printer.sink.put(b"%");
        }
        let value = self.values.get(self.next).filter(|_| self.good_number);
        let Some(value) = value else {
            self.printer.sink.put(b"%!")?;
            self.printer.sink.put_char(verb)?;
            return self.printer.sink.put(if self.good_number { b"(MISSING)" } else { b"(BADINDEX)" });
        };
        if matches!(verb, 'v' | 'w') {
            let flags = &mut self.printer.flags;
            flags.sharp_v = std::mem::take(&mut flags.sharp);
            flags.plus = false;
        }
        self.next += 1;
        self.printer.value(value, verb)
    }

    fn flags(&mut self) {
        let flags = &mut self.printer.flags;
        while let Some(byte) = self.source.get(self.at) {
            match byte {
                b'#' => flags.sharp = true,
                b'0' => flags.zero = true,
                b'+' => flags.plus = true,
                b'-' => flags.minus = true,
                b' ' => flags.space = true,
                _ => break,
            }
            self.at += 1;
        }
    }

    fn width(&mut self) -> Result<(), Exceeded> {
        if self.peek() != Some(b'*') {
            let width = self.number(self.source.len());
            if self.after_number && width.is_some() {
                self.good_number = false;
            }
            self.printer.flags.width = width;
            return Ok(());
        }
        self.at += 1;
        let width = self.integer_argument();
        if width.is_none() {
            self.printer.sink.put(b"%!(BADWIDTH)")?;
        }
        if width.is_some_and(|width| width < 0) {
            self.printer.flags.minus = true;
            self.printer.flags.zero = false;
        }
        self.printer.flags.width = width.and_then(|width| usize::try_from(width.unsigned_abs()).ok());
        self.after_number = false;
        Ok(())
    }

    fn precision(&mut self) -> Result<(), Exceeded> {
        self.at += 1;
        if self.after_number {
            self.good_number = false;
        }
        self.argument_number();
        if self.peek() != Some(b'*') {
            self.printer.flags.precision = Some(self.number(self.source.len()).unwrap_or(0));
            return Ok(());
        }
        self.at += 1;
        self.printer.flags.precision = self.integer_argument().and_then(|precision| usize::try_from(precision).ok());
        if self.printer.flags.precision.is_none() {
            self.printer.sink.put(b"%!(BADPREC)")?;
        }
        self.after_number = false;
        Ok(())
    }

    /// A decimal number before `end`. One that is too large takes all the rest with it.
    fn number(&mut self, end: usize) -> Option<usize> {
        let mut number = None;
        while let Some(byte @ b'0'..=b'9') = self.peek().filter(|_| self.at < end) {
            let so_far = number.unwrap_or(0);
            if so_far > MAX_NUMBER {
                self.at = end;
                return None;
            }
            number = Some(so_far * 10 + i64::from(byte - b'0'));
            self.at += 1;
        }
        number.and_then(|number| usize::try_from(number).ok())
    }

    /// The value that a `*` stands for.
    fn integer_argument(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        let number = match value {
            Value::Int(number) => *number,
            Value::Byte(number) => i64::from(*number),
            _ => return None,
        };
        (-MAX_NUMBER..=MAX_NUMBER).contains(&number).then_some(number)
    }

    /// `[3]`: the directive uses the third value.
    fn argument_number(&mut self) {
        self.after_number = false;
        if self.peek() != Some(b'[') {
            return;
        }
        self.reordered = true;
        let open = self.at;
        let rest = &self.source[open..];
        let close = if open < self.last_bracket && rest.len() >= 3 {
            rest.iter().position(|byte| *byte == b']').map(|length| open + length)
        } else {
            None
        };
        let Some(close) = close else {
            self.good_number = false;
            self.at = open + 1;
            return;
        };
        self.at = open + 1;
        let number = self.number(close).filter(|_| self.at == close);
        self.at = close + 1;
        self.after_number = number.is_some();
        match number.and_then(|number| number.checked_sub(1)).filter(|index| *index < self.values.len()) {
            Some(index) => self.next = index,
            None => self.good_number = false,
        }
    }

    /// Names the values that no directive used.
    fn extra(&mut self) -> Result<(), Exceeded> {
        if self.reordered || self.next >= self.values.len() {
            return Ok(());
        }
        self.printer.flags = Flags::default();
        self.printer.sink.put(b"%!(EXTRA ")?;
        for (i, value) in self.values[self.next..].iter().enumerate() {
            if i > 0 {
                self.printer.sink.put(b", ")?;
            }
            self.printer.sink.put(value.type_name().as_bytes())?;
            if !value.is_nil() {
                self.printer.sink.put(b"=")?;
                self.printer.value(value, 'v')?;
            }
        }
        self.printer.sink.put(b")")
    }
}
