//! Request headers: which ones Istio and Envoy accept, and which are safe for other routes.
//!
//! A single bad header makes Envoy reject the whole route table of a gateway port, so admission and the reconciler
//! check the same rendered values with the same functions. The rules come from RFC 9110 (names, hop-by-hop headers),
//! Istio's handling of `host`/`:authority` and Envoy's command operators in header values.

use std::collections::{BTreeMap, BTreeSet};

use crate::stored_bytes::stored_bytes;
use crate::template::{Functions, Limits, Mode};
use crate::value_template::{ValueFault, ValueTemplate};
use crate::workspace_kind::RequestHeaders;

mod fault;
mod name;
mod value;

pub use fault::{FaultKind, HeaderFault, HeaderPlace};
use name::name_fault;
pub use name::{Effect, NAME_MAX};
pub use value::VALUE_MAX;
use value::{rendered_fault, value_fault};

/// The most bytes that the names and rendered values of one port have together. Envoy accepts requests with up to 60
/// KiB.
pub const PORT_MAX: usize = 32 * 1024;
/// The most bytes that the headers of all ports of an image have together, as the API server stores them: it accepts
/// objects of up to 1.5 MiB.
pub const ROUTE_MAX: usize = 512 * 1024;
/// Above this many bytes of names and rendered values, many servers refuse the request.
pub const PORT_ADVISED: usize = 8 * 1024;
/// Above this many headers, many servers refuse the request.
pub const COUNT_ADVISED: usize = 64;

/// The templates of one port's `requestHeaders`, parsed once and rendered for many Workspaces.
#[derive(Debug, Default)]
pub struct HeaderTemplates {
    /// Those of `set`, then those of `add`.
    values: Vec<(HeaderPlace, ValueTemplate)>,
    remove: Vec<String>,
}

/// What a route does to the headers of a request. Envoy removes first, then sets and adds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HeaderOperations {
    /// Headers to overwrite.
    pub set: BTreeMap<String, String>,
    /// Headers to append.
    pub add: BTreeMap<String, String>,
    /// Headers to remove.
    pub remove: Vec<String>,
    /// For each template of `set` and `add` in order: its place and the port ids that it asked for.
    pub port_ids: Vec<(HeaderPlace, Vec<String>)>,
}

impl HeaderTemplates {
    /// Parses all values and validates all names; the faults are ordered: set, add, remove, each by name or index.
    pub fn parse(headers: &RequestHeaders) -> (Self, Vec<HeaderFault>) {
        let mut faults = Vec::new();
        let mut parsed = Self::default();
        let set = headers.set.iter().map(|(name, value)| (HeaderPlace::Set(name.clone()), Some(value)));
        let add = headers.add.iter().map(|(name, value)| (HeaderPlace::Add(name.clone()), Some(value)));
        let remove = headers.remove.iter().enumerate();
        let remove = remove.map(|(index, name)| (HeaderPlace::Remove(index, name.clone()), None));
        let mut seen = BTreeSet::new();
        for (place, value) in set.chain(add).chain(remove) {
            faults.extend(name_fault(&place, &mut seen));
            let Some(value) = value else {
                parsed.remove.push(place.name().to_owned());
                continue;
            };
            match ValueTemplate::parse(value, &Limits::HEADER) {
                Ok(template) => parsed.values.push((place, template)),
                Err(ValueFault { detail, at }) => {
                    faults.push(HeaderFault { kind: FaultKind::Invalid, value: value.clone(), detail, at, place });
                }
            }
        }
        (parsed, faults)
    }

    /// Renders and validates all values, or returns every fault.
    pub fn render(&self, functions: &dyn Functions, mode: Mode) -> Result<HeaderOperations, Vec<HeaderFault>> {
        let mut faults = Vec::new();
        let mut operations = HeaderOperations { remove: self.remove.clone(), ..HeaderOperations::default() };
        for (place, template) in &self.values {
            let rendered = template
                .render(functions, mode)
                .and_then(|rendered| value_fault(place.name(), &rendered.text, template).map_or(Ok(rendered), Err));
            match rendered {
                Ok(rendered) => {
                    operations.put(place, rendered.text);
                    operations.port_ids.push((place.clone(), rendered.port_ids));
                }
                Err(ValueFault { detail, at }) => {
                    let value = template.source().to_owned();
                    faults.push(HeaderFault { place: place.clone(), kind: FaultKind::Invalid, value, detail, at });
                }
            }
        }
        if faults.is_empty() {
            faults.extend(operations.size_fault());
        }
        if faults.is_empty() { Ok(operations) } else { Err(faults) }
    }
}

