//! The table of settings: flag, environment variables, default, and the help text.

use clap::{Arg, ArgAction};

/// The syntax of a flag's value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// `--flag`, `--flag=true`, `--flag=F`: as Go's boolean flags, so not `--flag false`.
    Switch,
    /// `--flag VALUE` or `--flag=VALUE`; if repeated, the last one wins.
    Value,
    /// Like a value; repeatable, and a value may be a comma-separated list.
    List,
}

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// The flag without dashes; empty when there is only the environment variable.
    pub flag: &'static str,
    /// Environment variables, all with the same meaning.
    pub env: &'static [&'static str],
    /// The default; empty for settings without one.
    pub default: &'static str,
    /// The syntax of its value.
    pub shape: Shape,
    /// The placeholder of the value in the help.
    pub placeholder: &'static str,
    /// Its heading in the help.
    pub group: &'static str,
    /// The help text.
    pub help: &'static str,
}

impl Setting {
    /// Its name in messages.
    pub fn name(&self) -> String {
        match (self.flag, self.env) {
            ("", [variable, ..]) => (*variable).to_owned(),
            (flag, _) => format!("--{flag}"),
        }
    }

    /// The flag and the variables, for errors that appear after the origin of a value has been forgotten.
    pub fn full_name(&self) -> String {
        if self.env.is_empty() || self.flag.is_empty() {
            return self.name();
        }
        format!("{} ({})", self.name(), self.env.join(", "))
    }

    /// The help text with environment variables and default.
    pub fn help_line(&self) -> String {
        let mut parts = vec![self.help.to_owned()];
        if !self.env.is_empty() {
            parts.push(format!("[env: {}]", self.env.join(", ")));
        }
        if !self.default.is_empty() {
            parts.push(format!("[default: {}]", self.default));
        }
        parts.join(" ")
    }

    fn argument(&self) -> Arg {
        let argument = Arg::new(self.flag)
            .long(self.flag)
            .help(self.help_line())
            .help_heading(self.group)
            .value_name(self.placeholder)
            .allow_hyphen_values(true);
        match self.shape {
            Shape::Switch => argument
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .overrides_with(self.flag),
            Shape::Value => argument.action(ArgAction::Set).num_args(1).overrides_with(self.flag),
            Shape::List => argument.action(ArgAction::Append).num_args(1),
        }
    }
}

/// The flags of all settings, for the command line parser.
pub fn arguments() -> impl Iterator<Item = Arg> {
    ALL.iter().filter(|setting| !setting.flag.is_empty()).map(|setting| setting.argument())
}

/// The flags of admission, for commands that validate without a cluster.
pub fn policy_arguments() -> impl Iterator<Item = Arg> {
    let policy = |setting: &&&Setting| setting.group == ADMISSION || setting.flag == CONNECT_PATH_PREFIX.flag;
    let settings = ALL.iter().filter(|setting| !setting.flag.is_empty()).filter(policy);
    // The user who will apply a file is unknown, so this flag has no effect here.
    settings.map(|setting| setting.argument().hide(setting.flag == CHECK_CLUSTER_ROLE_BIND.flag))
}

/// The flags of routes.
pub fn routing_arguments() -> impl Iterator<Item = Arg> {
    ALL.iter().filter(|setting| setting.group == ROUTING).map(|setting| setting.argument())
}

const ROUTING: &str = "Routing";
const ADMISSION: &str = "Admission";
const RECONCILE: &str = "Reconcile";
const CLUSTER: &str = "Cluster";
const SERVING: &str = "Serving";
const LOG: &str = "Log";
const COMPATIBILITY: &str = "Compatibility with the Go controller";

macro_rules! settings {
    ($($name:ident = $flag:literal, $env:expr, $default:literal, $shape:ident, $placeholder:literal, $group:ident, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $name: Setting = Setting {
                flag: $flag,
                env: &$env,
                default: $default,
                shape: Shape::$shape,
                placeholder: $placeholder,
                group: $group,
                help: $help,
            };
        )*
        /// Every setting, in the order of the help.
        pub static ALL: &[&Setting] = &[$(&$name),*];
    };
}

