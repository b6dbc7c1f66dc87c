//! From flags and environment to validated settings: the rest of the program sees no raw strings.
//!
//! [`settings`](mod@settings) is the table of what can be set, [`source`] decides where a value comes from, [`values`]
//! defines what is allowed. All errors are reported together.

mod certificate;
mod clients;
mod label_selector;
mod leader_election;
mod log;
mod mode;
mod network;
mod own_namespace;
mod routing;
pub mod settings;
pub mod source;
pub mod values;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;
use crds::ports::{ConnectPaths, Dialect};
use webhook::Policy;

pub use certificate::{CertificateSource, SelfManaged};
pub use clients::WebhookClients;
pub use leader_election::LeaseTimes;
pub use log::{LogFormat, LogSettings};
pub use mode::{Duties, Mode};
pub use network::Listen;
pub use routing::{RedirectScheme, Routing};
pub use source::{Environment, SettingError};

use source::SettingSource;

/// All settings of the controller, validated.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools)] // independent switches
pub struct Settings {
    /// The routes to Workspaces.
    pub routing: Routing,
    /// The settings of admission.
    pub policy: Policy,
    /// How many Workspaces are reconciled at the same time.
    pub max_concurrent_reconciles: usize,
    /// How long a pod that cannot be scheduled counts as Pending.
    pub scheduling_patience: Duration,
    /// Whether it is only reported which Workspaces would be paused for being idle.
    pub dry_run_pausing: bool,
    /// Which part of the work this process does.
    pub mode: Mode,
    /// Whether Workspaces are reconciled.
    pub enable_reconcile: bool,
    /// Whether admission is served.
    pub enable_webhooks: bool,
    /// Whether one of several replicas is elected to reconcile.
    pub leader_elect: bool,
    /// The times of that.
    pub lease_times: LeaseTimes,
    /// The kubeconfig; `None` is the service account of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// The namespace of this process's pod; `None` outside of one.
    pub namespace: Option<String>,
    /// The address of the webhook server.
    pub webhook_address: Listen,
    /// The address of `/livez`, `/healthz` and `/readyz`; `None` disables them.
    pub health_address: Option<Listen>,
    /// The address of `/metrics`; `None` disables it.
    pub metrics_address: Option<Listen>,
    /// Whether `/metrics` is served over TLS, with the certificate of the webhook.
    pub metrics_secure: bool,
    /// Whether `/metrics` is served only for tokens that the API server lets read it.
    pub metrics_require_authentication: bool,
    /// The address of the status page; `None` disables it.
    pub status_address: Option<Listen>,
    /// Where the certificate of the webhook comes from.
    pub certificate: CertificateSource,
    /// Whom the webhook is served to; `None` is everybody.
    pub webhook_clients: Option<WebhookClients>,
    /// Level and format of the log.
    pub log: LogSettings,
    /// Settings that are accepted but have no effect, or another one: one sentence each, logged at startup.
    pub warnings: Vec<String>,
}

/// The settings of admission; `matches` come from [`settings::policy_arguments`].
pub fn policy(matches: &ArgMatches, environment: &Environment) -> Result<Policy, Vec<SettingError>> {
    let mut source = SettingSource::new(matches, environment);
    let policy = admission(&mut source);
    source.finish().map(|_| policy)
}

/// The settings of routes; `matches` come from [`settings::routing_arguments`].
pub fn routing_of(matches: &ArgMatches, environment: &Environment) -> Result<Routing, Vec<SettingError>> {
    let mut source = SettingSource::new(matches, environment);
    let paths = paths(&mut source);
    let routing = routing(&mut source, paths);
    source.finish().map(|_| routing)
}

/// What a command has to know of the settings of an installation.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Whether routes are made.
    pub use_istio: bool,
    /// Their gateways.
    pub gateways: Vec<String>,
    /// The dialects of ports that admission accepts.
    pub dialects: BTreeSet<Dialect>,
    /// Whether one of several replicas is elected, if that was said.
    pub leader_elect: Option<bool>,
    /// The namespace of this process's pod; `None` outside of one.
    pub namespace: Option<String>,
}

