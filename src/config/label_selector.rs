//! Reads a label selector as `kubectl --selector` takes it (`k8s.io/apimachinery/pkg/labels`, `Parse`).
//!
//! Own, because kube's [`Selector`] is made from objects only, and the API server, which reads the same text, can only be asked
//! after the start: a wrong selector has to end the process before. What it means, the API server decides.

use crds::labels::{label_value_fault, qualified_name_fault};
use kube::core::{Expression, Selector};

/// The selector, with at least one requirement.
pub(super) fn parse(text: &str) -> Result<Selector, String> {
    let mut requirements = Vec::new();
    let mut rest = text;
    loop {
        // A comma in parentheses belongs to the values.
        let closed = rest.find('(').and_then(|open| Some(open + rest[open..].find(')')?));
        let comma = rest.match_indices(',').map(|(at, _)| at).find(|at| match (rest.find('('), closed) {
            (Some(open), Some(close)) => *at < open || *at > close,
            _ => true,
        });
        let (part, after) = comma.map_or((rest, None), |at| (&rest[..at], Some(&rest[at + 1..])));
        requirements.push(requirement(part.trim())?);
        match after {
            Some(after) => rest = after,
            None => return Ok(requirements.into_iter().collect()),
        }
    }
}

fn requirement(part: &str) -> Result<Expression, String> {
    if part.is_empty() {
        return Err(
            "a requirement is empty: must be such as team=a, team!=a, team in (a,b), team notin (a,b), team or !team, \
                    joined by commas"
                .to_owned(),
        );
    }
    if let Some(key) = part.strip_prefix('!') {
        return Ok(Expression::DoesNotExist(name(key)?));
    }
    if let Some((before, list)) = part.split_once('(') {
        let list = list.strip_suffix(')').ok_or_else(|| format!("{part:?} has no closing parenthesis at its end"))?;
        let values = list.split(',').map(value).collect::<Result<_, _>>()?;
        return match before.split_whitespace().collect::<Vec<_>>()[..] {
            [key, "in"] => Ok(Expression::In(name(key)?, values)),
            [key, "notin"] => Ok(Expression::NotIn(name(key)?, values)),
            _ => Err(format!("{part:?} must be such as team in (a,b) or team notin (a,b)")),
        };
    }
    if let Some((key, unequal)) = part.split_once("!=") {
        return Ok(Expression::NotEqual(name(key)?, value(unequal)?));
    }
    match part.split_once('=') {
        Some((key, equal)) => Ok(Expression::Equal(name(key)?, value(equal.strip_prefix('=').unwrap_or(equal))?)),
        None => Ok(Expression::Exists(name(part)?)),
    }
}

fn name(key: &str) -> Result<String, String> {
    let key = key.trim();
    match qualified_name_fault(key) {
        None => Ok(key.to_owned()),
        Some(fault) => Err(format!("{key:?} is not a label: {fault}")),
    }
}

fn value(value: &str) -> Result<String, String> {
    let value = value.trim();
    match label_value_fault(value) {
        None => Ok(value.to_owned()),
        Some(fault) => Err(format!("{value:?} is not the value of a label: {fault}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        parse(text).map_or_else(|error| format!("error: {error}"), |selector| selector.to_string())
    }

    /// As kubectl takes them, in the form in which they are sent.
    #[test]
    fn the_forms_of_kubectl_are_read() {
        for (text, read_as) in [
            ("team=a", "team=a"),
            (" team == a ", "team=a"),
            ("team!=a", "team!=a"),
            ("team=", "team="),
            ("team", "team"),
            ("!team", "!team"),
            ("! team", "!team"),
            ("team in (b, a)", "team in (a,b)"),
            ("team in(a)", "team in (a)"),
            ("team notin (a,)", "team notin (,a)"),
            (
                "x.example.com/team=a,!x.example.com/old, stage in (dev,test) ,gpu",
                "x.example.com/team=a,!x.example.com/old,stage in (dev,test),gpu",
            ),
            ("a in (b,c),d in (e,f)", "a in (b,c),d in (e,f)"),
            ("in=notin", "in=notin"),
        ] {
            assert_eq!(read(text), read_as, "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_the_part_that_is() {
        let empty = "error: a requirement is empty: must be such as team=a, team!=a, team in (a,b), team notin (a,b), team or \
                     !team, joined by commas";
        for (text, error) in [
            ("", empty),
            ("team=a,", empty),
            (",team=a", empty),
            ("team in a", "error: \"team in a\" is not a label: "),
            ("team in (a", "error: \"team in (a\" has no closing parenthesis at its end"),
            ("team in (a) b", "error: \"team in (a) b\" has no closing parenthesis at its end"),
            ("team on (a)", "error: \"team on (a)\" must be such as team in (a,b) or team notin (a,b)"),
            ("team=a b", "error: \"a b\" is not the value of a label: "),
            ("team>3", "error: \"team>3\" is not a label: "),
            ("te am=a", "error: \"te am\" is not a label: "),
            ("=a", "error: \"\" is not a label: "),
            ("a in (b,c", "error: \"a in (b\" has no closing parenthesis at its end"),
            ("/a=b", "error: \"/a\" is not a label: "),
        ] {
            let found = read(text);
            assert!(found.starts_with(error), "{text:?}: {found}");
        }
    }
}
