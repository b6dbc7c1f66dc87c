//! Is a Workspace in use, and is it to be paused?
//!
//! Files without a client are pure: they take facts and `now`.

pub mod run;
