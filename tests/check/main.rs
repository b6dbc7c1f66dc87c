//! The commands `check` and `cleanup`, run on a real control plane on which each hop and each thing that they know is broken in turn.
//! The texts that `check` explains are those of the API server itself.

#![allow(clippy::unwrap_used, clippy::panic)]

mod cleanup;
mod hops;
mod site;
mod surroundings;
