//! Parses YAML and JSON into values with their places in the text. Knows nothing of Kubernetes.
//!
//! Depth and the expansion of aliases are limited, so that no text can make it hang or run out of memory.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

pub use granit_parser::ScalarStyle;
use granit_parser::{Event, Options, Parser, ScanError, Span, StrInput};
use serde_json::Value;

use super::scalar::{self, Tag};

/// The maximum depth of collections, aliases included.
const DEPTH_MAX: usize = 128;
/// How many nodes aliases may add.
const COPIED_MAX: usize = 200_000;
/// The longest key of a JSON text, in characters: more than any label or header has.
const JSON_KEY_MAX: usize = 1 << 20;

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct YamlNode {
    /// The value.
    pub content: Content,
    /// Its bytes in the text: all of a scalar with its quotes, the lines of a block scalar, the first byte of a
    /// collection.
    pub place: Range<usize>,
    /// The style of a scalar.
    pub style: Option<ScalarStyle>,
}

/// The value of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A string, a number, a boolean or null.
    Scalar(Value),
    /// A list.
    List(Vec<YamlNode>),
    /// A map, in the order of the text.
    Map(Vec<YamlEntry>),
}

/// One entry of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct YamlEntry {
    /// The key.
    pub key: String,
    /// The place of the key.
    pub key_place: Range<usize>,
    /// The value.
    pub node: YamlNode,
}

/// A syntax error and its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SyntaxError {
    /// The byte offset.
    pub at: usize,
    /// The message.
    pub message: String,
}

impl YamlNode {
    /// The value without places.
    pub fn value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items.iter().map(Self::value).collect(),
            Content::Map(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), entry.node.value())).collect::<Value>()
            }
        }
    }

    /// The entry of a map.
    pub fn entry(&self, key: &str) -> Option<&YamlEntry> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|entry| entry.key == key),
            Content::Scalar(_) | Content::List(_) => None,
        }
    }

    /// The value of a map's key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The value of a string.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether it is null, as in an empty document.
    pub fn is_null(&self) -> bool {
        self.content == Content::Scalar(Value::Null)
    }

    /// The number of nodes, and their depth.
    fn extent(&self) -> (usize, usize) {
        let sum = |extents: &mut dyn Iterator<Item = (usize, usize)>| {
            extents.fold((1, 0), |(size, depth), (more, below)| (size + more, depth.max(below)))
        };
        let (size, below) = match &self.content {
            Content::Scalar(_) => (1, 0),
            Content::List(items) => sum(&mut items.iter().map(Self::extent)),
            Content::Map(entries) => sum(&mut entries.iter().map(|entry| entry.node.extent())),
        };
        (size, below + 1)
    }
}

