//! Which hop between API server and webhook fails, from what the API server says about it. Pure.
//!
//! Who runs `check` usually cannot reach the webhook, so the API server is the witness: it quotes the error of its Go client. The
//! texts are those of Kubernetes 1.34 (`k8s.io/apiserver/pkg/util/webhook`, `pkg/util/proxy`) and of Go's `net`, `crypto/tls` and
//! `crypto/x509`; the tests of the command have the real API server say them.

use super::finding::Finding;

/// What every call that fails begins with.
const FAILED: &str = "failed calling webhook \"";
/// What stands between that and the error of a call that was tried.
const CALL: &str = "failed to call webhook: ";

/// The webhook that the API server could not call, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct FailedCall<'a> {
    /// The name of the webhook.
    pub webhook: &'a str,
    /// The error of the call.
    pub error: &'a str,
}

impl<'a> FailedCall<'a> {
    /// Of a message of the API server.
    pub fn of(message: &'a str) -> Option<Self> {
        let (_, rest) = message.split_once(FAILED)?;
        let (webhook, error) = rest.split_once("\": ")?;
        Some(Self { webhook, error: error.strip_prefix(CALL).unwrap_or(error) })
    }
}

/// Where the webhook is, in the words of its configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Address {
    /// `Service ns/name, port 443` or the URL.
    pub text: String,
    /// The host that its certificate has to be valid for.
    pub host: String,
    /// Its namespace, if it is a Service, else that of the installation.
    pub namespace: String,
    /// Whether the configuration has a CA.
    pub has_ca: bool,
}

/// A row: any of these texts, the hop, what that means, what to do.
struct Row(&'static [&'static str], &'static str, fn(&Address) -> String, fn(&Address) -> String);

