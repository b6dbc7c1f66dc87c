//! A browser in front of the gateway. It writes and reads bytes itself, so that nothing is added and nothing is hidden.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::backend::{Received, WEBSOCKET_KEY};
use crate::wire::{self, Headers, Reader};

/// The host that it asks for, unless a request says otherwise.
pub const HOST: &str = "gateway.example.com";
/// How long it waits for an answer, unless a request says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub target: String,
    pub host: String,
    pub headers: Vec<(String, String)>,
    pub body: &'static str,
    patience: Duration,
}

/// An answer of the gateway.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    headers: Headers,
    body: String,
    /// The address that the gateway saw the request come from.
    pub from: SocketAddr,
}

impl Request {
    pub fn get(target: &str) -> Self {
        let (target, host) = (target.to_owned(), HOST.to_owned());
        Self { method: "GET", target, host, headers: Vec::new(), body: "", patience: PATIENCE }
    }

    pub fn host(self, host: &str) -> Self {
        Self { host: host.to_owned(), ..self }
    }

    pub fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    pub fn post(target: &str, body: &'static str) -> Self {
        Self { method: "POST", body, ..Self::get(target) }
    }

    pub fn headers<'a>(mut self, headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.headers.extend(headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
        self
    }

    /// Sends it on a connection of its own.
    pub fn send(&self) -> std::io::Result<Answer> {
        let (mut stream, from) = connect(self.patience)?;
        let mut text = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host);
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        if !self.body.is_empty() {
            let _ = write!(text, "Content-Length: {}\r\n", self.body.len());
        }
        stream.write_all(format!("{text}Connection: close\r\n\r\n{}", self.body).as_bytes())?;
        // The gateway is slow to close the connection.
        let mut reader = Reader::new(&stream);
        let (status, headers) = read_head(&mut reader)?;
        let body = wire::read_body(&mut reader, &headers)?;
        Ok(Answer { status, headers, body, from })
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<String> {
        wire::header(&self.headers, name)
    }

    /// What the backend received, if it was the backend that answered.
    pub fn received(&self) -> Result<Received, String> {
        let what = || format!("{} {}", self.status, self.body.chars().take(200).collect::<String>());
        if self.status != 200 {
            return Err(what());
        }
        serde_json::from_str(&self.body).map_err(|_| what())
    }
}

/// Upgrades to a WebSocket, sends `data`, and returns what came back before and after it.
pub fn websocket(target: &str, data: &[u8], greeting: usize) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let (mut stream, _) = connect(PATIENCE)?;
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {WEBSOCKET_KEY}\r\n\r\n"
    )?;
    let mut reader = Reader::new(&stream);
    let (status, _) = read_head(&mut reader)?;
    if status != 101 {
        return Err(std::io::Error::other(format!("answered {status}")));
    }
    let (mut before, mut after) = (vec![0; greeting], vec![0; data.len()]);
    reader.read_exact(&mut before)?;
    (&stream).write_all(data)?;
    reader.read_exact(&mut after)?;
    Ok((before, after))
}

fn connect(patience: Duration) -> std::io::Result<(TcpStream, SocketAddr)> {
    let stream = TcpStream::connect(("127.0.0.1", 80))?;
    stream.set_read_timeout(Some(patience))?;
    let from = stream.local_addr()?;
    Ok((stream, from))
}

/// The status and the headers of an answer.
fn read_head(reader: &mut Reader<'_>) -> std::io::Result<(u16, Headers)> {
    let ended = || std::io::Error::other("the connection ended without an answer");
    let (first, headers) = wire::read_head(reader)?.ok_or_else(ended)?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.unwrap_or_default(), headers))
}
