//! The crate from outside: pairs are issued, published as a kubelet does, reloaded, and proven in real TLS handshakes.
#![allow(clippy::unwrap_used, clippy::panic)]

mod clients;
mod handshake;
mod issue;
mod reload;
mod swap;
mod volume;
