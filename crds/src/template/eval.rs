//! Values of pipelines: commands, operands, and calls with their arguments.

use super::builtins::{self, Failure};
use super::exec::{At, Exec, NO_VALUE, Result};
use super::limits::{Exceeded, Sink};
use super::node::{Command, Function, Operand, OperandKind, Pipe};
use super::render::Mode;
use super::token::text_of;
use super::value::{Str, Value};
use super::{escape, print, printf};

/// The number of arguments of a function, the value of the pipeline included.
enum Arity {
    Exactly(usize),
    AtLeast(usize),
}

/// The word that is called, and the arguments after it.
struct Call<'t> {
    function: Function,
    word: &'t Operand,
    args: &'t [Operand],
    /// The node that an error of the function is about.
    site: At<'t>,
}

fn arity(function: Function) -> Arity {
    use Function as F;
    match function {
        F::And | F::Or | F::Call | F::Eq | F::Index | F::Slice | F::Printf => Arity::AtLeast(1),
        F::Html | F::Js | F::UrlQuery | F::Print | F::Println => Arity::AtLeast(0),
        F::Ge | F::Gt | F::Le | F::Lt | F::Ne => Arity::Exactly(2),
        F::Len | F::Not | F::HttpPathPrefix => Arity::Exactly(1),
    }
}

/// Whether the first argument of a function has to be a string. All others may have any type.
fn wants_string(function: Function) -> bool {
    matches!(function, Function::Printf | Function::HttpPathPrefix)
}

