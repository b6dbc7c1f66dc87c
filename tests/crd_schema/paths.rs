//! Places in a schema and in the objects that follow it: `spec.ports[].headers.*`.

use serde_json::Value;

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A field of an object.
    Field(String),
    /// The first item of a list.
    Item,
    /// The first value of a map.
    Entry,
}

/// A place in a schema, and the first of its kind in an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(pub Vec<Step>);

impl Path {
    /// Reads `spec.ports[].headers.*`.
    pub fn parse(text: &str) -> Self {
        let mut steps = Vec::new();
        for name in text.split('.') {
            let field = name.trim_end_matches("[]");
            steps.push(if field == "*" { Step::Entry } else { Step::Field(field.to_owned()) });
            steps.extend((0..(name.len() - field.len()) / 2).map(|_| Step::Item));
        }
        Self(steps)
    }

    /// This place, one step further down.
    pub fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// The place above and the field that leads here.
    pub fn parent(&self) -> (Self, &str) {
        match self.0.split_last() {
            Some((Step::Field(name), above)) => (Self(above.to_vec()), name),
            _ => panic!("{self} is not a field"),
        }
    }

    /// Whether the place is in the status.
    pub fn in_status(&self) -> bool {
        self.0.first() == Some(&Step::Field("status".to_owned()))
    }

    /// The value at this place.
    pub fn find<'a>(&self, object: &'a mut Value) -> Option<&'a mut Value> {
        self.0.iter().try_fold(object, |value, step| match step {
            Step::Field(name) => value.get_mut(name),
            Step::Item => value.get_mut(0),
            Step::Entry => value.as_object_mut()?.values_mut().next(),
        })
    }

    /// How the API server names this place of `object`: `spec.ports[0].headers.a`.
    pub fn concrete(&self, object: &Value) -> String {
        let mut name = String::new();
        let mut value = object;
        for step in &self.0 {
            let (part, next) = match step {
                Step::Field(field) => (format!(".{field}"), value.get(field)),
                Step::Item => ("[0]".to_owned(), value.get(0)),
                Step::Entry => match value.as_object().and_then(|map| map.iter().next()) {
                    Some((key, next)) => (format!(".{key}"), Some(next)),
                    None => (".*".to_owned(), None),
                },
            };
            name.push_str(&part);
            value = next.unwrap_or(&Value::Null);
        }
        name.trim_start_matches('.').to_owned()
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            match step {
                Step::Field(name) => write!(formatter, "{dot}{name}")?,
                Step::Item => formatter.write_str("[]")?,
                Step::Entry => write!(formatter, "{dot}*")?,
            }
        }
        Ok(())
    }
}
