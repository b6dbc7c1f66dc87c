//! Go's string and character literals, read and written.

use super::runes::{first_rune, is_printable};

/// A literal that Go's `strconv` would not accept.
pub(super) const INVALID_SYNTAX: &str = "invalid syntax";

/// The first character of a quoted literal's content.
struct Unquoted {
    value: u32,
    /// A byte (`\xff`, `\377`) rather than a character.
    is_byte: bool,
    /// Bytes read.
    length: usize,
}

fn digits(text: &[u8], radix: u32) -> Option<u32> {
    let mut value: u32 = 0;
    for byte in text {
        value = value.checked_mul(radix)?.checked_add(char::from(*byte).to_digit(radix)?)?;
    }
    Some(value)
}

/// Reads one character or escape of a literal in `quote`s. `text` is UTF-8.
fn unquote_char(text: &[u8], quote: u8) -> Option<Unquoted> {
    let simple = |c: u8, length| Some(Unquoted { value: u32::from(c), is_byte: true, length });
    let first = *text.first()?;
    if first == quote {
        return None;
    }
    if first != b'\\' {
        let (c, length) = first_rune(text);
        return Some(Unquoted { value: u32::from(c?), is_byte: first.is_ascii(), length });
    }
    let long = |length: usize| {
        let value = digits(text.get(2..2 + length)?, 16)?;
        char::from_u32(value)?;
        Some(Unquoted { value, is_byte: false, length: 2 + length })
    };
    match *text.get(1)? {
        b'a' => simple(7, 2),
        b'b' => simple(8, 2),
        b'f' => simple(12, 2),
        b'n' => simple(b'\n', 2),
        b'r' => simple(b'\r', 2),
        b't' => simple(b'\t', 2),
        b'v' => simple(11, 2),
        b'\\' => simple(b'\\', 2),
        b'x' => Some(Unquoted { value: digits(text.get(2..4)?, 16)?, is_byte: true, length: 4 }),
        b'u' => long(4),
        b'U' => long(8),
        b'0'..=b'7' => {
            let value = digits(text.get(1..4)?, 8).filter(|value| *value <= 255)?;
            Some(Unquoted { value, is_byte: true, length: 4 })
        }
        c if c == quote => simple(c, 2),
        _ => None,
    }
}

/// The value of a character literal, quotes included. Errors are Go's.
pub(super) fn unquote_rune(text: &str) -> Result<u32, String> {
    let unquoted = unquote_char(text.as_bytes().get(1..).unwrap_or_default(), b'\'').ok_or(INVALID_SYNTAX)?;
    if &text[1 + unquoted.length..] == "'" {
        Ok(unquoted.value)
    } else {
        Err(format!("malformed character constant: {text}"))
    }
}

/// The value of a string literal.
pub(super) enum Literal {
    /// Just the text between its quotes.
    Plain,
    /// These bytes.
    Escaped(Vec<u8>),
}

