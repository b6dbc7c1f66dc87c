//! Rendered values of headers: characters, hosts, and Envoy's command operators.

use super::name::is_host;
use crate::value_template::{ValueFault, ValueTemplate};

/// The longest rendered value, in bytes.
pub const VALUE_MAX: usize = 8 * 1024;

/// Envoy's command operators that reveal nothing confidential and cannot fail.
const ALLOWED_COMMANDS: &[&str] =
    &["PROTOCOL", "START_TIME", "DOWNSTREAM_REMOTE_ADDRESS", "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT"];

/// What is wrong with the rendered value of a template. Where the template is plain text, the offset is that in its
/// source.
pub(super) fn value_fault(name: &str, value: &str, template: &ValueTemplate) -> Option<ValueFault> {
    let (detail, at) = rendered_fault(name, value)?;
    let detail = format!("renders to {detail}");
    Some(ValueFault { detail, at: at.filter(|_| template.source() == value) })
}

/// Whether a character is not allowed in the value of a header: control characters but TAB, and those that some parsers
/// treat as a line break (U+2028, U+2029) or as no character at all (U+FEFF, U+FFFE, U+FFFF).
fn is_unsafe(character: char) -> bool {
    (character.is_control() && character != '\t')
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// What is wrong with a rendered value, worded to follow "renders to", and the offset of the wrong byte.
pub(super) fn rendered_fault(name: &str, value: &str) -> Option<(String, Option<usize>)> {
    // Templates have the same limit, but bytes that are not UTF-8 grow when they are replaced.
    if value.len() > VALUE_MAX {
        return Some((format!("more than {VALUE_MAX} bytes"), None));
    }
    if let Some((at, character)) = value.char_indices().find(|(_, character)| is_unsafe(*character)) {
        return Some(match character {
            // The place of a line break is of no use: it cannot be seen.
            '\n' | '\r' => {
                let detail = "a value with a line break, which no header can hold: YAML block scalars \
                              (`|` and `>`) end with one, write `|-` or `>-`, or a quoted string";
                (detail.to_owned(), None)
            }
            other => {
                let (what, code) = (if other.is_control() { "control character" } else { "character" }, other as u32);
                let detail = format!("a value with the {what} U+{code:04X}, which no header can hold");
                (detail, Some(at))
            }
        });
    }
    if is_host(&name.to_ascii_lowercase()) {
        let detail = "a value that is not a valid host or host:port (e.g. 'example.com:8080')";
        return (!is_host_value(value)).then(|| (detail.to_owned(), None));
    }
    let (detail, at) = command_fault(value)?;
    Some((detail, Some(at)))
}

/// What is wrong with the `%` signs of a value, which start Envoy command operators, and the offset of the wrong one.
fn command_fault(value: &str) -> Option<(String, usize)> {
    let mut rest = value;
    while let Some(start) = rest.find('%') {
        let after = &rest[start + 1..];
        if let Some(literal) = after.strip_prefix('%') {
            rest = literal;
            continue;
        }
        let end = after.find('%').filter(|&end| ALLOWED_COMMANDS.contains(&&after[..end]));
        let Some(end) = end else {
            let detail = format!(
                "a value with '%', which starts an Envoy command operator: write '%%' for a percent sign \
                 (allowed commands: {})",
                allowed_commands()
            );
            return Some((detail, value.len() - rest.len() + start));
        };
        rest = &after[end + 1..];
    }
    None
}

/// The allowed command operators, as they are written.
fn allowed_commands() -> String {
    ALLOWED_COMMANDS.iter().map(|command| format!("%{command}%")).collect::<Vec<_>>().join(", ")
}

/// Whether `value` is `host[:port]`: a DNS name, an IPv4 address or an IPv6 address in brackets.
fn is_host_value(value: &str) -> bool {
    let (host, port) = match value.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (value, None),
    };
    let is_port = |port: &str| {
        port.parse::<u16>().is_ok_and(|number| number > 0) && port.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_ipv6 = |host: &str| {
        host.strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
    };
    port.is_none_or(is_port) && (crate::labels::is_dns_subdomain(&host.to_ascii_lowercase()) || is_ipv6(host))
}