impl HeaderOperations {
    /// Whether no header is changed.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// The faults of operations that do not come from templates, such as those of a stored route.
    pub fn validate(&self) -> Vec<HeaderFault> {
        let mut seen = BTreeSet::new();
        let remove =
            self.remove.iter().enumerate().map(|(index, name)| (HeaderPlace::Remove(index, name.clone()), None));
        let places = self.values().map(|(place, value)| (place, Some(value))).chain(remove);
        let mut faults = Vec::new();
        for (place, value) in places {
            faults.extend(name_fault(&place, &mut seen));
            let Some((value, (detail, at))) =
                value.and_then(|value| Some((value, rendered_fault(place.name(), value)?)))
            else {
                continue;
            };
            let detail = format!("holds {detail}");
            faults.push(HeaderFault { place, kind: FaultKind::Invalid, value: value.to_owned(), detail, at });
        }
        faults.extend(self.size_fault());
        faults
    }

    /// The bytes of all names and values together.
    pub fn bytes(&self) -> usize {
        self.texts().map(str::len).sum()
    }

    /// The size of all names and values in bytes as the API server stores them, which escapes some characters.
    pub fn stored_bytes(&self) -> usize {
        self.texts().map(stored_bytes).sum()
    }

    /// How many headers are added to a request at most.
    pub fn sent(&self) -> usize {
        self.set.len() + self.add.len()
    }

    fn values(&self) -> impl Iterator<Item = (HeaderPlace, &String)> {
        let set = self.set.iter().map(|(name, value)| (HeaderPlace::Set(name.clone()), value));
        set.chain(self.add.iter().map(|(name, value)| (HeaderPlace::Add(name.clone()), value)))
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        let pairs = self.set.iter().chain(&self.add);
        pairs.flat_map(|(name, value)| [name, value]).chain(&self.remove).map(String::as_str)
    }

    fn size_fault(&self) -> Option<HeaderFault> {
        let bytes = self.bytes();
        (bytes > PORT_MAX).then(|| HeaderFault {
            place: HeaderPlace::All,
            kind: FaultKind::Invalid,
            value: String::new(),
            detail: format!("names and rendered values have more than {PORT_MAX} bytes together"),
            at: None,
        })
    }

