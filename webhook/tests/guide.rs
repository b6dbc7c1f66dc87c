//! The guide for authors of kinds, `docs/workspacekind.md`: every snippet in it is sent to the webhook.
//!
//! The first line of each `yaml` block is a comment that says what the block is, for readers and for these tests:
//!
//! | first line | what it is |
//! |---|---|
//! | `# file NAME.yaml` | a complete WorkspaceKind or Workspace, about to be created |
//! | `# in KIND at PATH` | a fragment of the complete kind KIND of the guide, which is about to be created with it |
//! | `# update of KIND at PATH` | the same, but KIND is stored, and the Workspaces of the guide use it |
//!
//! A fragment is merged into the value at PATH (fields with dots between them): maps field by field; everything else,
//! lists included, replaces what was there.
//!
//! A `text` block under the same heading after a `yaml` block is what kubectl prints on its error stream: warnings,
//! then the refusal. A `yaml` block without one is accepted without a warning. A `console` block is a `kubectl delete
//! workspacekind` with its answer. There are no other fences.
//!
//! The two tables of templates are rendered as well.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crds::generate::{workspace_crd, workspace_kind_crd};
use crds::ports::{ConnectPaths, Dialect, PortPaths};
use crds::template::{Limits, Mode};
use crds::value_template::ValueTemplate;
use crds::workspace_kind::{ImagePort, PortProtocol};
use serde_json::{Value, json};
use webhook::rule::{Rule, Table};
use webhook::testing::FakeLookup;
use webhook::{Policy, Question, REGISTRATIONS, Refusal, Verdict, WORKSPACE_KIND_PATH};

#[path = "guide/document.rs"]
mod document;
#[path = "guide/schema.rs"]
mod schema;

use document::{Block, Mark, Snippet, blocks, merge, snippets};
use schema::{misfits, own_fields, schema, shown_fields};

/// The heading of the mistakes.
const MISTAKES: &str = "## When something is refused";

fn text() -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/workspacekind.md");
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The whole guide.
struct Guide {
    text: String,
    blocks: Vec<Block>,
    snippets: Vec<Snippet>,
    kinds: BTreeMap<String, Value>,
    workspaces: Vec<Value>,
}

impl Guide {
    fn read() -> Self {
        let text = text();
        let blocks = blocks(&text).unwrap();
        let snippets = snippets(&blocks).unwrap();
        let mut guide = Self { text, blocks, snippets, kinds: BTreeMap::new(), workspaces: Vec::new() };
        for snippet in &guide.snippets {
            let Mark::File(file) = &snippet.mark else { continue };
            let name = snippet.value["metadata"]["name"].as_str().unwrap_or_default();
            assert_eq!(name, file, "line {}: the file has another name than the object", snippet.line);
            match snippet.value["kind"].as_str() {
                Some("WorkspaceKind") => {
                    let other = guide.kinds.insert(name.to_owned(), snippet.value.clone());
                    assert!(other.is_none(), "line {}: there is another kind {name}", snippet.line);
                }
                Some("Workspace") => guide.workspaces.push(snippet.value.clone()),
                other => panic!("line {}: a file with {other:?}", snippet.line),
            }
        }
        guide
    }

    /// The complete kind of that name.
    fn kind(&self, line: usize, name: &str) -> &Value {
        self.kinds.get(name).unwrap_or_else(|| panic!("line {line}: no kind {name} in the guide"))
    }

    /// The object that a snippet makes, and the stored one.
    fn objects<'a>(&'a self, snippet: &'a Snippet) -> (Value, Option<&'a Value>) {
        let Mark::Fragment { kind, path, is_update } = &snippet.mark else { return (snippet.value.clone(), None) };
        let base = self.kind(snippet.line, kind);
        let mut object = base.clone();
        let mut place = &mut object;
        for field in path {
            place = place.get_mut(field).unwrap_or_else(|| panic!("line {}: no {field} in {kind}", snippet.line));
        }
        merge(place, &snippet.value);
        (object, is_update.then_some(base))
    }

    /// What kubectl prints about a snippet.
    async fn output(&self, snippet: &Snippet) -> String {
        let (object, old) = self.objects(snippet);
        let question = old.map_or_else(|| Question::create(&object), |old| Question::update(&object, old));
        self.answer(question).await
    }

    async fn answer(&self, question: Question<'_>) -> String {
        let kinds: Vec<Value> = self.kinds.values().cloned().collect();
        let lookup = FakeLookup::new(&kinds, &self.workspaces).unwrap();
        printed(question.verdict(&lookup, &Policy::default()).await)
    }
}

