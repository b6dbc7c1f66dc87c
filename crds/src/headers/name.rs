//! Names of headers: their syntax (RFC 9110), which must not be changed, and which have side effects.

use std::collections::BTreeSet;

use super::fault::{FaultKind, HeaderFault, HeaderPlace};

/// The longest name, in bytes. Envoy rejects all routes for one of more than 16 KiB; servers accept far less.
pub const NAME_MAX: usize = 256;

/// Headers that must not be set or added: they control framing or are hop-by-hop.
const FORBIDDEN_TO_SET: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that must not be removed: without them the request would not arrive, or be parsed as another one.
const FORBIDDEN_TO_REMOVE: &[&str] = &["connection", "content-length", "expect", "transfer-encoding", "upgrade"];

/// Headers by which servers behind the gateway identify the user.
const IDENTITIES: &[&str] = &["kubeflow-userid", "x-forwarded-client-cert"];
/// Headers with this prefix control Envoy.
const ENVOY_PREFIX: &str = "x-envoy-";

/// The side effect of a header that is set or added.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// It controls Envoy: `x-envoy-retry-on`, for example, makes it repeat a POST.
    ControlsGateway,
    /// Servers identify the user by it.
    Identity,
}

impl Effect {
    /// The side effect of the header `name`, in any spelling.
    pub fn of(name: &str) -> Option<Self> {
        let name = canonical(name);
        if name.starts_with(ENVOY_PREFIX) {
            Some(Self::ControlsGateway)
        } else {
            IDENTITIES.contains(&name.as_str()).then_some(Self::Identity)
        }
    }
}

/// The name as servers compare it: in lower case, and with `-` for `_`, which CGI-style servers treat as equal.
fn canonical(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// Whether Istio turns the header into a host rewrite.
pub(super) fn is_host(lowercase_name: &str) -> bool {
    matches!(lowercase_name, "host" | ":authority")
}

/// What is wrong with the name of a header. `seen` holds the names before it, by list and in one spelling.
pub(super) fn name_fault(place: &HeaderPlace, seen: &mut BTreeSet<(u8, String)>) -> Option<HeaderFault> {
    let name = place.name();
    let lowercase = name.to_ascii_lowercase();
    let fault = |kind, detail: &str| {
        Some(HeaderFault { place: place.clone(), kind, value: name.to_owned(), detail: detail.to_owned(), at: None })
    };
    let (list, forbidden): (u8, &[&str]) = match place {
        HeaderPlace::Set(_) => (0, FORBIDDEN_TO_SET),
        HeaderPlace::Add(_) => (1, FORBIDDEN_TO_SET),
        HeaderPlace::Remove(..) | HeaderPlace::All => (2, FORBIDDEN_TO_REMOVE),
    };
    if lowercase != ":authority" && !is_token(name) {
        return fault(
            FaultKind::Invalid,
            "header name must consist of letters, digits and !#$%&'*+-.^_`|~ (e.g. 'X-My-Header')",
        );
    }
    if name.len() > NAME_MAX {
        return fault(FaultKind::Invalid, &format!("header name may not be more than {NAME_MAX} bytes"));
    }
    if list != 0 && is_host(&lowercase) {
        return fault(FaultKind::Forbidden, "the host of a request can only be changed with requestHeaders.set");
    }
    let canonical = canonical(name);
    if forbidden.contains(&canonical.as_str()) {
        let spelling = if name.contains('_') { ", also when it is spelt with '_'" } else { "" };
        return fault(
            FaultKind::Forbidden,
            &format!("header {canonical:?} controls framing or is hop-by-hop, and cannot be changed{spelling}"),
        );
    }
    let (key, alike) = if is_host(&lowercase) {
        ("host".to_owned(), "'host' and ':authority' name the same header (header names are case-insensitive)")
    } else {
        (lowercase, "header names are case-insensitive")
    };
    if seen.insert((list, key)) { None } else { fault(FaultKind::Duplicate, alike) }
}

/// Whether `name` is a token of RFC 9110, section 5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
