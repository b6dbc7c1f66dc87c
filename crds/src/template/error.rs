//! What can go wrong with a template, and where in its source.

use crate::nearest::nearest;

/// Why a template was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// It is not a template of the language.
    Parse,
    /// It is a template, but running it fails.
    Execute,
    /// It exceeds a limit. Go might accept it.
    Limit,
    /// It would print a value that does not exist. Only in [`super::Mode::Strict`]; Go prints `<no value>`.
    NoValue,
}

/// A refused template: Go's own message, and its place in the source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// The kind of the error.
    pub kind: ErrorKind,
    /// For [`ErrorKind::Parse`] and [`ErrorKind::Execute`] the text of Go 1.26, bytes that are not UTF-8 replaced.
    pub message: String,
    /// Line of the place, from 1.
    pub line: usize,
    /// Column of the place in characters, from 1.
    pub column: usize,
    /// Byte offset of the place in the source.
    pub offset: usize,
    /// What to write instead, if known.
    pub hint: Option<String>,
}

impl TemplateError {
    /// An error about the byte at `offset` of `source`.
    pub(super) fn new(kind: ErrorKind, message: String, source: &str, offset: usize) -> Self {
        let before = source.get(..offset).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            kind,
            message,
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).map_or(0, |line| line.chars().count()) + 1,
            offset: before.len(),
            hint: None,
        }
    }

    /// Sets the place to another byte of `source`.
    pub(super) fn move_to(&mut self, source: &str, offset: usize) {
        let moved = Self::new(self.kind, String::new(), source, offset);
        (self.line, self.column, self.offset) = (moved.line, moved.column, moved.offset);
    }

    /// Adds a hint if `name` is similar to a function.
    pub(super) fn with_name_hint(mut self, name: &str) -> Self {
        self.hint = nearest(name, ["httpPathPrefix"]).map(|function| format!("did you mean {function}?"));
        self
    }

    /// Adds a hint if `text` was written where a string is required.
    pub(super) fn with_quote_hint(mut self, text: &str) -> Self {
        self.hint = quote_hint(text);
        self
    }
}

/// A hint on a literal that is quoted like a string of another language.
fn quote_hint(text: &str) -> Option<String> {
    let single = text.starts_with('\'');
    let curly = text.starts_with(['\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{ab}']);
    if !single && !curly {
        return None;
    }
    let content: String = text.chars().skip(1).take_while(|c| !matches!(c, '\'' | '\n' | '}')).take(63).collect();
    let plain = !content.is_empty() && content.chars().all(|c| c.is_ascii_alphanumeric() || "-_./ ".contains(c));
    Some(match (single, plain) {
        (true, true) => format!("write it in double quotes: \"{}\"", content.trim_end()),
        (true, false) => "write it in double quotes: single quotes are for one character".to_owned(),
        (false, _) => "write it in straight double quotes".to_owned(),
    })
}
