//! Which clients the webhook serves.

use std::path::PathBuf;

use super::settings;
use super::source::SettingSource;
use super::values;

/// The clients of the webhook: those with a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WebhookClients {
    /// The file with the CAs that issue the certificates.
    pub ca_file: PathBuf,
    /// Their common names; any, if there are none.
    pub allowed_names: Vec<String>,
}

/// Reads the settings; without a CA everybody is served.
pub(super) fn load(source: &mut SettingSource<'_>) -> Option<WebhookClients> {
    let ca_file = source.optional(&settings::WEBHOOK_CLIENT_CA_FILE, values::path);
    let allowed_names = source.list(&settings::WEBHOOK_CLIENT_ALLOWED_NAMES, names);
    if ca_file.is_none() && !allowed_names.is_empty() {
        source.error(
            &settings::WEBHOOK_CLIENT_ALLOWED_NAMES,
            "needs --webhook-client-ca-file: without it everybody is served",
        );
    }
    ca_file.map(|ca_file| WebhookClients { ca_file, allowed_names })
}

fn names(values: &[&str]) -> Result<Vec<String>, String> {
    if values == [""] {
        return Ok(Vec::new());
    }
    if values.contains(&"") {
        return Err("must not have an empty name".to_owned());
    }
    Ok(values.iter().map(|&name| name.to_owned()).collect())
}
