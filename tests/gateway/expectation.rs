//! What the contract promises about a request's path and headers, worked out without the code that renders routes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::backend::Received;

/// A piece of a header's value as the backend sees it.
#[derive(Clone, Debug)]
pub enum Piece {
    Text(String),
    /// `%START_TIME%`: such as `2026-01-31T23:59:59.999Z`.
    Time,
    /// `%DOWNSTREAM_REMOTE_ADDRESS%`.
    Visitor,
    /// `%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%`.
    VisitorWithoutPort,
}

/// A value as the backend sees it.
pub type Value = Vec<Piece>;

/// What a port's `requestHeaders` mean. Names are in lower case, `:authority` is `host`.
#[derive(Clone, Debug, Default)]
pub struct Operations {
    pub set: BTreeMap<String, Value>,
    pub add: BTreeMap<String, Value>,
    pub remove: BTreeSet<String>,
}

pub fn text(text: &str) -> Value {
    vec![Piece::Text(text.to_owned())]
}

fn is_empty(value: &Value) -> bool {
    value.iter().all(|piece| matches!(piece, Piece::Text(text) if text.is_empty()))
}

impl Operations {
    /// The headers that arrive, of those that the visitor sent and those that are changed: first what is removed goes, then what is
    /// set replaces, then what is added is appended. What is set to nothing is removed; nothing cannot be added.
    pub fn applied_to(&self, sent: &[(String, String)]) -> BTreeMap<String, Vec<Value>> {
        let mut arrives: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (name, value) in sent {
            arrives.entry(name.to_ascii_lowercase()).or_default().push(text(value));
        }
        let emptied = self.set.iter().filter(|(_, value)| is_empty(value)).map(|(name, _)| name);
        for name in self.remove.iter().chain(emptied) {
            arrives.remove(name);
        }
        for (name, value) in self.set.iter().filter(|(_, value)| !is_empty(value)) {
            arrives.insert(name.clone(), vec![value.clone()]);
        }
        for (name, value) in self.add.iter().filter(|(_, value)| !is_empty(value)) {
            arrives.entry(name.clone()).or_default().push(value.clone());
        }
        arrives
    }

    /// The names that are changed in some way.
    pub fn names(&self) -> BTreeSet<&str> {
        self.set.keys().chain(self.add.keys()).chain(&self.remove).map(String::as_str).collect()
    }
}

/// How what arrived differs from what was promised.
pub fn differences(
    received: &Received,
    expected: &BTreeMap<String, Vec<Value>>,
    changed: &BTreeSet<&str>,
    usual: &BTreeSet<String>,
    visitor: SocketAddr,
) -> Vec<String> {
    let mut found = Vec::new();
    for (name, values) in expected {
        let arrived = received.header(name);
        let values: Vec<Value> = values.iter().map(trimmed).collect();
        let joined = values.join(&Piece::Text(",".to_owned()));
        if !arrived.as_deref().is_some_and(|arrived| matches(arrived, &joined, visitor)) {
            found.push(format!("{name}: {arrived:?} instead of {joined:?}"));
        }
    }
    for (name, value) in &received.headers {
        let may_come = usual.contains(name) && !changed.contains(name.as_str());
        if !expected.contains_key(name) && !may_come {
            found.push(format!("{name}: {value:?}, which nobody asked for"));
        }
    }
    found
}

const WHITE: [char; 2] = [' ', '\t'];

/// The value as it is on the wire, where white space around it means nothing.
fn trimmed(value: &Value) -> Value {
    let mut pieces: Value = Vec::new();
    for piece in value {
        match (pieces.last_mut(), piece) {
            (Some(Piece::Text(last)), Piece::Text(text)) => last.push_str(text),
            _ => pieces.push(piece.clone()),
        }
    }
    if let Some(Piece::Text(first)) = pieces.first_mut() {
        *first = first.trim_start_matches(WHITE).to_owned();
    }
    if let Some(Piece::Text(last)) = pieces.last_mut() {
        *last = last.trim_end_matches(WHITE).to_owned();
    }
    pieces
}

fn matches(arrived: &str, expected: &Value, visitor: SocketAddr) -> bool {
    let mut rest = Some(arrived);
    for piece in expected {
        rest = rest.and_then(|rest| match piece {
            Piece::Text(text) => rest.strip_prefix(text),
            Piece::Time => rest.get(..TIME.len()).filter(|time| is_time(time)).map(|time| &rest[time.len()..]),
            Piece::Visitor => rest.strip_prefix(&visitor.to_string()),
            Piece::VisitorWithoutPort => rest.strip_prefix(&visitor.ip().to_string()),
        });
    }
    rest == Some("")
}

const TIME: &str = "0000-00-00T00:00:00.000Z";

fn is_time(text: &str) -> bool {
    let shape: String =
        text.chars().map(|character| if character.is_ascii_digit() { '0' } else { character }).collect();
    shape == TIME
}
