//! Texts that others wrote, in a form that shows what they are, on a page and on a terminal: nothing in them moves, hides or colours
//! what stands beside it. Markup is left to who writes it.

/// The longest text of a table, in characters.
pub const SHORT: usize = 120;
/// The longest message, in characters.
pub const LONG: usize = 400;
/// The longest message of ours that quotes the API server and ends with what to do, in characters.
pub const OURS: usize = 1_500;

/// At most `most` characters of the text; those that nobody sees, or that change how the rest is shown, are written as `\u{…}`.
pub fn shown(text: &str, most: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(most * 4));
    for (count, character) in text.chars().enumerate() {
        if count == most {
            shown.push('…');
            break;
        }
        if is_hidden(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(if character.is_whitespace() { ' ' } else { character });
        }
    }
    shown
}

/// Control characters but for white space; marks of direction, which turn the rest of a line around; characters without a width.
fn is_hidden(character: char) -> bool {
    let is_of_direction =
        matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let has_no_width = matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
            | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
    );
    (character.is_control() && !matches!(character, '\n' | '\r' | '\t')) || is_of_direction || has_no_width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turns_or_hides_text_is_written_out() {
        assert_eq!(shown("plain ünïcode 漢字 🎉", LONG), "plain ünïcode 漢字 🎉");
        assert_eq!(
            shown("a\u{202e}b\u{200b}c\u{0}d\u{85}e\u{2066}f\u{feff}", LONG),
            "a\\u{202e}b\\u{200b}c\\u{0}d\\u{85}e\\u{2066}f\\u{feff}"
        );
        assert_eq!(shown("two\nlines\ttab\u{2028}three", LONG), "two lines tab three");
        assert_eq!(shown("<script>alert('1')</script>", LONG), "<script>alert('1')</script>", "the template escapes");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(shown("äöüäöü", 6), "äöüäöü");
        assert_eq!(shown("äöüäöü", 5), "äöüäö…");
        assert_eq!(shown(&"x".repeat(1 << 20), LONG).chars().count(), LONG + 1);
    }
}