/// The first row counts that has one of its texts in the error.
const ROWS: &[Row] = &[
    Row(
        &["not found"],
        "Service",
        |at| format!("{} does not exist", at.text),
        |at| {
            format!(
                "install the chart in namespace {} again (helm upgrade), or correct clientConfig.service of the webhook configuration",
                at.namespace
            )
        },
    ),
    Row(
        &["no endpoints available for service"],
        "Service",
        |at| format!("no pod behind {} is ready", at.text),
        not_ready,
    ),
    Row(
        &["no service port"],
        "Service",
        |at| format!("{}: it has no such port", at.text),
        |_| {
            "set clientConfig.service.port of the webhook configuration to a port of the Service (443 in the chart)"
                .to_owned()
        },
    ),
    Row(
        &["tls: certificate required", "tls: bad certificate"],
        "client certificate",
        |_| "the API server presents no certificate, and the webhook serves only clients with one".to_owned(),
        client_fix,
    ),
    Row(
        &["tls: unknown certificate", "tls: expired certificate", "tls: unsupported certificate"],
        "client certificate",
        |_| {
            "the webhook does not accept the certificate of the API server: none of its CAs issued it for clients, or it has expired".to_owned()
        },
        client_fix,
    ),
    Row(
        &["unable to load root certificates"],
        "caBundle",
        |_| "the caBundle of the webhook configuration is no certificate".to_owned(),
        ca_fix,
    ),
    Row(
        &["certificate signed by unknown authority"],
        "caBundle",
        |at| {
            if at.has_ca {
                "the caBundle of the webhook configuration does not verify the certificate that is served".to_owned()
            } else {
                "the webhook configuration has no caBundle, and no CA of the API server's system verifies the certificate".to_owned()
            }
        },
        ca_fix,
    ),
    Row(
        &[
            "certificate is valid for",
            "cannot validate certificate for",
            "certificate is not valid for any names",
            "not match",
        ],
        "TLS",
        |at| format!("the certificate that is served is not valid for {}", at.host),
        |at| {
            format!(
                "issue one with the subject alternative name {}; see the Secret of the certificate in namespace {}",
                at.host, at.namespace
            )
        },
    ),
    Row(
        &["certificate has expired or is not yet valid"],
        "TLS",
        |_| "the certificate that is served has expired, or is not valid yet by the API server's clock".to_owned(),
        |at| {
            format!(
                "renew it: kubectl -n {} describe certificate workspaces-serving-cert with cert-manager, else replace the content of its Secret; \
                 if it is new, compare the clocks",
                at.namespace
            )
        },
    ),
    Row(
        &["first record does not look like a TLS handshake", "server gave HTTP response to HTTPS client"],
        "TLS",
        |at| format!("what listens at {} does not serve TLS", at.text),
        |_| {
            "let the Service lead to the port of --webhook-bind-address (9443 in the chart), not to that of the probes or the metrics"
                .to_owned()
        },
    ),
    Row(
        &["no such host", "server misbehaving", "dial tcp: lookup "],
        "DNS",
        |at| format!("the API server's resolver does not know {}", at.host),
        |_| {
            "correct the host of webhook.url; the resolver is that of the control plane's nodes, not that of the cluster".to_owned()
        },
    ),
    Row(&["connection refused"], "TCP", |at| format!("nothing listens at {}", at.text), not_ready),
    Row(
        &["context deadline exceeded", "i/o timeout", "Client.Timeout", "no route to host", "network is unreachable"],
        "TCP",
        |at| format!("{} does not answer in time", at.text),
        |at| {
            format!(
                "if the pods are ready (kubectl -n {} get pods), a firewall between control plane and nodes or a NetworkPolicy keeps the API \
                 server out: open the webhook's port (9443), or see \"Where the API server does not reach the webhook\" in docs/install.md",
                at.namespace
            )
        },
    ),
    Row(
        &["connection reset by peer", "EOF", "broken pipe"],
        "TCP",
        |at| format!("{} closes the connection", at.text),
        |at| {
            format!(
                "look whether a proxy, a mesh or another server is at that address, and at the log of the pods: kubectl -n {} logs \
                 deployment/workspaces-controller",
                at.namespace
            )
        },
    ),
    Row(
        &["could not find the requested resource", "webhook response", "response is not"],
        "path",
        |at| format!("what answers at {} is not this webhook", at.text),
        |_| "correct Service, port and path of the webhook configuration; the chart has the right ones".to_owned(),
    ),
    Row(
        &["tls: access denied"],
        "TLS",
        |at| {
            format!(
                "what listens at {} has no certificate to serve, or does not allow the common name of the API server's certificate",
                at.text
            )
        },
        |at| {
            format!(
                "kubectl -n {0} logs deployment/workspaces-controller says what is wrong with the Secret of the certificate; with \
                 cert-manager: kubectl -n {0} describe certificate workspaces-serving-cert; where client certificates are demanded, the name has \
                 to be one of --webhook-client-allowed-names",
                at.namespace
            )
        },
    ),
    Row(
        &["tls: "],
        "TLS",
        |at| format!("no TLS connection with {}", at.text),
        |at| format!("look at the log of the pods: kubectl -n {} logs deployment/workspaces-controller", at.namespace),
    ),
];

fn not_ready(at: &Address) -> String {
    format!(
        "kubectl -n {0} get pods: are they Running and ready, and does the selector of the Service match them? If they are not ready, \
         kubectl -n {0} logs deployment/workspaces-controller says why",
        at.namespace
    )
}

fn ca_fix(at: &Address) -> String {
    format!(
        "with cert-manager: does its cainjector run, and does the annotation cert-manager.io/inject-ca-from name the Certificate? kubectl -n {} \
         describe certificate workspaces-serving-cert. With a certificate of your own: helm upgrade --set-file webhook.caBundle=ca.crt. With \
         certificate.mode=selfManaged the log of the pods says why",
        at.namespace
    )
}

