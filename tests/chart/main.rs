//! The chart: does it lint, render the same twice, refuse wrong values, and agree with the code it installs? Does the
//! API server accept every object, and does the binary run with exactly its arguments, environment and permissions?

#![allow(clippy::unwrap_used, clippy::panic)]

mod helm;

mod beside;
mod check;
mod documented;
mod image;
mod image_swapped;
mod installed;
mod kustomize;
mod kustomized;
mod monitoring;
mod network_policy;
mod objects;
mod process;
mod reference;
mod rendered;
mod replaced;
mod rights;
mod self_managed;
mod user_roles;
mod values;
