//! The parser's view of the tokens: reading, unreading, and errors about them.

use super::error::{ErrorKind, TemplateError};
use super::parse::{Parser, Result};
use super::token::{Token, TokenKind, text_of};

impl<'s> Parser<'s> {
    pub(super) fn next(&mut self) -> Token {
        if self.tree.peeked > 0 {
            self.tree.peeked -= 1;
        } else {
            self.tree.tokens[0] = self.lexer.next();
        }
        self.tree.tokens[self.tree.peeked]
    }

    pub(super) fn backup(&mut self) {
        self.tree.peeked += 1;
    }

    /// Puts one more token back before the one that was read last.
    pub(super) fn backup2(&mut self, first: Token) {
        self.tree.tokens[1] = first;
        self.tree.peeked = 2;
    }

    /// Puts two more tokens back before the one that was read last.
    pub(super) fn backup3(&mut self, first: Token, second: Token) {
        self.tree.tokens[1] = second;
        self.tree.tokens[2] = first;
        self.tree.peeked = 3;
    }

    pub(super) fn peek(&mut self) -> Token {
        if self.tree.peeked > 0 {
            return self.tree.tokens[self.tree.peeked - 1];
        }
        self.tree.peeked = 1;
        self.tree.tokens[0] = self.lexer.next();
        self.tree.tokens[0]
    }

    pub(super) fn next_non_space(&mut self) -> Token {
        loop {
            let token = self.next();
            if token.kind != TokenKind::Space {
                return token;
            }
        }
    }

    pub(super) fn peek_non_space(&mut self) -> Token {
        let token = self.next_non_space();
        self.backup();
        token
    }

    pub(super) fn text(&self, token: Token) -> &'s str {
        text_of(self.source, token.span)
    }

    pub(super) fn error_at(&self, kind: ErrorKind, offset: usize, text: &str) -> TemplateError {
        let message = format!("template: {}:{}: {text}", self.name, self.tree.tokens[0].line);
        TemplateError::new(kind, message, self.source, offset)
    }

    /// An error about `token`.
    pub(super) fn error(&self, token: Token, text: &str) -> TemplateError {
        self.error_at(ErrorKind::Parse, token.span.start as usize, text)
    }

    /// An error about the token that was read last.
    pub(super) fn error_here(&self, text: &str) -> TemplateError {
        self.error(self.tree.tokens[0], text)
    }

    pub(super) fn unexpected(&self, token: Token, context: &str) -> TemplateError {
        if token.kind != TokenKind::Error {
            return self.error(token, &format!("unexpected {} in {context}", self.lexer.show(token)));
        }
        let (text, offset) = self.lexer.error();
        let mut text = text.to_owned();
        let line = self.tree.action_line;
        if line != 0 && line != token.line {
            let action = if text.ends_with(" action") { "" } else { " in action" };
            text = format!("{text}{action} started at {}:{line}", self.name);
        }
        let wrong = self.source.get(offset..).unwrap_or_default();
        self.error_at(ErrorKind::Parse, offset, &text).with_quote_hint(wrong)
    }

    pub(super) fn expect(&mut self, kind: TokenKind, context: &str) -> Result<Token> {
        let token = self.next_non_space();
        if token.kind == kind { Ok(token) } else { Err(self.unexpected(token, context)) }
    }
}
