//! A load balancer for TCP that looks at the readiness of what is behind it, and is slow to believe it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How often readiness is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What new connections go to.
#[derive(Clone, Default)]
struct Backends(Arc<Mutex<Vec<SocketAddr>>>);

/// A running balancer. Its threads end with the process of the test.
pub struct Balancer {
    address: SocketAddr,
    backends: Backends,
    slow: Duration,
}

/// A backend is looked at for as long as this lives, and then no more, but stays for as long as the balancer is slow.
pub struct Watched(Arc<AtomicBool>);

impl Balancer {
    /// One that removes an endpoint so long after it has stopped being ready.
    pub fn start(slow: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let balancer = Self { address: listener.local_addr().unwrap(), backends: Backends::default(), slow };
        let backends = balancer.backends.clone();
        thread::spawn(move || {
            let next = AtomicUsize::new(0);
            for client in listener.incoming() {
                let Ok(client) = client else { continue };
                let chosen = backends.choose(next.fetch_add(1, Ordering::SeqCst));
                thread::spawn(move || chosen.map(|backend| connect(client, backend)));
            }
        });
        balancer
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Adds an endpoint that is ready, and looks whether it stays so.
    pub fn add(&self, address: SocketAddr, is_ready: impl Fn() -> bool + Send + 'static) -> Watched {
        self.backends.0.lock().unwrap().push(address);
        let ended = Arc::new(AtomicBool::new(false));
        let (is_over, backends, slow) = (Arc::clone(&ended), self.backends.clone(), self.slow);
        thread::spawn(move || {
            while is_ready() && !is_over.load(Ordering::SeqCst) {
                thread::sleep(LOOK);
            }
            thread::sleep(slow);
            backends.0.lock().unwrap().retain(|backend| *backend != address);
        });
        Watched(ended)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Backends {
    fn choose(&self, number: usize) -> Option<SocketAddr> {
        let backends = self.0.lock().unwrap();
        (!backends.is_empty()).then(|| backends[number % backends.len()])
    }
}

/// Copies in both directions until each has ended.
fn connect(client: TcpStream, backend: SocketAddr) {
    let Ok(server) = TcpStream::connect(backend) else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    let (from_client, from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let back = thread::spawn(move || copy(from_server, client));
    copy(from_client, server);
    back.join().unwrap();
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    drop(std::io::copy(&mut from, &mut to));
    drop(to.shutdown(std::net::Shutdown::Write));
}

/// How long each of so many requests takes, sent evenly by several clients; `send` says why one failed.
pub fn steadily(
    per_second: u32,
    is_over: &AtomicBool,
    send: impl Fn(usize) -> Result<(), String> + Sync,
) -> (usize, Vec<String>) {
    const CLIENTS: usize = 16;
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let due = Duration::from_secs(1) / per_second * u32::try_from(number).unwrap();
                    thread::sleep(due.saturating_sub(began.elapsed()));
                    if let Err(error) = send(number) {
                        failures.lock().unwrap().push(error);
                    }
                }
            });
        }
    });
    (next.into_inner(), failures.into_inner().unwrap())
}
