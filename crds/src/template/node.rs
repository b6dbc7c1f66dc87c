//! The parsed template. Nodes point into the source, so that messages can quote them as Go does.

use super::number::Constant;
use super::quote::quoted;
use super::token::{Span, text_of};

/// A string that is mostly a piece of the source.
#[derive(Clone, Debug)]
pub(super) enum Text {
    Source(Span),
    Owned(Box<[u8]>),
}

impl Text {
    pub(super) fn bytes<'t>(&'t self, source: &'t str) -> &'t [u8] {
        match self {
            Self::Source(span) => text_of(source, *span).as_bytes(),
            Self::Owned(bytes) => bytes,
        }
    }
}

/// A variable's number within its template; `$` is 0.
pub(super) type VariableId = u32;

/// The functions a template can call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    And,
    Call,
    Eq,
    Ge,
    Gt,
    Html,
    HttpPathPrefix,
    Index,
    Js,
    Le,
    Len,
    Lt,
    Ne,
    Not,
    Or,
    Print,
    Printf,
    Println,
    Slice,
    UrlQuery,
}

impl Function {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "and" => Self::And,
            "call" => Self::Call,
            "eq" => Self::Eq,
            "ge" => Self::Ge,
            "gt" => Self::Gt,
            "html" => Self::Html,
            "httpPathPrefix" => Self::HttpPathPrefix,
            "index" => Self::Index,
            "js" => Self::Js,
            "le" => Self::Le,
            "len" => Self::Len,
            "lt" => Self::Lt,
            "ne" => Self::Ne,
            "not" => Self::Not,
            "or" => Self::Or,
            "print" => Self::Print,
            "printf" => Self::Printf,
            "println" => Self::Println,
            "slice" => Self::Slice,
            "urlquery" => Self::UrlQuery,
            _ => return None,
        })
    }
}

/// A word of a command.
#[derive(Debug)]
pub(super) struct Operand {
    /// Its place in Go's messages: for a chain of fields, its second part.
    pub(super) pos: u32,
    /// The whole word, without the parentheses of a pipeline.
    pub(super) text: Span,
    pub(super) kind: OperandKind,
}

#[derive(Debug)]
pub(super) enum OperandKind {
    Bool(bool),
    /// Fields of something that is neither dot nor a variable; only the first of them is used.
    Chain {
        node: Box<Operand>,
        fields: Span,
        first: Span,
    },
    Dot,
    Field {
        first: Span,
    },
    Function(Function),
    Nil,
    Number(Constant),
    Pipe(Box<Pipe>),
    String(Text),
    Variable {
        id: VariableId,
        name: Span,
        first_field: Option<Span>,
    },
}

#[derive(Debug)]
pub(super) struct Command {
    pub(super) pos: u32,
    pub(super) args: Vec<Operand>,
}

/// A variable that a pipeline declares or assigns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variable {
    pub(super) id: VariableId,
    pub(super) name: Span,
}

#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) pos: u32,
    pub(super) is_assign: bool,
    pub(super) variables: Vec<Variable>,
    pub(super) commands: Vec<Command>,
}

/// `if`, `with` or `range`.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Option<Vec<Node>>,
}

#[derive(Debug)]
pub(super) struct TemplateCall {
    pub(super) pos: u32,
    pub(super) name: Text,
    pub(super) pipe: Option<Pipe>,
}

#[derive(Debug)]
pub(super) enum Node {
    Action(Pipe),
    Break,
    Continue,
    If(Box<Branch>),
    Range(Box<Branch>),
    Template(Box<TemplateCall>),
    Text(Span),
    With(Box<Branch>),
}

/// How Go writes nodes in its messages.
pub(super) struct Writer<'t> {
    source: &'t str,
    text: String,
}

impl<'t> Writer<'t> {
    pub(super) fn new(source: &'t str) -> Self {
        Self { source, text: String::new() }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    fn span(&mut self, span: Span) {
        self.text.push_str(text_of(self.source, span));
    }

    pub(super) fn operand(mut self, operand: &Operand) -> Self {
        match &operand.kind {
            OperandKind::Pipe(pipe) => self.pipe(pipe),
            OperandKind::Chain { node, fields, .. } => {
                self = self.parenthesized(node);
                self.span(*fields);
                self
            }
            _ => {
                self.span(operand.text);
                self
            }
        }
    }

    fn parenthesized(mut self, operand: &Operand) -> Self {
        if let OperandKind::Pipe(pipe) = &operand.kind {
            self.text.push('(');
            self = self.pipe(pipe);
            self.text.push(')');
            return self;
        }
        self.operand(operand)
    }

    pub(super) fn command(mut self, command: &Command) -> Self {
        for (i, arg) in command.args.iter().enumerate() {
            if i > 0 {
                self.text.push(' ');
            }
            self = self.parenthesized(arg);
        }
        self
    }

    pub(super) fn pipe(mut self, pipe: &Pipe) -> Self {
        for (i, variable) in pipe.variables.iter().enumerate() {
            if i > 0 {
                self.text.push_str(", ");
            }
            self.span(variable.name);
        }
        if !pipe.variables.is_empty() {
            self.text.push_str(if pipe.is_assign { " = " } else { " := " });
        }
        for (i, command) in pipe.commands.iter().enumerate() {
            if i > 0 {
                self.text.push_str(" | ");
            }
            self = self.command(command);
        }
        self
    }

    pub(super) fn template(mut self, call: &TemplateCall) -> Self {
        self.text.push_str("{{template ");
        self.text.push_str(&quoted(call.name.bytes(self.source)));
        if let Some(pipe) = &call.pipe {
            self.text.push(' ');
            self = self.pipe(pipe);
        }
        self.text.push_str("}}");
        self
    }
}
