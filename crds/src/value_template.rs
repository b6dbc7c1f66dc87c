//! The value of an environment variable or a header: one Go template, with the error texts that users match on.

use crate::template::{Functions, Limits, Mode, Template, TemplateError};

/// A parsed value. Parsed once, rendered for many Workspaces.
#[derive(Debug)]
pub struct ValueTemplate {
    source: String,
    template: Template,
}

/// A rendered value and the port ids that it asked for, in order and without duplicates.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RenderedValue {
    /// The value.
    pub text: String,
    /// The port ids passed to `httpPathPrefix`.
    pub port_ids: Vec<String>,
}

/// What is wrong with a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ValueFault {
    /// What is wrong.
    pub detail: String,
    /// The offset of the wrong byte in the value as written, if known.
    pub at: Option<usize>,
}

/// The longest text that a message quotes, in bytes.
const QUOTED_MAX: usize = 256;

impl ValueTemplate {
    /// Parses `source`.
    ///
    /// The error is `failed to parse template "SOURCE": …`, with Go's own text.
    pub fn parse(source: &str, limits: &Limits) -> Result<Self, ValueFault> {
        match Template::parse("value", source, limits) {
            Ok(template) => Ok(Self { source: source.to_owned(), template }),
            Err(error) => Err(describe("parse", source, &error)),
        }
    }

    /// The value as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Renders the value.
    ///
    /// The error is `failed to execute template "SOURCE": …`, with Go's own text.
    pub fn render(&self, functions: &dyn Functions, mode: Mode) -> Result<RenderedValue, ValueFault> {
        let rendered =
            self.template.render(functions, mode).map_err(|error| describe("execute", &self.source, &error))?;
        match String::from_utf8(rendered.bytes) {
            Ok(text) => Ok(RenderedValue { text, port_ids: rendered.port_ids }),
            // Go stores such bytes as U+FFFD when the object is written.
            Err(error) if mode == Mode::Lenient => {
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                Ok(RenderedValue { text, port_ids: rendered.port_ids })
            }
            Err(_) => {
                let detail =
                    format!("failed to execute template {}: the output is not valid UTF-8", quoted(&self.source));
                Err(ValueFault { detail, at: None })
            }
        }
    }
}

fn describe(step: &str, source: &str, error: &TemplateError) -> ValueFault {
    let hint = error.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    let detail = format!("failed to {step} template {}: {}{hint}", quoted(source), error.message);
    ValueFault { detail, at: Some(error.offset) }
}

/// `text` as Go's `%q` writes it, cut at 256 bytes.
pub fn quoted(text: &str) -> String {
    shortened(text, crate::template::quote)
}

/// `text` cut at 256 bytes, as `write` formats it.
pub fn shortened(text: &str, write: impl FnOnce(&str) -> String) -> String {
    let cut = cut(text);
    let mut written = write(cut);
    if cut.len() < text.len() {
        written.push('…');
    }
    written
}

/// As much of `text` as a message needs that quotes it: what is longer than the quotation stays recognisable as such.
pub fn quotable(text: &str) -> &str {
    &text[..text.floor_char_boundary((QUOTED_MAX + char::MAX_LEN_UTF8).min(text.len()))]
}

/// The first 256 bytes of `text`, or one character less.
pub fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(QUOTED_MAX.min(text.len()))]
}

/// `path[key]`, with a key of any length cut at 256 bytes.
pub fn key(path: &str, key: &str) -> String {
    let shown = shortened(key, |key| {
        // No control characters for the terminal, and no second line.
        if key.chars().any(char::is_control) { key.escape_default().to_string() } else { key.to_owned() }
    });
    format!("{path}[{shown}]")
}
