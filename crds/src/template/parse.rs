//! Tokens to nodes: text, actions and control structures. The content of an action is parsed by [`super::pipeline`].
//!
//! Recursion goes as deep as the nesting limit and no deeper.

use std::collections::HashMap;

use super::error::{ErrorKind, TemplateError};
use super::lex::Lexer;
use super::limits::Limits;
use super::node::{Branch, Node, TemplateCall, Text, VariableId};
use super::quote::{INVALID_SYNTAX, Literal, quoted, unquote};
use super::token::{Span, Token, TokenKind, text_of};

/// A template with its definitions.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) main: Vec<Node>,
    /// Templates by name, but for the main one.
    pub(super) defined: HashMap<Box<[u8]>, Vec<Node>>,
    /// How many variables have names.
    pub(super) variables: usize,
}

/// A definition, and whether it holds nothing but space.
struct Definition {
    nodes: Vec<Node>,
    is_empty: bool,
}

impl Definition {
    fn new(nodes: Vec<Node>, source: &str) -> Self {
        let is_blank = |node: &Node| matches!(node, Node::Text(span) if text_of(source, *span).trim().is_empty());
        Self { is_empty: nodes.iter().all(is_blank), nodes }
    }
}

/// What Go keeps for each definition: lookahead, variables in scope, and where it is.
pub(super) struct Tree {
    pub(super) tokens: [Token; 3],
    pub(super) peeked: usize,
    scope: Vec<VariableId>,
    /// How often each variable is in scope.
    declared: Vec<u32>,
    /// Line of the action that is being read, 0 outside.
    pub(super) action_line: u32,
    range_depth: usize,
}

impl Tree {
    fn new() -> Self {
        Self {
            tokens: [Token::NONE; 3],
            peeked: 0,
            scope: Vec::new(),
            declared: Vec::new(),
            action_line: 0,
            range_depth: 0,
        }
    }
}

/// What was found at a place in the source.
enum Item {
    Node(Node),
    End,
    Else,
}

impl Item {
    fn name(&self) -> &'static str {
        if matches!(self, Self::Else) { "{{else}}" } else { "{{end}}" }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Control {
    If,
    Range,
    With,
}

impl Control {
    fn context(self) -> &'static str {
        match self {
            Self::If => "if",
            Self::Range => "range",
            Self::With => "with",
        }
    }
}

pub(super) type Result<T> = std::result::Result<T, TemplateError>;

pub(super) struct Parser<'s> {
    pub(super) name: &'s str,
    pub(super) source: &'s str,
    limits: &'s Limits,
    pub(super) lexer: Lexer<'s>,
    pub(super) tree: Tree,
    ids: HashMap<&'s str, VariableId>,
    main: Option<Definition>,
    defined: HashMap<Box<[u8]>, Definition>,
    depth: usize,
}

/// Parses `source`, whose length has been checked.
pub(super) fn parse(name: &str, source: &str, limits: &Limits) -> Result<Parsed> {
    let mut parser = Parser {
        name,
        source,
        limits,
        lexer: Lexer::new(source),
        tree: Tree::new(),
        ids: HashMap::new(),
        main: None,
        defined: HashMap::new(),
        depth: 0,
    };
    let nodes = parser.top_level()?;
    parser.define(name.as_bytes(), nodes)?;
    let variables = parser.ids.len() + 1;
    Ok(Parsed {
        main: parser.main.map(|definition| definition.nodes).unwrap_or_default(),
        defined: parser.defined.into_iter().map(|(name, definition)| (name, definition.nodes)).collect(),
        variables,
    })
}