/// Those settings; `matches` have their arguments.
pub fn installation(matches: &ArgMatches, environment: &Environment) -> Result<Installation, Vec<SettingError>> {
    let mut source = SettingSource::new(matches, environment);
    let installation = Installation {
        use_istio: source.one(&settings::USE_ISTIO, values::boolean),
        gateways: source.list(&settings::ISTIO_GATEWAY, network::gateways),
        dialects: source.list(&settings::PORT_DIALECTS, values::dialects),
        leader_elect: source.optional(&settings::LEADER_ELECT, values::boolean),
        namespace: own_namespace::own_namespace(&mut source),
    };
    source.finish().map(|_| installation)
}

impl Settings {
    /// Whether an enabled listener needs a certificate.
    pub fn needs_certificate(&self) -> bool {
        self.enable_webhooks || (self.metrics_secure && self.metrics_address.is_some()) || self.status_is_public()
    }

    /// Whether others than processes of this pod can connect to the status page, so that it has to ask who they are.
    pub fn status_is_public(&self) -> bool {
        self.status_address.is_some_and(|address| !address.is_loopback())
    }

    /// Whether an enabled listener asks the API server about bearer tokens.
    pub fn reviews_tokens(&self) -> bool {
        self.status_is_public() || (self.metrics_require_authentication && self.metrics_address.is_some())
    }

    /// Reads and validates every setting; `matches` come from [`settings::arguments`].
    ///
    /// An error in one setting does not hide those of others.
    pub fn load(matches: &ArgMatches, environment: &Environment) -> Result<Self, Vec<SettingError>> {
        let mut source = SettingSource::new(matches, environment);
        let policy = admission(&mut source);
        let routing = routing(&mut source, policy.paths.clone());
        let mode = mode(&mut source);
        let namespace = own_namespace::own_namespace(&mut source);
        let settings = Self {
            routing,
            policy,
            enable_webhooks: source.one(&settings::ENABLE_WEBHOOKS, values::boolean) && mode.duties().admission,
            mode,
            max_concurrent_reconciles: source.one(&settings::MAX_CONCURRENT_RECONCILES, values::concurrency),
            scheduling_patience: source.one(&settings::SCHEDULING_PATIENCE, values::patience),
            dry_run_pausing: source.one(&settings::DRY_RUN_PAUSING, values::boolean),
            enable_reconcile: source.one(&settings::ENABLE_RECONCILE, values::boolean),
            leader_elect: source.one(&settings::LEADER_ELECT, values::boolean),
            lease_times: leader_election::times(&mut source),
            kubeconfig: source.optional(&settings::KUBECONFIG, values::path),
            webhook_address: source.one(&settings::WEBHOOK_BIND_ADDRESS, network::address),
            health_address: source.one(&settings::HEALTH_PROBE_BIND_ADDRESS, network::address_or_off),
            metrics_address: source.one(&settings::METRICS_BIND_ADDRESS, network::address_or_off),
            metrics_secure: source.one(&settings::METRICS_SECURE, values::boolean),
            metrics_require_authentication: source.one(&settings::METRICS_REQUIRE_AUTHENTICATION, values::boolean),
            status_address: source.one(&settings::STATUS_BIND_ADDRESS, network::address_or_off),
            certificate: certificate::load(&mut source, namespace.as_deref()),
            webhook_clients: clients::load(&mut source),
            namespace,
            log: log::load(&mut source),
            warnings: Vec::new(),
        };
        settings.check_together(&mut source);
        settings.warn(&mut source);
        let warnings = source.finish()?;
        Ok(Self { warnings, ..settings })
    }

    /// Rules that involve more than one setting.
    fn check_together(&self, source: &mut SettingSource<'_>) {
        if self.mode != Mode::Everything {
            self.check_mode(source);
        } else if !self.enable_reconcile && !self.enable_webhooks {
            source.error(
                &settings::ENABLE_RECONCILE,
                "disables everything, since ENABLE_WEBHOOKS is false too: set one of the two to true",
            );
        }
        if self.leader_elect && self.enable_reconcile && self.namespace.is_none() {
            let rule = "not set, and not running in a pod with a service account: the Lease of --leader-elect is in the namespace of \
                        this process, so set it";
            source.error(&settings::POD_NAMESPACE, rule);
        }
        self.check_tokens(source);
        let listeners = [
            (&settings::WEBHOOK_BIND_ADDRESS, self.enable_webhooks.then_some(self.webhook_address)),
            (&settings::HEALTH_PROBE_BIND_ADDRESS, self.health_address),
            (&settings::METRICS_BIND_ADDRESS, self.metrics_address),
            (&settings::STATUS_BIND_ADDRESS, self.status_address),
        ];
        for (index, (setting, address)) in listeners.iter().enumerate() {
            for (other, taken) in &listeners[..index] {
                if let (Some(address), Some(taken)) = (address, taken)
                    && address.collides(taken)
                {
                    let rule = format!("must differ from {} ({taken})", other.name());
                    source.error(setting, &rule);
                }
            }
        }
    }