/// The value of a string literal whose quotes are known to be there; `None` if an escape is wrong.
pub(super) fn unquote(text: &str) -> Option<Literal> {
    let quote = *text.as_bytes().first()?;
    let content = text.as_bytes().get(1..text.len().checked_sub(1)?)?;
    if quote == b'`' {
        // Go drops carriage returns from raw strings.
        if !content.contains(&b'\r') {
            return Some(Literal::Plain);
        }
        return Some(Literal::Escaped(content.iter().copied().filter(|byte| *byte != b'\r').collect()));
    }
    if !content.contains(&b'\\') {
        return Some(Literal::Plain);
    }
    let mut bytes = Vec::with_capacity(content.len());
    let mut rest = content;
    while !rest.is_empty() {
        let unquoted = unquote_char(rest, quote)?;
        match (unquoted.is_byte, u8::try_from(unquoted.value)) {
            (true, Ok(byte)) => bytes.push(byte),
            _ => bytes.extend_from_slice(char::from_u32(unquoted.value)?.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = &rest[unquoted.length..];
    }
    Some(Literal::Escaped(bytes))
}

/// Writes `bytes` as a literal, piece by piece: Go's `%q`, or `%+q` if only ASCII may appear.
pub(super) fn quote<E>(bytes: &[u8], ascii: bool, put: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    put(b"\"")?;
    let (mut plain, mut at) = (0, 0);
    while at < bytes.len() {
        let (rune, length) = first_rune(&bytes[at..]);
        if !rune.is_some_and(|c| is_plain(c, '"', ascii)) {
            put(&bytes[plain..at])?;
            match rune {
                Some(c) => put(escaped(c, '"').as_bytes())?,
                None => put(format!("\\x{:02x}", bytes[at]).as_bytes())?,
            }
            plain = at + length;
        }
        at += length;
    }
    put(&bytes[plain..])?;
    put(b"\"")
}

/// `bytes` as a literal, for messages.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len() + 2);
    let Ok(()) = quote(bytes, false, &mut |piece: &[u8]| {
        text.extend_from_slice(piece);
        Ok::<(), std::convert::Infallible>(())
    });
    String::from_utf8_lossy(&text).into_owned()
}

/// A character literal: Go's `%q` of a number.
pub(super) fn quoted_rune(c: char, ascii: bool) -> String {
    if is_plain(c, '\'', ascii) { format!("'{c}'") } else { format!("'{}'", escaped(c, '\'')) }
}

fn is_plain(c: char, quote: char, ascii: bool) -> bool {
    c != quote && c != '\\' && is_printable(c) && (c.is_ascii() || !ascii)
}

fn escaped(c: char, quote: char) -> String {
    match c {
        '\\' => "\\\\".to_owned(),
        c if c == quote => format!("\\{c}"),
        '\x07' => "\\a".to_owned(),
        '\x08' => "\\b".to_owned(),
        '\x0c' => "\\f".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\x0b' => "\\v".to_owned(),
        c if c < ' ' || c == '\x7f' => format!("\\x{:02x}", u32::from(c)),
        c if u32::from(c) < 0x10000 => format!("\\u{:04x}", u32::from(c)),
        c => format!("\\U{:08x}", u32::from(c)),
    }
}

/// Whether `bytes` can stand between backquotes on one line: Go's `%#q`.
pub(super) fn can_backquote(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes)
        .is_ok_and(|text| !text.chars().any(|c| matches!(c, '\u{feff}' | '`' | '\x7f') || (c < ' ' && c != '\t')))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn escapes_are_read_as_go_reads_them() {
        let value = |text: &str| match unquote(text) {
            Some(Literal::Escaped(bytes)) => Some(bytes),
            Some(Literal::Plain) => Some(text.as_bytes()[1..text.len() - 1].to_vec()),
            None => None,
        };
        assert_eq!(value(r#""a\tb\x41\101\u00e9\U0001F600\xff\"""#).unwrap(), b"a\tbAA\xc3\xa9\xf0\x9f\x98\x80\xff\"");
        assert_eq!(value("`a\r\\n`").unwrap(), b"a\\n");
        for bad in [r#""\q""#, r#""\'""#, r#""\400""#, r#""\ud800""#, r#""\U00110000""#, r#""\x4""#, r#""\18""#] {
            assert_eq!(value(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_character_is_exactly_one() {
        assert_eq!(unquote_rune("'é'"), Ok(0xe9));
        assert_eq!(unquote_rune(r"'\xff'"), Ok(0xff));
        assert_eq!(unquote_rune("''"), Err("invalid syntax".to_owned()));
        assert_eq!(unquote_rune("'ab'"), Err("malformed character constant: 'ab'".to_owned()));
    }

    #[test]
    fn literals_are_written_as_go_writes_them() {
        assert_eq!(quoted("a\"\\\n\u{7f}é\u{200b}\u{e0001}".as_bytes()), "\"a\\\"\\\\\\n\\x7fé\\u200b\\U000e0001\"");
        assert_eq!(quoted(b"\xff'"), "\"\\xff'\"");
        assert_eq!(quoted_rune('\'', false), "'\\''");
        assert_eq!(quoted_rune('世', true), "'\\u4e16'");
        assert!(can_backquote("a\té".as_bytes()));
        assert!(!can_backquote(b"a`") && !can_backquote(b"\xff") && !can_backquote(b"\n"));
    }
}