/// As kubectl prints it, without the space before a list, which Markdown drops.
fn printed(verdict: Verdict) -> String {
    let mut text = String::new();
    for warning in verdict.warnings {
        writeln!(text, "Warning: {}", warning.text).unwrap();
    }
    match verdict.refusal {
        None => {}
        Some(Refusal::Invalid { kind, name, faults }) => {
            let faults: Vec<_> = faults.iter().map(|fault| format!("{}: {}\n", fault.field, fault.message())).collect();
            let list = if let [only] = &*faults { format!(" {only}") } else { format!("\n* {}", faults.join("* ")) };
            write!(text, "The {kind} \"{name}\" is invalid:{list}").unwrap();
        }
        Some(Refusal::Conflict { kind, name, fault }) => {
            let webhook = REGISTRATIONS.iter().find(|webhook| webhook.path == WORKSPACE_KIND_PATH).unwrap().name;
            let (group, detail) = (crds::GROUP, fault.detail);
            write!(text, "Error from server (Conflict): admission webhook \"{webhook}\" denied the request: ").unwrap();
            writeln!(text, "Operation cannot be fulfilled on {kind}.{group} \"{name}\": {detail}").unwrap();
        }
        Some(other) => panic!("{other:?}"),
    }
    text
}

#[tokio::test]
async fn each_snippet_is_answered_as_the_guide_says() {
    let guide = Guide::read();
    let mut wrong = String::new();
    for snippet in &guide.snippets {
        let output = guide.output(snippet).await;
        if output != snippet.output {
            writeln!(wrong, "line {}: kubectl says\n{output}and not\n{}", snippet.line, snippet.output).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test]
async fn kinds_are_deleted_as_the_guide_says() {
    let guide = Guide::read();
    let mut seen = 0;
    for block in guide.blocks.iter().filter(|block| block.info == "console") {
        let (command, answer) = block.body.split_once('\n').unwrap();
        let name = command.strip_prefix("$ kubectl delete workspacekind ");
        let name = name.unwrap_or_else(|| panic!("line {}: {command:?} is not tested", block.line));
        assert_eq!(guide.answer(Question::delete(guide.kind(block.line, name))).await, answer, "line {}", block.line);
        seen += 1;
    }
    assert_eq!(seen, 1);
}

#[test]
fn snippets_fit_the_schema() {
    let guide = Guide::read();
    let (kind, workspace) = (workspace_kind_crd(), workspace_crd());
    let mut found = Vec::new();
    for snippet in &guide.snippets {
        let (object, _) = guide.objects(snippet);
        let crd = if object["kind"] == "Workspace" { &workspace } else { &kind };
        misfits(schema(crd), &object, &format!("line {}: ", snippet.line), &mut found);
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn what_does_not_fit_the_schema_is_noticed() {
    let mut kind = Guide::read().kinds["jupyterlab"].clone();
    let template = &mut kind["spec"]["podTemplate"];
    template["extraEnvs"] = json!([]);
    template["extraEnv"] = json!([{"name": "A", "valu": "x"}, {"name": "A"}]);
    template["options"]["imageConfig"]["values"][0]["spec"]["imagePullPolicy"] = json!("Sometimes");
    kind["spec"]["activityRules"] = json!([{"config": {"secondsSinceActive": 15}}]);
    kind["spec"]["spawner"]["displayName"] = json!("J");
    kind["spec"]["spawner"]["hidden"] = json!("yes");
    let mut found = Vec::new();
    misfits(schema(&workspace_kind_crd()), &kind, "", &mut found);
    let expected = [
        ".spec.activityRules[0].effect: missing",
        ".spec.activityRules[0].config.secondsSinceActive: 15 does not fit",
        ".spec.podTemplate.extraEnv: two items with one key",
        ".spec.podTemplate.extraEnv[0].valu: unknown field",
        ".spec.podTemplate.extraEnvs: unknown field",
        ".spec.podTemplate.options.imageConfig.values[0].spec.imagePullPolicy: \"Sometimes\" does not fit",
        ".spec.spawner.displayName: \"J\" does not fit",
        ".spec.spawner.hidden: \"yes\" does not fit",
    ];
    assert_eq!(found, expected);
}

#[test]
fn every_field_of_a_kind_is_shown() {
    let guide = Guide::read();
    let mut fields = BTreeSet::new();
    own_fields(&schema(&workspace_kind_crd())["properties"]["spec"], "spec", &mut fields);
    assert!(fields.len() > 100, "{fields:?}");
    let mut shown = BTreeSet::new();
    for snippet in guide.snippets.iter().filter(|snippet| !snippet.output.contains(" is invalid:")) {
        shown_fields(&guide.objects(snippet).0["spec"], "spec", &mut shown);
    }
    let missing: Vec<_> = fields.difference(&shown).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_rule_of_kinds_is_named_where_its_topic_is_explained() {
    let text = text();
    let (topics, _) = text.split_once(MISTAKES).unwrap();
    let rules = Rule::ALL.iter().filter(|rule| rule.table() == Table::WorkspaceKind);
    let missing: Vec<_> = rules.filter(|rule| !topics.contains(rule.code())).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let named = text.match_indices("WSK").map(|(at, _)| &text[at..at + 6]);
    let unknown: Vec<&str> = named.filter(|code| Rule::find(code).is_none()).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// Each mistake: what is written, what kubectl prints, what to write instead.
#[test]
fn ten_mistakes_are_shown() {
    let guide = Guide::read();
    let (_, mistakes) = guide.text.split_once(MISTAKES).unwrap();
    let headings: Vec<&str> = mistakes.lines().filter(|line| line.starts_with("### ")).collect();
    assert_eq!(headings.len(), 10, "{headings:#?}");
    for heading in headings {
        let output: Vec<bool> = guide
            .snippets
            .iter()
            .filter(|snippet| snippet.heading == heading)
            .map(|snippet| snippet.output.starts_with("The WorkspaceKind "))
            .collect();
        assert_eq!(output, [true, false], "{heading}");
    }
}

/// The rows of the table with this header, each as two cells without their code marks.
fn table(markdown: &str, header: &str) -> Vec<[String; 2]> {
    let lines = markdown.lines().skip_while(|line| *line != header).skip(2);
    let rows = lines.take_while(|line| line.starts_with("| "));
    rows.map(|row| {
        let cells = row.replace("\\|", "\u{0}");
        let cells: Vec<&str> = cells.trim_matches('|').split('|').map(str::trim).collect();
        let [template, result] = *cells else { panic!("{row}") };
        let code = |cell: &str| {
            let code = cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`'));
            code.unwrap_or_else(|| panic!("no code: {row}")).replace('\u{0}', "|")
        };
        [code(template), if result == "(nothing)" { String::new() } else { code(result) }]
    })
    .collect()
}

/// In the Workspace `team-a/notebook` of a kind of which one image has the port `jupyterlab`, another one `tensorboard`
/// too.
fn rendered(template: &str) -> Result<String, String> {
    let port = ImagePort { id: "jupyterlab".to_owned(), port: 8888, display_name: None, protocol: PortProtocol::Http };
    let paths = PortPaths {
        paths: &ConnectPaths::by_dialect(),
        dialect: Dialect::PortId,
        namespace: "team-a",
        workspace: "notebook",
        selected: &[port],
        known: &BTreeSet::from(["jupyterlab", "tensorboard"]),
        mode: Mode::Strict,
    };
    let rendered = ValueTemplate::parse(template, &Limits::ENV)
        .and_then(|template| template.render(&paths, Mode::Strict))
        .map_err(|fault| fault.detail)?;
    Ok(rendered.text)
}

#[test]
fn templates_render_to_what_the_guide_says() {
    let text = text();
    let rows = table(&text, "| template | renders to |");
    assert!(rows.len() > 9, "{rows:?}");
    for [template, result] in rows {
        assert_eq!(rendered(&template), Ok(result), "{template}");
    }
    let rows = table(&text, "| template | is refused with |");
    assert!(rows.len() > 4, "{rows:?}");
    for [template, result] in rows {
        let error = rendered(&template).unwrap_err();
        assert!(error.contains(&result), "{template}: {error}");
    }
}

#[test]
fn limits_are_those_of_the_templates() {
    let limits = [Limits::HEADER, Limits::ENV];
    let row = |what: &str, of: fn(&Limits) -> String| {
        let [header, variable] = limits.each_ref().map(of);
        format!("| {what} | {header} | {variable} |")
    };
    let rows = [
        row("length of the template", |limits| format!("{} KiB", limits.source >> 10)),
        row("length of its output", |limits| format!("{} KiB", limits.output >> 10)),
        row("nesting of actions and parentheses, `else if` included", |limits| limits.nesting.to_string()),
        row("executed nodes: each piece of text, action and argument, each time it is reached", |limits| {
            format!("{},{:03}", limits.nodes / 1000, limits.nodes % 1000)
        }),
        row("text produced, intermediate results included", |limits| format!("{} KiB", limits.made >> 10)),
    ];
    let text = text();
    for row in rows {
        assert!(text.lines().any(|line| line == row), "{row}");
    }
}

/// The anchor that Markdown gives to a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    text.chars().filter(|character| character.is_alphanumeric() || "-_".contains(*character)).collect()
}

#[test]
fn links_within_the_guide_lead_somewhere() {
    let guide = Guide::read();
    let anchors: BTreeSet<String> = guide.text.lines().filter(|line| line.starts_with("##")).map(anchor).collect();
    let links = guide.text.split("](#").skip(1).filter_map(|rest| rest.split_once(')'));
    let broken: Vec<&str> = links.map(|(link, _)| link).filter(|link| !anchors.contains(*link)).collect();
    assert!(broken.is_empty(), "{broken:?} not among {anchors:#?}");
}
