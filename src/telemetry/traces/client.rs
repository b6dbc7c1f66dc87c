//! The HTTP client of the thread that sends spans. It blocks that thread, and nothing else.

use std::fs;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

use super::exporter_variable;

/// How long a collector may take, unless the environment says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most of an answer that is read.
const ANSWER_MAX: u64 = 64 << 10;

#[derive(Debug)]
pub(super) struct BlockingClient {
    agent: Agent,
    /// Whether the last spans were not taken.
    is_failing: AtomicBool,
}

impl BlockingClient {
    pub fn from_environment() -> Result<Self, String> {
        let timeout =
            exporter_variable("TIMEOUT").and_then(|text| text.parse().ok()).map_or(TIMEOUT, Duration::from_millis);
        let agent = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("workspaces-controller/", env!("CARGO_PKG_VERSION")));
        let agent = match authorities()? {
            Some(roots) => {
                agent.tls_config(TlsConfig::builder().provider(TlsProvider::Rustls).root_certs(roots).build())
            }
            None if is_https() => {
                return Err("OTEL_EXPORTER_OTLP_CERTIFICATE has to name a file with the CA of the collector".to_owned());
            }
            None => agent,
        };
        Ok(Self { agent: agent.build().into(), is_failing: AtomicBool::new(false) })
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let (head, body) = request.into_parts();
        let answer = self.agent.run(Request::from_parts(head, &*body))?;
        let (head, mut body) = answer.into_parts();
        let body = body.with_config().limit(ANSWER_MAX).read_to_vec()?;
        Ok(Response::from_parts(head, body.into()))
    }

    /// One line when it begins to fail, and one when it works again.
    fn report(&self, answer: &Result<Response<Bytes>, ureq::Error>) {
        let failure = match answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answered {}", answer.status())),
            Err(error) => Some(error.to_string()),
        };
        let was_failing = self.is_failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(error) if !was_failing => {
                tracing::warn!(error, "the collector does not take the traces; they are lost until it does");
            }
            None if was_failing => tracing::info!("the collector takes traces again"),
            _ => {}
        }
    }
}

impl HttpClient for BlockingClient {
    fn send_bytes<'client, 'sending>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'sending>>
    where
        'client: 'sending,
        Self: 'sending,
    {
        let answer = self.send(request);
        self.report(&answer);
        Box::pin(ready(answer.map_err(HttpError::from)))
    }
}

fn is_https() -> bool {
    exporter_variable("ENDPOINT").is_some_and(|endpoint| endpoint.starts_with("https:"))
}

/// Who may have issued the certificate of the collector.
fn authorities() -> Result<Option<RootCerts>, String> {
    let Some(path) = exporter_variable("CERTIFICATE") else { return Ok(None) };
    let unusable = |why: String| format!("OTEL_EXPORTER_OTLP_CERTIFICATE={path:?} cannot be used: {why}");
    let pem = fs::read(&path).map_err(|error| unusable(error.to_string()))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(unusable(error.to_string())),
        }
    }
    if found.is_empty() {
        return Err(unusable("there is no certificate in it".to_owned()));
    }
    Ok(Some(RootCerts::Specific(Arc::new(found))))
}
