//! A proxy that passes on only so many bytes of the API server's answers until it is opened: for a start that still
//! lists.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::stage::{BEHIND_GATE, cluster};

/// Forwards connections to the API server. Its threads end with the connections, at the latest with the test.
pub struct Gate {
    port: u16,
    flow: Arc<Flow>,
}

/// How many bytes may still pass, on all connections together.
struct Flow {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    left: usize,
    open: bool,
    holding: bool,
}

impl Gate {
    /// Lets `bytes` of answers through and holds the rest back.
    pub fn after(bytes: usize) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let upstream = cluster().url().trim_start_matches("https://").to_owned();
        let state = State { left: bytes, open: false, holding: false };
        let flow = Arc::new(Flow { state: Mutex::new(state), changed: Condvar::new() });
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

    /// A kubeconfig with the address of the gate.
    pub fn kubeconfig(&self) -> PathBuf {
        let direct = std::fs::read_to_string(cluster().kubeconfig(BEHIND_GATE).unwrap()).unwrap();
        let through = direct.replace(cluster().url(), &format!("https://127.0.0.1:{}", self.port));
        assert_ne!(through, direct);
        let path = cluster().dir().join(format!("gate-{}.kubeconfig", self.port));
        std::fs::write(&path, through).unwrap();
        path
    }

    /// Whether some bytes are held back.
    pub fn holds(&self) -> bool {
        let state = self.flow.state();
        state.holding && !state.open
    }

    /// Passes everything on from now on.
    pub fn open(&self) {
        self.flow.state().open = true;
        self.flow.changed.notify_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

fn up(mut client: TcpStream, mut server: TcpStream) {
    let _ = io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Write);
}

impl Flow {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn down(&self, mut server: TcpStream, mut client: TcpStream) {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(count @ 1..) = server.read(&mut buffer) {
            self.pass(count);
            if client.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Write);
    }

    /// Returns when that many bytes may pass.
    fn pass(&self, count: usize) {
        let mut state = self.state();
        while !state.open && state.left < count {
            state.holding = true;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.left = state.left.saturating_sub(count);
    }
}
