//! What an answer to a request of the load means, and whose fault a failure is.
//!
//! A request that admission had to answer and did not, or answered wrongly, is a failed admission. Excused are exactly these, each
//! within its [`Incident`]:
//!
//! - no answer at all, or one of the API server about itself, while it was killed and had not come back for good;
//! - a broken connection to the webhook around the kill of a replica, until the balancer has taken its endpoint out: a process that is
//!   gone answers nothing;
//! - a call of the webhook that timed out and was begun while a replica hung: the balancer takes a process that says nothing out
//!   late, and connections of before stay;
//! - a review that is to be refused for its kind and gets an error, while the replicas may not read kinds or the API server was
//!   killed: such a refusal is given only after the kind was read once more. What is to be admitted still is;
//! - what took too long while the API server took longer than [`SLOW`] for a request that has nothing to do with us: the machine
//!   that all of this runs on has too much to do.
//!
//! Nothing is excused for a rolling restart, broken watches and new certificates.

use std::time::{Duration, Instant};

use cluster::Reply;

/// After which a killed replica is no endpoint any more, an API server that is ready answers everything again, and rights are known.
pub const AFTERMATH: Duration = Duration::from_secs(5);

/// For what the API server answers in a millisecond.
pub const SLOW: Duration = Duration::from_secs(1);

/// What admission has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Admit,
    Refuse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The API server did not answer, or answered about itself.
    ApiServer,
    /// The connection to the webhook broke or was refused.
    Connection,
    /// The webhook did not answer in time.
    Timeout,
    /// The webhook cannot read what a refusal rests on.
    Unconfirmed,
    /// The opposite of what was right, or anything else.
    Wrong,
}

/// A request that did not get the answer that it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub fault: Fault,
    pub from: Instant,
    pub to: Instant,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    ApiServerGone,
    Killed,
    Hung,
    WithoutRights,
    /// The machine has too much to do: the API server takes long for what no webhook is asked about.
    Starved,
}

/// When something could not answer. Without an end it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incident {
    pub sort: Sort,
    pub from: Instant,
    pub to: Option<Instant>,
}

/// What is wrong with the answer to a request that was to be admitted or refused, if anything.
pub fn judge(expected: Expected, answer: &cluster::Result<Reply>) -> Result<(), (Fault, String)> {
    let reply = match answer {
        Ok(reply) => reply,
        Err(error) => return Err((Fault::ApiServer, error.to_string())),
    };
    let message = reply.json()["message"].as_str().unwrap_or_default().to_owned();
    let is_denied = message.contains("denied the request");
    let fault = match (expected, reply.status) {
        (Expected::Admit, 200..=299) => return Ok(()),
        (Expected::Refuse, 422) if is_denied => return Ok(()),
        _ if message.contains("failed calling webhook") => called(&message),
        (Expected::Refuse, 500 | 503) if message.contains("denied the request: the API server ") => Fault::Unconfirmed,
        (_, 200..=299) => Fault::Wrong,
        _ if is_denied => Fault::Wrong,
        _ => Fault::ApiServer,
    };
    Err((fault, format!("{} {message}", reply.status)))
}

/// Why a call failed, by the words of Go behind the URL.
fn called(message: &str) -> Fault {
    const TIMEOUTS: [&str; 3] = ["context deadline exceeded", "Client.Timeout", "timeout"];
    const CONNECTIONS: [&str; 4] = ["EOF", "connection reset", "connection refused", "broken pipe"];
    let message = message.rsplit_once("\": ").map_or(message, |(_, why)| why);
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&TIMEOUTS) {
        Fault::Timeout
    } else if has(&CONNECTIONS) {
        Fault::Connection
    } else {
        Fault::Wrong
    }
}

impl Incident {
    pub fn begin(sort: Sort) -> Self {
        Self { sort, from: Instant::now(), to: None }
    }

