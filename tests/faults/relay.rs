//! A network between a process and the API server that can be cut: nothing gets through then, in either direction, and nobody is
//! told. What was under way is lost for good.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// How often a quiet connection looks whether it has been cut.
const LOOK: Duration = Duration::from_millis(10);

/// The network. Its threads end with the process of the test.
pub struct Relay {
    address: SocketAddr,
    /// Even: whole. Odd: cut.
    cuts: Arc<AtomicUsize>,
}

impl Relay {
    /// To the server at that URL.
    pub fn start(url: &str) -> Self {
        let server: SocketAddr = url.strip_prefix("https://").unwrap().trim_end_matches('/').parse().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let relay = Self { address: listener.local_addr().unwrap(), cuts: Arc::default() };
        let cuts = Arc::clone(&relay.cuts);
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { continue };
                let cuts = Arc::clone(&cuts);
                thread::spawn(move || connect(client, server, &cuts));
            }
        });
        relay
    }

    pub fn cut(&self) {
        assert!(self.cuts.fetch_add(1, Ordering::SeqCst).is_multiple_of(2));
    }

    pub fn heal(&self) {
        assert!(!self.cuts.fetch_add(1, Ordering::SeqCst).is_multiple_of(2));
    }

    /// The kubeconfig with this network in place of the server's address.
    pub fn kubeconfig(&self, original: &Path, url: &str) -> PathBuf {
        let text = std::fs::read_to_string(original).unwrap();
        assert!(text.contains(url), "{text}");
        let path = original.with_extension(format!("relay-{}", self.address.port()));
        std::fs::write(&path, text.replace(url, &format!("https://{}", self.address))).unwrap();
        path
    }
}

fn connect(client: TcpStream, server: SocketAddr, cuts: &Arc<AtomicUsize>) {
    // One that is begun while the network is cut waits for it.
    while !cuts.load(Ordering::SeqCst).is_multiple_of(2) {
        thread::sleep(LOOK);
    }
    let began = cuts.load(Ordering::SeqCst);
    let Ok(server) = TcpStream::connect(server) else { return };
    let (from_client, from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let counter = Arc::clone(cuts);
    let back = thread::spawn(move || copy(from_server, client, began, &counter));
    copy(from_client, server, began, cuts);
    back.join().unwrap();
}

/// Copies until the end or a cut. After a cut nothing more is read; when the network is whole again, both sides learn that the
/// connection is gone.
fn copy(mut from: TcpStream, mut to: TcpStream, began: usize, cuts: &AtomicUsize) {
    from.set_read_timeout(Some(LOOK)).unwrap();
    let mut buffer = vec![0; 64 << 10];
    while cuts.load(Ordering::SeqCst) == began {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                if cuts.load(Ordering::SeqCst) != began || to.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    while !cuts.load(Ordering::SeqCst).is_multiple_of(2) {
        thread::sleep(LOOK);
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
