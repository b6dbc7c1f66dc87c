//! The blocks of a Markdown document, and the first line of each snippet.

use serde_json::Value;

/// The text between two fences.
#[derive(Debug)]
pub struct Block {
    /// The line of the opening fence.
    pub line: usize,
    /// The heading above it.
    pub heading: String,
    /// What follows the opening fence.
    pub info: String,
    pub body: String,
}

/// Every block, or what is wrong with a fence.
pub fn blocks(markdown: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut heading = String::new();
    let mut open: Option<Block> = None;
    for (line, text) in (1..).zip(markdown.lines()) {
        let is_fence = ["```", "~~~"].iter().any(|fence| text.trim_start().starts_with(fence));
        match (&mut open, text) {
            (Some(_), "```") => blocks.extend(open.take()),
            (None, "```yaml" | "```text" | "```console") => {
                let info = text.trim_start_matches('`').to_owned();
                open = Some(Block { line, heading: heading.clone(), info, body: String::new() });
            }
            _ if is_fence => return Err(format!("line {line}: {text:?} is not a fence that the tests know")),
            (Some(block), _) => {
                block.body.push_str(text);
                block.body.push('\n');
            }
            (None, _) if text.starts_with('#') => text.clone_into(&mut heading),
            (None, _) => {}
        }
    }
    open.map_or(Ok(blocks), |block| Err(format!("line {}: the fence is never closed", block.line)))
}

/// The first line of a snippet.
#[derive(Debug, Eq, PartialEq)]
pub enum Mark {
    File(String),
    Fragment { kind: String, path: Vec<String>, is_update: bool },
}

impl Mark {
    fn parse(line: &str) -> Option<Self> {
        let text = line.strip_prefix("# ")?;
        if let Some(file) = text.strip_prefix("file ") {
            return file.strip_suffix(".yaml").map(|name| Self::File(name.to_owned()));
        }
        let (is_update, rest) = match text.strip_prefix("update of ") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("in ")?),
        };
        let (kind, path) = rest.split_once(" at ")?;
        let path = path.split('.').map(str::to_owned).collect();
        Some(Self::Fragment { kind: kind.to_owned(), path, is_update })
    }
}

/// A `yaml` block.
#[derive(Debug)]
pub struct Snippet {
    pub line: usize,
    pub heading: String,
    pub mark: Mark,
    pub value: Value,
    /// What kubectl prints.
    pub output: String,
}

/// The snippets, each with what follows it, or what is wrong.
pub fn snippets(blocks: &[Block]) -> Result<Vec<Snippet>, String> {
    let mut snippets: Vec<Snippet> = Vec::new();
    for block in blocks {
        let at = |why: &str| format!("line {}: {why}", block.line);
        match &*block.info {
            "yaml" => {
                let mark = block.body.lines().next().and_then(Mark::parse);
                let mark = mark.ok_or_else(|| at("the first line does not say what the snippet is"))?;
                let value = serde_saphyr::from_str(&block.body).map_err(|error| at(&error.to_string()))?;
                let (line, heading) = (block.line, block.heading.clone());
                snippets.push(Snippet { line, heading, mark, value, output: String::new() });
            }
            "text" => {
                let last = snippets.last_mut().filter(|last| last.output.is_empty() && last.heading == block.heading);
                last.ok_or_else(|| at("no snippet to which this could be the answer"))?.output.clone_from(&block.body);
            }
            _ => {}
        }
    }
    Ok(snippets)
}

pub fn merge(into: &mut Value, fragment: &Value) {
    match (into, fragment) {
        (Value::Object(into), Value::Object(fragment)) => {
            for (name, value) in fragment {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, fragment) => into.clone_from(fragment),
    }
}

#[test]
fn a_snippet_that_does_not_say_what_it_is_is_noticed() {
    let fails = |markdown: &str| blocks(markdown).and_then(|blocks| snippets(&blocks)).unwrap_err();
    assert_eq!(fails("\n```yaml\nports: []\n```\n"), "line 2: the first line does not say what the snippet is");
    assert_eq!(fails("```yaml\n# at spec\n```\n"), "line 1: the first line does not say what the snippet is");
    assert_eq!(fails("```yml\n# in x at spec\n```\n"), "line 1: \"```yml\" is not a fence that the tests know");
    assert_eq!(fails("- a\n  ```yaml\n"), "line 2: \"  ```yaml\" is not a fence that the tests know");
    assert_eq!(fails("~~~yaml\n"), "line 1: \"~~~yaml\" is not a fence that the tests know");
    assert_eq!(fails("```yaml\n# in x at spec\n"), "line 1: the fence is never closed");
    assert_eq!(fails("```text\nx\n```\n"), "line 1: no snippet to which this could be the answer");
    let far = "```yaml\n# in x at spec\na: 1\n```\n## Other\n```text\nx\n```\n";
    assert_eq!(fails(far), "line 6: no snippet to which this could be the answer");
}

#[test]
fn fragments_take_the_place_that_their_first_line_says() {
    let path = |path: &[&str]| path.iter().map(|&field| field.to_owned()).collect();
    let fragment = |is_update| Mark::Fragment { kind: "x".to_owned(), path: path(&["spec", "podTemplate"]), is_update };
    assert_eq!(Mark::parse("# file x.yaml"), Some(Mark::File("x".to_owned())));
    assert_eq!(Mark::parse("# in x at spec.podTemplate"), Some(fragment(false)));
    assert_eq!(Mark::parse("# update of x at spec.podTemplate"), Some(fragment(true)));
    for none in ["", "file x.yaml", "# file x", "# in x", "# update of x", "# spec.podTemplate"] {
        assert_eq!(Mark::parse(none), None, "{none}");
    }
    let mut into = serde_json::json!({"map": {"a": 1, "b": 2}, "list": [1, 2]});
    merge(&mut into, &serde_json::json!({"map": {"b": 3, "c": {"d": 4}}, "list": [5]}));
    assert_eq!(into, serde_json::json!({"map": {"a": 1, "b": 3, "c": {"d": 4}}, "list": [5]}));
}