impl<'s> Parser<'s> {
    /// Runs `read` one level deeper.
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= self.limits.nesting {
            let token = self.tree.tokens[0];
            let text = format!("actions and parentheses are nested more than {} levels deep", self.limits.nesting);
            return Err(self.error_at(ErrorKind::Limit, token.span.start as usize, &text));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// The number of a variable; `$` has 0.
    fn id(&mut self, name: &'s str) -> VariableId {
        if name == "$" {
            return 0;
        }
        let next = self.ids.len() + 1;
        *self.ids.entry(name).or_insert_with(|| VariableId::try_from(next).unwrap_or(VariableId::MAX))
    }

    pub(super) fn declare(&mut self, name: &'s str) -> VariableId {
        let id = self.id(name);
        let at = id as usize;
        if self.tree.declared.len() <= at {
            self.tree.declared.resize(at + 1, 0);
        }
        self.tree.declared[at] += 1;
        self.tree.scope.push(id);
        id
    }

    /// The number of a variable that is in scope.
    pub(super) fn used(&mut self, token: Token) -> Result<VariableId> {
        let name = self.text(token);
        let id = self.id(name);
        if id == 0 || self.tree.declared.get(id as usize).is_some_and(|count| *count > 0) {
            return Ok(id);
        }
        Err(self.error(token, &format!("undefined variable {}", quoted(name.as_bytes()))))
    }

    /// Drops the variables declared since the scope had this length.
    fn leave_scope(&mut self, length: usize) {
        for id in self.tree.scope.drain(length..) {
            self.tree.declared[id as usize] -= 1;
        }
    }

    /// Adds a definition: only one of each name may have more than white space.
    fn define(&mut self, name: &[u8], nodes: Vec<Node>) -> Result<()> {
        let new = Definition::new(nodes, self.source);
        let old = if name == self.name.as_bytes() { self.main.as_ref() } else { self.defined.get(name) };
        if old.is_none_or(|old| old.is_empty) {
            if name == self.name.as_bytes() {
                self.main = Some(new);
            } else {
                self.defined.insert(name.into(), new);
            }
        } else if !new.is_empty {
            return Err(self.error_here(&format!("template: multiple definition of template {}", quoted(name))));
        }
        Ok(())
    }

    fn top_level(&mut self) -> Result<Vec<Node>> {
        let mut nodes = Vec::new();
        while self.peek().kind != TokenKind::Eof {
            if self.peek().kind == TokenKind::LeftDelim {
                let delim = self.next();
                if self.next_non_space().kind == TokenKind::Define {
                    self.in_new_tree(Self::definition)?;
                    continue;
                }
                self.backup2(delim);
            }
            match self.text_or_action()? {
                Item::Node(node) => nodes.push(node),
                end => return Err(self.error_here(&format!("unexpected {}", end.name()))),
            }
        }
        Ok(nodes)
    }

    /// Reads a definition, which has its own variables and lookahead.
    fn in_new_tree<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.nested(|parser| {
            let outer = std::mem::replace(&mut parser.tree, Tree::new());
            let read = read(parser);
            parser.tree = outer;
            read
        })
    }

    fn definition(&mut self) -> Result<()> {
        const CONTEXT: &str = "define clause";
        let token = self.next_non_space();
        let name = self.template_name(token, CONTEXT)?;
        self.expect(TokenKind::RightDelim, CONTEXT)?;
        let (nodes, end) = self.list()?;
        if !matches!(end, Item::End) {
            return Err(self.error_here(&format!("unexpected {} in {CONTEXT}", end.name())));
        }
        self.define(name.bytes(self.source), nodes)
    }

    /// Nodes up to `{{end}}` or `{{else}}`, which is returned too.
    fn list(&mut self) -> Result<(Vec<Node>, Item)> {
        let mut nodes = Vec::new();
        while self.peek_non_space().kind != TokenKind::Eof {
            match self.text_or_action()? {
                Item::Node(node) => nodes.push(node),
                end => return Ok((nodes, end)),
            }
        }
        Err(self.error_here("unexpected EOF"))
    }

    fn text_or_action(&mut self) -> Result<Item> {
        let token = self.next_non_space();
        match token.kind {
            TokenKind::Text => Ok(Item::Node(Node::Text(token.span))),
            TokenKind::LeftDelim => {
                self.tree.action_line = token.line;
                let item = self.action();
                self.tree.action_line = 0;
                item
            }
            _ => Err(self.unexpected(token, "input")),
        }
    }

    fn action(&mut self) -> Result<Item> {
        let node = match self.next_non_space().kind {
            TokenKind::Block => Node::Template(Box::new(self.nested(Self::block)?)),
            TokenKind::Break => self.loop_exit("{{break}}", Node::Break)?,
            TokenKind::Continue => self.loop_exit("{{continue}}", Node::Continue)?,
            TokenKind::Else => return self.else_item(),
            TokenKind::End => {
                self.expect(TokenKind::RightDelim, "end")?;
                return Ok(Item::End);
            }
            TokenKind::If => Node::If(self.control(Control::If)?),
            TokenKind::Range => Node::Range(self.control(Control::Range)?),
            TokenKind::Template => Node::Template(Box::new(self.template_call()?)),
            TokenKind::With => Node::With(self.control(Control::With)?),
            _ => {
                self.backup();
                Node::Action(self.pipeline("command", TokenKind::RightDelim)?)
            }
        };
        Ok(Item::Node(node))
    }

