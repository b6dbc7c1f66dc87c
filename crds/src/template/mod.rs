//! The templates of header and environment variable values.
//!
//! The language is that of Go 1.26's `text/template`, run without data and with one function,
//! `httpPathPrefix(portId)`. An accepted template renders to the same bytes as in Go; no template renders differently,
//! but some are refused: those over [`Limits`], and in [`Mode::Strict`] those that would print a value
//! that does not exist. Admission, the reconciler and the command line all use this one engine.
//!
//! ```
//! use crds::template::{Functions, Limits, Mode, Template};
//!
//! struct Paths;
//!
//! impl Functions for Paths {
//!     fn http_path_prefix(&self, port_id: &str) -> Result<String, String> {
//!         Ok(format!("/workspace/team/notebook/{port_id}/"))
//!     }
//! }
//!
//! let template = Template::parse("value", r#"{{ httpPathPrefix "jupyterlab" }}lab"#, &Limits::HEADER)?;
//! let rendered = template.render(&Paths, Mode::Strict)?;
//! assert_eq!(rendered.bytes, b"/workspace/team/notebook/jupyterlab/lab");
//! assert_eq!(rendered.port_ids, ["jupyterlab"]);
//! # Ok::<(), crds::template::TemplateError>(())
//! ```
//!
//! Source goes through `lex`, `parse` and `pipeline` to the nodes of `node`; `exec` runs these, `eval` evaluates
//! pipelines, `builtins`, `escape`, `print` and `printf` are the functions. `limits` counts the cost of all of it.

mod builtins;
mod error;
mod escape;
mod eval;
mod exec;
mod float;
mod lex;
mod limits;
mod lookahead;
mod node;
mod number;
mod parse;
mod pipeline;
mod print;
mod printf;
mod quote;
mod render;
mod runes;
mod token;
mod unicode;
mod value;
mod variables;

pub use error::{ErrorKind, TemplateError};
pub use limits::{Cost, Limits};
pub use render::{Functions, Mode, Rendered};

use parse::Parsed;

/// A parsed template. Parse once, render as often as needed.
#[derive(Debug)]
pub struct Template {
    name: Box<str>,
    source: Box<str>,
    limits: Limits,
    /// `None` if the source is just text.
    parsed: Option<Parsed>,
}

impl Template {
    /// Parses `source`; `name` is what messages call it.
    pub fn parse(name: &str, source: &str, limits: &Limits) -> Result<Self, TemplateError> {
        // Positions are kept in 32 bits.
        let limit = limits.source.min(u32::MAX as usize);
        if source.len() > limit {
            let message = format!("template: {name}: the source has {} bytes, {limit} are allowed", source.len());
            return Err(TemplateError::new(ErrorKind::Limit, message, source, 0));
        }
        let parsed = if source.contains("{{") { Some(parse::parse(name, source, limits)?) } else { None };
        Ok(Self { name: name.into(), source: source.into(), limits: *limits, parsed })
    }

    /// Runs the template.
    pub fn render(&self, functions: &dyn Functions, mode: Mode) -> Result<Rendered, TemplateError> {
        let Some(parsed) = &self.parsed else {
            return self.render_text();
        };
        exec::render(&self.name, &self.source, parsed, self.limits, functions, mode)
    }

    /// Whether the source is plain text, the same for every Workspace.
    pub fn is_text(&self) -> bool {
        self.parsed.is_none()
    }

    fn render_text(&self) -> Result<Rendered, TemplateError> {
        if self.source.len() > self.limits.output {
            let message =
                format!("template: {}: the template renders to more than {} bytes", self.name, self.limits.output);
            return Err(TemplateError::new(ErrorKind::Limit, message, &self.source, 0));
        }
        let cost = Cost { nodes: 1, made: self.source.len() };
        Ok(Rendered { bytes: self.source.as_bytes().to_vec(), port_ids: Vec::new(), cost })
    }
}

/// `text` as Go's `%q` writes it, for messages about templates and their values.
pub fn quote(text: &str) -> String {
    quote::quoted(text.as_bytes())
}
