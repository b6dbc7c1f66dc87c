//! The inputs: reads files, directories and the standard input into objects, with the place of every field.

pub mod helm;
pub mod object;
pub mod position;
pub mod scalar;
pub mod source;
pub mod yaml;
