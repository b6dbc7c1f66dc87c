//! The inside of an action: declarations, commands, operands.

use super::error::TemplateError;
use super::node::{Command, Function, Operand, OperandKind, Pipe, Variable};
use super::number;
use super::parse::{Parser, Result};
use super::quote::quoted;
use super::token::{Span, Token, TokenKind, text_of};

impl Parser<'_> {
    /// Reads up to and with the token `end`.
    pub(super) fn pipeline(&mut self, context: &str, end: TokenKind) -> Result<Pipe> {
        let pos = self.peek_non_space().span.start;
        let mut pipe = Pipe { pos, is_assign: false, variables: Vec::new(), commands: Vec::with_capacity(1) };
        while self.declaration(&mut pipe, context)? {}
        loop {
            let token = self.next_non_space();
            match token.kind {
                kind if kind == end => {
                    self.check(token, &pipe, context)?;
                    return Ok(pipe);
                }
                TokenKind::Bool
                | TokenKind::CharConstant
                | TokenKind::Complex
                | TokenKind::Dot
                | TokenKind::Field
                | TokenKind::Identifier
                | TokenKind::Number
                | TokenKind::Nil
                | TokenKind::RawString
                | TokenKind::String
                | TokenKind::Variable
                | TokenKind::LeftParen => {
                    self.backup();
                    pipe.commands.push(self.command()?);
                }
                _ => return Err(self.unexpected(token, context)),
            }
        }
    }

    /// Reads `$x :=`, `$x =` or `$x,`; returns whether another declaration follows.
    fn declaration(&mut self, pipe: &mut Pipe, context: &str) -> Result<bool> {
        let name = self.peek_non_space();
        if name.kind != TokenKind::Variable {
            return Ok(false);
        }
        self.next();
        // Only the token after the space distinguishes a declaration from an argument.
        let after = self.peek();
        let next = self.peek_non_space();
        match next.kind {
            TokenKind::Assign | TokenKind::Declare => {
                pipe.is_assign = next.kind == TokenKind::Assign;
                self.next_non_space();
                self.add_variable(pipe, name);
                Ok(false)
            }
            TokenKind::Char if self.text(next) == "," => {
                self.next_non_space();
                self.add_variable(pipe, name);
                if context != "range" || pipe.variables.len() >= 2 {
                    return Err(self.error(next, &format!("too many declarations in {context}")));
                }
                let following = self.peek_non_space();
                match following.kind {
                    TokenKind::Variable | TokenKind::RightDelim | TokenKind::RightParen => Ok(true),
                    _ => Err(self.error(following, "range can only initialize variables")),
                }
            }
            _ => {
                if after.kind == TokenKind::Space {
                    self.backup3(name, after);
                } else {
                    self.backup2(name);
                }
                Ok(false)
            }
        }
    }

    fn add_variable(&mut self, pipe: &mut Pipe, name: Token) {
        let id = self.declare(self.text(name));
        pipe.variables.push(Variable { id, name: name.span });
    }

    fn check(&self, end: Token, pipe: &Pipe, context: &str) -> Result<()> {
        let Some((_, later)) = pipe.commands.split_first() else {
            return Err(self.error(end, &format!("missing value for {context}")));
        };
        for (i, command) in later.iter().enumerate() {
            if matches!(
                command.args.first().map(|first| &first.kind),
                Some(
                    OperandKind::Bool(_)
                        | OperandKind::Dot
                        | OperandKind::Nil
                        | OperandKind::Number(_)
                        | OperandKind::String(_)
                )
            ) {
                let mut error = self.error(end, &format!("non executable command in pipeline stage {}", i + 2));
                error.move_to(self.source, command.pos as usize);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Operands up to a pipe symbol, which is consumed, or the end of the pipeline, which is not.
    fn command(&mut self) -> Result<Command> {
        let mut command = Command { pos: self.peek_non_space().span.start, args: Vec::with_capacity(2) };
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                command.args.push(operand);
            }
            let token = self.next();
            match token.kind {
                TokenKind::Space => continue,
                TokenKind::RightDelim | TokenKind::RightParen => self.backup(),
                TokenKind::Pipe => {}
                _ => return Err(self.unexpected(token, "operand")),
            }
            break;
        }
        if command.args.is_empty() {
            return Err(self.error_here("empty command"));
        }
        Ok(command)
    }

    /// A term with the fields that follow it.
    fn operand(&mut self) -> Result<Option<Operand>> {
        let Some(mut operand) = self.term()? else {
            return Ok(None);
        };
        let first = self.peek();
        if first.kind != TokenKind::Field {
            return Ok(Some(operand));
        }
        let mut fields = first.span;
        while self.peek().kind == TokenKind::Field {
            fields.end = self.next().span.end;
        }
        let first = without_dot(first.span);
        match &mut operand.kind {
            OperandKind::Field { .. } => {}
            OperandKind::Variable { first_field, .. } => *first_field = Some(first),
            OperandKind::Function(_) | OperandKind::Pipe(_) => {
                let (pos, text) = (fields.start, operand.text);
                let kind = OperandKind::Chain { node: Box::new(operand), fields, first };
                return Ok(Some(Operand { pos, text, kind }));
            }
            _ => return Err(self.field_of_literal(&operand, fields)),
        }
        operand.pos = fields.start;
        operand.text.end = fields.end;
        Ok(Some(operand))
    }

    fn field_of_literal(&self, operand: &Operand, fields: Span) -> TemplateError {
        let text = text_of(self.source, operand.text);
        let mut error = self.error_here(&format!("unexpected . after term {}", quoted(text.as_bytes())));
        error.move_to(self.source, fields.start as usize);
        error
    }

    /// A literal, a name or a pipeline in parentheses; `None` if the next token is none of these.
    fn term(&mut self) -> Result<Option<Operand>> {
        let token = self.next_non_space();
        let text = self.text(token);
        let kind = match token.kind {
            TokenKind::Identifier => OperandKind::Function(Function::named(text).ok_or_else(|| {
                let error = self.error(token, &format!("function {} not defined", quoted(text.as_bytes())));
                error.with_name_hint(text)
            })?),
            TokenKind::Dot => OperandKind::Dot,
            TokenKind::Nil => OperandKind::Nil,
            TokenKind::Variable => OperandKind::Variable { id: self.used(token)?, name: token.span, first_field: None },
            TokenKind::Field => OperandKind::Field { first: without_dot(token.span) },
            TokenKind::Bool => OperandKind::Bool(text == "true"),
            TokenKind::CharConstant | TokenKind::Complex | TokenKind::Number => OperandKind::Number(
                number::parse(token.kind, text).map_err(|why| self.error(token, &why).with_quote_hint(text))?,
            ),
            TokenKind::LeftParen => OperandKind::Pipe(Box::new(
                self.nested(|parser| parser.pipeline("parenthesized pipeline", TokenKind::RightParen))?,
            )),
            TokenKind::String | TokenKind::RawString => OperandKind::String(self.string(token)?),
            _ => {
                self.backup();
                return Ok(None);
            }
        };
        Ok(Some(Operand { pos: token.span.start, text: token.span, kind }))
    }
}

fn without_dot(field: Span) -> Span {
    Span { start: field.start + 1, end: field.end }
}