    fn excuses(&self, failure: &Failure) -> bool {
        let aftermath = if matches!(self.sort, Sort::Hung | Sort::Starved) { Duration::ZERO } else { AFTERMATH };
        let is_before_end = self.to.is_none_or(|to| failure.from <= to + aftermath);
        let overlaps = is_before_end && self.from <= failure.to;
        match (self.sort, failure.fault) {
            (Sort::ApiServerGone, Fault::ApiServer | Fault::Unconfirmed)
            | (Sort::Starved, Fault::Timeout | Fault::Unconfirmed)
            | (Sort::Killed, Fault::Connection)
            | (Sort::WithoutRights, Fault::Unconfirmed)
            | (Sort::Hung, Fault::Timeout) => overlaps,
            _ => false,
        }
    }
}

/// For how much of that time the machine had too much to do.
pub fn starved(incidents: &[Incident], from: Instant, to: Instant) -> Duration {
    let starved = incidents.iter().filter(|incident| incident.sort == Sort::Starved);
    starved.map(|slow| slow.to.unwrap_or(to).min(to).saturating_duration_since(slow.from.max(from))).sum()
}

/// Those failures that nothing excuses, and how many are excused.
pub fn unexcused<'a>(failures: &'a [Failure], incidents: &[Incident]) -> (Vec<&'a Failure>, usize) {
    let ours: Vec<&Failure> =
        failures.iter().filter(|failure| !incidents.iter().any(|incident| incident.excuses(failure))).collect();
    let excused = failures.len() - ours.len();
    (ours, excused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(fault: Fault, from: Instant, to: Instant) -> Failure {
        Failure { fault, from, to, text: String::new() }
    }

    #[test]
    fn a_failed_call_is_told_by_its_words() {
        let text = |why: &str| {
            format!("failed calling webhook \"v\": failed to call webhook: Post \"https://x/y?timeout=5s\": {why}")
        };
        assert_eq!(called(&text("EOF")), Fault::Connection);
        assert_eq!(called(&text("dial tcp 127.0.0.1:1: connect: connection refused")), Fault::Connection);
        assert_eq!(called(&text("context deadline exceeded")), Fault::Timeout);
        assert_eq!(called(&text("net/http: TLS handshake timeout")), Fault::Timeout);
        assert_eq!(called(&text("tls: failed to verify certificate: x509: unknown authority")), Fault::Wrong);
    }

    #[test]
    fn only_what_an_incident_can_cause_is_excused() {
        let second = Duration::from_secs(1);
        let began = Instant::now();
        let at = |seconds: u32| began + seconds * second;
        let incident = |sort| Incident { sort, from: at(10), to: Some(at(20)) };
        let all = [Sort::ApiServerGone, Sort::Killed, Sort::Hung, Sort::WithoutRights];
        let faults = [Fault::ApiServer, Fault::Connection, Fault::Timeout, Fault::Unconfirmed];
        for (sort, fault) in all.into_iter().zip(faults) {
            let during = failure(fault, at(12), at(13));
            assert!(incident(sort).excuses(&during), "{sort:?}");
            let excuses = all.into_iter().filter(|other| incident(*other).excuses(&during)).count();
            let expected = if fault == Fault::Unconfirmed { 2 } else { 1 };
            assert_eq!(excuses, expected, "{sort:?}");
            assert!(incident(sort).excuses(&failure(fault, at(8), at(11))), "{sort:?}");
            assert!(!incident(sort).excuses(&failure(fault, at(8), at(9))), "{sort:?}");
            assert!(!incident(sort).excuses(&failure(fault, at(26), at(27))), "{sort:?}");
            assert!(!incident(sort).excuses(&failure(Fault::Wrong, at(12), at(13))), "{sort:?}");
        }
        assert!(!incident(Sort::Hung).excuses(&failure(Fault::Timeout, at(21), at(26))));
        let slow = [Incident { sort: Sort::Starved, from: at(10), to: Some(at(20)) }, incident(Sort::Hung)];
        assert_eq!(starved(&slow, at(8), at(12)), 2 * second);
        assert_eq!(starved(&slow, at(21), at(22)), Duration::ZERO);
        let failures = [failure(Fault::Timeout, at(12), at(17)), failure(Fault::Connection, at(12), at(13))];
        let (ours, excused) = unexcused(&failures, &[incident(Sort::Hung)]);
        assert_eq!((ours, excused), (vec![&failures[1]], 1));
    }
}
