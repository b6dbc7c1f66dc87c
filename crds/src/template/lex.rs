//! Source to tokens. The parser asks for one token at a time; trim markers and comments never reach it.

use super::quote::quoted;
use super::runes::{is_alphanumeric, unicode_point};
use super::token::{Span, Token, TokenKind, text_of};

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// `- ` right after the left delimiter.
fn has_left_trim_marker(rest: &str) -> bool {
    matches!(rest.as_bytes(), [b'-', space, ..] if is_space(*space))
}

/// ` -` right before the right delimiter.
fn is_trimmed_right_delim(rest: &str) -> bool {
    matches!(rest.as_bytes(), [space, b'-', b'}', b'}', ..] if is_space(*space))
}

const TRIM_MARKER: usize = 2;

pub(super) struct Lexer<'s> {
    source: &'s str,
    /// Start of the token that is being read, and how far it has been read.
    start: usize,
    pos: usize,
    /// Newlines before `counted`, plus one.
    line: u32,
    counted: usize,
    inside_action: bool,
    paren_depth: u32,
    /// Text of the error token, and the place it is about.
    error: Option<(String, usize)>,
}

impl<'s> Lexer<'s> {
    /// The source is shorter than 4 GiB: the parser has checked its limit.
    pub(super) fn new(source: &'s str) -> Self {
        Self { source, start: 0, pos: 0, line: 1, counted: 0, inside_action: false, paren_depth: 0, error: None }
    }

    /// The text of the error token, and the byte offset it is about.
    pub(super) fn error(&self) -> (&str, usize) {
        self.error.as_ref().map_or(("", 0), |(text, offset)| (text.as_str(), *offset))
    }

    /// How messages show a token.
    pub(super) fn show(&self, token: Token) -> String {
        let text = text_of(self.source, token.span);
        match token.kind {
            TokenKind::Eof => "EOF".to_owned(),
            TokenKind::Error => self.error().0.to_owned(),
            kind if kind.is_keyword() => format!("<{text}>"),
            _ if text.len() > 10 => {
                let end = text.char_indices().nth(10).map_or(text.len(), |(end, _)| end);
                format!("{}...", quoted(&text.as_bytes()[..end]))
            }
            _ => quoted(text.as_bytes()),
        }
    }

    pub(super) fn next(&mut self) -> Token {
        if self.inside_action { self.action() } else { self.text() }
    }

