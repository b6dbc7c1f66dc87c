//! The generated documents are up to date.

use workspaces_controller::offline::{explain, report};

use super::{assert_file, root};

const REGENERATE: &str = "REGENERATE_DOCS";

#[test]
fn the_page_of_rules_is_generated() {
    assert_file(&root().join("docs/rules.md"), &explain::page(), REGENERATE);
}

#[test]
fn the_schema_of_the_json_output_is_generated() {
    let schema = format!("{:#}\n", report::json::schema());
    assert_file(&root().join("docs/validate-output.schema.json"), &schema, REGENERATE);
}
