//! Whether the API server asks this version's webhook, and which hop fails if not. Pure.
//!
//! What the API server answered to two dry runs is the proof; the webhook configuration and the Service explain it.

use k8s_openapi::api::admissionregistration::v1::{
    RuleWithOperations, ValidatingWebhook, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use webhook::{REGISTRATIONS, Registration, WORKSPACE_KIND_PATH};

use super::arguments::INSTALL_CRDS;
use super::finding::{Finding, State};
use super::probe::{Answer, FAULT};
use super::unread::{CREATE_KINDS, Unread};
use super::witness::{Address, FailedCall, explain};

const CONFIGURATION: &str = "webhook configuration";
const ADMISSION: &str = "admission";
const INSTALL: &str = "the chart makes it: helm upgrade, with settings.enableWebhooks=true (the default)";

/// What is known of the way to the webhook.
pub(super) struct Chain {
    /// All webhook configurations.
    pub configurations: Result<Vec<ValidatingWebhookConfiguration>, Unread>,
    /// The Service of the webhook for WorkspaceKinds, if its configuration names one, and what is behind it.
    pub service: Option<Result<Option<Backing>, Unread>>,
    /// What was answered to a good kind, and to a faulty one.
    pub good: Answer,
    pub bad: Answer,
}

/// A Service, and what is behind it.
pub(super) struct Backing {
    pub service: Service,
    pub slices: Vec<EndpointSlice>,
}

/// A webhook of ours, and the configuration that it stands in.
struct Found<'a> {
    configuration: &'a str,
    webhook: &'a ValidatingWebhook,
}

/// The webhook for WorkspaceKinds among all of them.
pub(super) fn kind_webhook(configurations: &[ValidatingWebhookConfiguration]) -> Option<&ValidatingWebhook> {
    find(configurations, &REGISTRATIONS[1]).map(|found| found.webhook)
}

fn find<'a>(configurations: &'a [ValidatingWebhookConfiguration], registration: &Registration) -> Option<Found<'a>> {
    let all = configurations.iter().flat_map(|configuration| {
        let name = configuration.metadata.name.as_deref().unwrap_or_default();
        configuration.webhooks.iter().flatten().map(move |webhook| Found { configuration: name, webhook })
    });
    let is_called = |webhook: &ValidatingWebhook| {
        let client = &webhook.client_config;
        let path = client.service.as_ref().and_then(|service| service.path.as_deref()).or(client.url.as_deref());
        path.is_some_and(|path| path.ends_with(registration.path))
    };
    all.into_iter().find(|found| found.webhook.name == registration.name || is_called(found.webhook))
}

/// Where a webhook is.
pub(super) fn address(webhook: &ValidatingWebhook, namespace: &str) -> Address {
    let client = &webhook.client_config;
    let has_ca = client.ca_bundle.as_ref().is_some_and(|bundle| !bundle.0.is_empty());
    if let Some(service) = &client.service {
        return Address {
            text: format!("Service {}/{}, port {}", service.namespace, service.name, service.port.unwrap_or(443)),
            host: format!("{}.{}.svc", service.name, service.namespace),
            namespace: service.namespace.clone(),
            has_ca,
        };
    }
    let url = client.url.as_deref().unwrap_or_default();
    let host = url.parse::<http::Uri>().ok().and_then(|url| url.host().map(str::to_owned)).unwrap_or_default();
    let text = url.strip_suffix(WORKSPACE_KIND_PATH).unwrap_or(url).to_owned();
    Address { text, host, namespace: namespace.to_owned(), has_ca }
}

/// The findings, in the order of the way. `namespace`: that of the installation.
pub(super) fn judge(chain: &Chain, namespace: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let configurations = match &chain.configurations {
        Ok(configurations) => configurations.as_slice(),
        Err(unread) => {
            findings.push(unread.finding(CONFIGURATION));
            &[]
        }
    };
    let is_read = chain.configurations.is_ok();
    if is_read {
        findings.extend(registered(configurations));
    }
    let found = find(configurations, &REGISTRATIONS[1]);
    let proof = admission(chain, found.as_ref(), is_read, namespace);
    findings.extend(proof.unwrap_or_else(|| explained_by_facts(chain, found.as_ref(), namespace)));
    findings
}

/// Whether both webhooks are registered as this version has it.
fn registered(configurations: &[ValidatingWebhookConfiguration]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut names = Vec::new();
    for registration in &REGISTRATIONS {
        let resource = format!("{}.{}", registration.resource, registration.group);
        let Some(found) = find(configurations, registration) else {
            let message =
                format!("none has the webhook {} for {resource}, so nothing is validated there", registration.name);
            findings.push(Finding::failed(CONFIGURATION, message, INSTALL));
            continue;
        };
        findings.extend(differences(&found, registration));
        names.push(found.configuration);
    }
    if findings.iter().all(|finding| finding.state < State::Failed) {
        names.dedup();
        findings.insert(0, Finding::ok(CONFIGURATION, format!("{} has both webhooks", names.join(" and "))));
    }
    findings
}

