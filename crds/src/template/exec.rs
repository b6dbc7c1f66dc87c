//! Runs a parsed template. Control structures and templates within templates live on a stack of our own, so that only
//! parentheses, whose depth is limited, use the program's.

use std::collections::HashSet;

use super::error::{ErrorKind, TemplateError};
use super::limits::{Exceeded, Limits, Meter, Sink};
use super::node::{Branch, Command, Node, Operand, Pipe, TemplateCall, Variable, VariableId, Writer};
use super::parse::Parsed;
use super::print::{self, Flags, Printer};
use super::quote::quoted;
use super::render::{Functions, Mode, Rendered};
use super::token::text_of;
use super::value::Value;
use super::variables::Variables;

pub(super) type Result<T> = std::result::Result<T, TemplateError>;

/// The node that an error would be about.
#[derive(Clone, Copy)]
pub(super) enum At<'t> {
    Start,
    Pipe(&'t Pipe),
    Command(&'t Command),
    Operand(&'t Operand),
    Template(&'t TemplateCall),
}

/// What to do after the last node of a frame.
enum Then<'t> {
    /// Nothing but dropping variables.
    Leave,
    /// As above; `break` ends here too, as in Go.
    LeaveLoopElse,
    /// Return to the calling template.
    Return { name: &'t [u8], base: usize },
    /// The next pass of a `range`.
    Repeat { variable: Option<Variable>, is_assign: bool, is_byte: bool, next: i64, end: i64, body_mark: usize },
}

/// A list of nodes that is being run.
struct Frame<'t> {
    nodes: &'t [Node],
    at: usize,
    dot: Value<'t>,
    /// How many variables to keep at its end.
    mark: usize,
    then: Then<'t>,
}

pub(super) struct Exec<'t> {
    pub(super) source: &'t str,
    /// Name of the whole, and of the template that is running.
    main_name: &'t str,
    name: &'t [u8],
    parsed: &'t Parsed,
    pub(super) functions: &'t dyn Functions,
    pub(super) mode: Mode,
    pub(super) meter: Meter,
    pub(super) at: At<'t>,
    output: Vec<u8>,
    port_ids: Vec<String>,
    /// All of `port_ids`, once they are many.
    seen_port_ids: HashSet<String>,
    frames: Vec<Frame<'t>>,
    variables: Variables<'t>,
}

/// Renders a template.
pub(super) fn render<'t>(
    name: &'t str,
    source: &'t str,
    parsed: &'t Parsed,
    limits: Limits,
    functions: &'t dyn Functions,
    mode: Mode,
) -> Result<Rendered> {
    let mut exec = Exec {
        source,
        main_name: name,
        name: name.as_bytes(),
        parsed,
        functions,
        mode,
        meter: Meter::new(limits),
        at: At::Start,
        output: Vec::new(),
        port_ids: Vec::new(),
        seen_port_ids: HashSet::new(),
        frames: Vec::new(),
        variables: Variables::new(parsed.variables),
    };
    exec.bind(0, Value::Nil);
    exec.enter(&parsed.main, Value::Nil, 0, Then::Leave);
    exec.run()?;
    Ok(Rendered { bytes: exec.output, port_ids: exec.port_ids, cost: exec.meter.cost() })
}

impl<'t> Exec<'t> {
    /// An error of `kind` about the node that was reached last.
    pub(super) fn error_of(&self, kind: ErrorKind, text: &str) -> TemplateError {
        let writer = Writer::new(self.source);
        let (pos, context) = match self.at {
            At::Start => (0, String::new()),
            At::Pipe(pipe) => (pipe.pos, writer.pipe(pipe).finish()),
            At::Command(command) => (command.pos, writer.command(command).finish()),
            At::Operand(operand) => (operand.pos, writer.operand(operand).finish()),
            At::Template(call) => (call.pos, writer.template(call).finish()),
        };
        let pos = pos as usize;
        let before = &self.source[..pos];
        let column = pos - before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let name = quoted(self.name);
        let message = format!("template: {}:{line}:{column}: executing {name} at <{context}>: {text}", self.main_name);
        let error = TemplateError::new(kind, message, self.source, pos);
        match self.at {
            At::Operand(operand) if kind == ErrorKind::Execute => {
                error.with_quote_hint(text_of(self.source, operand.text))
            }
            _ => error,
        }
    }

    pub(super) fn error(&self, text: &str) -> TemplateError {
        self.error_of(ErrorKind::Execute, text)
    }

    pub(super) fn exceeded(&self, exceeded: Exceeded) -> TemplateError {
        self.error_of(ErrorKind::Limit, &exceeded.to_string())
    }

