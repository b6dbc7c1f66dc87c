//! How large a text is where the API server stores it.

/// The size of `text` in bytes, in JSON as Go writes it (`encoding/json` with its default escapes), in which the API
/// server stores custom resources and the pod templates in ControllerRevisions.
pub fn stored_bytes(text: &str) -> usize {
    text.chars()
        .map(|character| match character {
            '"' | '\\' | '\t' | '\n' | '\r' | '\u{8}' | '\u{c}' => 2,
            '<' | '>' | '&' | '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => "\\u003c".len(),
            other => other.len_utf8(),
        })
        .sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytes_are_counted_as_go_writes_them() {
        for (text, written) in [
            ("", ""),
            ("plain ü😀", "plain ü😀"),
            ("a<b>&c", r"a\u003cb\u003e\u0026c"),
            ("\"\\\t\n\r\u{8}\u{c}", r#"\"\\\t\n\r\b\f"#),
            ("\0\u{1f}\u{7f}\u{2028}", "\\u0000\\u001f\u{7f}\\u2028"),
        ] {
            assert_eq!(super::stored_bytes(text), written.len(), "{text:?}");
        }
    }
}