fn client_fix(at: &Address) -> String {
    format!(
        "give the API server a client certificate for {} by the kubeConfigFile of its AdmissionConfiguration \
         (--admission-control-config-file, docs/security.md), issued by a CA of --webhook-client-ca-file; or serve the webhook to \
         everybody, without webhook.clientCA of the chart",
        at.host
    )
}

/// The hop that fails. Every error has one: what is not in the table is quoted all the same.
pub(super) fn explain(call: FailedCall<'_>, at: &Address) -> Finding {
    let row = ROWS.iter().find(|row| row.0.iter().any(|text| call.error.contains(text)));
    match row {
        Some(Row(_, step, what, fix)) => Finding::failed(step, format!("{}: {}", what(at), call.error), fix(at)),
        None => Finding::failed(
            "webhook",
            format!("the API server cannot call {}: {}", at.text, call.error),
            format!("look at the log of the pods: kubectl -n {} logs deployment/workspaces-controller", at.namespace),
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// What API servers of 1.34 say, the last five of other versions and networks, and the hop that it is about.
    const TEXTS: &[(&str, &str)] = &[
        ("service \"hook\" not found", "Service"),
        ("no endpoints available for service \"hook\"", "Service"),
        ("no service port 444 found for service \"hook\"", "Service"),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "caBundle"),
        (
            "tls: failed to verify certificate: x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs",
            "TLS",
        ),
        (
            "tls: failed to verify certificate: x509: certificate is valid for other.example.com, not hook.default.svc",
            "TLS",
        ),
        (
            "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time \
             2026-11-28T03:20:41Z is after 2026-11-27T03:19:42Z",
            "TLS",
        ),
        ("tls: first record does not look like a TLS handshake", "TLS"),
        ("http: server gave HTTP response to HTTPS client", "TLS"),
        ("dial tcp: lookup no-such-host.invalid on 10.255.255.53:53: no such host", "DNS"),
        ("dial tcp 127.0.0.1:21449: connect: connection refused", "TCP"),
        ("context deadline exceeded", "TCP"),
        ("read tcp 127.0.0.1:49236->127.0.0.1:21448: read: connection reset by peer", "TCP"),
        ("EOF", "TCP"),
        ("dial tcp 10.0.0.7:443: i/o timeout", "TCP"),
        (
            "net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
            "TCP",
        ),
        ("dial tcp 10.0.0.7:443: connect: no route to host", "TCP"),
        ("remote error: tls: access denied", "TLS"),
        ("remote error: tls: handshake failure", "TLS"),
        ("remote error: tls: certificate required", "client certificate"),
        ("remote error: tls: unknown certificate authority", "client certificate"),
        ("remote error: tls: expired certificate", "client certificate"),
        ("something that nobody has seen", "webhook"),
    ];

    #[test]
    fn each_text_of_the_api_server_has_its_hop() {
        let at = Address {
            text: "Service default/hook, port 443".to_owned(),
            host: "hook.default.svc".to_owned(),
            namespace: "default".to_owned(),
            has_ca: true,
        };
        let post = "Post \"https://hook.default.svc:443/validate?timeout=5s\"";
        for (error, step) in TEXTS {
            let message = format!(
                "Internal error occurred: failed calling webhook \"vworkspacekind.kb.io\": failed to call webhook: {post}: {error}"
            );
            let call = FailedCall::of(&message).unwrap();
            assert_eq!((call.webhook, call.error), ("vworkspacekind.kb.io", &*format!("{post}: {error}")));
            let finding = explain(call, &at);
            assert_eq!(finding.step, *step, "{error}");
            assert!(finding.message.ends_with(call.error), "{}", finding.message);
        }
        let message = "Internal error occurred: failed calling webhook \"vworkspacekind.kb.io\": could not get REST client: unable to load \
                       root certificates: unable to parse bytes as PEM block";
        let finding = explain(FailedCall::of(message).unwrap(), &at);
        assert_eq!(finding.step, "caBundle");
        assert!(FailedCall::of("admission webhook \"vworkspacekind.kb.io\" denied the request: no").is_none());
    }
}
