//! The users of the API server, and the certificates and tokens of both sides.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::error::write;
use crate::{Error, Result};

/// Long enough for a demo that stays up, far too short to matter.
const VALIDITY: Duration = Duration::from_hours(7 * 24);

/// The user with all permissions; fixtures and tests act as this one.
pub const ADMIN: &str = "admin";

/// A user with only the permissions of every authenticated user.
pub const PLAIN_USER: &str = "plain-user";

/// The group whose members pass every authorization check.
pub const MASTERS: &str = "system:masters";

/// A user with a static token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name in RBAC and in the audit log.
    pub name: String,
    /// The groups, besides `system:authenticated`.
    pub groups: Vec<String>,
}

impl User {
    /// A user in these groups.
    pub fn new(name: &str, groups: &[&str]) -> Self {
        Self { name: name.to_owned(), groups: groups.iter().map(|&group| group.to_owned()).collect() }
    }
}

/// The file names of the credentials below a cluster's data directory.
pub(crate) mod file {
    pub const CA: &str = "ca.crt";
    pub const SERVER_CERTIFICATE: &str = "apiserver.crt";
    pub const SERVER_KEY: &str = "apiserver.key";
    pub const ACCOUNT_KEY: &str = "service-account.key";
    pub const ACCOUNT_PUBLIC_KEY: &str = "service-account.pub";
    pub const TOKENS: &str = "tokens.csv";
}

/// Issues the API server's certificate, the key of service account tokens and the users' tokens; returns the CA.
pub(crate) fn write_credentials(dir: &Path, users: &[User]) -> Result<String> {
    let (ca, issued) = issue_loopback("control plane")?;
    let ca = ca.cert_pem();
    write(&dir.join(file::CA), &ca)?;
    write(&dir.join(file::SERVER_CERTIFICATE), issued.chain_pem)?;
    write(&dir.join(file::SERVER_KEY), issued.key_pem)?;
    let key = rcgen::KeyPair::generate().map_err(|error| Error::Issue {
        what: "the key of service account tokens".to_owned(),
        why: error.to_string(),
    })?;
    write(&dir.join(file::ACCOUNT_KEY), key.serialize_pem())?;
    write(&dir.join(file::ACCOUNT_PUBLIC_KEY), key.public_key_pem())?;
    let mut tokens = String::new();
    for user in users {
        let (name, groups) = (&user.name, user.groups.join(","));
        let _ = writeln!(tokens, "{},{name},{name},\"{groups}\"", token(name));
    }
    write(&dir.join(file::TOKENS), tokens)?;
    Ok(ca)
}

/// A CA and, under it, a certificate for this machine's loopback names.
pub(crate) fn issue_loopback(name: &str) -> Result<(certs::Ca, certs::Issued)> {
    let failed = |error: certs::IssueError| Error::Issue {
        what: format!("the certificate of the {name}"),
        why: error.to_string(),
    };
    let now = SystemTime::now();
    let ca = certs::Ca::issue(name, now, VALIDITY).map_err(failed)?;
    let issued = ca.issue_leaf(&["127.0.0.1".into(), "localhost".into()], now, VALIDITY).map_err(failed)?;
    Ok((ca, issued))
}

/// A CA of clients: such as the API server, where a webhook demands a certificate of it.
#[derive(Debug)]
pub struct ClientCa {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    pem: String,
}

impl ClientCa {
    /// A new one.
    pub fn new() -> Result<Self> {
        Self::generate().map_err(failed_to_issue)
    }

    fn generate() -> std::result::Result<Self, rcgen::Error> {
        let key = rcgen::KeyPair::generate()?;
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "clients");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: rcgen::Issuer::new(params, key), pem })
    }

    /// Its certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a client with this common name, and its key.
    pub fn issue(&self, common_name: &str) -> Result<(String, String)> {
        self.sign(common_name).map_err(failed_to_issue)
    }

    fn sign(&self, common_name: &str) -> std::result::Result<(String, String), rcgen::Error> {
        let key = rcgen::KeyPair::generate()?;
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        Ok((params.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
    }
}

#[allow(clippy::needless_pass_by_value)] // for `map_err`
fn failed_to_issue(error: rcgen::Error) -> Error {
    Error::Issue { what: "the certificate of a client".to_owned(), why: error.to_string() }
}

/// The token of a user: not a secret, since the API server listens on loopback and lives for one test run.
pub(crate) fn token(user: &str) -> String {
    format!("token-of-{}", user.replace(':', "."))
}

/// A kubeconfig in JSON, which every YAML parser accepts.
pub(crate) fn kubeconfig(server: &str, ca: &Path, user: &str, token: &str) -> String {
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": {"server": server, "certificate-authority": ca}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": user}}],
        "current-context": "local",
    });
    format!("{config:#}\n")
}
