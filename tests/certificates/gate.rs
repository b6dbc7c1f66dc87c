//! A proxy between a replica and the API server: while it is closed the replica learns of nothing.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use cluster::Cluster;

/// Forwards connections to the API server. Its threads end with the connections, at the latest with the test.
pub struct Gate {
    port: u16,
    flow: Arc<Flow>,
}

#[derive(Default)]
struct Flow {
    closed: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    pub fn open(cluster: &Cluster) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let upstream = cluster.url().trim_start_matches("https://").to_owned();
        let flow = Arc::new(Flow::default());
        let shared = Arc::clone(&flow);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&upstream) else { continue };
                let (Ok(client_end), Ok(server_end)) = (client.try_clone(), server.try_clone()) else { continue };
                thread::spawn(move || up(client, server));
                let flow = Arc::clone(&shared);
                thread::spawn(move || flow.down(server_end, client_end));
            }
        });
        Self { port, flow }
    }

    /// That kubeconfig with the address of the gate.
    pub fn kubeconfig(&self, cluster: &Cluster, direct: &Path) -> PathBuf {
        let text = std::fs::read_to_string(direct).unwrap();
        let through = text.replace(cluster.url(), &format!("https://127.0.0.1:{}", self.port));
        assert_ne!(through, text);
        let path = cluster.dir().join(format!("gate-{}.kubeconfig", self.port));
        std::fs::write(&path, through).unwrap();
        path
    }

    /// Holds back what the API server answers, or passes it on again, all that was held back included.
    pub fn set_closed(&self, closed: bool) {
        *self.flow.closed() = closed;
        self.flow.changed.notify_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.set_closed(false);
    }
}

fn up(mut client: TcpStream, mut server: TcpStream) {
    let _ = io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Write);
}

impl Flow {
    fn closed(&self) -> MutexGuard<'_, bool> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn down(&self, mut server: TcpStream, mut client: TcpStream) {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(count @ 1..) = server.read(&mut buffer) {
            let mut closed = self.closed();
            while *closed {
                closed = self.changed.wait(closed).unwrap_or_else(PoisonError::into_inner);
            }
            drop(closed);
            if client.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Write);
    }
}
