//! Network names and addresses: gateways, hosts, domains and listen addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crds::labels::is_dns_label;

/// A listen address.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Listen {
    /// `None` is every address of the machine, of both families where there are two.
    pub host: Option<IpAddr>,
    /// 0 lets the system choose one, which is logged.
    pub port: u16,
}

impl Listen {
    /// The addresses to try in order; the first that can be bound is used.
    pub fn candidates(self) -> Vec<SocketAddr> {
        match self.host {
            Some(host) => vec![SocketAddr::new(host, self.port)],
            // On Linux [::] accepts IPv4 too; where IPv6 is disabled it cannot be bound.
            None => vec![
                SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), self.port),
                SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), self.port),
            ],
        }
    }

    /// Whether nothing outside of this machine, or pod, can connect to it.
    pub fn is_loopback(self) -> bool {
        self.host.is_some_and(|host| host.is_loopback())
    }

    /// Whether the two cannot be bound at the same time.
    pub fn collides(&self, other: &Self) -> bool {
        let anywhere = |listen: &Self| listen.host.is_none_or(|host| host.is_unspecified());
        self.port == other.port && self.port != 0 && (self.host == other.host || anywhere(self) || anywhere(other))
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self { host: Some(address.ip()), port: address.port() }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Some(host) => write!(formatter, "{}", SocketAddr::new(host, self.port)),
            None => write!(formatter, ":{}", self.port),
        }
    }
}

/// The address, or `off`.
pub(super) fn or_off(address: Option<Listen>) -> String {
    address.map_or_else(|| "off".to_owned(), |address| address.to_string())
}

/// `:9443`, `127.0.0.1:9443`, `[::1]:0`, `localhost:9443`.
pub fn address(value: &str) -> Result<Listen, String> {
    let rule =
        || "must be :PORT or IP:PORT, with a port from 0 (any) to 65535, such as :9443 or 127.0.0.1:0".to_owned();
    let (host, port) = value.rsplit_once(':').ok_or_else(rule)?;
    // `parse` also accepts "+1".
    let port = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    let port = port.and_then(|port| port.parse().ok()).ok_or_else(rule)?;
    let host = match host {
        "" => None,
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        _ => match host.strip_prefix('[') {
            Some(host) => host.strip_suffix(']').and_then(|host| host.parse().ok()).map(IpAddr::V6),
            None => host.parse().ok().map(IpAddr::V4),
        }
        .map(Some)
        .ok_or_else(rule)?,
    };
    Ok(Listen { host, port })
}

/// An address, or `0` for none.
pub fn address_or_off(value: &str) -> Result<Option<Listen>, String> {
    match value {
        "0" => Ok(None),
        _ => address(value).map(Some).map_err(|rule| format!("{rule}, or 0 to disable it")),
    }
}

/// Gateways as VirtualServices reference them from another namespace.
pub fn gateways(values: &[&str]) -> Result<Vec<String>, String> {
    for (index, value) in values.iter().enumerate() {
        let is_valid =
            value.split_once('/').is_some_and(|(namespace, name)| is_dns_label(namespace) && is_dns_label(name));
        if !is_valid {
            return Err(format!(
                "{value:?} must be NAMESPACE/NAME, both of at most 63 lower-case letters, digits and '-', such as \
                 kubeflow/kubeflow-gateway"
            ));
        }
        if values[..index].contains(value) {
            return Err(format!("{value:?} is listed twice"));
        }
    }
    Ok(values.iter().map(|&value| value.to_owned()).collect())
}

/// Hosts of VirtualServices; Istio rejects overlapping ones.
pub fn hosts(values: &[&str]) -> Result<Vec<String>, String> {
    for (index, value) in values.iter().enumerate() {
        if !is_host(value) {
            return Err(format!("{value:?} must be a DNS name, *.DOMAIN, an IP address, or * for all"));
        }
        for other in &values[..index] {
            if value.eq_ignore_ascii_case(other) {
                return Err(format!("{value:?} is listed twice"));
            }
            if covers(other, value) || covers(value, other) {
                return Err(format!("{other:?} and {value:?} overlap: keep the wider one, or name single hosts"));
            }
        }
    }
    Ok(values.iter().map(|&value| value.to_owned()).collect())
}

/// The DNS domain of the cluster's Services.
pub fn cluster_domain(value: &str) -> Result<String, String> {
    if value.len() <= 253 && value.split('.').all(is_dns_label) {
        Ok(value.to_owned())
    } else {
        Err("must be a DNS domain of lower-case letters, digits, '-' and '.', without a final dot, such as cluster.local".to_owned())
    }
}

fn is_host(host: &str) -> bool {
    if host == "*" || host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = host.strip_prefix("*.").unwrap_or(host).to_ascii_lowercase();
    let mut labels = name.split('.');
    // Only digits and dots is an address, or a broken one.
    let numeric = name.rsplit('.').next().is_none_or(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    name.len() <= 253 && !numeric && labels.all(is_dns_label)
}

/// Whether `wildcard` matches the host, or everything that the host matches.
fn covers(wildcard: &str, host: &str) -> bool {
    let (wildcard, host) = (wildcard.to_ascii_lowercase(), host.to_ascii_lowercase());
    wildcard.strip_prefix('*').is_some_and(|suffix| host.ends_with(suffix))
}
