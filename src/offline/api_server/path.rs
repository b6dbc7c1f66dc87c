//! The way from the root of an object to a field of it.

use std::fmt;

/// One step down.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Step {
    /// Into a field, or the entry of a map.
    Field(String),
    /// Into an item of a list.
    Item(usize),
}

/// A place in an object.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Path(pub Vec<Step>);

impl Path {
    /// A field of the root, or one further down: `metadata.labels`.
    pub fn of(fields: &str) -> Self {
        Self(fields.split('.').filter(|name| !name.is_empty()).map(|name| Step::Field(name.to_owned())).collect())
    }

    /// One step further down.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        self.then(Step::Field(name.to_owned()))
    }

    /// One step further down.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        self.then(Step::Item(index))
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// Whether `other` is this place or lies below it.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }
}

impl fmt::Display for Path {
    /// As the API server names it: `spec.ports[0].headers.a`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) => write!(formatter, "{}{name}", if index == 0 { "" } else { "." })?,
                Step::Item(item) => write!(formatter, "[{item}]")?,
            }
        }
        Ok(())
    }
}
