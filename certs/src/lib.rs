//! Who proves we are the webhook?
//!
//! The way of TLS material through this crate: a [`PairSource`] (such as [`FileSource`]) gives a pair of PEM texts,
//! [`Loaded`] is that pair once it has been parsed and checked, [`Reloader`] decides what a new reading means,
//! [`Resolver`] serves the pair to every handshake, and [`server_config`] ties the resolver to a TLS server. [`Ca`]
//! issues such pairs.
//!
//! Nothing here knows Kubernetes, reads a clock, sleeps or starts a thread: the caller passes `now` and decides when to
//! read again. The only input and output is what [`FileSource`] reads.

mod files;
mod issue;
mod load_error;
mod loaded;
mod pair;
mod reload;
mod resolver;
mod server;
mod timestamp;

pub use files::{FileError, FileSource};
pub use issue::{Ca, IssueError, Issued, SubjectAltName};
pub use load_error::LoadError;
pub use loaded::Loaded;
pub use pair::{PairSource, Part, PemPair, SourceError};
pub use reload::{ReloadOutcome, Reloader};
pub use resolver::{NotReady, Resolver, ServingState};
pub use server::{ALPN_HTTP_1_1, server_config};