    pub(super) fn count(&mut self, nodes: usize) -> Result<()> {
        self.meter.nodes(nodes).map_err(|exceeded| self.exceeded(exceeded))
    }

    /// `value` as `%v` prints it, for messages.
    pub(super) fn shown(&mut self, value: &Value<'_>) -> Result<String> {
        let mut bytes = Vec::new();
        print::print(Sink::string(&mut bytes, &mut self.meter), std::slice::from_ref(value))
            .map_err(|exceeded| self.exceeded(exceeded))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(super) fn record_port_id(&mut self, id: &str) {
        const FEW: usize = 8;
        let is_known = if self.seen_port_ids.is_empty() {
            self.port_ids.iter().any(|known| known == id)
        } else {
            self.seen_port_ids.contains(id)
        };
        if is_known {
            return;
        }
        self.port_ids.push(id.to_owned());
        if self.port_ids.len() == FEW {
            self.seen_port_ids.extend(self.port_ids.iter().cloned());
        } else if self.port_ids.len() > FEW {
            self.seen_port_ids.insert(id.to_owned());
        }
    }

    pub(super) fn bind(&mut self, id: VariableId, value: Value<'t>) {
        self.variables.bind(id, value);
    }

    fn undefined(&self, name: &str) -> TemplateError {
        self.error(&format!("undefined variable: {name}"))
    }

    pub(super) fn variable(&self, id: VariableId, name: &str) -> Result<Value<'t>> {
        self.variables.get(id).cloned().ok_or_else(|| self.undefined(name))
    }

    pub(super) fn assign(&mut self, variable: Variable, value: Value<'t>) -> Result<()> {
        if self.variables.assign(variable.id, value) {
            return Ok(());
        }
        Err(self.undefined(text_of(self.source, variable.name)))
    }

    fn enter(&mut self, nodes: &'t [Node], dot: Value<'t>, mark: usize, then: Then<'t>) {
        self.frames.push(Frame { nodes, at: 0, dot, mark, then });
    }

    fn run(&mut self) -> Result<()> {
        while let Some(frame) = self.frames.last_mut() {
            match frame.nodes.get(frame.at) {
                Some(node) => {
                    frame.at += 1;
                    let dot = frame.dot.clone();
                    self.node(node, dot)?;
                }
                None => self.end_of_list()?,
            }
        }
        Ok(())
    }

    /// The last frame has no more nodes.
    fn end_of_list(&mut self) -> Result<()> {
        if let Some(Frame { then: Then::Repeat { .. }, .. }) = self.frames.last() {
            return self.repeat();
        }
        self.leave();
        Ok(())
    }

    /// Drops the last frame.
    fn leave(&mut self) {
        if let Some(frame) = self.frames.pop() {
            self.variables.unbind(frame.mark);
            if let Then::Return { name, base } = frame.then {
                self.name = name;
                self.variables.leave_template(base);
            }
        }
    }

    /// Begins the next pass of the loop that the last frame is, or ends it.
    fn repeat(&mut self) -> Result<()> {
        let Some(Frame {
            nodes,
            at,
            dot,
            then: Then::Repeat { variable, is_assign, is_byte, next, end, body_mark },
            ..
        }) = self.frames.last_mut()
        else {
            return Ok(());
        };
        if next >= end {
            self.leave();
            return Ok(());
        }
        let element = match u8::try_from(*next) {
            Ok(byte) if *is_byte => Value::Byte(byte),
            _ => Value::Int(*next),
        };
        *next += 1;
        *at = 0;
        *dot = element.clone();
        let (variable, is_assign, mark, is_empty) = (*variable, *is_assign, *body_mark, nodes.is_empty());
        self.variables.unbind(mark);
        match variable {
            Some(variable) if is_assign => self.assign(variable, element)?,
            Some(_) => self.variables.set_last(element),
            None => {}
        }
        // A pass costs at least one node.
        self.count(usize::from(is_empty))
    }

