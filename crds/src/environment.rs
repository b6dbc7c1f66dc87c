//! `spec.podTemplate.extraEnv`: variables whose values are templates.

use k8s_openapi::api::core::v1::EnvVar;

use crate::stored_bytes::stored_bytes;
use crate::template::{Functions, Limits, Mode};
use crate::value_template::{ValueFault, ValueTemplate};

/// The most bytes that the names and rendered values of all variables have together, in the JSON of the pod template
/// that a ControllerRevision holds: etcd takes objects of up to 1.5 MiB, and Linux starts no program with more than 2
/// MiB of arguments and variables.
pub const ALL_MAX: usize = 1024 * 1024;

/// The variables of a kind, parsed once and rendered for many Workspaces.
#[derive(Debug)]
pub struct EnvTemplates<'a> {
    variables: Vec<(&'a EnvVar, Option<ValueTemplate>)>,
}

/// What is wrong with the value of a variable.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EnvFault {
    /// The name of the variable.
    pub name: String,
    /// Its value, as written.
    pub value: String,
    /// What is wrong.
    pub detail: String,
    /// The offset of the wrong byte in the value, if known.
    pub at: Option<usize>,
}

impl EnvFault {
    fn new(variable: &EnvVar, ValueFault { detail, at }: ValueFault) -> Self {
        Self { name: variable.name.clone(), value: variable.value.clone().unwrap_or_default(), detail, at }
    }
}

/// A rendered variable and the port ids that its value asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderedEnv {
    /// The variable.
    pub variable: EnvVar,
    /// The port ids passed to `httpPathPrefix`.
    pub port_ids: Vec<String>,
}

impl RenderedEnv {
    /// The size of name and value in bytes, in JSON as the API server stores it.
    pub fn stored_bytes(&self) -> usize {
        stored_bytes(&self.variable.name) + self.variable.value.as_deref().map_or(0, stored_bytes)
    }
}

impl<'a> EnvTemplates<'a> {
    /// Parses all values; the faults are in the order of the list.
    pub fn parse(variables: &'a [EnvVar]) -> (Self, Vec<EnvFault>) {
        let mut faults = Vec::new();
        let mut parsed = Vec::with_capacity(variables.len());
        for variable in variables {
            let template = match variable.value.as_deref() {
                None | Some("") => None,
                Some(value) => match ValueTemplate::parse(value, &Limits::ENV) {
                    Ok(template) => Some(template),
                    Err(fault) => {
                        faults.push(EnvFault::new(variable, fault));
                        continue;
                    }
                },
            };
            parsed.push((variable, template));
        }
        (Self { variables: parsed }, faults)
    }

    /// Renders all values, or returns every fault.
    pub fn render(&self, functions: &dyn Functions, mode: Mode) -> Result<Vec<RenderedEnv>, Vec<EnvFault>> {
        let mut faults = Vec::new();
        let mut rendered = Vec::with_capacity(self.variables.len());
        for (variable, template) in &self.variables {
            let Some(template) = template else {
                rendered.push(RenderedEnv { variable: (*variable).clone(), port_ids: Vec::new() });
                continue;
            };
            match template.render(functions, mode) {
                Ok(value) => {
                    let variable = EnvVar { value: Some(value.text), ..(*variable).clone() };
                    rendered.push(RenderedEnv { variable, port_ids: value.port_ids });
                }
                Err(fault) => faults.push(EnvFault::new(variable, fault)),
            }
        }
        if faults.is_empty() { Ok(rendered) } else { Err(faults) }
    }
}
