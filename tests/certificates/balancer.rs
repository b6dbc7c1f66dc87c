//! The Service of the replicas: a port that passes each connection on to the next of them.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Forwards connections. Its threads end with the test.
pub struct Balancer {
    port: u16,
    backends: Arc<Mutex<Vec<u16>>>,
}

impl Balancer {
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let backends = Arc::new(Mutex::new(Vec::<u16>::new()));
        let shared = Arc::clone(&backends);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let backend = {
                    let mut backends = shared.lock().unwrap();
                    if backends.is_empty() {
                        continue;
                    }
                    backends.rotate_left(1);
                    backends[0]
                };
                let Ok(server) = TcpStream::connect(("127.0.0.1", backend)) else { continue };
                let (Ok(client_end), Ok(server_end)) = (client.try_clone(), server.try_clone()) else { continue };
                thread::spawn(move || pass(client, server));
                thread::spawn(move || pass(server_end, client_end));
            }
        });
        Self { port, backends }
    }

    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Those that are ready.
    pub fn set_backends(&self, ports: Vec<u16>) {
        *self.backends.lock().unwrap() = ports;
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
