//! Redirects from one option value to another: their targets, for the status and the command line, and all their
//! cycles, for admission.

use std::collections::{BTreeMap, BTreeSet};

use crate::workspace::RedirectStep;

/// Why redirects have no end.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RedirectError {
    /// The selected value does not exist.
    #[error("{0:?} does not exist")]
    NoStart(String),
    /// A redirect names a value that does not exist.
    #[error("redirect target {target:?} of {source_id:?} does not exist")]
    Missing {
        /// The id that does not exist.
        target: String,
        /// The id of the value with the redirect.
        source_id: String,
    },
    /// The redirects form a cycle.
    #[error("redirect of {source_id:?} closes a cycle")]
    Cycle {
        /// The id of the value whose redirect points back to one that was followed already.
        source_id: String,
    },
}

/// Follows the redirects from `start` to their end.
///
/// `target_of` returns `None` for an id that does not exist, `Some(None)` for one without a redirect and
/// `Some(Some(target))` otherwise. The result is empty when `start` has no redirect.
pub fn follow<'a>(
    start: &'a str,
    target_of: impl Fn(&str) -> Option<Option<&'a str>>,
) -> Result<Vec<RedirectStep>, RedirectError> {
    let mut seen = BTreeSet::from([start]);
    let mut steps = Vec::new();
    let mut source = start;
    loop {
        match target_of(source) {
            None => return Err(RedirectError::NoStart(source.to_owned())),
            Some(None) => return Ok(steps),
            Some(Some(target)) => {
                let source_id = || source.to_owned();
                if target_of(target).is_none() {
                    return Err(RedirectError::Missing { target: target.to_owned(), source_id: source_id() });
                }
                if !seen.insert(target) {
                    return Err(RedirectError::Cycle { source_id: source_id() });
                }
                steps.push(RedirectStep { source: source.to_owned(), target: target.to_owned() });
                source = target;
            }
        }
    }
}

/// All cycles among `redirects` (source, target), each once, starting at its smallest id and ordered by it.
///
/// A source has at most one target: of several the last one is used.
pub fn cycles<'a>(redirects: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Vec<String>> {
    let target_of: BTreeMap<&str, &str> = redirects.into_iter().collect();
    let mut done = BTreeSet::new();
    let mut found = Vec::new();
    for start in target_of.keys().copied() {
        let mut on_path = BTreeSet::new();
        let mut at = Some(start);
        while let Some(id) = at {
            if on_path.contains(id) {
                found.push(cycle_from(id, |id| target_of.get(id).copied()));
                break;
            }
            if !done.insert(id) {
                break;
            }
            on_path.insert(id);
            at = target_of.get(id).copied();
        }
    }
    found.sort();
    found
}

/// The cycle that contains `id`, starting at its smallest member.
fn cycle_from<'a>(id: &'a str, target_of: impl Fn(&str) -> Option<&'a str>) -> Vec<String> {
    let mut members = vec![id];
    let mut at = target_of(id);
    while let Some(next) = at.filter(|next| *next != id) {
        members.push(next);
        at = target_of(next);
    }
    let smallest = (0..members.len()).min_by_key(|&index| members[index]).unwrap_or(0);
    members.rotate_left(smallest);
    members.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn walk(
        start: &'static str,
        redirects: &[(&'static str, Option<&'static str>)],
    ) -> Result<Vec<String>, RedirectError> {
        let map: BTreeMap<_, _> = redirects.iter().copied().collect();
        let steps = follow(start, |id| map.get(id).copied())?;
        Ok(steps.into_iter().map(|step| format!("{}>{}", step.source, step.target)).collect())
    }

    #[test]
    fn follows_a_chain_to_its_end() {
        assert_eq!(walk("a", &[("a", Some("b")), ("b", Some("c")), ("c", None)]).unwrap(), ["a>b", "b>c"]);
        assert!(walk("c", &[("c", None)]).unwrap().is_empty());
    }

    #[test]
    fn names_the_redirect_that_closes_a_cycle() {
        let error = walk("x", &[("x", Some("c")), ("c", Some("a")), ("a", Some("b")), ("b", Some("c"))]).unwrap_err();
        assert_eq!(error.to_string(), "redirect of \"b\" closes a cycle");
        assert_eq!(walk("a", &[("a", Some("a"))]), Err(RedirectError::Cycle { source_id: "a".into() }));
    }

    #[test]
    fn names_a_missing_target() {
        let missing = RedirectError::Missing { target: "z".into(), source_id: "a".into() };
        assert_eq!(walk("a", &[("a", Some("z"))]), Err(missing));
        assert_eq!(walk("z", &[("a", Some("z"))]), Err(RedirectError::NoStart("z".into())));
    }

    #[test]
    fn finds_each_cycle_once() {
        let edges = [("z", "y"), ("y", "z"), ("in", "b"), ("b", "a"), ("a", "b"), ("self", "self"), ("p", "q")];
        assert_eq!(cycles(edges), [vec!["a", "b"], vec!["self"], vec!["y", "z"]]);
        assert!(cycles([]).is_empty());
    }
}
