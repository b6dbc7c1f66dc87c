//! A TCP relay between clients and a server, whose flow can be held back or cut.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::Value;

use crate::error::{Doing as _, read, write};
use crate::{Cluster, Error, Result};

const BUFFER: usize = 16 << 10;

/// What passes through a [`Relay`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Everything.
    Open,
    /// Requests, but no answers. None is lost: they arrive as soon as the flow is open again.
    Held,
    /// As [`Flow::Held`] after so many more bytes of answers, on all connections together.
    HeldAfter(usize),
    /// Nothing, in either direction, and nobody learns of that: a broken network. What was on its way is lost. Connections that
    /// were open break when the flow is open again; those that are begun meanwhile wait for it.
    Cut,
}

/// A running relay: an address of this machine, whose connections lead to another one. Its threads end with the connections, at the
/// latest with this process. Dropping it opens the flow.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    valve: Arc<Valve>,
}

impl Relay {
    /// To the server that `choose` returns, which is asked for each connection in turn. Where there is none, the connection is closed.
    pub fn start(choose: impl FnMut() -> Option<SocketAddr> + Send + 'static) -> Result<Self> {
        let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listening.doing(|| "cannot listen for a relay".to_owned())?;
        let address = listener.local_addr().doing(|| "a relay has no address".to_owned())?;
        let relay = Self { address, valve: Arc::default() };
        let valve = Arc::clone(&relay.valve);
        let choose = Arc::new(Mutex::new(choose));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (valve, choose) = (Arc::clone(&valve), Arc::clone(&choose));
                thread::spawn(move || {
                    let choose = || {
                        let mut choose = choose.lock().unwrap_or_else(PoisonError::into_inner);
                        (*choose)()
                    };
                    // Who connected sees that the connection is closed.
                    drop(valve.carry(client, choose));
                });
            }
        });
        Ok(relay)
    }

    /// To the API server of that control plane.
    pub fn to_api_server(cluster: &Cluster) -> Result<Self> {
        let address = cluster.url().trim_start_matches("https://");
        let server = address.parse().map_err(|_| Error::Unknown(format!("no address: {address}")))?;
        Self::start(move || Some(server))
    }

    /// The address of the relay.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// That kubeconfig, with the relay in place of the API server.
    pub fn kubeconfig(&self, original: &Path) -> Result<PathBuf> {
        let text = read(original)?;
        let failed = |error| Error::Unknown(format!("{}: {error}", original.display()));
        let mut config: Value = serde_json::from_str(&text).map_err(failed)?;
        config["clusters"][0]["cluster"]["server"] = format!("https://{}", self.address).into();
        let path = original.with_extension(format!("relay-{}", self.address.port()));
        write(&path, config.to_string())?;
        Ok(path)
    }

    /// From now on this passes.
    pub fn set(&self, flow: Flow) {
        self.valve.set(flow);
    }

    /// Whether an answer is held back.
    pub fn is_holding(&self) -> bool {
        self.valve.state().is_holding
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.set(Flow::Open);
    }
}

#[derive(Debug, Default)]
struct Valve {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    flow: Flow,
    /// How often it was cut. A connection is lost when this is not what it was at its beginning.
    cuts: usize,
    is_holding: bool,
    /// Both ends of the connections, by number.
    connections: BTreeMap<usize, [TcpStream; 2]>,
    next: usize,
}

impl Default for State {
    fn default() -> Self {
        Self { flow: Flow::Open, cuts: 0, is_holding: false, connections: BTreeMap::new(), next: 0 }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Requests,
    Answers,
}

impl Valve {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, flow: Flow) {
        let mut state = self.state();
        match (state.flow, flow) {
            (Flow::Cut, Flow::Cut) => {}
            (_, Flow::Cut) => state.cuts += 1,
            (Flow::Cut, _) => {
                let lost = std::mem::take(&mut state.connections);
                lost.into_values().flatten().for_each(|end| close(&end));
            }
            _ => {}
        }
        state.flow = flow;
        state.is_holding = false;
        drop(state);
        self.changed.notify_all();
    }

