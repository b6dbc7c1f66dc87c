//! The probes of activity on a real control plane.

#![allow(clippy::unwrap_used, clippy::panic)]

mod exec;