    /// Tokens do not travel in clear.
    fn check_tokens(&self, source: &mut SettingSource<'_>) {
        let has_certificate = self.enable_webhooks
            || source.is_given(&settings::WEBHOOK_CERT_DIR)
            || matches!(self.certificate, CertificateSource::SelfManaged(_));
        if self.status_is_public() && !has_certificate {
            let rule = "must be a loopback address, such as 127.0.0.1:8082, while there is no certificate: on others bearer \
                        tokens are demanded, over TLS. Set --webhook-cert-dir to the directory of one, or serve the webhooks";
            source.error(&settings::STATUS_BIND_ADDRESS, rule);
        }
        if self.metrics_require_authentication && self.metrics_address.is_some() && !self.metrics_secure {
            let rule = "needs --metrics-secure=true: bearer tokens must not travel in clear";
            source.error(&settings::METRICS_REQUIRE_AUTHENTICATION, rule);
        }
    }

    /// What a process that does a part of the work cannot do beside it.
    fn check_mode(&self, source: &mut SettingSource<'_>) {
        if source.is_given(&settings::ENABLE_WEBHOOKS) && source.one(&settings::ENABLE_WEBHOOKS, values::boolean) {
            let rule = "the Go controller serves the webhooks, for all namespaces: set it to false, or leave it unset";
            source.error(&settings::ENABLE_WEBHOOKS, rule);
        }
        if !self.enable_reconcile {
            source.error(&settings::ENABLE_RECONCILE, "disables everything, since the webhooks are not served either");
        }
        if matches!(self.mode, Mode::OnlyRoutes { .. }) && !self.routing.use_istio {
            source.error(&settings::USE_ISTIO, "disables everything, since --only-routes makes nothing but routes");
        }
    }

    /// Settings that are accepted for compatibility with another controller's manifests, but have no effect.
    fn warn(&self, source: &mut SettingSource<'_>) {
        if self.leader_elect && !self.enable_reconcile {
            source.warn("--leader-elect has no effect with --enable-reconcile=false".to_owned());
        }
        if source.one(&settings::ENABLE_HTTP2, values::boolean) {
            source.warn("--enable-http2 has no effect: webhook and metrics are served over HTTP/1.1".to_owned());
        }
        if self.routing.redirect_scheme.is_some() && !self.routing.redirect_missing_slash {
            source.warn("--redirect-scheme has no effect without --redirect-missing-slash".to_owned());
        }
        if !matches!(self.mode, Mode::OnlyRoutes { .. }) && source.one(&settings::TAKE_OVER_ROUTES, values::boolean) {
            source.warn("--take-over-routes has no effect without --only-routes".to_owned());
        }
        source.optional(&settings::CLIENT_QPS, values::number);
        source.optional(&settings::CLIENT_BURST, values::whole_number);
        source.optional(&settings::WATCH_WARNING_EVENTS, values::boolean);
        for setting in settings::IGNORED {
            if source.is_given(setting) {
                source.warn(format!("{} has no effect in this controller", setting.full_name()));
            }
        }
    }

