//! Finds the place of a field in the text, by its path in messages; and the place of a byte of a value.

use std::ops::Range;

use crds::value_template::cut;
use serde_json::Value;

use super::yaml::{Content, ScalarStyle, YamlNode};
use crate::offline::api_server::schema::Schema;

/// The part of a field to locate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FieldPart {
    /// Its name.
    Key,
    /// Its value.
    Value,
    /// A byte of its value.
    Byte(usize),
}

/// The place of a field; if it is missing, that of its nearest parent.
pub fn locate(text: &str, root: &YamlNode, schema: Option<&Schema>, field: &str, target: FieldPart) -> Range<usize> {
    let mut at = Located { node: root, key_place: None, schema };
    let mut rest = field;
    while !rest.is_empty() {
        match step(&at, rest) {
            Some((next, left)) => (at, rest) = (next, left),
            None => break,
        }
    }
    let key_place = at.key_place.clone();
    match (&at.node.content, target) {
        (Content::Scalar(_), FieldPart::Byte(byte)) if rest.is_empty() => {
            byte_of(text, at.node, byte).unwrap_or_else(|| start_of(text, at.node))
        }
        (Content::Scalar(_), FieldPart::Value) if rest.is_empty() => match key_place {
            // An empty value has no text to point at.
            Some(key) if at.node.place.is_empty() => key,
            _ => start_of(text, at.node),
        },
        _ => key_place.unwrap_or_else(|| at.node.place.clone()),
    }
}

/// A node found by a path.
struct Located<'a> {
    node: &'a YamlNode,
    /// The place of its key, if it has one.
    key_place: Option<Range<usize>>,
    schema: Option<&'a Schema>,
}

/// Resolves the first element of the path; returns the rest.
///
/// Keys may contain any character, so the path is not split: every existing key is tried.
fn step<'a, 'b>(at: &Located<'a>, path: &'b str) -> Option<(Located<'a>, &'b str)> {
    match &at.node.content {
        Content::Map(entries) => {
            let candidates = entries.iter().filter_map(|entry| Some((entry, after_key(path, &entry.key)?)));
            // The longest matching key: `a.b` before `a`.
            let (entry, left) = candidates.min_by_key(|(_, left)| left.len())?;
            let schema = at.schema.and_then(|schema| schema.below(&entry.key));
            Some((Located { node: &entry.node, key_place: Some(entry.key_place.clone()), schema }, left))
        }
        Content::List(items) => {
            let schema = at.schema.and_then(|schema| schema.items.as_deref());
            let by_key = items.iter().find_map(|item| Some((item, after_item_key(path, item, at.schema?)?)));
            let by_index = || {
                let (index, left) = path.strip_prefix('[')?.split_once(']')?;
                Some((items.get(index.parse::<usize>().ok()?)?, left))
            };
            let (item, left) = by_key.or_else(by_index)?;
            Some((Located { node: item, key_place: None, schema }, left))
        }
        Content::Scalar(_) => None,
    }
}

/// What follows `.key` or `[key]`.
fn after_key<'b>(path: &'b str, name: &str) -> Option<&'b str> {
    let left = match path.strip_prefix('[') {
        Some(inner) => after_bracket(inner, name)?,
        None => path.strip_prefix('.').unwrap_or(path).strip_prefix(name)?,
    };
    (left.is_empty() || left.starts_with(['.', '['])).then_some(left)
}

/// What follows `[key]` where the path names a list item by its key.
fn after_item_key<'b>(path: &'b str, item: &YamlNode, list: &Schema) -> Option<&'b str> {
    let inner = path.strip_prefix('[')?;
    list.list_keys.iter().find_map(|name| match &item.get(name)?.content {
        Content::Scalar(Value::String(text)) => after_bracket(inner, text),
        Content::Scalar(value) => after_bracket(inner, &value.to_string()),
        Content::List(_) | Content::Map(_) => None,
    })
}

/// What follows `key]`; long keys are truncated.
fn after_bracket<'b>(path: &'b str, name: &str) -> Option<&'b str> {
    let left = path.strip_prefix(cut(name))?;
    left.strip_prefix('…').unwrap_or(left).strip_prefix(']')
}

/// Where a scalar starts; of a block scalar the `|` or `>`.
fn start_of(text: &str, node: &YamlNode) -> Range<usize> {
    let indicator = match node.style {
        Some(ScalarStyle::Literal) => '|',
        Some(ScalarStyle::Folded) => '>',
        _ => return node.place.clone(),
    };
    let start = text[..node.place.start].rfind(indicator).unwrap_or(node.place.start);
    start..start + 1
}