impl<'t> Exec<'t> {
    /// The value of a pipeline; the variables it declares stay bound.
    pub(super) fn pipe(&mut self, pipe: &'t Pipe, dot: &Value<'t>) -> Result<Value<'t>> {
        self.at = At::Pipe(pipe);
        let mut value = None;
        for command in &pipe.commands {
            if value.is_some() {
                self.count(1)?;
            }
            value = Some(self.command(command, dot, value)?);
        }
        let value = value.unwrap_or(Value::Nil);
        for variable in &pipe.variables {
            if pipe.is_assign {
                self.assign(*variable, value.clone())?;
            } else {
                self.bind(variable.id, value.clone());
            }
        }
        Ok(value)
    }

    /// The value of a command; `last` is that of the one before.
    fn command(&mut self, command: &'t Command, dot: &Value<'t>, last: Option<Value<'t>>) -> Result<Value<'t>> {
        let Some((word, args)) = command.args.split_first() else {
            return Ok(Value::Nil);
        };
        let has_args = !args.is_empty() || last.is_some();
        match &word.kind {
            OperandKind::Function(function) => {
                let call = Call { function: *function, word, args, site: At::Command(command) };
                self.call(&call, dot, last)
            }
            OperandKind::Pipe(pipe) => {
                self.refuse_args(word, has_args)?;
                self.pipe(pipe, dot)
            }
            OperandKind::Nil => {
                self.at = At::Operand(word);
                self.refuse_args(word, has_args)?;
                Err(self.error("nil is not a command"))
            }
            // Fields of nil are nil, whatever their arguments.
            OperandKind::Field { .. }
            | OperandKind::Chain { .. }
            | OperandKind::Variable { first_field: Some(_), .. } => self.operand(word, dot),
            OperandKind::Variable { id, name, .. } => {
                self.at = At::Operand(word);
                let value = self.variable(*id, text_of(self.source, *name))?;
                self.refuse_args(word, has_args)?;
                Ok(value)
            }
            _ => {
                self.at = At::Operand(word);
                self.refuse_args(word, has_args)?;
                self.operand(word, dot)
            }
        }
    }

    fn refuse_args(&self, word: &Operand, has_args: bool) -> Result<()> {
        if has_args {
            let text = self.operand_text(word);
            return Err(self.error(&format!("can't give argument to non-function {text}")));
        }
        Ok(())
    }

    /// The value of a literal word, or of an argument. `nil` has been handled before.
    fn operand(&mut self, operand: &'t Operand, dot: &Value<'t>) -> Result<Value<'t>> {
        self.at = At::Operand(operand);
        match &operand.kind {
            OperandKind::Bool(value) => Ok(Value::Bool(*value)),
            OperandKind::Dot => Ok(dot.clone()),
            OperandKind::Nil => Ok(Value::Nil),
            OperandKind::Number(number) => self.constant(operand, *number),
            OperandKind::String(text) => Ok(Value::String(Str::Source(text.bytes(self.source)))),
            OperandKind::Pipe(pipe) => self.pipe(pipe, dot),
            OperandKind::Function(function) => {
                let call = Call { function: *function, word: operand, args: &[], site: At::Operand(operand) };
                self.call(&call, dot, None)
            }
            OperandKind::Field { first } => self.field(dot, text_of(self.source, *first)),
            OperandKind::Chain { node, first, .. } => {
                let receiver = self.operand(node, dot)?;
                self.field(&receiver, text_of(self.source, *first))
            }
            OperandKind::Variable { id, name, first_field } => {
                let value = self.variable(*id, text_of(self.source, *name))?;
                match first_field {
                    Some(first) => self.field(&value, text_of(self.source, *first)),
                    None => Ok(value),
                }
            }
        }
    }

    fn constant(&self, operand: &Operand, number: super::number::Constant) -> Result<Value<'t>> {
        use super::number::Constant;
        match number {
            Constant::Int(value) => Ok(Value::Int(value)),
            Constant::Float(value) => Ok(Value::Float(value)),
            Constant::Complex(real, imaginary) => Ok(Value::Complex(real, imaginary)),
            Constant::OverflowsInt => Err(self.error(&format!("{} overflows int", self.operand_text(operand)))),
        }
    }

    /// A field of a value: there are none, but a field of nil is allowed.
    fn field(&self, receiver: &Value<'t>, name: &str) -> Result<Value<'t>> {
        if receiver.is_nil() {
            return Ok(Value::Nil);
        }
        Err(self.error(&format!("can't evaluate field {name} in type {}", receiver.type_name())))
    }

    fn call(&mut self, call: &Call<'t>, dot: &Value<'t>, last: Option<Value<'t>>) -> Result<Value<'t>> {
        self.at = At::Operand(call.word);
        let given = call.args.len() + usize::from(last.is_some());
        let name = text_of(self.source, call.word.text);
        match arity(call.function) {
            Arity::Exactly(wanted) if given != wanted => {
                return Err(self.error(&format!("wrong number of args for {name}: want {wanted} got {given}")));
            }
            Arity::AtLeast(wanted) if given < wanted => {
                let given = call.args.len();
                return Err(self.error(&format!("wrong number of args for {name}: want at least {wanted} got {given}")));
            }
            _ => {}
        }
        if let Function::And | Function::Or = call.function {
            return self.and_or(call, dot, last);
        }
        self.count(call.args.len())?;
        let mut values = Vec::with_capacity(given);
        for (i, arg) in call.args.iter().enumerate() {
            let value = if i == 0 && wants_string(call.function) {
                self.string_argument(arg, dot)?
            } else {
                self.operand(arg, dot)?
            };
            values.push(value);
        }
        if let Some(last) = last {
            if values.is_empty() && wants_string(call.function) {
                self.check_string(&last)?;
            }
            values.push(last);
        }
        self.apply(call, &values).map_err(|failure| {
            self.at = call.site;
            match failure {
                Failure::Error(text) => self.error(&format!("error calling {name}: {text}")),
                Failure::Limit(exceeded) => self.exceeded(exceeded),
                Failure::NoValue => self.no_value(name),
            }
        })
    }

    /// The first argument that decides, or the last. The arguments after it are not evaluated.
    fn and_or(&mut self, call: &Call<'t>, dot: &Value<'t>, last: Option<Value<'t>>) -> Result<Value<'t>> {
        let mut value = Value::Nil;
        for arg in call.args {
            self.count(1)?;
            value = self.operand(arg, dot)?;
            if value.is_true() == (call.function == Function::Or) {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    fn string_argument(&mut self, arg: &'t Operand, dot: &Value<'t>) -> Result<Value<'t>> {
        self.at = At::Operand(arg);
        match &arg.kind {
            OperandKind::Nil => Err(self.error("cannot assign nil to string")),
            OperandKind::Bool(_) | OperandKind::Number(_) => {
                let text = self.operand_text(arg);
                Err(self.error(&format!("expected string; found {text}")))
            }
            _ => {
                let value = self.operand(arg, dot)?;
                self.check_string(&value)?;
                Ok(value)
            }
        }
    }

    fn check_string(&self, value: &Value<'t>) -> Result<()> {
        match value {
            Value::String(_) => Ok(()),
            Value::Nil => Err(self.error("invalid value; expected string")),
            other => Err(self.error(&format!("wrong type for value; expected string; got {}", other.type_name()))),
        }
    }

    /// Calls a function with values of the right number and types.
    fn apply(&mut self, call: &Call<'t>, values: &[Value<'t>]) -> std::result::Result<Value<'t>, Failure> {
        use Function as F;
        match (call.function, values) {
            (F::HttpPathPrefix, [Value::String(id), ..]) => self.path(id),
            (F::Not, [value, ..]) => Ok(Value::Bool(!value.is_true())),
            (F::Len, [value, ..]) => builtins::len(value).map(Value::Int),
            (F::Index, [item, indexes @ ..]) => builtins::index(item, indexes),
            (F::Slice, [item, indexes @ ..]) => builtins::slice(item, indexes).map(Value::String),
            (F::Call, [callee, ..]) => Err(self.not_callable(call, callee)),
            (F::Print, values) => self.make(|sink| print::print(sink, values)),
            (F::Println, values) => self.make(|sink| print::println(sink, values)),
            (F::Printf, [Value::String(format), values @ ..]) => {
                self.make(|sink| printf::printf(sink, format.bytes(), values))
            }
            (F::Html, values) => self.escape(values, escape::html),
            (F::Js, values) => self.escape(values, escape::js),
            (F::UrlQuery, values) => self.escape(values, escape::url_query),
            (function, values) => builtins::compare(function, values, &mut self.meter).map(Value::Bool),
        }
    }

    /// The string that `write` writes.
    fn make(
        &mut self,
        write: impl FnOnce(Sink<'_>) -> std::result::Result<(), Exceeded>,
    ) -> std::result::Result<Value<'t>, Failure> {
        let mut bytes = Vec::new();
        write(Sink::string(&mut bytes, &mut self.meter))?;
        Ok(Value::String(Str::made(bytes)))
    }

    fn escape(
        &mut self,
        values: &[Value<'t>],
        write: impl FnOnce(Sink<'_>, &[u8]) -> std::result::Result<(), Exceeded>,
    ) -> std::result::Result<Value<'t>, Failure> {
        if let [Value::String(text)] = values {
            return self.make(|sink| write(sink, text.bytes()));
        }
        if self.mode == Mode::Strict && values.iter().any(Value::is_nil) {
            return Err(Failure::NoValue);
        }
        let values: Vec<Value<'t>> = values
            .iter()
            .map(|value| if value.is_nil() { Value::String(Str::Source(NO_VALUE)) } else { value.clone() })
            .collect();
        let mut text = Vec::new();
        print::print(Sink::string(&mut text, &mut self.meter), &values)?;
        self.make(|sink| write(sink, &text))
    }

    fn path(&mut self, id: &Str<'t>) -> std::result::Result<Value<'t>, Failure> {
        self.meter.made(id.bytes().len())?;
        let path = match std::str::from_utf8(id.bytes()) {
            Ok(id) => {
                self.record_port_id(id);
                self.functions.http_path_prefix(id)?.into_bytes()
            }
            Err(_) => self.functions.http_path_prefix_of_bytes(id.bytes())?,
        };
        self.meter.made(path.len().saturating_sub(id.bytes().len()))?;
        Ok(Value::String(Str::made(path)))
    }

    /// No value is a function.
    fn not_callable(&self, call: &Call<'t>, callee: &Value<'t>) -> Failure {
        if callee.is_nil() {
            return "call of nil".into();
        }
        let name = match (call.args.first(), callee) {
            (Some(arg), _) => self.operand_text(arg),
            (None, Value::String(text)) => String::from_utf8_lossy(text.bytes()).into_owned(),
            (None, other) => format!("<{} Value>", other.type_name()),
        };
        format!("non-function {name} of type {}", callee.type_name()).into()
    }
}