/// What of a registration lets requests by that the webhook should see.
fn differences(found: &Found<'_>, registration: &Registration) -> Vec<Finding> {
    let Found { configuration, webhook } = found;
    let name = &webhook.name;
    let mut findings = Vec::new();
    if webhook.failure_policy.as_deref() == Some("Ignore") {
        findings.push(Finding::warning(
            CONFIGURATION,
            format!("failurePolicy of {name} in {configuration} is Ignore: while no replica can be called, everything is stored unvalidated"),
            "helm upgrade --set webhook.failurePolicy=Fail",
        ));
    }
    for condition in webhook.match_conditions.iter().flatten() {
        if !registration.match_conditions.contains(&(&condition.name, &condition.expression)) {
            findings.push(Finding::warning(
                CONFIGURATION,
                format!("the match condition {:?} of {name} in {configuration} is not this version's: what it excludes is not validated", condition.name),
                "remove it from matchConditions, or helm upgrade",
            ));
        }
    }
    let is_set = |selector: &Option<LabelSelector>| {
        selector.as_ref().is_some_and(|selector| *selector != LabelSelector::default())
    };
    if is_set(&webhook.namespace_selector) || is_set(&webhook.object_selector) {
        findings.push(Finding::warning(
            CONFIGURATION,
            format!("{name} in {configuration} has a selector: objects that it does not select are not validated"),
            "remove namespaceSelector and objectSelector: the webhook is only called for its own resources",
        ));
    }
    let operations: Vec<&String> = webhook
        .rules
        .iter()
        .flatten()
        .filter(|rule| covers(rule, registration))
        .flat_map(|rule| rule.operations.iter().flatten())
        .collect();
    for operation in registration.operations {
        if !operations.iter().any(|given| *given == operation || *given == "*") {
            findings.push(Finding::failed(
                CONFIGURATION,
                format!("{name} in {configuration} is not called for {operation} of {}", registration.resource),
                "helm upgrade: the chart has the right rules",
            ));
        }
    }
    findings
}

fn covers(rule: &RuleWithOperations, registration: &Registration) -> bool {
    let has = |list: &Option<Vec<String>>, wanted: &str| {
        list.iter().flatten().any(|item| item == wanted || item == "*" || item == "*/*")
    };
    has(&rule.api_groups, registration.group)
        && has(&rule.api_versions, registration.version)
        && has(&rule.resources, registration.resource)
}

/// What the two answers prove; none if they do not say why the webhook was not asked.
fn admission(chain: &Chain, found: Option<&Found<'_>>, is_read: bool, namespace: &str) -> Option<Vec<Finding>> {
    for (answer, is_good) in [(&chain.good, true), (&chain.bad, false)] {
        match answer {
            Answer::None(error) => {
                let message = format!("the dry run had no answer: {error}");
                let fix =
                    "run it again; if a webhook or the API server hangs, kubectl create --dry-run=server says the same";
                return Some(vec![Finding::unknown(ADMISSION, message, fix)]);
            }
            Answer::Refused(code, message) => {
                if is_good || !is_ours(message) {
                    return Some(vec![refused(*code, message, found, is_good, namespace)]);
                }
            }
            Answer::Accepted => {}
        }
    }
    if chain.bad != Answer::Accepted {
        let message = "a good WorkspaceKind is accepted and a faulty one refused (dry run: nothing is stored)";
        return Some(vec![Finding::ok(ADMISSION, message)]);
    }
    // Nothing was asked, or somebody else was.
    if found.is_none() {
        let message = "a faulty WorkspaceKind is accepted: no webhook of this version is called";
        let fix = if is_read {
            INSTALL
        } else {
            "look at the webhook configuration: kubectl get validatingwebhookconfigurations"
        };
        return Some(vec![Finding::failed(ADMISSION, message, fix)]);
    }
    None
}

/// Whether our webhook refused the faulty kind for its fault.
fn is_ours(message: &str) -> bool {
    let is_ours = denied_by(message).is_some_and(|name| name == REGISTRATIONS[1].name);
    is_ours && message.contains(FAULT)
}

/// Whether our webhook refused it, for whatever fault.
pub(super) fn is_refused_by_us(answer: &Answer) -> bool {
    matches!(answer, Answer::Refused(_, message) if denied_by(message) == Some(REGISTRATIONS[1].name))
}

/// The webhook that refused.
fn denied_by(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("admission webhook \"")?;
    rest.split_once("\" denied the request").map(|(name, _)| name)
}