/// The place of the character that contains a byte of the value.
///
/// In every style of scalar the non-whitespace characters are written in the order of the value; quotes and indentation
/// are added, and line breaks are folded. So the n-th of one is the n-th of the other. None if the two differ.
fn byte_of(text: &str, node: &YamlNode, byte: usize) -> Option<Range<usize>> {
    let Content::Scalar(Value::String(value)) = &node.content else { return None };
    let style = node.style?;
    let source = text.get(node.place.clone())?;
    let written = match style {
        ScalarStyle::SingleQuoted => single_quoted(source),
        ScalarStyle::DoubleQuoted => double_quoted(source)?,
        ScalarStyle::Plain | ScalarStyle::Literal | ScalarStyle::Folded => {
            source.char_indices().map(|(at, character)| (character, at..at + character.len_utf8())).collect()
        }
    };
    let mut written = written.into_iter().filter(|(character, _)| !character.is_whitespace());
    // The end of the value maps to its closing quote.
    let mut last = 0..0;
    for (at, character) in value.char_indices() {
        if character.is_whitespace() {
            if at >= byte {
                return Some(place_after(node, &last));
            }
            continue;
        }
        let (other, place) = written.next()?;
        if other != character {
            return None;
        }
        if at + character.len_utf8() > byte {
            return Some(node.place.start + place.start..node.place.start + place.end);
        }
        last = place;
    }
    Some(place_after(node, &last))
}

/// The character after `last`: whitespace or the end.
fn place_after(node: &YamlNode, last: &Range<usize>) -> Range<usize> {
    let at = node.place.start + last.end;
    at..at + 1
}

/// Two quotes are one character.
fn single_quoted(source: &str) -> Vec<(char, Range<usize>)> {
    let mut written = Vec::new();
    let inner = source.len().saturating_sub(1);
    let mut characters = source.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if at >= inner {
            break;
        }
        let doubled = character == '\'' && characters.next_if(|(_, next)| *next == '\'').is_some();
        written.push((character, at..at + character.len_utf8() + usize::from(doubled)));
    }
    written
}

/// Escapes are decoded.
fn double_quoted(source: &str) -> Option<Vec<(char, Range<usize>)>> {
    let mut written: Vec<(char, Range<usize>)> = Vec::new();
    let mut rest = source.get(1..source.len().checked_sub(1)?)?;
    let mut at = 1;
    // The first half of a surrogate pair.
    let mut high: Option<(u32, usize)> = None;
    while let Some(character) = rest.chars().next() {
        let (decoded, length) = match character {
            '\\' => escape(&rest[1..]).map(|(decoded, length)| (decoded, length + 1))?,
            other => (Some(other as u32), other.len_utf8()),
        };
        let end = at + length;
        match (decoded, high.take()) {
            (Some(low @ 0xDC00..=0xDFFF), Some((first, start))) => {
                let code = 0x1_0000 + ((first - 0xD800) << 10) + (low - 0xDC00);
                written.push((char::from_u32(code)?, start..end));
            }
            (Some(first @ 0xD800..=0xDBFF), _) => high = Some((first, at)),
            (Some(code), _) => written.push((char::from_u32(code)?, at..end)),
            // An escaped line break.
            (None, _) => {}
        }
        rest = &rest[length..];
        at = end;
    }
    Some(written)
}

