//! What a rendering starts from besides the template, and what it results in.

use super::limits::Cost;
use super::quote;

/// The functions that a template can call, besides the built-in ones.
pub trait Functions {
    /// The path of a port, with both slashes. An `Err` ends the template; its text follows Go's
    /// `error calling httpPathPrefix: `.
    fn http_path_prefix(&self, port_id: &str) -> Result<String, String>;

    /// The same for an id that is not UTF-8, such as that of `httpPathPrefix "\xff"`. No port has such an id.
    fn http_path_prefix_of_bytes(&self, port_id: &[u8]) -> Result<Vec<u8>, String> {
        Err(format!("port id {} is not UTF-8", quote::quoted(port_id)))
    }
}

/// How a value that does not exist is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Not at all: for templates that are about to be stored. `{{ . }}`, `{{ .Field }}`, `{{ html . }}` and the like
    /// are refused, as [`ErrorKind::NoValue`](super::ErrorKind::NoValue).
    Strict,
    /// As Go does it, `<no value>`: for templates that are stored already.
    Lenient,
}

/// A rendered template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The output. It need not be UTF-8: `{{ "\xff" }}` is one byte.
    pub bytes: Vec<u8>,
    /// The port ids that `httpPathPrefix` was asked for, in order, each once.
    pub port_ids: Vec<String>,
    /// The cost of the rendering.
    pub cost: Cost,
}

impl Rendered {
    /// The output as text; the error says where it is not UTF-8.
    pub fn text(&self) -> Result<&str, std::str::Utf8Error> {
        std::str::from_utf8(&self.bytes)
    }
}