/// A refusal that the dry runs should not have met.
fn refused(code: u16, message: &str, found: Option<&Found<'_>>, is_good: bool, namespace: &str) -> Finding {
    let what = if is_good { "a good WorkspaceKind" } else { "the faulty WorkspaceKind" };
    let quoted = format!("{what} was refused: {message}");
    if let Some(call) = FailedCall::of(message) {
        return match found.filter(|found| found.webhook.name == call.webhook) {
            Some(found) => explain(call, &address(found.webhook, namespace)),
            None if call.webhook == REGISTRATIONS[1].name => explain(call, &unread_address(namespace)),
            None => Finding::failed(
                "another webhook",
                format!("{:?}, which is not part of this installation, cannot be called: {}", call.webhook, call.error),
                "repair or remove it: kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations",
            ),
        };
    }
    if message.contains("ValidatingAdmissionPolicy '") {
        return Finding::failed(
            "policy",
            quoted,
            "let the ValidatingAdmissionPolicy except WorkspaceKinds, or what this one would be",
        );
    }
    match denied_by(message) {
        Some(name) if name == REGISTRATIONS[1].name => Finding::failed(
            ADMISSION,
            quoted,
            "this webhook refuses what this version of the command takes for good: is it of the same version, with the same --port-dialects?",
        ),
        Some(_) => Finding::failed(
            "another webhook",
            quoted,
            "let that webhook except WorkspaceKinds, or what this one would be",
        ),
        None if code == 403 => Finding::unknown(
            "rights",
            format!("the dry run is not allowed: {message}"),
            format!(
                "run it as somebody who may create WorkspaceKinds, or add to the rules of a ClusterRole: {CREATE_KINDS}"
            ),
        ),
        None if code == 404 => {
            Finding::failed("CRDs", format!("workspacekinds.{} is not served: {message}", crds::GROUP), INSTALL_CRDS)
        }
        None if code == 422 => Finding::failed("CRDs", quoted, INSTALL_CRDS),
        None => Finding::unknown(ADMISSION, quoted, "run it again"),
    }
}

/// Where the webhook is when its configuration cannot be read: where the chart puts it.
fn unread_address(namespace: &str) -> Address {
    Address {
        text: format!("Service {namespace}/workspaces-webhook-service, port 443"),
        host: format!("workspaces-webhook-service.{namespace}.svc"),
        namespace: namespace.to_owned(),
        has_ca: true,
    }
}

/// Both kinds were accepted although there is a webhook: why it was not asked.
fn explained_by_facts(chain: &Chain, found: Option<&Found<'_>>, namespace: &str) -> Vec<Finding> {
    let Some(found) = found else { return Vec::new() };
    let at = address(found.webhook, namespace);
    if found.webhook.failure_policy.as_deref() != Some("Ignore") {
        return vec![Finding::failed(
            ADMISSION,
            format!(
                "a faulty WorkspaceKind is accepted: what answers at {} is not this version's webhook, or its match conditions exclude it",
                at.text
            ),
            "is the Go controller, or an older version, still behind it? kubectl get pods -A -l app.kubernetes.io/name=workspaces-controller",
        )];
    }
    let accepted = "a faulty WorkspaceKind is accepted: the webhook cannot be called, and its failurePolicy is Ignore";
    let ask = "set failurePolicy to Fail and run this again: the API server then says why, and nothing invalid is stored meanwhile";
    let mut findings = vec![Finding::failed(ADMISSION, accepted, ask)];
    findings.extend(service(chain, found.webhook, &at));
    findings
}

/// What is wrong with the Service, as far as that can be seen.
fn service(chain: &Chain, webhook: &ValidatingWebhook, at: &Address) -> Option<Finding> {
    let error = match chain.service.as_ref()? {
        Err(unread) => return Some(unread.finding("Service")),
        Ok(None) => "not found",
        Ok(Some(Backing { service, slices })) => {
            let port = webhook.client_config.service.as_ref().and_then(|service| service.port).unwrap_or(443);
            let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
            let has_port = ports.into_iter().any(|given| given.port == port);
            let is_external = service.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("ExternalName"));
            let is_ready = slices
                .iter()
                .flat_map(|slice| &slice.endpoints)
                .any(|endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false));
            match (is_external, has_port, is_ready) {
                (true, ..) | (_, true, true) => return None,
                (_, false, _) => "no service port",
                (_, true, false) => "no endpoints available for service",
            }
        }
    };
    let mut finding = explain(FailedCall { webhook: &webhook.name, error }, at);
    // Here nobody said it: it was seen.
    finding.message = finding.message.trim_end_matches(error).trim_end_matches(": ").to_owned();
    Some(finding)
}
