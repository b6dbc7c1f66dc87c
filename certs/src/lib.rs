//! Who proves we are the webhook?
//!
//! The way of TLS material through this crate: [`FileSource`] reads a pair of PEM files, [`Loaded`] is that pair once it
//! has been understood and checked, [`Reloader`] decides what a new reading means, [`Resolver`] serves the pair to
//! every handshake, and [`server_config`] ties the resolver to a TLS server. [`Ca`] issues such pairs.
//!
//! Nothing here knows Kubernetes, reads a clock, sleeps or starts a thread: the caller passes `now` and decides when to
//! look again. The only input and output is the reading of the two files.

mod files;
mod issue;
mod load_error;
mod loaded;
mod reload;
mod resolver;
mod server;
mod timestamp;

pub use files::{FileSource, PemPair};
pub use issue::{Ca, IssueError, Issued, SubjectAltName};
pub use load_error::{LoadError, Part};
pub use loaded::Loaded;
pub use reload::{Outcome, Reloader};
pub use resolver::{Held, NotReady, Resolver};
pub use server::{ALPN_HTTP_1_1, server_config};