    /// Copies in both directions until each has ended.
    fn carry(self: &Arc<Self>, client: TcpStream, choose: impl FnOnce() -> Option<SocketAddr>) -> io::Result<()> {
        let cuts = self.wait_whole();
        let Some(server) = choose() else { return Ok(()) };
        let server = TcpStream::connect(server)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, from_server) = (client.try_clone()?, server.try_clone()?);
        let Some(number) = self.add(cuts, [client.try_clone()?, server.try_clone()?]) else { return Ok(()) };
        let valve = Arc::clone(self);
        let back = thread::spawn(move || valve.copy(from_server, client, cuts, Direction::Answers));
        self.copy(from_client, server, cuts, Direction::Requests);
        drop(back.join());
        self.state().connections.remove(&number);
        Ok(())
    }

    /// Returns how often it has been cut, once it is whole.
    fn wait_whole(&self) -> usize {
        let mut state = self.state();
        while state.flow == Flow::Cut {
            state = self.wait(state);
        }
        state.cuts
    }

    /// The number of a new connection, unless it is lost already.
    fn add(&self, cuts: usize, ends: [TcpStream; 2]) -> Option<usize> {
        let mut state = self.state();
        if state.cuts != cuts && state.flow != Flow::Cut {
            return None;
        }
        let number = state.next;
        state.next += 1;
        state.connections.insert(number, ends);
        Some(number)
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream, cuts: usize, direction: Direction) {
        let mut buffer = vec![0; BUFFER];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if !self.lets_pass(count, cuts, direction) || to.write_all(&buffer[..count]).is_err() {
                close(&from);
                close(&to);
                return;
            }
        }
        if self.lets_pass(0, cuts, direction) {
            drop(to.shutdown(Shutdown::Write));
        } else {
            close(&from);
            close(&to);
        }
    }

    /// Returns when so many bytes may pass, or, with false, when it is known that the connection is lost.
    fn lets_pass(&self, count: usize, cuts: usize, direction: Direction) -> bool {
        let mut state = self.state();
        loop {
            let flow = state.flow;
            match flow {
                Flow::Cut => {}
                _ if state.cuts != cuts => return false,
                Flow::Open => return true,
                Flow::Held | Flow::HeldAfter(_) if direction == Direction::Requests => return true,
                Flow::HeldAfter(left) if count <= left => {
                    state.flow = Flow::HeldAfter(left - count);
                    return true;
                }
                Flow::Held | Flow::HeldAfter(_) => state.is_holding = true,
            }
            state = self.wait(state);
        }
    }
}

/// It may be closed already.
fn close(end: &TcpStream) {
    drop(end.shutdown(Shutdown::Both));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    /// A relay to a server that echoes, and a connection through it.
    fn echo() -> (Relay, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let server = listener.local_addr().unwrap();
        thread::spawn(move || {
            for mut end in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || io::copy(&mut end.try_clone().unwrap(), &mut end));
            }
        });
        let relay = Relay::start(move || Some(server)).unwrap();
        let client = connect(&relay);
        (relay, client)
    }

    fn connect(relay: &Relay) -> TcpStream {
        TcpStream::connect(relay.address()).unwrap()
    }

    fn send(mut client: &TcpStream, text: &str) {
        client.write_all(text.as_bytes()).unwrap();
    }

    /// What comes of so many bytes within that time.
    fn answer(mut client: &TcpStream, count: usize, within: Duration) -> Option<String> {
        client.set_read_timeout(Some(within)).unwrap();
        let mut answer = vec![0; count];
        client.read_exact(&mut answer).ok().map(|()| String::from_utf8(answer).unwrap())
    }

    fn is_answered(client: &TcpStream, text: &str) {
        send(client, text);
        assert_eq!(answer(client, text.len(), Duration::from_secs(20)).as_deref(), Some(text));
    }

    fn is_not_answered(client: &TcpStream, text: &str) {
        send(client, text);
        assert_eq!(answer(client, text.len(), Duration::from_millis(200)), None);
    }

    #[test]
    fn answers_that_are_held_arrive_when_the_flow_is_open() {
        let (relay, client) = echo();
        is_answered(&client, "one");
        relay.set(Flow::Held);
        is_not_answered(&client, "two");
        assert!(relay.is_holding());
        relay.set(Flow::Open);
        assert!(!relay.is_holding());
        assert_eq!(answer(&client, 3, Duration::from_secs(20)).unwrap(), "two");
    }

    #[test]
    fn so_many_bytes_of_answers_pass_on_all_connections() {
        let (relay, client) = echo();
        relay.set(Flow::HeldAfter(5));
        is_answered(&client, "one");
        is_answered(&connect(&relay), "no");
        is_not_answered(&client, "x");
        assert!(relay.is_holding());
    }

    #[test]
    fn a_cut_loses_what_is_under_way_and_breaks_connections_once_it_is_over() {
        let (relay, client) = echo();
        is_answered(&client, "one");
        relay.set(Flow::Cut);
        is_not_answered(&client, "two");
        let waits = connect(&relay);
        is_not_answered(&waits, "three");
        relay.set(Flow::Open);
        let mut rest = Vec::new();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // Closed or reset.
        drop((&client).read_to_end(&mut rest));
        assert_eq!(rest, b"");
        assert_eq!(answer(&waits, 5, Duration::from_secs(20)).unwrap(), "three");
    }
}
