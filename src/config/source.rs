//! The value of a setting: flag, else environment, else default; and the errors in it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::settings::{Setting, Shape};

/// Longer values are truncated in messages.
const MAX_QUOTED: usize = 256;

/// The environment, as a value: tests pass their own.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// The path in a setting's variable, unless it is unset or empty.
    pub fn path(&self, setting: &Setting) -> Option<PathBuf> {
        setting.env.iter().find_map(|variable| self.get(variable)).map(PathBuf::from)
    }

    /// The variable, unless it is unset or empty.
    fn get(&self, variable: &str) -> Option<&OsString> {
        self.0.get(&OsString::from(variable)).filter(|value| !value.is_empty())
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// An invalid setting: its name, its value, and what is allowed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SettingError {
    /// The flag or variable as the user writes it.
    pub name: String,
    /// The value; `None` where there is none to show.
    pub value: Option<String>,
    /// What is allowed, to be printed after the name.
    pub rule: String,
}

impl fmt::Display for SettingError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(formatter, "{}={}: {}", self.name, quoted(value), self.rule),
            None => write!(formatter, "{}: {}", self.name, self.rule),
        }
    }
}

/// On one line and of bounded length.
fn quoted(value: &str) -> String {
    match value.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}

/// A value with the flag or variable that it comes from.
struct GivenValue {
    name: String,
    values: Vec<String>,
}

/// Looks up settings and collects the errors in them.
#[derive(Debug)]
pub struct SettingSource<'a> {
    matches: &'a ArgMatches,
    environment: &'a Environment,
    errors: Vec<SettingError>,
    warnings: Vec<String>,
}

impl<'a> SettingSource<'a> {
    /// Nothing is read yet.
    pub fn new(matches: &'a ArgMatches, environment: &'a Environment) -> Self {
        Self { matches, environment, errors: Vec::new(), warnings: Vec::new() }
    }

    /// A setting with a default. After an error it has its default, so that rules about several settings can be
    /// checked.
    pub fn one<T: Default>(&mut self, setting: &Setting, parse: impl Fn(&str) -> Result<T, String>) -> T {
        let parsed = self.optional(setting, &parse);
        parsed.or_else(|| parse(setting.default).ok()).unwrap_or_default()
    }

    /// A setting without a default.
    pub fn optional<T>(&mut self, setting: &Setting, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let given = self.given(setting)?;
        let value = given.values.last()?;
        match parse(value) {
            Ok(parsed) => Some(parsed),
            Err(rule) => {
                self.errors.push(SettingError { name: given.name, value: Some(value.clone()), rule });
                None
            }
        }
    }

    /// A setting of several values, which are parsed together.
    pub fn list<T: Default>(&mut self, setting: &Setting, parse: impl Fn(&[&str]) -> Result<T, String>) -> T {
        let given = self.given(setting);
        let values = given.as_ref().map_or_else(|| vec![setting.default.to_owned()], |given| given.values.clone());
        let items: Vec<&str> = values.iter().flat_map(|value| value.split(',')).map(str::trim).collect();
        parse(&items).unwrap_or_else(|rule| {
            let name = given.map_or_else(|| setting.name(), |given| given.name);
            self.errors.push(SettingError { name, value: Some(values.join(",")), rule });
            T::default()
        })
    }

    /// Whether it is set by flag or environment.
    pub fn is_given(&self, setting: &Setting) -> bool {
        self.flag_values(setting).is_some()
            || setting.env.iter().any(|variable| self.environment.get(variable).is_some())
    }

    /// Adds an error that involves other settings.
    pub fn error(&mut self, setting: &Setting, rule: &str) {
        let given = self.given(setting);
        let name = given.as_ref().map_or_else(|| setting.name(), |given| given.name.clone());
        let default = || Some(setting.default.to_owned()).filter(|default| !default.is_empty());
        let value = given.map_or_else(default, |given| Some(given.values.join(",")));
        self.errors.push(SettingError { name, value, rule: rule.to_owned() });
    }

    /// Adds a warning: a setting that is accepted but has no effect.
    pub fn warn(&mut self, sentence: String) {
        self.warnings.push(sentence);
    }

    /// The warnings, or all errors, each once.
    pub fn finish(self) -> Result<Vec<String>, Vec<SettingError>> {
        if self.errors.is_empty() {
            return Ok(self.warnings);
        }
        let mut errors: Vec<SettingError> = Vec::with_capacity(self.errors.len());
        for error in self.errors {
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
        Err(errors)
    }

    fn given(&mut self, setting: &Setting) -> Option<GivenValue> {
        if let Some(values) = self.flag_values(setting) {
            return Some(GivenValue { name: format!("--{}", setting.flag), values });
        }
        let mut found: Option<GivenValue> = None;
        for variable in setting.env {
            let Some(value) = self.variable(variable) else { continue };
            match &found {
                None => found = Some(GivenValue { name: (*variable).to_owned(), values: vec![value] }),
                Some(first) if first.values == [value.as_str()] => {}
                Some(first) => {
                    let rule = format!(
                        "differs from {}={}: they are the same setting, set one of them",
                        first.name,
                        quoted(&first.values[0])
                    );
                    self.errors.push(SettingError { name: (*variable).to_owned(), value: Some(value), rule });
                }
            }
        }
        found
    }

    fn flag_values(&self, setting: &Setting) -> Option<Vec<String>> {
        if setting.flag.is_empty() || self.matches.value_source(setting.flag) != Some(ValueSource::CommandLine) {
            return None;
        }
        let values: Vec<String> = self.matches.get_many::<String>(setting.flag)?.cloned().collect();
        debug_assert!(setting.shape == Shape::List || values.len() == 1);
        Some(values)
    }

    fn variable(&mut self, variable: &str) -> Option<String> {
        let value = self.environment.get(variable)?;
        if let Some(text) = value.to_str() {
            return Some(text.to_owned());
        }
        self.errors.push(SettingError {
            name: variable.to_owned(),
            value: Some(value.to_string_lossy().into_owned()),
            rule: "must be UTF-8".to_owned(),
        });
        None
    }
}
