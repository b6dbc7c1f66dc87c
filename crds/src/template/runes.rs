//! Characters in Go: its classes, and the decoding of bytes that need not be UTF-8.

use super::unicode::{DIGITS, LETTERS, PRINTABLE};

fn contains(table: &[(u32, u32)], c: char) -> bool {
    let code = u32::from(c);
    let after = table.partition_point(|(first, _)| *first <= code);
    after.checked_sub(1).is_some_and(|at| code <= table[at].1)
}

/// A character of a name.
pub(super) fn is_alphanumeric(c: char) -> bool {
    if c.is_ascii() {
        return c == '_' || c.is_ascii_alphanumeric();
    }
    contains(LETTERS, c) || contains(DIGITS, c)
}

/// A character that need not be escaped.
pub(super) fn is_printable(c: char) -> bool {
    if c.is_ascii() { matches!(c, ' '..='~') } else { contains(PRINTABLE, c) }
}

/// `U+00AB '«'`, without the character where it cannot be printed.
pub(super) fn unicode_point(c: char) -> String {
    let code = u32::from(c);
    if is_printable(c) { format!("U+{code:04X} '{c}'") } else { format!("U+{code:04X}") }
}

/// The first character of `bytes` and its length; a byte that does not begin one counts as one, and yields `None`.
pub(super) fn first_rune(bytes: &[u8]) -> (Option<char>, usize) {
    let length = match bytes.first() {
        None => return (None, 0),
        Some(byte) if byte.is_ascii() => return (Some(char::from(*byte)), 1),
        Some(0xC2..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..=0xF4) => 4,
        Some(_) => return (None, 1),
    };
    let decoded = bytes.get(..length).and_then(|head| std::str::from_utf8(head).ok());
    match decoded.and_then(|text| text.chars().next()) {
        Some(c) => (Some(c), length),
        None => (None, 1),
    }
}

/// How many characters `bytes` hold, each byte outside of UTF-8 counted as one.
pub(super) fn count(bytes: &[u8]) -> usize {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.chars().count();
    }
    let (mut rest, mut runes) = (bytes, 0);
    while !rest.is_empty() {
        rest = &rest[first_rune(rest).1..];
        runes += 1;
    }
    runes
}

/// The first `limit` characters of `bytes`.
pub(super) fn prefix(bytes: &[u8], limit: usize) -> &[u8] {
    let mut end = 0;
    for _ in 0..limit {
        if end >= bytes.len() {
            break;
        }
        end += first_rune(&bytes[end..]).1;
    }
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_outside_of_utf8_counts_as_one_character() {
        assert_eq!(count("aé世😀".as_bytes()), 4);
        assert_eq!(count(b"a\xff\xe4\xb8b"), 5);
        assert_eq!(first_rune(b"\xed\xa0\x80"), (None, 1), "surrogates are not characters");
        assert_eq!(first_rune(b"\xf4\x90\x80\x80"), (None, 1), "beyond the last code point");
        assert_eq!(prefix("aé世".as_bytes(), 2), "aé".as_bytes());
    }

    #[test]
    fn classes_are_those_of_go() {
        for c in ['_', 'z', '9', 'é', '日', '\u{ff11}'] {
            assert!(is_alphanumeric(c), "{c}");
        }
        for c in ['²', '\u{345}', '\u{200b}', '-', '«'] {
            assert!(!is_alphanumeric(c), "{c}");
        }
        assert_eq!(unicode_point('«'), "U+00AB '«'");
        assert_eq!(unicode_point('\u{200b}'), "U+200B");
    }
}
