//! The variables of a running template. Any of them is found in one step, however many there are.

use super::node::VariableId;
use super::value::Value;

/// A variable's value, and the place of the one of the same name that it hides.
struct Binding<'t> {
    id: VariableId,
    hidden: Option<usize>,
    value: Value<'t>,
}

/// A stack of variables, those of the calling templates at the bottom.
pub(super) struct Variables<'t> {
    stack: Vec<Binding<'t>>,
    /// Where in the stack the current one of each name is.
    current: Vec<Option<usize>>,
    /// Variables before this one belong to the callers.
    base: usize,
}

impl<'t> Variables<'t> {
    /// For `names` different names.
    pub(super) fn new(names: usize) -> Self {
        Self { stack: Vec::new(), current: vec![None; names], base: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.stack.len()
    }

    pub(super) fn bind(&mut self, id: VariableId, value: Value<'t>) {
        let hidden = self.current[id as usize].replace(self.stack.len());
        self.stack.push(Binding { id, hidden, value });
    }

    /// Drops all but the first `mark` variables.
    pub(super) fn unbind(&mut self, mark: usize) {
        while self.stack.len() > mark {
            if let Some(binding) = self.stack.pop() {
                self.current[binding.id as usize] = binding.hidden;
            }
        }
    }

    fn place(&self, id: VariableId) -> Option<usize> {
        self.current[id as usize].filter(|at| *at >= self.base)
    }

    pub(super) fn get(&self, id: VariableId) -> Option<&Value<'t>> {
        self.place(id).map(|at| &self.stack[at].value)
    }

    /// Whether there was a variable to assign to.
    pub(super) fn assign(&mut self, id: VariableId, value: Value<'t>) -> bool {
        let place = self.place(id);
        if let Some(at) = place {
            self.stack[at].value = value;
        }
        place.is_some()
    }

    /// Changes the variable that was bound last.
    pub(super) fn set_last(&mut self, value: Value<'t>) {
        if let Some(binding) = self.stack.last_mut() {
            binding.value = value;
        }
    }

    /// Hides all variables from a template that is called; returns what [`Self::leave_template`] needs.
    pub(super) fn enter_template(&mut self) -> usize {
        std::mem::replace(&mut self.base, self.stack.len())
    }

    pub(super) fn leave_template(&mut self, base: usize) {
        self.base = base;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_called_template_sees_none_of_its_callers_variables() {
        let int = |variables: &Variables<'_>, id| match variables.get(id) {
            Some(Value::Int(value)) => Some(*value),
            _ => None,
        };
        let mut variables = Variables::new(2);
        variables.bind(1, Value::Int(1));
        variables.bind(1, Value::Int(2));
        let base = variables.enter_template();
        assert_eq!(int(&variables, 1), None);
        assert!(!variables.assign(1, Value::Nil));
        variables.bind(1, Value::Int(3));
        assert_eq!(int(&variables, 1), Some(3));
        variables.unbind(2);
        variables.leave_template(base);
        assert_eq!(int(&variables, 1), Some(2));
        variables.unbind(1);
        assert_eq!(int(&variables, 1), Some(1));
    }
}
