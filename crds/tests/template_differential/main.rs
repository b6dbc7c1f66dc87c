//! T3: generated templates end here as they do in Go's own `text/template`: same verdict, same bytes, same error text.
//!
//! `TEMPLATE_SEED` and `TEMPLATE_COUNT` choose other templates and more of them. A template that our limits refuse is
//! not run in Go, which might not terminate.
#![allow(clippy::unwrap_used, clippy::panic)]

mod generate;
mod go;
#[path = "../paths/mod.rs"]
mod paths;

use crds::template::{ErrorKind, Limits, Mode, Template, TemplateError};
use generate::Random;
use go::{Go, TemplateOutcome};
use paths::Paths;

fn run(source: &str, mode: Mode) -> Result<Vec<u8>, TemplateError> {
    let template = Template::parse("value", source, &Limits::ENV)?;
    Ok(template.render(&Paths, mode)?.bytes)
}

/// `None` if the limits refuse the template.
fn outcome(source: &str) -> Option<TemplateOutcome> {
    match run(source, Mode::Lenient) {
        Ok(output) => Some(TemplateOutcome::Output(output)),
        Err(error) => match error.kind {
            ErrorKind::Limit => None,
            ErrorKind::Parse => Some(TemplateOutcome::ParseError(error.message)),
            ErrorKind::Execute | ErrorKind::NoValue => Some(TemplateOutcome::ExecuteError(error.message)),
        },
    }
}

/// Where both modes accept a template they agree, and strict mode refuses more only for values that do not exist.
fn strict_agrees(source: &str, stored: &TemplateOutcome) -> bool {
    match (run(source, Mode::Strict), stored) {
        (Ok(output), TemplateOutcome::Output(stored)) => output == *stored,
        (Err(error), TemplateOutcome::Output(_)) => error.kind == ErrorKind::NoValue,
        (Err(error), TemplateOutcome::ParseError(stored) | TemplateOutcome::ExecuteError(stored)) => {
            error.kind == ErrorKind::NoValue || error.message == *stored
        }
        (Ok(_), _) => false,
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value}: not a number")))
}

fn cases() -> Vec<String> {
    let cases: serde_json::Value = serde_json::from_str(include_str!("../data/template-cases.json")).unwrap();
    cases.as_array().unwrap().iter().map(|case| case["template"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn generated_templates_end_as_in_go() {
    let (seed, count) = (setting("TEMPLATE_SEED", 20_260_214), setting("TEMPLATE_COUNT", 20_000));
    println!("seed {seed}");
    let (mut random, cases) = (Random::new(seed), cases());
    let (mut asked, mut limited, mut accepted, mut agreed, mut differences) = (0, 0, 0, 0, Vec::new());
    while asked < count {
        // In batches, so that a large count does not need much memory.
        let mut templates = Vec::new();
        let mut ours = Vec::new();
        while templates.len() < 100_000 && asked < count {
            let template = generate::template(&mut random, &cases);
            match outcome(&template) {
                None => limited += 1,
                Some(outcome) => {
                    asked += 1;
                    accepted += u64::from(matches!(outcome, TemplateOutcome::Output(_)));
                    assert!(strict_agrees(&template, &outcome), "{template:?} in strict mode");
                    templates.push(template);
                    ours.push(outcome);
                }
            }
        }
        let theirs = Go::start().outcomes(&templates);
        for ((template, ours), theirs) in templates.iter().zip(ours).zip(theirs) {
            if ours == theirs {
                agreed += 1;
            } else if differences.len() < 20 {
                differences.push(format!("{template:?}\n  Go   {theirs:?}\n  here {ours:?}"));
            }
        }
    }
    println!("{accepted} accepted, {limited} more refused by limits");
    // The generator must not produce mostly errors, nor the limits hide much.
    assert!(accepted * 4 > count && limited * 50 < count, "{accepted} accepted, {limited} limited");
    println!("T3 {} {agreed} {count}", if agreed == count { "pass" } else { "fail" });
    assert!(differences.is_empty(), "{} differences, the first ones:\n{}", asked - agreed, differences.join("\n"));
}

#[test]
fn character_tables_are_those_of_go() {
    assert!(
        go::tables() == include_str!("../../src/template/unicode.rs"),
        "run `go run . tables` in tests/tools/template"
    );
}
