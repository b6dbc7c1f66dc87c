//! Every case file gets exactly its answer.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;
use webhook::rule::{Rule, Table};
use webhook::testing::{Case, load};

use crate::{ask, serving, verdict};

fn cases() -> Vec<Case> {
    load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases")).unwrap()
}

#[tokio::test]
async fn every_case_file_gets_exactly_its_answer() {
    let cases = cases();
    assert!(cases.len() > 50, "{}", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let router = serving(case.lookup().unwrap(), case.policy.clone());
        let found = verdict(&ask(&router, case.path, &case.review(&case.name)).await);
        if found != case.expected {
            let found = json!({"refused": found.refused, "causes": found.causes, "warnings": found.warnings});
            wrong.push(format!("{}: {}", case.name, serde_json::to_string_pretty(&found).unwrap()));
        }
    }
    println!(
        "case-files {} {} {}",
        if wrong.is_empty() { "pass" } else { "fail" },
        cases.len() - wrong.len(),
        cases.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A dry run gets the same verdict: only what is stored differs, which the API server decides.
#[tokio::test]
async fn a_dry_run_gets_the_same_answer() {
    for case in cases() {
        let router = serving(case.lookup().unwrap(), case.policy.clone());
        let mut review = case.review("uid");
        let real = ask(&router, case.path, &review).await;
        review["request"]["dryRun"] = json!(true);
        assert_eq!(ask(&router, case.path, &review).await, real, "{}", case.name);
    }
}

/// Every rule that a review can violate has a case, and so has every warning.
#[tokio::test]
async fn every_rule_is_shown_by_a_case() {
    // The API server checks the schema itself, the time for templates depends on the machine, and rules about files and
    // migration are not about reviews.
    let is_elsewhere = |rule: &Rule| {
        matches!(rule, Rule::UnknownField | Rule::SchemaRule | Rule::TemplateTime)
            || matches!(rule.table(), Table::Files | Table::Migration)
    };
    let mut shown = BTreeSet::new();
    for case in cases() {
        let router = serving(case.lookup().unwrap(), case.policy.clone());
        let answer = ask(&router, case.path, &case.review("uid")).await;
        let codes = answer["response"]["auditAnnotations"]["rules"].as_str().unwrap_or_default().to_owned();
        shown.extend(codes.split(',').map(str::to_owned));
    }
    let missing: Vec<&Rule> =
        Rule::ALL.iter().filter(|rule| !is_elsewhere(rule) && !shown.contains(rule.code())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Every file is in the folder of its verdict, and every fault has a case.
#[test]
fn refusals_stand_in_the_folder_reject() {
    for case in cases() {
        assert_eq!(case.expected.refused.is_some(), case.name.contains("/reject/"), "{}", case.name);
    }
}

/// Ours aim at 120 characters; a field path of the user may make them longer.
#[test]
fn warnings_stay_short() {
    for case in cases() {
        assert!(case.expected.warnings.len() <= 5, "{}", case.name);
        for warning in &case.expected.warnings {
            assert!(warning.len() <= 160, "{}: {warning}", case.name);
        }
    }
}
