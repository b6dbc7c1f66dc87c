//! A small blocking client of the API server, for tests and fixtures: paths and JSON, no types, no retries.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, http};

use crate::{Error, Result};

/// Longer than any timeout of the API server towards a webhook.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(40);
/// Longer than a server that has just started needs to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of the API server, as one user.
#[derive(Debug, Clone)]
pub struct Api {
    agent: Agent,
    server: String,
    authorization: String,
    timeout: Duration,
    /// The user's kubeconfig, for programs that need one.
    pub kubeconfig: PathBuf,
}

/// An answer of the API server, whatever its status.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The texts of its `Warning` headers, in order.
    pub warnings: Vec<String>,
    /// The body, unchanged.
    pub body: String,
    method: &'static str,
    path: String,
}

impl Reply {
    /// The body as JSON; null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The body as JSON, or an error with the API server's message.
    pub fn ok(self) -> Result<Value> {
        if self.status < 400 {
            return Ok(self.json());
        }
        let message = self.json()["message"].as_str().map(str::to_owned);
        Err(Error::Api {
            method: self.method,
            path: self.path,
            status: self.status,
            message: message.unwrap_or(self.body),
        })
    }
}

impl Api {
    pub(crate) fn new(server: &str, ca_pem: &str, token: &str, kubeconfig: PathBuf) -> Result<Self> {
        let authority = Certificate::from_pem(ca_pem.as_bytes())
            .map_err(|error| Error::Issue { what: "the API server's CA".to_owned(), why: error.to_string() })?;
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::Specific(Arc::new(vec![authority])))
            .build();
        Ok(Self {
            agent: agent(Some(tls)),
            server: server.to_owned(),
            authorization: format!("Bearer {token}"),
            timeout: REQUEST_TIMEOUT,
            kubeconfig,
        })
    }

    /// The same client, but one that gives up a request after that time.
    #[must_use]
    pub fn within(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Reads an object, a list or any other path.
    pub fn get(&self, path: &str) -> Result<Reply> {
        self.send("GET", path, "application/json", "")
    }

    /// Reads a path of a server that may not have started yet: another process on its port may never answer.
    pub(crate) fn probe(&self, path: &str) -> Result<Reply> {
        self.send_within(PROBE_TIMEOUT, "GET", path, "application/json", "")
    }

    /// Posts an object to its collection.
    pub fn create(&self, path: &str, object: &Value) -> Result<Reply> {
        self.send("POST", path, "application/json", &object.to_string())
    }

    /// Posts an object written in YAML to its collection.
    pub fn create_yaml(&self, path: &str, object: &str) -> Result<Reply> {
        self.send("POST", path, "application/yaml", object)
    }

    /// Replaces an object.
    pub fn replace(&self, path: &str, object: &Value) -> Result<Reply> {
        self.send("PUT", path, "application/json", &object.to_string())
    }

    /// Server-side apply by `manager`, taking fields over from others.
    pub fn apply(&self, path: &str, manager: &str, object: &Value) -> Result<Reply> {
        let path = format!("{path}?fieldManager={manager}&force=true");
        self.send("PATCH", &path, "application/apply-patch+yaml", &object.to_string())
    }

    /// JSON merge patch.
    pub fn merge_patch(&self, path: &str, changes: &Value) -> Result<Reply> {
        self.send("PATCH", path, "application/merge-patch+json", &changes.to_string())
    }

    /// JSON patch: a list of operations.
    pub fn json_patch(&self, path: &str, operations: &Value) -> Result<Reply> {
        self.send("PATCH", path, "application/json-patch+json", &operations.to_string())
    }

    /// Deletes an object, or with a collection's path all of its objects.
    pub fn delete(&self, path: &str) -> Result<Reply> {
        self.send("DELETE", path, "application/json", "")
    }

    fn send(&self, method: &'static str, path: &str, content: &str, body: &str) -> Result<Reply> {
        self.send_within(self.timeout, method, path, content, body)
    }

    fn send_within(
        &self,
        timeout: Duration,
        method: &'static str,
        path: &str,
        content: &str,
        body: &str,
    ) -> Result<Reply> {
        let failed = |why: String| Error::Request { method, path: path.to_owned(), why };
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
            .header("Authorization", &self.authorization)
            .header("Accept", "application/json");
        if !body.is_empty() {
            request = request.header("Content-Type", content);
        }
        let answer = if body.is_empty() {
            let request = request.body(()).map_err(|error| failed(error.to_string()))?;
            self.agent.run(self.agent.configure_request(request).timeout_global(Some(timeout)).build())
        } else {
            let request = request.body(body).map_err(|error| failed(error.to_string()))?;
            self.agent.run(self.agent.configure_request(request).timeout_global(Some(timeout)).build())
        };
        let mut answer = answer.map_err(|error| failed(error.to_string()))?;
        let warnings = answer
            .headers()
            .get_all("Warning")
            .iter()
            .filter_map(|value| Some(warning_text(value.to_str().ok()?)))
            .collect();
        let body = answer
            .body_mut()
            .with_config()
            .limit(512 << 20)
            .read_to_string()
            .map_err(|error| failed(error.to_string()))?;
        Ok(Reply { status: answer.status().as_u16(), warnings, body, method, path: path.to_owned() })
    }
}

/// Reads a plain HTTP page of a process on this machine.
pub fn get_plain(url: &str) -> Result<(u16, String)> {
    get_plain_within(REQUEST_TIMEOUT, url)
}

/// The same, but gives up after that time.
pub(crate) fn get_plain_within(timeout: Duration, url: &str) -> Result<(u16, String)> {
    let failed = |error: ureq::Error| Error::Request { method: "GET", path: url.to_owned(), why: error.to_string() };
    let request = agent(None).get(url).config().timeout_global(Some(timeout)).build();
    let mut answer = request.call().map_err(failed)?;
    let body = answer.body_mut().read_to_string().map_err(failed)?;
    Ok((answer.status().as_u16(), body))
}

/// No proxy: everything is on this machine.
fn agent(tls: Option<TlsConfig>) -> Agent {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(REQUEST_TIMEOUT))
        .allow_non_standard_methods(true)
        .proxy(None);
    if let Some(tls) = tls {
        config = config.tls_config(tls);
    }
    config.build().new_agent()
}

/// `299 - "text"` unescaped (RFC 7234, section 5.5).
fn warning_text(header: &str) -> String {
    let quoted = header.splitn(3, ' ').nth(2).unwrap_or(header);
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(quoted);
    let mut text = String::with_capacity(inner.len());
    let mut escaped = false;
    for character in inner.chars() {
        if character == '\\' && !escaped {
            escaped = true;
            continue;
        }
        escaped = false;
        text.push(character);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_warning_apart() {
        assert_eq!(warning_text(r#"299 - "port \"a\" is \\ odd""#), r#"port "a" is \ odd"#);
    }
}