settings! {
    USE_ISTIO = "use-istio", ["USE_ISTIO"], "true", Switch, "BOOL", ROUTING,
        "Create Istio VirtualServices; false deletes existing ones";
    ISTIO_GATEWAY = "istio-gateway", ["ISTIO_GATEWAY"], "kubeflow/kubeflow-gateway", List, "NAMESPACE/NAME", ROUTING,
        "Gateway of the VirtualServices; repeatable or comma-separated";
    ISTIO_HOSTS = "istio-hosts", ["ISTIO_HOSTS", "ISTIO_HOST"], "*", List, "HOST", ROUTING,
        "Host of the VirtualServices, may be `*` or `*.domain`; repeatable or comma-separated";
    CLUSTER_DOMAIN = "cluster-domain", ["CLUSTER_DOMAIN"], "cluster.local", Value, "DOMAIN", ROUTING,
        "DNS domain of the cluster's Services";
    CONNECT_PATH_PREFIX = "connect-path-prefix", ["CONNECT_PATH_PREFIX"], "", Value, "PATH", ROUTING,
        "Path before <namespace>/<workspace>/<port>/; if unset, /workspace for kinds with `portId` and /workspace/connect for kinds with `id`";
    REDIRECT_MISSING_SLASH = "redirect-missing-slash", ["REDIRECT_MISSING_SLASH"], "false", Switch, "BOOL", ROUTING,
        "Redirect the path of a port without its final slash to the one with it";
    REDIRECT_SCHEME = "redirect-scheme", [], "", Value, "SCHEME", ROUTING,
        "Scheme of that redirect, http or https, for gateways behind a load balancer that terminates TLS";
    PORT_DIALECTS = "port-dialects", ["PORT_DIALECTS"], "portId,id", List, "DIALECT", ADMISSION,
        "Accepted dialects of WorkspaceKind ports, by the field that names a port: portId, id";
    CHECK_CLUSTER_ROLE_BIND = "check-cluster-role-bind", [], "enforce", Value, "CHECK", ADMISSION,
        "Action when a user adds a ClusterRole to a WorkspaceKind without the right to bind it: enforce, warn or off";
    PROTECTED_POD_METADATA = "protected-pod-metadata", ["PROTECTED_POD_METADATA"],
        "*.istio.io/*,istio.io/*,istio,iam.amazonaws.com/*,eks.amazonaws.com/*,azure.workload.identity/*,\
         cni.projectcalico.org/*,k8s.v1.cni.cncf.io/*,linkerd.io/*,container.apparmor.security.beta.kubernetes.io/*", List, "PATTERN", ADMISSION,
        "Label and annotation keys that a Workspace may not set on its pod, with wildcard `*`; repeatable or comma-separated; empty for none";
    ENFORCE_FILTER_RULES = "enforce-filter-rules", [], "false", Switch, "BOOL", ADMISSION,
        "Refuse Workspaces that `filterRules[].effect.api.deny` of their kind denies";
    ENFORCE_CAN_MOUNT = "enforce-can-mount", [], "false", Switch, "BOOL", ADMISSION,
        "Refuse to mount Secrets and PersistentVolumeClaims without the label notebooks.kubeflow.org/can-mount=true";
    ENABLE_WEBHOOKS = "", ["ENABLE_WEBHOOKS"], "true", Value, "BOOL", ADMISSION,
        "Serve admission; false only reconciles";
    ENABLE_RECONCILE = "enable-reconcile", ["ENABLE_RECONCILE"], "true", Switch, "BOOL", RECONCILE,
        "Reconcile Workspaces; false only serves admission";
    MAX_CONCURRENT_RECONCILES = "max-concurrent-reconciles", ["MAX_CONCURRENT_RECONCILES"], "10", Value, "NUMBER", RECONCILE,
        "How many Workspaces are reconciled at the same time";
    SCHEDULING_PATIENCE = "scheduling-patience", ["SCHEDULING_PATIENCE"], "5m", Value, "DURATION", RECONCILE,
        "How long a pod that cannot be scheduled counts as Pending, such as 90s or 10m; then it is an Error";
    DRY_RUN_PAUSING = "dry-run-pausing", ["DRY_RUN_PAUSING"], "false", Switch, "BOOL", RECONCILE,
        "Do not pause idle Workspaces; report in an Event and a metric which ones would be";
    NAMESPACE_SELECTOR = "namespace-selector", [], "", Value, "SELECTOR", RECONCILE,
        "Beside the Go controller: reconcile only the Workspaces of the namespaces with these labels, as in kubectl --selector; no kinds, no webhooks; with --only-routes, only their routes";
    ONLY_ROUTES = "only-routes", [], "false", Switch, "BOOL", RECONCILE,
        "Beside the Go controller: write nothing but the VirtualService of each Workspace";
    TAKE_OVER_ROUTES = "take-over-routes", [], "false", Switch, "BOOL", RECONCILE,
        "With --only-routes: go on with the VirtualServices that the Go controller made before its own were switched off";
    LEADER_ELECT = "leader-elect", [], "false", Switch, "BOOL", RECONCILE,
        "Elect one replica that reconciles, by a Lease in the namespace of the pod; all serve admission";
    LEADER_ELECT_LEASE_DURATION = "leader-elect-lease-duration", [], "15s", Value, "DURATION", RECONCILE,
        "How long the others wait after the last renewal of the leader; the same for all replicas";
    LEADER_ELECT_RENEW_DEADLINE = "leader-elect-renew-deadline", [], "10s", Value, "DURATION", RECONCILE,
        "How long after its last renewal the leader goes on writing";
    LEADER_ELECT_RETRY_PERIOD = "leader-elect-retry-period", [], "2s", Value, "DURATION", RECONCILE,
        "Pause between two renewals, and after an error";
    KUBECONFIG = "kubeconfig", ["KUBECONFIG"], "", Value, "FILE", CLUSTER,
        "Kubeconfig of the cluster; if unset, the service account of the pod";
    POD_NAMESPACE = "", ["POD_NAMESPACE"], "", Value, "NAMESPACE", CLUSTER,
        "The namespace of this process; if unset, the one that is mounted with the token of its service account";
    WEBHOOK_BIND_ADDRESS = "webhook-bind-address", [], ":9443", Value, "ADDRESS", SERVING,
        "Address of the webhook server (TLS)";
    WEBHOOK_CERT_SOURCE = "webhook-cert-source", [], "files", Value, "SOURCE", SERVING,
        "Source of the webhook's certificate: files of --webhook-cert-dir, or self-managed, where the process makes and renews a CA and a certificate, keeps them in a Secret of its namespace, and the CA in the webhook configuration";
    WEBHOOK_CERT_DIR = "webhook-cert-dir", [], "/tmp/k8s-webhook-server/serving-certs", Value, "DIR", SERVING,
        "Directory of tls.crt and tls.key; reloaded when they change";
    WEBHOOK_CLIENT_CA_FILE = "webhook-client-ca-file", [], "", Value, "FILE", SERVING,
        "Serve the webhook only to clients with a certificate that a CA of this file has issued; reloaded when it changes. If unset, to everybody";
    WEBHOOK_CLIENT_ALLOWED_NAMES = "webhook-client-allowed-names", [], "", List, "NAME", SERVING,
        "Common name that such a certificate may have; repeatable or comma-separated; if unset, any";
    DYNAMIC_SERVING_DNS_NAMES = "dynamic-serving-dns-names", [], "", List, "NAME", SERVING,
        "Host name or address that a self-managed certificate is valid for; repeatable or comma-separated";
    DYNAMIC_SERVING_SECRET_NAME = "dynamic-serving-secret-name", [], "workspaces-webhook-ca", Value, "NAME", SERVING,
        "Secret of a self-managed certificate and its CA";
    DYNAMIC_SERVING_CA_DURATION = "dynamic-serving-ca-duration", [], "8760h", Value, "DURATION", SERVING,
        "Validity of a self-managed CA, at least four times that of its certificates";
    DYNAMIC_SERVING_LEAF_DURATION = "dynamic-serving-leaf-duration", [], "720h", Value, "DURATION", SERVING,
        "Validity of a self-managed certificate; it is renewed for the last third of it";
    VALIDATING_WEBHOOK_CONFIGURATION_NAME = "validating-webhook-configuration-name", [], "workspaces-validating-webhook-configuration", Value, "NAME", SERVING,
        "ValidatingWebhookConfiguration in which a self-managed CA is kept as caBundle";
    HEALTH_PROBE_BIND_ADDRESS = "health-probe-bind-address", [], ":8081", Value, "ADDRESS", SERVING,
        "Address of /livez, /healthz and /readyz; 0 disables them";
    METRICS_BIND_ADDRESS = "metrics-bind-address", [], ":8080", Value, "ADDRESS", SERVING,
        "Address of /metrics; 0 disables it";
    METRICS_SECURE = "metrics-secure", [], "false", Switch, "BOOL", SERVING,
        "Serve /metrics over TLS, with the webhook's certificate";
    METRICS_REQUIRE_AUTHENTICATION = "metrics-require-authentication", [], "false", Switch, "BOOL", SERVING,
        "Serve /metrics only for bearer tokens that may `get` the nonResourceURL /metrics; needs --metrics-secure";
    STATUS_BIND_ADDRESS = "status-bind-address", [], "127.0.0.1:8082", Value, "ADDRESS", SERVING,
        "Address of the status page; 0 disables it. On a loopback address only `kubectl port-forward` reaches it; elsewhere it demands TLS and a bearer token that may `get` the nonResourceURL /status";
    LOG_LEVEL = "log-level", ["RUST_LOG"], "info", Value, "LEVEL", LOG,
        "off, error, warn, info, debug or trace for this program, or directives such as info,kube=debug for libraries too";
    LOG_FORMAT = "log-format", ["LOG_FORMAT"], "", Value, "FORMAT", LOG,
        "text or json; if unset, text on a terminal, else json";
    ENABLE_HTTP2 = "enable-http2", [], "false", Switch, "BOOL", COMPATIBILITY,
        "No effect: HTTP/1.1 is served";
    CLIENT_QPS = "client-qps", ["CLIENT_QPS"], "", Value, "NUMBER", COMPATIBILITY,
        "No effect: the controller does not limit its own requests";
    CLIENT_BURST = "client-burst", ["CLIENT_BURST"], "", Value, "NUMBER", COMPATIBILITY,
        "No effect: the controller does not limit its own requests";
    WATCH_WARNING_EVENTS = "watch-warning-events", [], "", Switch, "BOOL", COMPATIBILITY,
        "No effect: Events are not watched";
    ZAP_LOG_LEVEL = "zap-log-level", [], "", Value, "LEVEL", COMPATIBILITY,
        "debug, info, error, panic, or a number from 1 for more; --log-level wins";
    ZAP_ENCODER = "zap-encoder", [], "", Value, "FORMAT", COMPATIBILITY,
        "json or console; --log-format wins";
    ZAP_DEVEL = "zap-devel", [], "", Switch, "BOOL", COMPATIBILITY,
        "No effect";
    ZAP_STACKTRACE_LEVEL = "zap-stacktrace-level", [], "", Value, "LEVEL", COMPATIBILITY,
        "No effect";
    ZAP_TIME_ENCODING = "zap-time-encoding", [], "", Value, "FORMAT", COMPATIBILITY,
        "No effect: times are RFC 3339";
}

/// Settings that are accepted and ignored, with a warning.
pub static IGNORED: &[&Setting] =
    &[&CLIENT_QPS, &CLIENT_BURST, &WATCH_WARNING_EVENTS, &ZAP_DEVEL, &ZAP_STACKTRACE_LEVEL, &ZAP_TIME_ENCODING];