/// Decodes what follows a backslash: the character, unless it is an escaped line break, and its length in bytes.
fn escape(rest: &str) -> Option<(Option<u32>, usize)> {
    let first = rest.chars().next()?;
    let code = |digits: usize| {
        let text = rest.get(1..=digits)?;
        Some((Some(u32::from_str_radix(text, 16).ok()?), digits + 1))
    };
    let one = |character: char| Some((Some(character as u32), 1));
    match first {
        'x' => code(2),
        'u' => code(4),
        'U' => code(8),
        '0' => one('\0'),
        'a' => one('\u{7}'),
        'b' => one('\u{8}'),
        't' => one('\t'),
        'n' => one('\n'),
        'v' => one('\u{b}'),
        'f' => one('\u{c}'),
        'r' => one('\r'),
        'e' => one('\u{1b}'),
        'N' => one('\u{85}'),
        '_' => one('\u{a0}'),
        'L' => one('\u{2028}'),
        'P' => one('\u{2029}'),
        '\n' | '\r' => Some((None, 1)),
        other => Some((Some(other as u32), other.len_utf8())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::offline::input::yaml;

    fn node(text: &str) -> YamlNode {
        let (mut documents, error) = yaml::read(text);
        assert_eq!(error, None);
        documents.remove(0)
    }

    /// The text from the place of a field on.
    fn found<'a>(text: &'a str, field: &str, target: FieldPart) -> &'a str {
        let schema = Schema::read(&serde_json::json!({"type": "object", "properties": {"env": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "properties": {"name": {"type": "string"}}},
        }}}));
        let place = locate(text, &node(text), Some(&schema.unwrap()), field, target);
        text[place.start..].lines().next().unwrap()
    }

    #[test]
    fn paths_lead_to_fields() {
        let text =
            "env:\n- name: A\n  value: x\n- {name: 'B[0].c', value: y}\nlist: [p, q]\nset: {X-A: 1, a.b: 2, a: 3}\n";
        let cases = [
            ("env[A].value", "x"),
            ("env[B[0].c].value", "y}"),
            ("env[1].value", "y}"),
            ("list[1]", "q]"),
            ("set[X-A]", "1, a.b: 2, a: 3}"),
            ("set[a.b]", "2, a: 3}"),
            ("set.a.b", "2, a: 3}"),
        ];
        for (field, rest) in cases {
            assert_eq!(found(text, field, FieldPart::Value), rest, "{field}");
        }
        assert_eq!(found(text, "set[X-A]", FieldPart::Key), "X-A: 1, a.b: 2, a: 3}");
    }

    #[test]
    fn what_is_missing_is_pointed_at_where_it_should_be() {
        let text = "env:\n- name: A\nempty:\nset: {a: {b: 1}}\n";
        assert_eq!(found(text, "set.a.c.d", FieldPart::Value), "a: {b: 1}}");
        assert_eq!(found(text, "env[A].value", FieldPart::Value), "name: A");
        assert_eq!(found(text, "env[Z].value", FieldPart::Value), "env:");
        assert_eq!(found(text, "empty", FieldPart::Value), "empty:");
        assert_eq!(found(text, "other", FieldPart::Value), "env:");
    }

    #[test]
    fn a_byte_of_a_value_is_found_however_it_is_written() {
        let cases = [
            "a: pre {{ x 'q' }} post",
            "a: 'pre {{ x ''q'' }} post'",
            "a: \"pre {{ x 'q' }} post\"",
            "a: \"pre\\u0020{{\\x20x \\\n   'q' }}\\tpost\"",
            "a: |\n  pre {{\n   x\n\n  'q' }} post\n",
            "a: >-\n  pre\n  {{ x\n  'q' }} post\n",
            "a: pre {{\n   x 'q'\n   }} post",
            "a: \"ü \\ud83d\\ude00 {{ 'q' }}\"",
        ];
        for text in cases {
            let node = node(text);
            let value = node.get("a").unwrap().text().unwrap().to_owned();
            let byte = value.find('q').unwrap();
            let place = locate(text, &node, None, "a", FieldPart::Byte(byte));
            assert_eq!(&text[place], "q", "{text}");
        }
    }

    #[test]
    fn every_byte_of_every_style_is_found() {
        for text in [
            "a: 'it''s  a\n\n  b'",
            "a: \"\\\"x\\\" \\\\ y\\n z\"",
            "a: |2\n    x\n  y\n\n",
            "a: >+\n  a b\n  c\n\n   d\n\n",
        ] {
            let node = node(text);
            let value = node.get("a").unwrap().text().unwrap().to_owned();
            for (at, character) in value.char_indices().filter(|(_, character)| !character.is_whitespace()) {
                let place = locate(text, &node, None, "a", FieldPart::Byte(at));
                assert!(text[place.clone()].ends_with(character), "{text:?} {at} {:?}", &text[place]);
            }
            // Also for whitespace, and after the end.
            for byte in 0..value.len() + 2 {
                let place = locate(text, &node, None, "a", FieldPart::Byte(byte));
                assert!(place.start <= text.len());
            }
        }
    }

    #[test]
    fn a_block_scalar_is_pointed_at_by_its_indicator() {
        assert_eq!(found("set:\n  a: |\n    x\n", "set.a", FieldPart::Value), "|");
        assert_eq!(found("set:\n  a: >- # why\n\n    x\n", "set.a", FieldPart::Value), ">- # why");
    }
}
