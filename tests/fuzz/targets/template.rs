//! Any text as a template: an error or an output within the limits, the same each time, and never a panic.

#![no_main]

use crds::template::{Functions, Limits, Mode, Template};
use libfuzzer_sys::fuzz_target;

struct Paths;

impl Functions for Paths {
    fn http_path_prefix(&self, port_id: &str) -> Result<String, String> {
        match port_id {
            "" => Err("no port".to_owned()),
            id => Ok(format!("/workspace/ns/ws/{id}/")),
        }
    }
}

fuzz_target!(|source: &str| {
    for limits in [Limits::HEADER, Limits::ENV] {
        let Ok(template) = Template::parse("value", source, &limits) else { continue };
        for mode in [Mode::Strict, Mode::Lenient] {
            let Ok(rendered) = template.render(&Paths, mode) else { continue };
            assert!(rendered.bytes.len() <= limits.output);
            assert!(rendered.cost.nodes <= limits.nodes && rendered.cost.made <= limits.made);
            assert_eq!(template.render(&Paths, mode).as_ref(), Ok(&rendered));
        }
        // What admission accepts renders to the same bytes once it is stored.
        if let Ok(strict) = template.render(&Paths, Mode::Strict) {
            assert_eq!(template.render(&Paths, Mode::Lenient).map(|stored| stored.bytes), Ok(strict.bytes));
        }
    }
});
