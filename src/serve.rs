//! Serves HTTP/1.1, with or without TLS, to clients that may be slow, broken or hostile.
//!
//! [`Server`] accepts; each connection runs in its own task (`connection`), with a timeout for every phase (`phase`):
//! handshake, headers, body, response, and idle time in between. [`Drain`] shuts down without losing a request.

mod accept;
mod body_budget;
mod connection;
mod drain;
mod limits;
mod phase;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};

use tokio::net::TcpListener;

use crate::config::Listen;

pub use accept::Server;
pub use drain::{Drain, DrainState};
pub use limits::ServerLimits;

/// Binds a listener and returns its address: with port 0 the system chooses the port. Needs a tokio runtime.
pub fn bind(listen: Listen) -> io::Result<(TcpListener, SocketAddr)> {
    let mut bound = Err(io::Error::from(io::ErrorKind::AddrNotAvailable));
    for address in listen.candidates() {
        bound = StdListener::bind(address);
        // The other address family is tried only where this one is missing.
        match &bound {
            Err(error) if matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported) => {}
            Err(error) if error.raw_os_error() == Some(EAFNOSUPPORT) => {}
            _ => break,
        }
    }
    let listener = bound?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, address))
}

/// "Address family not supported by protocol", which the standard library does not classify; Linux's number.
const EAFNOSUPPORT: i32 = 97;
