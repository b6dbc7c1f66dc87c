//! The body of a server-side apply: JSON that a YAML parser reads in the same way as a JSON parser.
//!
//! The API server reads `application/apply-patch+yaml` with go-yaml, a YAML 1.1 parser, and JSON is not a subset of
//! that. Within quotes U+0085, U+2028 and U+2029 are line breaks there, which are folded: two of them in a row become
//! one `\n`, a single one a space. DEL, the other C1 characters, U+FEFF, U+FFFE and U+FFFF are refused everywhere.
//! Escaped as `\u` with four hex digits all of them arrive unchanged. Characters beyond the Basic Multilingual Plane
//! are not escaped: surrogate pairs would not arrive unchanged.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;
use serde_json::value::RawValue;

/// The longest key of a map, in bytes of its escaped form: a YAML parser searches for the colon at most 1,024
/// characters after the opening quote of a key.
pub const KEY_MAX: usize = 1022;

/// `object` as the body of an apply.
pub fn body(object: &impl Serialize) -> serde_json::Result<Box<RawValue>> {
    let mut bytes = Vec::with_capacity(4096);
    write(&mut bytes, object)?;
    RawValue::from_string(String::from_utf8(bytes).map_err(serde::ser::Error::custom)?)
}

/// Writes `object` in the format of [`body`].
pub fn write(sink: impl Write, object: &impl Serialize) -> serde_json::Result<()> {
    object.serialize(&mut Serializer::with_formatter(sink, Escaping))
}

/// Whether `text` has a character that is escaped here but not in plain JSON.
pub fn is_escaped(text: &str) -> bool {
    text.contains(is_unsafe)
}

/// Whether a map with this key can be applied.
pub fn is_key(key: &str) -> bool {
    // Most keys are short, and escaping makes a key at most six times longer.
    key.len() * 6 <= KEY_MAX || body(&key).is_ok_and(|written| written.get().len() - "\"\"".len() <= KEY_MAX)
}

struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        if rest.bytes().all(|byte| byte < 0x7f) {
            // The common case.
            return writer.write_all(rest.as_bytes());
        }
        while let Some((at, unsafe_character)) = rest.char_indices().find(|(_, character)| is_unsafe(*character)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            write!(writer, "\\u{:04x}", u32::from(unsafe_character))?;
            rest = &rest[at + unsafe_character.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Whether a YAML parser folds or refuses the character within quotes. Those below U+0020 are escaped in any JSON.
fn is_unsafe(character: char) -> bool {
    matches!(character, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_yaml_folds_or_refuses_is_escaped_and_nothing_else() {
        let object = json!({"a\u{85}": "\u{7f}x\u{80}\u{9f}\u{a0}\u{2027}\u{2028}\u{2029}\u{fefe}\u{feff}\u{fffd}\u{fffe}\u{ffff}😀"});
        let expected = "{\"a\\u0085\":\"\\u007fx\\u0080\\u009f\u{a0}\u{2027}\\u2028\\u2029\u{fefe}\\ufeff\u{fffd}\\ufffe\\uffff😀\"}";
        assert_eq!(body(&object).unwrap().get(), expected);
    }

    #[test]
    fn plain_objects_are_written_as_ever() {
        let object = json!({"a": ["b\n\t\"\\\u{1}", 1, -2.5, null, true, {}], "ü": {"<&>": "%"}});
        assert_eq!(body(&object).unwrap().get(), object.to_string());
    }

    #[test]
    fn keys_are_measured_as_they_are_written() {
        for good in ["", "k", &"k".repeat(1022), &"ü".repeat(511), &"\u{85}".repeat(170)] {
            assert!(is_key(good), "{good}");
        }
        for bad in [&*"k".repeat(1023), &"ü".repeat(512), &"\u{85}".repeat(171), &"\"".repeat(512)] {
            assert!(!is_key(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(key in any::<String>(), value in any::<String>()) {
            let object = json!({key: value});
            let written = body(&object).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Value>(written.get()).unwrap(), &object);
            prop_assert!(!written.get().contains(is_unsafe));
        }
    }
}
