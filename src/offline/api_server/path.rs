//! The path of a field in an object.

use std::fmt;

/// One element of a path.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Step {
    /// A field, or an entry of a map.
    Field(String),
    /// An item of a list.
    Item(usize),
}

/// The path of a field, from the root of the object.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Path(pub Vec<Step>);

impl Path {
    /// From dotted field names: `metadata.labels`.
    pub fn of(fields: &str) -> Self {
        Self(fields.split('.').filter(|name| !name.is_empty()).map(|name| Step::Field(name.to_owned())).collect())
    }

    /// The path of a field below.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        self.then(Step::Field(name.to_owned()))
    }

    /// The path of an item below.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        self.then(Step::Item(index))
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// Whether `other` is this path or below it.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }
}

impl fmt::Display for Path {
    /// As the API server prints it: `spec.ports[0].headers.a`.
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
