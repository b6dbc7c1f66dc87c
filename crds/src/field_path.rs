//! The path of a field, built while descending and written out only where something is wrong.

use std::fmt::{self, Display, Formatter};

use crate::value_template::key;

/// A path such as `spec.podTemplate.extraVolumes[data].emptyDir.sizeLimit`: a chain of steps, each on the stack of the
/// function that descends, so that a path costs nothing until it is written.
#[derive(Clone, Copy, Debug)]
pub struct FieldPath<'a> {
    parent: Option<&'a FieldPath<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    /// A field, or the dotted path that everything starts from.
    Field(&'a str),
    /// The key of an item in a map, or in a list that is merged by key.
    Key(&'a str),
    /// The position of an item in any other list.
    Index(usize),
}

impl<'a> FieldPath<'a> {
    /// The path to start from.
    pub fn root(path: &'a str) -> Self {
        Self { parent: None, step: Step::Field(path) }
    }

    /// The field `name` of the block at this path.
    #[must_use]
    pub fn field(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), step: Step::Field(name) }
    }

    /// The item `key` of the map, or of the list that is merged by key, at this path.
    #[must_use]
    pub fn key(&'a self, key: &'a str) -> Self {
        Self { parent: Some(self), step: Step::Key(key) }
    }

    /// The item at a position of the list at this path.
    #[must_use]
    pub fn index(&'a self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Index(index) }
    }

    /// The path without positions in lists, which change when another item is removed.
    pub fn without_indexes(&self) -> String {
        self.write(false)
    }

    fn write(&self, with_indexes: bool) -> String {
        let mut path = self.parent.map(|parent| parent.write(with_indexes)).unwrap_or_default();
        match self.step {
            Step::Key(name) => return key(&path, name),
            Step::Index(index) if with_indexes => return format!("{path}[{index}]"),
            Step::Index(_) => path.push_str("[]"),
            Step::Field(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
            }
        }
        path
    }
}

impl Display for FieldPath<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.write(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_in_field_errors() {
        let root = FieldPath::root("spec.podTemplate");
        let volumes = root.field("extraVolumes");
        let volume = volumes.key("data");
        let items = volume.field("items");
        let item = items.index(2);
        assert_eq!(item.field("path").to_string(), "spec.podTemplate.extraVolumes[data].items[2].path");
        assert_eq!(item.field("path").without_indexes(), "spec.podTemplate.extraVolumes[data].items[].path");
        assert_eq!(root.key("a\nb").to_string(), "spec.podTemplate[a\\nb]");
    }
}
