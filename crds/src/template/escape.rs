//! `html`, `js` and `urlquery`.

use super::limits::{Exceeded, Sink};
use super::runes::{first_rune, is_printable};

/// Writes `bytes` with some of them replaced; `replace` gets the remaining bytes and returns a replacement for the
/// first few of them, and their number.
fn replacing(
    mut sink: Sink<'_>,
    bytes: &[u8],
    replace: impl Fn(&[u8]) -> (Option<Replacement>, usize),
) -> Result<(), Exceeded> {
    let (mut plain, mut at) = (0, 0);
    while at < bytes.len() {
        let (replacement, length) = replace(&bytes[at..]);
        if let Some(replacement) = replacement {
            sink.put(&bytes[plain..at])?;
            match replacement {
                Replacement::Text(text) => sink.put(text.as_bytes())?,
                Replacement::Made(text) => sink.put(text.as_bytes())?,
            }
            plain = at + length;
        }
        at += length;
    }
    sink.put(&bytes[plain..])
}

enum Replacement {
    Text(&'static str),
    Made(String),
}

pub(super) fn html(sink: Sink<'_>, bytes: &[u8]) -> Result<(), Exceeded> {
    replacing(sink, bytes, |rest| {
        let replacement = match rest[0] {
            0 => "\u{fffd}",
            b'"' => "&#34;",
            b'\'' => "&#39;",
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            _ => return (None, 1),
        };
        (Some(Replacement::Text(replacement)), 1)
    })
}

pub(super) fn js(sink: Sink<'_>, bytes: &[u8]) -> Result<(), Exceeded> {
    replacing(sink, bytes, |rest| {
        let replacement = match rest[0] {
            b'\\' => "\\\\",
            b'\'' => "\\'",
            b'"' => "\\\"",
            b'<' => "\\u003C",
            b'>' => "\\u003E",
            b'&' => "\\u0026",
            b'=' => "\\u003D",
            byte @ 0..=0x1f => return (Some(Replacement::Made(format!("\\u00{byte:02X}"))), 1),
            0x20..=0x7f => return (None, 1),
            _ => {
                let (rune, length) = first_rune(rest);
                let hidden = rune.filter(|c| !is_printable(*c));
                return (hidden.map(|c| Replacement::Made(format!("\\u{:04X}", u32::from(c)))), length);
            }
        };
        (Some(Replacement::Text(replacement)), 1)
    })
}

pub(super) fn url_query(sink: Sink<'_>, bytes: &[u8]) -> Result<(), Exceeded> {
    replacing(sink, bytes, |rest| {
        let replacement = match rest[0] {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => None,
            b' ' => Some(Replacement::Text("+")),
            byte => Some(Replacement::Made(format!("%{byte:02X}"))),
        };
        (replacement, 1)
    })
}