    /// Logs the effective settings, routing first, and the warnings.
    pub fn log(&self) {
        let (routing, policy) = (&self.routing, &self.policy);
        tracing::info!(
            use_istio = routing.use_istio,
            istio_gateway = routing.gateways.join(","),
            istio_hosts = routing.hosts.join(","),
            cluster_domain = routing.cluster_domain,
            connect_path_prefix = routing.prefix_for_log(),
            port_dialects = join(&policy.dialects),
            redirect_missing_slash = routing.redirect_missing_slash,
            redirect_scheme = routing.redirect_scheme.map_or("as requested", RedirectScheme::as_str),
            check_cluster_role_bind = policy.cluster_role_bind.as_str(),
            protected_pod_metadata = policy.protected_pod_metadata.patterns().join(","),
            enforce_filter_rules = policy.enforce_filter_rules,
            enforce_can_mount = policy.enforce_can_mount,
            mode = self.mode.as_str(),
            namespace_selector = self.mode.selector().unwrap_or("none"),
            enable_reconcile = self.enable_reconcile,
            enable_webhooks = self.enable_webhooks,
            max_concurrent_reconciles = self.max_concurrent_reconciles,
            scheduling_patience = ?self.scheduling_patience,
            dry_run_pausing = self.dry_run_pausing,
            leader_elect = self.leader_elect,
            lease = if self.leader_elect { self.mode.lease_name() } else { "none" },
            lease_times = ?self.lease_times,
            kubeconfig = self.kubeconfig.as_ref().map_or("in-cluster".into(), |path| path.to_string_lossy()).as_ref(),
            namespace = self.namespace.as_deref().unwrap_or("unknown"),
            webhook_bind_address = %self.webhook_address,
            health_probe_bind_address = network::or_off(self.health_address),
            metrics_bind_address = network::or_off(self.metrics_address),
            metrics_secure = self.metrics_secure,
            metrics_require_authentication = self.metrics_require_authentication,
            status_bind_address = network::or_off(self.status_address),
            webhook_cert_source = self.certificate.as_str(),
            webhook_cert_place = self.certificate.place(),
            webhook_client_ca_file = self.webhook_clients.as_ref().map_or("none".into(), |clients| clients.ca_file.to_string_lossy()).as_ref(),
            log_level = self.log.filter,
            log_format = %self.log.format,
            "effective settings"
        );
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
    }
}

/// The defaults.
impl Routing {
    fn prefix_for_log(&self) -> String {
        if self.paths == ConnectPaths::by_dialect() {
            "by dialect".to_owned()
        } else {
            self.paths.prefix(Dialect::PortId).to_owned()
        }
    }
}

fn mode(source: &mut SettingSource<'_>) -> Mode {
    let take_over = source.one(&settings::TAKE_OVER_ROUTES, values::boolean);
    let selector = source.optional(&settings::NAMESPACE_SELECTOR, label_selector::parse);
    let selector = selector.map(|selector| selector.to_string());
    match (source.one(&settings::ONLY_ROUTES, values::boolean), selector) {
        (true, selector) => Mode::OnlyRoutes { selector, take_over },
        (false, Some(selector)) => Mode::Namespaces(selector),
        (false, None) => Mode::Everything,
    }
}

fn routing(source: &mut SettingSource<'_>, paths: ConnectPaths) -> Routing {
    Routing {
        use_istio: source.one(&settings::USE_ISTIO, values::boolean),
        gateways: source.list(&settings::ISTIO_GATEWAY, network::gateways),
        hosts: source.list(&settings::ISTIO_HOSTS, network::hosts),
        cluster_domain: source.one(&settings::CLUSTER_DOMAIN, network::cluster_domain),
        paths,
        redirect_missing_slash: source.one(&settings::REDIRECT_MISSING_SLASH, values::boolean),
        redirect_scheme: source.optional(&settings::REDIRECT_SCHEME, values::redirect_scheme),
    }
}

fn admission(source: &mut SettingSource<'_>) -> Policy {
    Policy {
        paths: paths(source),
        dialects: source.list(&settings::PORT_DIALECTS, values::dialects),
        cluster_role_bind: source.one(&settings::CHECK_CLUSTER_ROLE_BIND, values::bind_check),
        protected_pod_metadata: source.list(&settings::PROTECTED_POD_METADATA, values::protected_keys),
        enforce_filter_rules: source.one(&settings::ENFORCE_FILTER_RULES, values::boolean),
        enforce_can_mount: source.one(&settings::ENFORCE_CAN_MOUNT, values::boolean),
    }
}

fn paths(source: &mut SettingSource<'_>) -> ConnectPaths {
    source.optional(&settings::CONNECT_PATH_PREFIX, values::path_prefix).unwrap_or_default()
}

fn join(dialects: &BTreeSet<Dialect>) -> String {
    dialects.iter().map(Dialect::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
