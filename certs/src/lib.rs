//! Who proves we are the webhook?
//!
//! The way of TLS material through this crate: a [`PairSource`] (such as [`FileSource`]) gives a pair of PEM texts,
//! [`Loaded`] is that pair once it has been parsed and checked, [`Reloader`] decides what a new reading means,
//! [`Resolver`] serves the pair to every handshake, and [`server_config`] ties the resolver to a TLS server. [`Ca`]
//! issues such pairs. [`ClientVerifier`] demands a certificate of the clients too.
//!
//! Where the process is its own authority, [`Material`] is what all its replicas share (a CA, the [`Bundle`] of those that
//! clients trust, and a pair), [`Schedule`] says what is to be done with it next, and [`Published`] is what one replica has
//! seen clients trust.
//!
//! Nothing here knows Kubernetes, reads a clock, sleeps or starts a thread: the caller passes `now` and decides when to
//! read again. The only input and output is what [`FileSource`] reads.

mod bundle;
mod clients;
mod files;
mod issue;
mod load_error;
mod loaded;
mod material;
mod pair;
mod reload;
mod resolver;
mod schedule;
mod server;
mod timestamp;
mod validity;

pub use bundle::{Bundle, TrustedCa};
pub use clients::{ClientCaError, ClientVerifier};
pub use files::{FileError, FileSource};
pub use issue::{Ca, CaError, IssueError, Issued, SubjectAltName};
pub use load_error::LoadError;
pub use loaded::Loaded;
pub use material::{Material, MaterialError, MaterialPem};
pub use pair::{PairSource, Part, PemPair, SourceError};
pub use reload::{ReloadOutcome, Reloader};
pub use resolver::{NotReady, Resolver, ServingState};
pub use schedule::{Published, Serving, Step};
pub use server::{ALPN_HTTP_1_1, server_config};
pub use validity::Schedule;
