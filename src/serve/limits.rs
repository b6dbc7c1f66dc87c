//! What clients can use of a server.

use std::time::Duration;

/// Limits on what clients can use of the server, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServerLimits {
    /// Open connections. When the limit is reached, idle ones are closed in favour of new ones.
    pub connections: usize,
    /// Total bytes of request bodies in flight on all connections; beyond it bodies of more than 64 KiB are refused.
    /// Three of the largest reviews fit.
    pub body_bytes: usize,
    /// From the connection to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a request to the last of its headers.
    pub headers: Duration,
    /// From the headers to the last byte of the body.
    pub body: Duration,
    /// From the last byte of the body to the last of the response.
    pub response: Duration,
    /// Between a response and the next request. Longer than Go's clients keep a connection (90 s): otherwise a request
    /// may race with the close of its connection, and a POST is not retried.
    pub idle: Duration,
    /// How long a connection must be idle before it may be closed in favour of new ones.
    pub idle_protected: Duration,
}

impl Default for ServerLimits {
    /// The promise is 5 s for handshake and headers and 10 s for the body; the limits are lower, so that the connection
    /// is closed in time on a busy machine too.
    fn default() -> Self {
        Self {
            connections: 1024,
            body_bytes: 24 << 20,
            handshake: Duration::from_secs(4),
            headers: Duration::from_secs(4),
            body: Duration::from_secs(8),
            response: Duration::from_secs(40),
            idle: Duration::from_mins(2),
            idle_protected: Duration::from_secs(1),
        }
    }
}

impl ServerLimits {
    /// The same, with at most half of the file descriptors that the process may open.
    #[must_use]
    pub fn within_descriptors(self, descriptors: Option<usize>) -> Self {
        let connections = descriptors.map_or(self.connections, |most| self.connections.min(most / 2).max(1));
        Self { connections, ..self }
    }
}
