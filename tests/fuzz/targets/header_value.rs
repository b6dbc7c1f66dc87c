//! Any name and value of a header: refused, or free of anything that Envoy refuses or parses as a command operator.

#![no_main]

use std::collections::BTreeMap;

use crds::headers::{HeaderTemplates, VALUE_MAX};
use crds::template::{Functions, Mode};
use crds::workspace_kind::RequestHeaders;
use libfuzzer_sys::fuzz_target;

struct Paths;

impl Functions for Paths {
    fn http_path_prefix(&self, port_id: &str) -> Result<String, String> {
        Ok(format!("/workspace/ns/ws/{port_id}/"))
    }
}

const COMMANDS: [&str; 4] =
    ["PROTOCOL", "START_TIME", "DOWNSTREAM_REMOTE_ADDRESS", "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT"];

fuzz_target!(|header: (&str, &str, bool)| {
    let (name, value, set) = header;
    let one = BTreeMap::from([(name.to_owned(), value.to_owned())]);
    let headers = if set {
        RequestHeaders { set: one, ..RequestHeaders::default() }
    } else {
        RequestHeaders { add: one, ..RequestHeaders::default() }
    };
    let (templates, faults) = HeaderTemplates::parse(&headers);
    if !faults.is_empty() {
        return;
    }
    for mode in [Mode::Strict, Mode::Lenient] {
        let Ok(operations) = templates.render(&Paths, mode) else { continue };
        for (name, value) in operations.set.iter().chain(&operations.add) {
            assert!(name.bytes().all(|byte| byte.is_ascii_graphic()) && !name.is_empty(), "{name:?}");
            assert!(value.len() <= VALUE_MAX);
            assert!(!value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t'), "{value:?}");
            let mut parts = value.split('%');
            // Between two percent signs there is nothing or a harmless operator.
            parts.next();
            while let Some(inside) = parts.next() {
                assert!(inside.is_empty() || COMMANDS.contains(&inside), "{value:?}");
                assert!(parts.next().is_some(), "{value:?} ends within a command");
            }
        }
    }
});
