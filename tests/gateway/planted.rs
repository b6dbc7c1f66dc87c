//! Headers written into a VirtualService by hand, as somebody without admission would.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster::Reply;
use serde_json::{Value, json};

use crate::hostile::{probe, surprises};
use crate::site::{Site, VIRTUAL_SERVICES};
use crate::visitor::Request;

/// When a request counts as lost: some headers make the backend wait for more of it.
const UNANSWERED: Duration = Duration::from_secs(5);

/// What becomes of it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Outcome {
    /// The API server does not store it.
    NotStored,
    /// Envoy rejects the routes of everybody.
    Rejected,
    /// istiod leaves the route out.
    NotRouted,
    /// The request does not arrive, or it and its headers do not arrive as they were written.
    Astray,
    /// The headers arrive as they were written, and all others too.
    Harmless,
}

pub struct Planter<'a> {
    site: &'a Site,
    path: String,
    host: String,
    usual: &'a BTreeSet<String>,
    count: usize,
}

impl<'a> Planter<'a> {
    /// Plants in that namespace, with the Service of a Workspace as the destination.
    pub fn new(site: &'a Site, namespace: &str, workspace: &str, usual: &'a BTreeSet<String>) -> Self {
        let selector = format!("notebooks.kubeflow.org/workspace-name={workspace}");
        let path = format!("{VIRTUAL_SERVICES}/{namespace}/virtualservices");
        let route = &site.list(&format!("{path}?labelSelector={selector}"))[0];
        let host = route["spec"]["http"][0]["route"][0]["destination"]["host"].as_str().unwrap().to_owned();
        Self { site, path, host, usual, count: 0 }
    }

    /// Writes these headers, sees what comes of it, and deletes them.
    pub fn plant(&mut self, headers: &Value) -> (Outcome, String) {
        self.count += 1;
        let (planted, marker) = (format!("planted-{}", self.count), format!("marker-{}", self.count));
        let rejects = self.site.envoy.rejects().unwrap();
        let reply = self.site.cluster.api().create(&self.path, &self.route(&planted, headers)).unwrap();
        if reply.status >= 400 {
            return (Outcome::NotStored, reply.json()["message"].to_string());
        }
        // Once a route written later is there, the planted one has been pushed too.
        self.site.create(&self.path, &self.route(&marker, &json!({})));
        let is_rejected = self.site.wait("the planted headers to be pushed", || {
            if self.site.envoy.rejects().map_err(|error| error.to_string())? > rejects {
                return Ok(true);
            }
            let answer = Request::get(&format!("/{marker}/")).send().map_err(|error| error.to_string())?;
            if answer.status == 200 { Ok(false) } else { Err(format!("answered with {}", answer.status)) }
        });
        let outcome = if is_rejected {
            (Outcome::Rejected, self.site.istiod.rejections(1).concat())
        } else {
            self.judge(&planted, headers)
        };
        for name in [planted, marker] {
            self.site.cluster.api().delete(&format!("{}/{name}", self.path)).and_then(Reply::ok).unwrap();
            if !name.starts_with("planted") {
                continue;
            }
            // The gateway must have recovered before the next one is planted.
            self.site.arrives(&Request::get(&format!("/marker-{}/", self.count)));
        }
        outcome
    }

    fn judge(&self, planted: &str, headers: &Value) -> (Outcome, String) {
        let texts = |list: &str| {
            let members = headers[list].as_object().into_iter().flatten();
            members.map(|(name, value)| (name.to_ascii_lowercase(), value.as_str().map(str::to_owned)))
        };
        let removed = headers["remove"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let arrives: BTreeMap<String, Option<String>> =
            removed.map(|name| (name.to_ascii_lowercase(), None)).chain(texts("set")).chain(texts("add")).collect();
        match probe(&format!("/{planted}/")).within(UNANSWERED).send() {
            Err(error) => (Outcome::Astray, error.to_string()),
            Ok(answer) if answer.status == 404 => (Outcome::NotRouted, String::new()),
            Ok(answer) => match surprises(&answer, &arrives, self.usual) {
                found if found.is_empty() => (Outcome::Harmless, String::new()),
                found => (Outcome::Astray, found.join("; ")),
            },
        }
    }

    fn route(&self, name: &str, headers: &Value) -> Value {
        json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": name},
            "spec": {
                "gateways": ["kubeflow/kubeflow-gateway"],
                "hosts": ["*"],
                "http": [{
                    "match": [{"uri": {"prefix": format!("/{name}/")}}],
                    "headers": {"request": headers},
                    "route": [{"destination": {"host": self.host, "port": {"number": 8888}}}],
                }],
            },
        })
    }
}