/// Parses all documents of a text, up to the first error.
pub fn read(text: &str) -> (Vec<YamlNode>, Option<SyntaxError>) {
    let mut options = Options::default();
    if text.trim_start().starts_with(['{', '[']) {
        options.simple_key_max_lookahead = JSON_KEY_MAX;
    }
    // Another crate may enable them.
    options.set_emit_comments(false);
    let parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader { parser, anchors: BTreeMap::new(), copied: 0 };
    let mut documents = Vec::new();
    let error = reader.documents(&mut documents).err();
    (documents, error)
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// Finished nodes by the id of their anchor, with their size and depth.
    anchors: BTreeMap<usize, (YamlNode, usize, usize)>,
    /// How many nodes have been copied for anchors and aliases.
    copied: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), SyntaxError> {
        match self.parser.next_event() {
            Some(event) => event.map_err(|error| scanner_error(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn documents(&mut self, documents: &mut Vec<YamlNode>) -> Result<(), SyntaxError> {
        loop {
            let (event, _) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(()),
                Event::DocumentStart(..) => {
                    let (event, span) = self.next()?;
                    documents.push(self.node(event, &span, 0)?);
                    self.anchors.clear();
                }
                _ => {}
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<YamlNode, SyntaxError> {
        let place = place(span);
        if depth > DEPTH_MAX {
            return Err(syntax_error(&place, format!("nested more than {DEPTH_MAX} levels deep")));
        }
        let (content, style, anchor) = match event {
            Event::Alias(id) => return self.alias(id, &place, depth),
            Event::Scalar(text, style, anchor, tag) => {
                let is_empty_plain = style == ScalarStyle::Plain && place.is_empty();
                let text = if is_empty_plain { "" } else { &*text };
                let tag = tag.map_or(Tag::Untagged, |tag| Tag::of(tag.core_suffix()));
                let value = scalar::resolve(text, style == ScalarStyle::Plain, tag);
                (Content::Scalar(value.map_err(|why| syntax_error(&place, why))?), Some(style), anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.list(depth)?, None, anchor),
            Event::MappingStart(_, anchor, _) => (self.map(depth)?, None, anchor),
            _ => return Err(syntax_error(&place, "a value is missing".to_owned())),
        };
        let node = YamlNode { content, place, style };
        if anchor != 0 {
            let (size, deep) = node.extent();
            // Each anchor keeps a copy of all nodes below it.
            self.charge(size, &node.place)?;
            self.anchors.insert(anchor, (node.clone(), size, deep));
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, place: &Range<usize>, depth: usize) -> Result<YamlNode, SyntaxError> {
        let Some(&(_, size, deep)) = self.anchors.get(&id) else {
            return Err(syntax_error(place, "the alias is inside its own anchor".to_owned()));
        };
        if depth + deep > DEPTH_MAX {
            return Err(syntax_error(place, "the aliases expand to too many nodes".to_owned()));
        }
        self.charge(size, place)?;
        Ok(self.anchors[&id].0.clone())
    }

    /// Counts copied nodes.
    fn charge(&mut self, nodes: usize, place: &Range<usize>) -> Result<(), SyntaxError> {
        self.copied += nodes;
        if self.copied > COPIED_MAX {
            return Err(syntax_error(place, "the aliases expand to too many nodes".to_owned()));
        }
        Ok(())
    }

    fn list(&mut self, depth: usize) -> Result<Content, SyntaxError> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Content::List(items));
            }
            items.push(self.node(event, &span, depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Result<Content, SyntaxError> {
        let mut entries: Vec<YamlEntry> = Vec::new();
        let mut merged = Vec::new();
        let mut keys = HashSet::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node(event, &span, depth + 1)?;
            let (event, span) = self.next()?;
            let node = self.node(event, &span, depth + 1)?;
            if is_merge {
                merged.extend(merge_of(node)?);
                continue;
            }
            let name = match &key.content {
                Content::Scalar(value) => scalar::key(value),
                Content::List(_) | Content::Map(_) => None,
            };
            let Some(name) = name else {
                return Err(syntax_error(&key.place, "a key must be text, a number or a boolean".to_owned()));
            };
            if !keys.insert(name.clone()) {
                return Err(syntax_error(&key.place, format!("duplicate key {name:?} in a map")));
            }
            entries.push(YamlEntry { key: name, key_place: key.place, node });
        }
        // Explicit keys win over merged ones, and the first merged one wins.
        entries.extend(merged.into_iter().filter(|entry| keys.insert(entry.key.clone())));
        Ok(Content::Map(entries))
    }
}

/// The entries that `<<` adds.
fn merge_of(node: YamlNode) -> Result<Vec<YamlEntry>, SyntaxError> {
    let YamlNode { content, place, .. } = node;
    match content {
        Content::Map(entries) => Ok(entries),
        Content::List(items) if items.iter().all(|item| matches!(item.content, Content::Map(_))) => {
            Ok(items.into_iter().map(merge_of).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
        }
        _ => Err(syntax_error(&place, "`<<` needs a map or a list of maps".to_owned())),
    }
}

fn place(span: &Span) -> Range<usize> {
    span.byte_range().unwrap_or_default()
}

fn syntax_error(place: &Range<usize>, message: String) -> SyntaxError {
    SyntaxError { at: place.start, message }
}

fn scanner_error(error: &ScanError) -> SyntaxError {
    SyntaxError { at: error.marker().byte_offset().unwrap_or_default(), message: error.info() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn values(text: &str) -> Vec<Value> {
        let (documents, error) = read(text);
        assert_eq!(error, None);
        documents.iter().map(YamlNode::value).collect()
    }

    fn refused(text: &str) -> String {
        let error = read(text).1.unwrap();
        format!("{}: {}", error.at, error.message)
    }

    #[test]
    fn documents_are_read_in_order_with_places() {
        let text = "a: yes\n---\n# nothing\n---\nb: [1, 'x']\n";
        assert_eq!(values(text), [json!({"a": true}), json!(null), json!({"b": [1, "x"]})]);
        let (documents, _) = read(text);
        let entry = documents[2].entry("b").unwrap();
        assert_eq!(&text[entry.key_place.clone()], "b");
        let Content::List(items) = &entry.node.content else { unreachable!() };
        assert_eq!(&text[items[1].place.clone()], "'x'");
    }

    #[test]
    fn windows_line_ends_and_json_are_read() {
        assert_eq!(values("a: |\r\n  x\r\n  y\r\nb: z\r\n"), [json!({"a": "x\ny\n", "b": "z"})]);
        assert_eq!(
            values("{\"a\": \"\\ud83d\\ude00\\/\", \"b\":\t[1.0, null]}"),
            [json!({"a": "😀/", "b": [1, null]})]
        );
        let key = "k".repeat(5_000);
        assert_eq!(values(&json!({ &key: 1 }).to_string()), [json!({ &key: 1 })]);
    }

    #[test]
    fn aliases_and_merges_are_expanded() {
        assert_eq!(
            values("a: &x {k: 1}\nb: *x\nc: {<<: *x, l: 2}"),
            [json!({"a": {"k": 1}, "b": {"k": 1}, "c": {"k": 1, "l": 2}})]
        );
        assert_eq!(
            values("a: &x {k: 1}\nb: &y {k: 2, m: 3}\nc: {k: 0, <<: [*x, *y]}")[0]["c"],
            json!({"k": 0, "m": 3})
        );
        assert_eq!(refused("a: {<<: 1}"), "8: `<<` needs a map or a list of maps");
    }

    #[test]
    fn keys_are_strings_and_unique() {
        assert_eq!(values("{1: a, yes: b}"), [json!({"1": "a", "true": "b"})]);
        assert_eq!(refused("a: 1\na: 2"), "5: duplicate key \"a\" in a map");
        assert_eq!(refused("? [a]\n: b"), "2: a key must be text, a number or a boolean");
    }

    #[test]
    fn unbounded_expansion_and_depth_are_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let item = format!("*a{}, ", level - 1).repeat(10);
            bomb.extend([format!("a{level}: &a{level} [{item}]\n")]);
        }
        assert!(refused(&bomb).ends_with("the aliases expand to too many nodes"));
        let nested = "&a [".repeat(60) + &"x, ".repeat(5_000) + &"]".repeat(60);
        assert!(refused(&nested).ends_with("the aliases expand to too many nodes"));
        assert!(refused("a: &a [*a]").ends_with("the alias is inside its own anchor"));
        assert!(!refused(&"[".repeat(100_000)).is_empty());
        assert!(!refused(&"- ".repeat(100_000)).is_empty());
        let chain: String =
            (1..200).map(|level| format!("- &a{level} [*a{}]\n", level - 1)).collect::<Vec<_>>().concat();
        assert!(refused(&format!("- &a0 x\n{chain}")).ends_with("the aliases expand to too many nodes"));
    }

    #[test]
    fn documents_before_a_fault_are_kept() {
        let (documents, error) = read("a: 1\n---\nb: [\n");
        assert_eq!(documents.len(), 1);
        assert!(error.is_some());
        assert!(refused("a:\n\tb: 1").starts_with("4: "));
    }
}
