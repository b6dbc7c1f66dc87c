//! The documentation of the rules: `explain` and `docs/rules.md`.

use std::fmt::Write as _;

use webhook::rule::{Rule, Table};

/// The rule with that code or name, or the nearest one.
pub fn find(text: &str) -> Result<Rule, Option<&'static str>> {
    let names = || Rule::ALL.iter().flat_map(|rule| [rule.code(), rule.id()]);
    Rule::find(text).ok_or_else(|| {
        let near = crds::nearest::nearest(text, names())?;
        names().find(|name| *name == near)
    })
}

/// The documentation of one rule.
pub fn rule(rule: Rule) -> String {
    format!("{} {}: {}\n\n{}\n", rule.code(), rule.id(), rule.summary(), wrapped(rule.advice()))
}

/// All rules, one line each.
pub fn list() -> String {
    let width = Rule::ALL.iter().map(|rule| rule.id().len()).max().unwrap_or_default();
    let mut text = String::new();
    for rule in Rule::ALL {
        let _ = writeln!(text, "{:6}  {:width$}  {}", rule.code(), rule.id(), rule.summary());
    }
    text
}

/// The page of `docs/rules.md`.
pub fn page() -> String {
    let mut text = "# Rules\n\n\
        What admission and `workspaces-controller validate` check. Codes and names are stable. `workspaces-controller explain \
        WSK003` prints an entry.\n\n\
        Generated from the rules; `REGENERATE_DOCS=1 cargo test --test offline` writes it anew.\n"
        .to_owned();
    let tables = [
        (Table::Schema, "What the API server checks itself"),
        (Table::WorkspaceKind, "WorkspaceKind"),
        (Table::Workspace, "Workspace"),
        (Table::Files, "Files"),
        (Table::Migration, "Taking over from another controller"),
    ];
    for (table, title) in tables {
        let _ = writeln!(text, "\n## {title}");
        for rule in Rule::ALL.iter().filter(|rule| rule.table() == table) {
            let _ = write!(text, "\n### {} {}\n\n{}\n\n{}\n", rule.code(), rule.id(), rule.summary(), rule.advice());
        }
    }
    text
}

/// Lines of at most 100 characters.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + word.len() < 100 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_rule_suggests_the_nearest() {
        assert_eq!(find("wsk003"), Ok(Rule::RequestHeader));
        assert_eq!(find("request-headers"), Err(Some("request-header")));
        assert_eq!(find("?"), Err(None));
    }

    #[test]
    fn every_rule_is_listed() {
        assert_eq!(list().lines().count(), Rule::ALL.len());
        assert!(rule(Rule::RequestHeader).starts_with("WSK003 request-header: "));
    }
}
