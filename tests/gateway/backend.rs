//! The notebook server of every pod: it answers with what it has received.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};

use serde::{Deserialize, Serialize};

use crate::wire::{self, Reader};

/// The key of RFC 6455, section 1.3, and the answer to it.
pub const WEBSOCKET_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const WEBSOCKET_ACCEPT: &str = "s3pPLBMlxaQ9kYGzzhZRbK+xOo=";
/// What it sends over a WebSocket before it has received anything.
pub const GREETING: &[u8; 8] = b"greeting";

/// A request as it was received.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Received {
    /// The address and port that the connection was made to: that of a pod.
    pub at: String,
    /// The first line.
    pub method: String,
    pub target: String,
    /// The header lines in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Received {
    /// All values of a header, joined as one.
    pub fn header(&self, name: &str) -> Option<String> {
        wire::header(&self.headers, name)
    }
}

/// Listens on these ports of every address until the process ends.
pub fn start(ports: &[u16]) {
    for &port in ports {
        let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let small = std::thread::Builder::new().stack_size(256 << 10);
                // A connection that ends early is the gateway's business.
                small.spawn(move || drop(serve(&stream))).unwrap();
            }
        });
    }
}

fn serve(stream: &TcpStream) -> std::io::Result<()> {
    let mut reader = Reader::new(stream);
    while let Some(received) = read_request(&mut reader, stream)? {
        let mut writer = stream;
        if received.header("upgrade").is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket")) {
            write!(
                writer,
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {WEBSOCKET_ACCEPT}\r\n\r\n"
            )?;
            writer.write_all(GREETING)?;
            std::io::copy(&mut reader, &mut writer)?;
            return Ok(());
        }
        let answer = serde_json::to_string(&received)?;
        write!(
            writer,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        )?;
        writer.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// The next request of a connection; none at its end.
fn read_request(reader: &mut Reader<'_>, stream: &TcpStream) -> std::io::Result<Option<Received>> {
    let Some((first, headers)) = wire::read_head(reader)? else { return Ok(None) };
    let body = wire::read_body(reader, &headers)?;
    let mut words = first.splitn(3, ' ').map(str::to_owned);
    Ok(Some(Received {
        at: stream.local_addr()?.to_string(),
        method: words.next().unwrap_or_default(),
        target: words.next().unwrap_or_default(),
        headers,
        body,
    }))
}
