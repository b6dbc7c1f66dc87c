//! Where the certificate of the webhook comes from.

use std::path::PathBuf;
use std::time::Duration;

use certs::{Schedule, SubjectAltName};
use crds::labels::is_dns_subdomain;

use super::settings::{self, Setting};
use super::source::SettingSource;
use super::values;

/// A certificate that is valid for less is renewed so often that it is a typing error.
const SHORTEST: Duration = Duration::from_secs(10);
/// X.509 can write dates up to the year 9999, and nobody wants these.
const LONGEST: Duration = Duration::from_hours(100 * 365 * 24);

/// What counts only where the process makes the certificate itself.
const ONLY_SELF_MANAGED: [&Setting; 5] = [
    &settings::DYNAMIC_SERVING_SECRET_NAME,
    &settings::DYNAMIC_SERVING_DNS_NAMES,
    &settings::DYNAMIC_SERVING_CA_DURATION,
    &settings::DYNAMIC_SERVING_LEAF_DURATION,
    &settings::VALIDATING_WEBHOOK_CONFIGURATION_NAME,
];

/// Where the certificate comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CertificateSource {
    /// `tls.crt` and `tls.key` of this directory.
    Files(PathBuf),
    /// The process makes it.
    SelfManaged(SelfManaged),
}

/// What the process needs to know to be its own certificate authority.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SelfManaged {
    /// The namespace of the Secret: that of the process.
    pub namespace: String,
    /// The name of the Secret with CA and certificate.
    pub secret: String,
    /// The names that the webhook is called by.
    pub names: Vec<SubjectAltName>,
    /// How long CA and certificate are valid.
    pub schedule: Schedule,
    /// The name of the ValidatingWebhookConfiguration whose `caBundle`s are kept.
    pub configuration: String,
}

impl SelfManaged {
    /// Namespace and name of the Secret.
    pub fn secret_key(&self) -> String {
        format!("{}/{}", self.namespace, self.secret)
    }
}

impl CertificateSource {
    /// Its name in the log.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Files(_) => FILES,
            Self::SelfManaged(_) => SELF_MANAGED,
        }
    }

    /// The directory, or the Secret, in the log.
    pub fn place(&self) -> String {
        match self {
            Self::Files(dir) => dir.to_string_lossy().into_owned(),
            Self::SelfManaged(managed) => managed.secret_key(),
        }
    }
}

const FILES: &str = "files";
const SELF_MANAGED: &str = "self-managed";

/// Reads the settings; `namespace` is that of the process, where it is known.
pub(super) fn load(source: &mut SettingSource<'_>, namespace: Option<&str>) -> CertificateSource {
    let dir = source.one(&settings::WEBHOOK_CERT_DIR, values::path);
    let managed = self_managed(source, namespace);
    if source.one(&settings::WEBHOOK_CERT_SOURCE, is_self_managed) {
        if source.is_given(&settings::WEBHOOK_CERT_DIR) {
            source.warn("--webhook-cert-dir has no effect with --webhook-cert-source=self-managed".to_owned());
        }
        check(source, &managed);
        return CertificateSource::SelfManaged(managed);
    }
    for setting in ONLY_SELF_MANAGED {
        if source.is_given(setting) {
            source.warn(format!("{} has no effect without --webhook-cert-source=self-managed", setting.name()));
        }
    }
    CertificateSource::Files(dir)
}

fn is_self_managed(value: &str) -> Result<bool, String> {
    match value {
        FILES => Ok(false),
        SELF_MANAGED => Ok(true),
        _ => Err(format!("must be {FILES} or {SELF_MANAGED}")),
    }
}

fn self_managed(source: &mut SettingSource<'_>, namespace: Option<&str>) -> SelfManaged {
    let ca = source.one(&settings::DYNAMIC_SERVING_CA_DURATION, validity);
    let leaf = source.one(&settings::DYNAMIC_SERVING_LEAF_DURATION, validity);
    let schedule = Schedule::new(ca, leaf).or_else(|rule| {
        source.error(&settings::DYNAMIC_SERVING_CA_DURATION, &rule);
        Schedule::new(ca, Duration::ZERO)
    });
    SelfManaged {
        namespace: namespace.unwrap_or_default().to_owned(),
        secret: source.one(&settings::DYNAMIC_SERVING_SECRET_NAME, object_name),
        names: source.list(&settings::DYNAMIC_SERVING_DNS_NAMES, names),
        schedule: schedule.unwrap_or_default(),
        configuration: source.one(&settings::VALIDATING_WEBHOOK_CONFIGURATION_NAME, object_name),
    }
}

/// Rules that involve more than one setting.
fn check(source: &mut SettingSource<'_>, managed: &SelfManaged) {
    if managed.names.is_empty() && !source.is_given(&settings::DYNAMIC_SERVING_DNS_NAMES) {
        source.error(
            &settings::DYNAMIC_SERVING_DNS_NAMES,
            "must have the names that the webhook is called by, such as \
             workspaces-webhook-service.kubeflow-workspaces.svc, with --webhook-cert-source=self-managed",
        );
    }
    if managed.namespace.is_empty() && !source.is_given(&settings::POD_NAMESPACE) {
        source.error(
            &settings::POD_NAMESPACE,
            "must be set outside of a pod, with --webhook-cert-source=self-managed: the Secret is in this namespace",
        );
    }
}

fn validity(value: &str) -> Result<Duration, String> {
    let rule = || "must be a duration such as 720h or 8760h, of at least 10s and at most a hundred years".to_owned();
    let duration = values::age(value).map_err(|_| rule())?;
    if (SHORTEST..=LONGEST).contains(&duration) { Ok(duration) } else { Err(rule()) }
}

fn object_name(value: &str) -> Result<String, String> {
    if is_dns_subdomain(value) {
        Ok(value.to_owned())
    } else {
        Err("must be the name of an object: at most 253 lower-case letters, digits, '-' and '.'".to_owned())
    }
}

fn names(values: &[&str]) -> Result<Vec<SubjectAltName>, String> {
    if values == [""] {
        return Ok(Vec::new());
    }
    values.iter().map(|value| SubjectAltName::checked(value).map_err(|error| error.to_string())).collect()
}