    fn node(&mut self, node: &'t Node, dot: Value<'t>) -> Result<()> {
        match node {
            Node::Text(span) => {
                self.count(1)?;
                let text = text_of(self.source, *span).as_bytes();
                Sink::output(&mut self.output, &mut self.meter).put(text).map_err(|exceeded| self.exceeded(exceeded))
            }
            Node::Action(pipe) => {
                self.count(1)?;
                let value = self.pipe(pipe, &dot)?;
                if pipe.variables.is_empty() { self.print(pipe, &value) } else { Ok(()) }
            }
            Node::If(branch) => self.branch(branch, dot, false),
            Node::With(branch) => self.branch(branch, dot, true),
            Node::Range(branch) => self.range(branch, dot),
            Node::Template(call) => self.template(call, &dot),
            Node::Break => {
                self.count(1)?;
                while let Some(frame) = self.frames.last() {
                    let ends_here = matches!(frame.then, Then::Repeat { .. } | Then::LeaveLoopElse);
                    self.leave();
                    if ends_here {
                        break;
                    }
                }
                Ok(())
            }
            Node::Continue => {
                self.count(1)?;
                while let Some(frame) = self.frames.last() {
                    if matches!(frame.then, Then::Repeat { .. }) {
                        return self.repeat();
                    }
                    self.leave();
                }
                Ok(())
            }
        }
    }

    /// Prints the value of an action.
    fn print(&mut self, pipe: &'t Pipe, value: &Value<'t>) -> Result<()> {
        let sink = Sink::output(&mut self.output, &mut self.meter);
        let printed = match value {
            Value::Nil if self.mode == Mode::Strict => {
                self.at = At::Pipe(pipe);
                return Err(self.no_value("this"));
            }
            Value::Nil => Printer { sink, flags: Flags::default() }.sink.put(NO_VALUE),
            value => Printer { sink, flags: Flags::default() }.value(value, 'v'),
        };
        printed.map_err(|exceeded| {
            self.at = At::Pipe(pipe);
            self.exceeded(exceeded)
        })
    }

    /// The error for what would print `<no value>`.
    pub(super) fn no_value(&self, what: &str) -> TemplateError {
        let text = format!("{what} would print \"<no value>\": there are no data, only the function httpPathPrefix");
        self.error_of(ErrorKind::NoValue, &text)
    }

    fn branch(&mut self, branch: &'t Branch, dot: Value<'t>, is_with: bool) -> Result<()> {
        self.count(1)?;
        let mark = self.variables.len();
        let value = self.pipe(&branch.pipe, &dot)?;
        if value.is_true() {
            self.enter(&branch.body, if is_with { value } else { dot }, mark, Then::Leave);
        } else if let Some(otherwise) = &branch.otherwise {
            self.enter(otherwise, dot, mark, Then::Leave);
        } else {
            self.variables.unbind(mark);
        }
        Ok(())
    }

    fn range(&mut self, branch: &'t Branch, dot: Value<'t>) -> Result<()> {
        self.count(1)?;
        let mark = self.variables.len();
        let value = self.pipe(&branch.pipe, &dot)?;
        let variables = &branch.pipe.variables;
        let (end, is_byte) = match value {
            Value::Nil => (0, false),
            Value::Int(_) | Value::Byte(_) if variables.len() > 1 => {
                let shown = self.shown(&value)?;
                return Err(self.error(&format!("can't use {shown} to iterate over more than one variable")));
            }
            Value::Int(end) => (end, false),
            Value::Byte(end) => (i64::from(end), true),
            other => {
                let shown = self.shown(&other)?;
                return Err(self.error(&format!("range can't iterate over {shown}")));
            }
        };
        if end > 0 {
            let then = Then::Repeat {
                variable: variables.first().copied(),
                is_assign: branch.pipe.is_assign,
                is_byte,
                next: 0,
                end,
                body_mark: self.variables.len(),
            };
            self.enter(&branch.body, Value::Nil, mark, then);
            return self.repeat();
        }
        match &branch.otherwise {
            Some(otherwise) => self.enter(otherwise, dot, mark, Then::LeaveLoopElse),
            None => self.variables.unbind(mark),
        }
        Ok(())
    }

    fn template(&mut self, call: &'t TemplateCall, dot: &Value<'t>) -> Result<()> {
        self.count(1)?;
        self.at = At::Template(call);
        let name = call.name.bytes(self.source);
        let nodes = if name == self.main_name.as_bytes() {
            &self.parsed.main
        } else if let Some(nodes) = self.parsed.defined.get(name) {
            nodes
        } else {
            return Err(self.error(&format!("template {} not defined", quoted(name))));
        };
        let argument = match &call.pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::Nil,
        };
        // Variables declared by the pipeline stay with the caller.
        let mark = self.variables.len();
        let then = Then::Return { name: self.name, base: self.variables.enter_template() };
        self.name = name;
        self.bind(0, argument.clone());
        self.enter(nodes, argument, mark, then);
        Ok(())
    }

    pub(super) fn operand_text(&self, operand: &Operand) -> String {
        Writer::new(self.source).operand(operand).finish()
    }
}

/// What Go prints for a value that does not exist.
pub(super) const NO_VALUE: &[u8] = b"<no value>";