    fn loop_exit(&mut self, name: &str, node: Node) -> Result<Node> {
        self.expect(TokenKind::RightDelim, name)?;
        if self.tree.range_depth == 0 {
            return Err(self.error_here(&format!("{name} outside {{{{range}}}}")));
        }
        Ok(node)
    }

    fn else_item(&mut self) -> Result<Item> {
        // `if` and `with` are left for the control structure that the else belongs to.
        if !matches!(self.peek_non_space().kind, TokenKind::If | TokenKind::With) {
            self.expect(TokenKind::RightDelim, "else")?;
        }
        Ok(Item::Else)
    }

    fn control(&mut self, control: Control) -> Result<Box<Branch>> {
        self.nested(|parser| {
            let scope = parser.tree.scope.len();
            let branch = parser.branch(control)?;
            parser.leave_scope(scope);
            Ok(Box::new(branch))
        })
    }

    fn branch(&mut self, control: Control) -> Result<Branch> {
        let pipe = self.pipeline(control.context(), TokenKind::RightDelim)?;
        let ranges = usize::from(control == Control::Range);
        self.tree.range_depth += ranges;
        let (body, end) = self.list()?;
        self.tree.range_depth -= ranges;
        if !matches!(end, Item::Else) {
            return Ok(Branch { pipe, body, otherwise: None });
        }
        let next = self.peek().kind;
        let otherwise = if control == Control::If && next == TokenKind::If {
            self.next();
            vec![Node::If(self.control(Control::If)?)]
        } else if control == Control::With && next == TokenKind::With {
            self.next();
            vec![Node::With(self.control(Control::With)?)]
        } else {
            let (nodes, end) = self.list()?;
            if !matches!(end, Item::End) {
                return Err(self.error_here(&format!("expected end; found {}", end.name())));
            }
            nodes
        };
        Ok(Branch { pipe, body, otherwise: Some(otherwise) })
    }

    fn block(&mut self) -> Result<TemplateCall> {
        const CONTEXT: &str = "block clause";
        let token = self.next_non_space();
        let name = self.template_name(token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, TokenKind::RightDelim)?;
        let outer = std::mem::replace(&mut self.tree, Tree::new());
        let body = self.list();
        if let Ok((_, Item::Else)) = body {
            self.tree = outer;
            return Err(self.error_here(&format!("unexpected {} in {CONTEXT}", Item::Else.name())));
        }
        let (nodes, _) = body?;
        self.define(name.bytes(self.source), nodes)?;
        self.tree = outer;
        Ok(TemplateCall { pos: token.span.start, name, pipe: Some(pipe) })
    }

    fn template_call(&mut self) -> Result<TemplateCall> {
        const CONTEXT: &str = "template clause";
        let token = self.next_non_space();
        let name = self.template_name(token, CONTEXT)?;
        let mut pipe = None;
        if self.next_non_space().kind != TokenKind::RightDelim {
            self.backup();
            pipe = Some(self.pipeline(CONTEXT, TokenKind::RightDelim)?);
        }
        Ok(TemplateCall { pos: token.span.start, name, pipe })
    }

    fn template_name(&mut self, token: Token, context: &str) -> Result<Text> {
        match token.kind {
            TokenKind::String | TokenKind::RawString => self.string(token),
            _ => Err(self.unexpected(token, context).with_quote_hint(self.text(token))),
        }
    }

    /// The value of a string literal.
    pub(super) fn string(&mut self, token: Token) -> Result<Text> {
        match unquote(self.text(token)) {
            Some(Literal::Plain) => Ok(Text::Source(Span { start: token.span.start + 1, end: token.span.end - 1 })),
            Some(Literal::Escaped(bytes)) => Ok(Text::Owned(bytes.into_boxed_slice())),
            None => Err(self.error(token, INVALID_SYNTAX)),
        }
    }
}