    fn put(&mut self, place: &HeaderPlace, value: String) {
        let name = place.name();
        if !matches!(place, HeaderPlace::Set(_)) {
            self.add.insert(name.to_owned(), value);
        } else if !value.is_empty() {
            self.set.insert(name.to_owned(), value);
        } else if !self.remove.iter().any(|removed| removed.eq_ignore_ascii_case(name)) {
            // With an empty value Envoy would keep the header that the client sent.
            self.remove.push(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Every port has the path `/p/<id>/`; the port `none` renders empty.
    struct Paths;

    impl Functions for Paths {
        fn http_path_prefix(&self, port_id: &str) -> Result<String, String> {
            Ok(if port_id == "none" { String::new() } else { format!("/p/{port_id}/") })
        }
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn judge(
        set: &[(&str, &str)],
        add: &[(&str, &str)],
        remove: &[&str],
    ) -> Result<HeaderOperations, Vec<HeaderFault>> {
        let headers = RequestHeaders {
            set: map(set),
            add: map(add),
            remove: remove.iter().map(|&name| name.to_owned()).collect(),
        };
        let (templates, mut faults) = HeaderTemplates::parse(&headers);
        match templates.render(&Paths, Mode::Strict) {
            Ok(operations) if faults.is_empty() => Ok(operations),
            Ok(_) => Err(faults),
            Err(more) => {
                faults.extend(more);
                Err(faults)
            }
        }
    }

    fn kinds(result: Result<HeaderOperations, Vec<HeaderFault>>) -> Vec<FaultKind> {
        result.unwrap_err().into_iter().map(|fault| fault.kind).collect()
    }

    #[test]
    fn renders_set_add_and_remove() {
        let done = judge(&[("X-Root", "{{ httpPathPrefix \"lab\" }}")], &[("Via", "ws")], &["Cookie"]).unwrap();
        assert_eq!(done.set, map(&[("X-Root", "/p/lab/")]));
        assert_eq!(done.add, map(&[("Via", "ws")]));
        assert_eq!(done.remove, ["Cookie"]);
        assert_eq!(done.port_ids[0], (HeaderPlace::Set("X-Root".into()), vec!["lab".to_owned()]));
    }

    #[test]
    fn an_empty_value_in_set_removes_the_visitors_own_header() {
        let done = judge(&[("X-User", "{{ httpPathPrefix \"none\" }}"), ("Cookie", "")], &[], &["cookie"]).unwrap();
        assert!(done.set.is_empty());
        assert_eq!(done.remove, ["cookie", "X-User"]);
    }

    #[test]
    fn refuses_names_that_are_not_tokens() {
        for name in ["", "a b", "a:b", ":path", "ä", "a\n", "a/b", "(a)"] {
            assert_eq!(kinds(judge(&[(name, "v")], &[], &[])), [FaultKind::Invalid], "set {name:?}");
            assert_eq!(kinds(judge(&[], &[(name, "v")], &[])), [FaultKind::Invalid], "add {name:?}");
            assert_eq!(kinds(judge(&[], &[], &[name])), [FaultKind::Invalid], "remove {name:?}");
        }
        for name in ["X-A", "a", "!#$%&'*+-.^_`|~", "1"] {
            assert!(judge(&[(name, "v")], &[], &[]).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn refuses_names_that_smuggle() {
        for name in ["Connection", "content-length", "EXPECT", "keep-alive", "proxy-connection", "te", "Trailer"] {
            assert_eq!(kinds(judge(&[(name, "v")], &[], &[])), [FaultKind::Forbidden], "{name}");
            assert_eq!(kinds(judge(&[], &[(name, "v")], &[])), [FaultKind::Forbidden], "{name}");
        }
        for name in ["Host", "Content-Length", "transfer-encoding", "Connection", "upgrade", "Expect", ":authority"] {
            assert_eq!(kinds(judge(&[], &[], &[name])), [FaultKind::Forbidden], "{name}");
        }
        assert!(judge(&[], &[], &["te"]).is_ok());
        // CGI-style servers treat both spellings as equal.
        for name in ["Content_Length", "transfer_encoding", "Proxy-Connection", "PROXY_CONNECTION", "keep_alive"] {
            assert_eq!(kinds(judge(&[(name, "v")], &[], &[])), [FaultKind::Forbidden], "{name}");
            assert_eq!(kinds(judge(&[], &[(name, "v")], &[])), [FaultKind::Forbidden], "{name}");
        }
        assert_eq!(kinds(judge(&[], &[], &["Content_Length", "transfer_Encoding"])), [FaultKind::Forbidden; 2]);
        assert!(judge(&[("X_A", "1"), ("X-A", "2")], &[], &["Proxy_Connection"]).is_ok());
    }

    #[test]
    fn knows_headers_that_steer_the_gateway_or_say_who_somebody_is() {
        for name in ["x-envoy-retry-on", "X-Envoy-Max-Retries", "X_ENVOY_ORIGINAL_PATH"] {
            assert_eq!(Effect::of(name), Some(Effect::ControlsGateway), "{name}");
        }
        for name in ["kubeflow-userid", "Kubeflow_UserID", "X-Forwarded-Client-Cert"] {
            assert_eq!(Effect::of(name), Some(Effect::Identity), "{name}");
        }
        for name in ["X-Forwarded-For", "x-envoy", "Authorization"] {
            assert_eq!(Effect::of(name), None, "{name}");
        }
    }

    #[test]
    fn two_spellings_of_one_name_are_one_name() {
        assert_eq!(kinds(judge(&[("X-A", "1"), ("x-a", "2")], &[], &[])), [FaultKind::Duplicate]);
        assert_eq!(kinds(judge(&[("Host", "a"), (":authority", "b")], &[], &[])), [FaultKind::Duplicate]);
        assert_eq!(kinds(judge(&[], &[], &["X-A", "x-a"])), [FaultKind::Duplicate]);
        assert!(judge(&[("X-A", "1")], &[("x-a", "2")], &["x-A"]).is_ok());
    }

    #[test]
    fn the_host_is_only_set_and_only_to_a_host() {
        for host in ["example.com", "Example.com:8080", "10.0.0.1", "[::1]:80", "[::1]", "a"] {
            assert!(judge(&[("host", host)], &[], &[]).is_ok(), "{host}");
            assert!(judge(&[(":authority", host)], &[], &[]).is_ok(), "{host}");
        }
        for host in
            ["", "a b", "a/b", "a:0", "a:65536", "a:+80", "%PROTOCOL%", "a%%b", "http://a", "a:", "::1", "[::1", "-a"]
        {
            assert_eq!(kinds(judge(&[("Host", host)], &[], &[])), [FaultKind::Invalid], "{host}");
        }
        assert_eq!(kinds(judge(&[], &[("host", "a")], &[])), [FaultKind::Forbidden]);
    }

    #[test]
    fn refuses_control_characters_and_says_why_yaml_leaves_them() {
        for value in ["a\n", "a\r\nb", "\0", "\u{7f}", "{{ \"\\n\" }}"] {
            assert_eq!(kinds(judge(&[("X-A", value)], &[], &[])), [FaultKind::Invalid], "{value:?}");
        }
        assert!(judge(&[("X-A", "a\tb ü")], &[], &[]).is_ok());
        for character in ('\u{80}'..='\u{9f}').chain("\u{2028}\u{2029}\u{feff}\u{fffe}\u{ffff}".chars()) {
            let faults = judge(&[], &[("X-A", &format!("ab{character}c"))], &[]).unwrap_err();
            assert_eq!((faults.len(), faults[0].at), (1, Some(2)), "{character:?}");
            assert!(faults[0].detail.contains(&format!("U+{:04X}", character as u32)), "{}", faults[0].detail);
        }
        assert_eq!(kinds(judge(&[("X-A", "{{ printf \"a%c%cb\" 133 133 }}")], &[], &[])), [FaultKind::Invalid]);
        assert!(judge(&[("X-A", "\u{a0}\u{fffd}\u{2027}\u{1fffe}\u{10ffff}")], &[], &[]).is_ok());
        let faults = judge(&[("X-A", "a\n")], &[], &[]).unwrap_err();
        assert!(faults[0].detail.contains("write `|-` or `>-`"), "{}", faults[0].detail);
    }

    #[test]
    fn percent_signs_are_doubled_or_harmless_commands() {
        for value in ["100%%", "%PROTOCOL%", "a %START_TIME% b %%", "%DOWNSTREAM_REMOTE_ADDRESS%%%", "%%BAD%%"] {
            assert!(judge(&[("X-A", value)], &[], &[]).is_ok(), "{value}");
        }
        let bad = [
            "100%",
            "%BAD",
            "%BAD%",
            "%ENVIRONMENT(HOME)%",
            "%START_TIME(%s)%",
            "%%%",
            "%",
            "%PROTOCOL%%",
            "%protocol%",
        ];
        for value in bad {
            assert_eq!(kinds(judge(&[("X-A", value)], &[], &[])), [FaultKind::Invalid], "{value}");
            assert_eq!(kinds(judge(&[], &[("X-A", value)], &[])), [FaultKind::Invalid], "{value}");
        }
    }

    #[test]
    fn refuses_values_longer_than_8_kib() {
        let source = "{{ range 9 }}{{ printf \"%1024d\" 1 }}{{ end }}";
        let faults = judge(&[("X-A", source)], &[], &[]).unwrap_err();
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].place, HeaderPlace::Set("X-A".into()));
        // 4,000 bytes that are not UTF-8, and three times as many once they are replaced.
        let source = "{{ $a := slice \"ü\" 0 1 }}{{ range 1000 }}{{ $a }}{{ $a }}{{ $a }}{{ $a }}{{ end }}";
        let set = map(&[("X-A", source)]);
        let (templates, faults) = HeaderTemplates::parse(&RequestHeaders { set, ..RequestHeaders::default() });
        assert_eq!(faults, []);
        let faults = templates.render(&Paths, Mode::Lenient).unwrap_err();
        assert_eq!(faults[0].detail, "renders to more than 8192 bytes");
    }

    #[test]
    fn all_headers_of_a_port_are_bounded_together() {
        let value = "v".repeat(4096 - 4);
        let names: Vec<String> = (0..8).map(|number| format!("X-{number:02}")).collect();
        let set: Vec<(&str, &str)> = names.iter().map(|name| (&**name, &*value)).collect();
        assert_eq!(judge(&set, &[], &[]).unwrap().bytes(), PORT_MAX);
        let faults = judge(&set, &[], &["y"]).unwrap_err();
        assert_eq!((&faults[0].place, faults.len()), (&HeaderPlace::All, 1));
        // The templates are short, what they render to is not.
        let templates: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "{{ printf \"%8192d\" 1 }}")).collect();
        assert_eq!(judge(&templates, &[], &[]).unwrap_err()[0].place, HeaderPlace::All);
    }

    #[test]
    fn rendered_operations_are_validated_as_templates_are() {
        let good = HeaderOperations { set: map(&[("X-A", "a {{ b"), ("Host", "a.b")]), ..HeaderOperations::default() };
        assert_eq!(good.validate(), []);
        let bad = HeaderOperations {
            set: map(&[("X-A", "a\nb"), ("a b", "c")]),
            add: map(&[("X-B", "100%")]),
            remove: vec!["Host".to_owned()],
            port_ids: Vec::new(),
        };
        let places: Vec<HeaderPlace> = bad.validate().into_iter().map(|fault| fault.place).collect();
        let set = |name: &str| HeaderPlace::Set(name.to_owned());
        let expected = [set("X-A"), set("a b"), HeaderPlace::Add("X-B".into()), HeaderPlace::Remove(0, "Host".into())];
        assert_eq!(places, expected);
    }

    #[test]
    fn refuses_names_longer_than_256_bytes() {
        let name = "x".repeat(257);
        assert_eq!(kinds(judge(&[(&name, "v")], &[(&name, "v")], &[&name])), [FaultKind::Invalid; 3]);
        assert!(judge(&[(&name[1..], "v")], &[], &[]).is_ok());
    }
}
