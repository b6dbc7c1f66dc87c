//! What is given: files, directories and the standard input, to objects that know where each field stands.

pub mod object;
pub mod position;
pub mod scalar;
pub mod source;
pub mod yaml;
