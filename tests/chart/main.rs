//! The chart: does it lint, render the same twice, say no to wrong values, and agree with the code it installs? Would the
//! API server take every object, and does the binary run with exactly the arguments, environment and rights it is given?

#![allow(clippy::unwrap_used, clippy::panic)]

mod helm;

mod image;
mod installed;
mod objects;
mod process;
mod rendered;
mod values;
