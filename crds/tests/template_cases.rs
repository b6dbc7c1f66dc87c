//! T2: every case of `data/template-cases.json` has the same outcome as in Go 1.26, or is refused for a documented
//! reason.
//!
//! The file records what Go did with nil data and `httpPathPrefix(id) = "/workspace/connect/ns/ws/" + id + "/"`.
#![allow(clippy::unwrap_used, clippy::panic)]

mod paths;

use crds::template::{ErrorKind, Functions, Limits, Mode, Template, TemplateError};
use paths::Paths;
use serde_json::Value;

/// What Go 1.26 did with a case.
#[derive(Debug, PartialEq)]
enum GoOutcome {
    Output(Vec<u8>),
    ParseError(String),
    ExecuteError(String),
}

fn go_outcome(case: &Value) -> GoOutcome {
    let newer = case.get("newer_go").unwrap_or(case);
    let is_true = |field: &str| newer[field].as_bool().unwrap();
    let error = || case.get("go_error_1_26").unwrap_or(&newer["go_error"]).as_str().unwrap().to_owned();
    if !is_true("go_parse_ok") {
        return GoOutcome::ParseError(error());
    }
    if !is_true("go_exec_ok") {
        return GoOutcome::ExecuteError(error());
    }
    let output = match case.get("output_hex") {
        Some(hex) => {
            let digits = hex.as_str().unwrap();
            (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
        }
        None => newer["output"].as_str().unwrap().as_bytes().to_vec(),
    };
    GoOutcome::Output(output)
}

fn run(source: &str, limits: &Limits, mode: Mode) -> Result<Vec<u8>, TemplateError> {
    let template = Template::parse("value", source, limits)?;
    Ok(template.render(&Paths, mode)?.bytes)
}

/// The intended differences.
fn is_wanted(error: &TemplateError, mode: Mode, go: &GoOutcome) -> bool {
    match error.kind {
        // Limits: nesting, executed nodes, bytes. Go's own bound on recursion is 100,000 templates deep.
        ErrorKind::Limit => true,
        // What Go would print for a value that does not exist is refused at admission, however it is escaped.
        ErrorKind::NoValue => {
            let GoOutcome::Output(output) = go else {
                // Go continued after printing and failed later.
                return mode == Mode::Strict;
            };
            let output = String::from_utf8_lossy(output);
            let escapes = ["<no value>", "&lt;no value&gt;", "%3Cno+value%3E", "\\u003Cno value\\u003E"];
            mode == Mode::Strict && escapes.iter().any(|escaped| output.contains(escaped))
        }
        _ => false,
    }
}

fn difference(case: &Value, limits: &Limits, mode: Mode) -> Option<String> {
    let source = case["template"].as_str().unwrap();
    let go = go_outcome(case);
    let ours = match run(source, limits, mode) {
        Err(error) if is_wanted(&error, mode, &go) => return None,
        Err(error) if error.kind == ErrorKind::Parse => GoOutcome::ParseError(error.message),
        Err(error) => GoOutcome::ExecuteError(error.message),
        Ok(output) => GoOutcome::Output(output),
    };
    (ours != go).then(|| format!("{source:?} in {mode:?}\n  Go   {go:?}\n  here {ours:?}"))
}

fn cases() -> Vec<Value> {
    serde_json::from_str(include_str!("data/template-cases.json")).unwrap()
}

#[test]
fn every_case_ends_as_in_go() {
    let cases = cases();
    let mut differences = Vec::new();
    for case in &cases {
        for mode in [Mode::Lenient, Mode::Strict] {
            for limits in [Limits::HEADER, Limits::ENV] {
                differences.extend(difference(case, &limits, mode));
            }
        }
    }
    let verdict = if differences.is_empty() { "pass" } else { "fail" };
    println!("T2 {verdict} {} {}", cases.len() - differences.len().min(cases.len()), cases.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Only few cases may be refused for our own reasons, else the comparison above would prove little.
#[test]
fn limits_refuse_only_what_is_enormous() {
    let refused: Vec<String> = cases()
        .iter()
        .map(|case| case["template"].as_str().unwrap().to_owned())
        .filter(|source| run(source, &Limits::ENV, Mode::Lenient).is_err_and(|error| error.kind == ErrorKind::Limit))
        .collect();
    for source in &refused {
        let deep = source.matches('(').count() > 64 || source.matches("{{if").count() > 64;
        let deep = deep || source.matches("{{with").count() > 64 || source.matches("{{else if").count() > 63;
        let recursive = source.contains("{{template");
        assert!(deep || recursive, "{source:?} is refused");
    }
    assert!(refused.len() < 10, "{} cases are refused", refused.len());
}

#[test]
fn places_of_errors_are_those_of_the_token() {
    for (source, line, column, offset) in [
        ("{{ nosuch }}", 1, 4, 3),
        ("é\n{{ 1 }} {{ httpPathPrefix 1 }}", 2, 27, 29),
        ("{{ if true }}", 1, 14, 13),
        ("{{ print \"a\n\" }}", 1, 10, 9),
        ("x{{ a-b }}", 1, 6, 5),
        ("{{ \"a\" | 1 }}", 1, 10, 9),
        ("{{ index \"abc\" 7 }}", 1, 4, 3),
    ] {
        let error = run(source, &Limits::ENV, Mode::Strict).unwrap_err();
        assert_eq!((error.line, error.column, error.offset), (line, column, offset), "{source:?}: {error}");
    }
}

#[test]
fn single_quotes_get_advice() {
    for (source, hint) in [
        ("{{httpPathPrefix 'jupyterlab'}}", "write it in double quotes: \"jupyterlab\""),
        ("{{ httpPathPrefix 'r' }}", "write it in double quotes: \"r\""),
        ("{{ httpPathPrefix '' }}", "write it in double quotes: single quotes are for one character"),
        ("{{ httpPathPrefix 'rstudio }}", "write it in double quotes: \"rstudio\""),
        ("{{ httpPathPrefix “x” }}", "write it in straight double quotes"),
        ("{{ template 'x' }}", "write it in double quotes: \"x\""),
    ] {
        let error = run(source, &Limits::HEADER, Mode::Strict).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some(hint), "{source}: {error}");
    }
    assert_eq!(run("{{ nosuch }}", &Limits::HEADER, Mode::Strict).unwrap_err().hint, None);
}

#[test]
fn what_the_path_function_refuses_ends_the_template() {
    struct Refuses;
    impl Functions for Refuses {
        fn http_path_prefix(&self, port_id: &str) -> Result<String, String> {
            Err(format!("no port {port_id:?}"))
        }
    }
    let template = Template::parse("value", "a{{ print (httpPathPrefix \"x\") }}", &Limits::HEADER).unwrap();
    let error = template.render(&Refuses, Mode::Strict).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Execute);
    assert_eq!(
        error.message,
        "template: value:1:11: executing \"value\" at <httpPathPrefix \"x\">: error calling httpPathPrefix: no port \"x\""
    );
}

#[test]
fn asked_port_ids_are_listed_once_in_order() {
    let source = r#"{{ httpPathPrefix "b" }}{{ range 40 }}{{ $x := httpPathPrefix (print (index "0123" (len (slice "abc" 1)))) }}
        {{- httpPathPrefix "a" }}{{ $y := print . | httpPathPrefix }}{{ end }}{{ httpPathPrefix "b" }}"#;
    let template = Template::parse("value", source, &Limits::ENV).unwrap();
    let rendered = template.render(&Paths, Mode::Strict).unwrap();
    let expected: Vec<String> =
        ["b", "50", "a"].map(str::to_owned).into_iter().chain((0..40).map(|i| i.to_string())).collect();
    assert_eq!(rendered.port_ids, expected);
}

#[test]
fn only_strict_mode_refuses_values_that_do_not_exist() {
    for (source, stored) in [
        ("{{ . }}", "<no value>"),
        ("{{ .Field.Other }}", "<no value>"),
        ("{{ or .Field nil }}", "<no value>"),
        ("{{ html . }}", "&lt;no value&gt;"),
        ("{{ urlquery .Field 1 }}", "%3Cno+value%3E1"),
        ("{{ . | js }}", "\\u003Cno value\\u003E"),
    ] {
        assert_eq!(run(source, &Limits::HEADER, Mode::Lenient).unwrap(), stored.as_bytes(), "{source}");
        let error = run(source, &Limits::HEADER, Mode::Strict).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NoValue, "{source}");
        assert!(error.message.contains("would print \"<no value>\""), "{error}");
    }
    for (source, output) in [("{{ or .Field \"x\" }}", "x"), ("{{ if . }}a{{ else }}b{{ end }}", "b")] {
        assert_eq!(run(source, &Limits::HEADER, Mode::Strict).unwrap(), output.as_bytes(), "{source}");
    }
}

#[test]
fn templates_are_shared_between_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Template>();
}