    fn rest(&self) -> &'s str {
        &self.source[self.pos..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn peek_byte(&self) -> Option<u8> {
        self.source.as_bytes().get(self.pos).copied()
    }

    fn advance(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, valid: &[u8]) -> bool {
        let found = self.peek_byte().is_some_and(|byte| valid.contains(&byte));
        self.pos += usize::from(found);
        found
    }

    fn accept_run(&mut self, valid: &[u8]) {
        while self.accept(valid) {}
    }

    #[allow(clippy::cast_possible_truncation, reason = "the source is shorter than 4 GiB")]
    fn span(&self, end: usize) -> Span {
        Span { start: self.start as u32, end: end as u32 }
    }

    /// The token from `start` to `pos`; the next one begins there.
    fn emit(&mut self, kind: TokenKind) -> Token {
        let newlines = self.source[self.counted..self.start].matches('\n').count();
        self.line += u32::try_from(newlines).unwrap_or(u32::MAX);
        self.counted = self.start;
        let token = Token { kind, span: self.span(self.pos), line: self.line };
        self.start = self.pos;
        token
    }

    /// An error about the place `offset`; its line is that of the token it interrupts.
    fn fail_at(&mut self, offset: usize, text: String) -> Token {
        self.error = Some((text, offset));
        self.emit(TokenKind::Error)
    }

    fn fail(&mut self, text: &str) -> Token {
        self.fail_at(self.start, text.to_owned())
    }

    fn text(&mut self) -> Token {
        loop {
            let Some(length) = self.rest().find(LEFT) else {
                self.pos = self.source.len();
                return if self.pos > self.start { self.emit(TokenKind::Text) } else { self.emit(TokenKind::Eof) };
            };
            let delim = self.pos + length;
            if length > 0 {
                let mut text = &self.source[self.start..delim];
                if has_left_trim_marker(&self.source[delim + LEFT.len()..]) {
                    text = text.trim_end_matches(SPACES);
                }
                let is_empty = text.is_empty();
                self.pos = self.start + text.len();
                let token = self.emit(TokenKind::Text);
                self.pos = delim;
                self.start = delim;
                if !is_empty {
                    return token;
                }
            }
            if let Some(token) = self.left_delim() {
                return token;
            }
        }
    }

    /// The left delimiter at `pos`; a comment gives no token, unless it is broken.
    fn left_delim(&mut self) -> Option<Token> {
        self.pos += LEFT.len();
        let marker = if has_left_trim_marker(self.rest()) { TRIM_MARKER } else { 0 };
        if self.rest()[marker..].starts_with("/*") {
            self.pos += marker;
            self.start = self.pos;
            return self.comment();
        }
        let token = self.emit(TokenKind::LeftDelim);
        self.inside_action = true;
        self.paren_depth = 0;
        self.pos += marker;
        self.start = self.pos;
        Some(token)
    }

    fn comment(&mut self) -> Option<Token> {
        let Some(length) = self.rest()[2..].find("*/") else {
            return Some(self.fail("unclosed comment"));
        };
        self.pos += 2 + length + 2;
        let trimmed = is_trimmed_right_delim(self.rest());
        if !trimmed && !self.rest().starts_with(RIGHT) {
            return Some(self.fail_at(self.pos, "comment ends before closing delimiter".to_owned()));
        }
        self.skip_right_delim(trimmed);
        None
    }

    /// Moves past the right delimiter and, if it is trimmed, the space after it.
    fn skip_right_delim(&mut self, trimmed: bool) {
        self.pos += RIGHT.len();
        if trimmed {
            self.pos += TRIM_MARKER;
            self.pos = self.source.len() - self.rest().trim_start_matches(SPACES).len();
        }
        self.start = self.pos;
    }

    fn right_delim(&mut self, trimmed: bool) -> Token {
        if trimmed {
            self.start += TRIM_MARKER;
        }
        self.pos = self.start + RIGHT.len();
        let token = self.emit(TokenKind::RightDelim);
        self.pos -= RIGHT.len() + if trimmed { TRIM_MARKER } else { 0 };
        self.skip_right_delim(trimmed);
        self.inside_action = false;
        token
    }

    fn action(&mut self) -> Token {
        let trimmed = is_trimmed_right_delim(self.rest());
        if trimmed || self.rest().starts_with(RIGHT) {
            if self.paren_depth == 0 {
                return self.right_delim(trimmed);
            }
            return self.fail("unclosed left paren");
        }
        let Some(c) = self.advance() else {
            return self.fail("unclosed action");
        };
        match c {
            ' ' | '\t' | '\r' | '\n' => self.space(),
            '=' => self.emit(TokenKind::Assign),
            ':' if self.accept(b"=") => self.emit(TokenKind::Declare),
            ':' => self.fail("expected :="),
            '|' => self.emit(TokenKind::Pipe),
            '"' => self.quoted(b'"', TokenKind::String, "unterminated quoted string"),
            '\'' => self.quoted(b'\'', TokenKind::CharConstant, "unterminated character constant"),
            '`' => self.raw_string(),
            '$' => self.field_or_variable(TokenKind::Variable),
            '.' if self.peek_byte().is_some_and(|byte| !byte.is_ascii_digit()) => {
                self.field_or_variable(TokenKind::Field)
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.pos = self.start;
                self.number()
            }
            c if is_alphanumeric(c) => self.identifier(),
            '(' => {
                self.paren_depth += 1;
                self.emit(TokenKind::LeftParen)
            }
            ')' if self.paren_depth == 0 => self.fail("unexpected right paren"),
            ')' => {
                self.paren_depth -= 1;
                self.emit(TokenKind::RightParen)
            }
            '!'..='~' => self.emit(TokenKind::Char),
            c => self.fail_at(self.start, format!("unrecognized character in action: {}", unicode_point(c))),
        }
    }

    /// A run of spaces, but for the one that belongs to a trimmed right delimiter.
    fn space(&mut self) -> Token {
        self.pos = self.source.len() - self.rest().trim_start_matches(SPACES).len();
        if is_trimmed_right_delim(&self.source[self.pos - 1..]) {
            self.pos -= 1;
            if self.pos == self.start {
                return self.right_delim(true);
            }
        }
        self.emit(TokenKind::Space)
    }

    /// Whether an identifier may end here.
    fn at_terminator(&self) -> bool {
        match self.peek_byte() {
            None | Some(b' ' | b'\t' | b'\r' | b'\n' | b'.' | b',' | b'|' | b':' | b')' | b'(') => true,
            Some(_) => self.rest().starts_with(RIGHT),
        }
    }

    /// Reads letters and digits; whatever follows has to end the word.
    fn word(&mut self) -> Result<(), Token> {
        while self.peek().is_some_and(is_alphanumeric) {
            self.advance();
        }
        if self.at_terminator() {
            return Ok(());
        }
        let bad = self.peek().unwrap_or_default();
        Err(self.fail_at(self.pos, format!("bad character {}", unicode_point(bad))))
    }

    fn identifier(&mut self) -> Token {
        if let Err(token) = self.word() {
            return token;
        }
        self.emit(TokenKind::of_word(&self.source[self.start..self.pos]))
    }

    fn field_or_variable(&mut self, kind: TokenKind) -> Token {
        if self.at_terminator() {
            return self.emit(if kind == TokenKind::Field { TokenKind::Dot } else { kind });
        }
        if let Err(token) = self.word() {
            return token;
        }
        self.emit(kind)
    }

    /// A string or a character; whether its escapes are right is the parser's business.
    fn quoted(&mut self, quote: u8, kind: TokenKind, unterminated: &str) -> Token {
        loop {
            let mut c = self.advance();
            if c == Some('\\') {
                c = self.advance().filter(|escaped| *escaped != '\n');
                if c.is_some() {
                    continue;
                }
            }
            match c {
                None | Some('\n') => return self.fail(unterminated),
                Some(c) if c == char::from(quote) => return self.emit(kind),
                Some(_) => {}
            }
        }
    }

    fn raw_string(&mut self) -> Token {
        match self.rest().find('`') {
            Some(length) => {
                self.pos += length + 1;
                self.emit(TokenKind::RawString)
            }
            None => self.fail("unterminated raw quoted string"),
        }
    }

    /// A number. What is accepted here need not be one: the parser finds out.
    fn number(&mut self) -> Token {
        let mut good = self.scan_number();
        let mut kind = TokenKind::Number;
        if good && matches!(self.peek_byte(), Some(b'+' | b'-')) {
            kind = TokenKind::Complex;
            good = self.scan_number() && self.source.as_bytes()[self.pos - 1] == b'i';
        }
        if good {
            return self.emit(kind);
        }
        let text = quoted(&self.source.as_bytes()[self.start..self.pos]);
        self.fail_at(self.start, format!("bad number syntax: {text}"))
    }

    fn scan_number(&mut self) -> bool {
        const DECIMAL: &[u8] = b"0123456789_";
        const HEX: &[u8] = b"0123456789abcdefABCDEF_";
        self.accept(b"+-");
        let mut digits = DECIMAL;
        if self.accept(b"0") {
            if self.accept(b"xX") {
                digits = HEX;
            } else if self.accept(b"oO") {
                digits = b"01234567_";
            } else if self.accept(b"bB") {
                digits = b"01_";
            }
        }
        self.accept_run(digits);
        if self.accept(b".") {
            self.accept_run(digits);
        }
        if (digits == DECIMAL && self.accept(b"eE")) || (digits == HEX && self.accept(b"pP")) {
            self.accept(b"+-");
            self.accept_run(DECIMAL);
        }
        self.accept(b"i");
        if self.peek().is_some_and(is_alphanumeric) {
            self.advance();
            return false;
        }
        true
    }
}
