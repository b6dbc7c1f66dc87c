//! Finds the objects to check among the documents; everything else is counted or, if it is likely a mistake, a finding.

use serde_json::Value;
use webhook::ReviewedKind;

use super::helm;
use super::source::{InputFile, Position, Unreadable};
use super::yaml::{self, Content, SyntaxError, YamlNode};

/// A WorkspaceKind or Workspace as it is written.
#[derive(Clone, Debug)]
pub struct InputObject {
    /// The index of its file.
    pub source: usize,
    /// Its fields with their places.
    pub node: YamlNode,
    /// What it is.
    pub subject: ReviewedKind,
    /// Its fields.
    pub value: Value,
}

/// Something that is probably meant to be one of our objects, but has the wrong type.
#[derive(Clone, Debug)]
pub struct InvalidObject {
    /// The index of its file.
    pub source: usize,
    /// All of its fields.
    pub node: YamlNode,
    /// `apiVersion`, `kind` or, for a list, `items`.
    pub field: &'static str,
    /// Why the API server would reject it.
    pub message: String,
}

/// An object of another kind that is used.
#[derive(Clone, Debug)]
pub struct RelatedObject {
    /// The index of its file.
    pub source: usize,
    /// Its first byte in the file.
    pub start: usize,
    /// Its fields.
    pub value: Value,
}

/// The apiVersion and kind of other objects that are used: by rules of admission, or to see what runs and who may what.
const RELATED: [(&str, &str); 6] = [
    ("v1", "Namespace"),
    ("v1", "Secret"),
    ("v1", "PersistentVolumeClaim"),
    ("kubeflow.org/v1", "Notebook"),
    ("apps/v1", "StatefulSet"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
];

/// The objects in some files.
#[derive(Debug, Default)]
pub struct InputObjects {
    /// WorkspaceKinds and Workspaces, in the order of the files.
    pub ours: Vec<InputObject>,
    /// Objects that are probably meant to be WorkspaceKinds or Workspaces.
    pub invalid: Vec<InvalidObject>,
    /// How many objects of other kinds there are.
    pub foreign: usize,
    /// Those of them that are used.
    pub related: Vec<RelatedObject>,
    /// What could not be read.
    pub unreadable: Vec<Unreadable>,
}

impl InputObjects {
    /// Reads the objects of files.
    pub fn read(sources: &[InputFile]) -> Self {
        let mut objects = Self::default();
        for (index, source) in sources.iter().enumerate() {
            let (documents, error) = yaml::read(source.text());
            for document in documents {
                objects.add(index, document);
            }
            objects.unreadable.extend(error.map(|error| unreadable(source, error)));
        }
        objects
    }

    /// Adds a document of a file. Lists are expanded; empty documents are skipped.
    pub fn add(&mut self, source: usize, node: YamlNode) {
        if node.is_null() {
            return;
        }
        let field = |name: &str| node.get(name).and_then(YamlNode::text).unwrap_or_default().to_owned();
        let (version, kind) = (field("apiVersion"), field("kind"));
        let ours = format!("{}/{}", crds::GROUP, crds::VERSION);
        if let Some(field) = templated(&version, &kind) {
            let message = helm::ADVICE.to_owned();
            return self.invalid.push(InvalidObject { source, node, field, message });
        }
        let list_of = ReviewedKind::ALL.into_iter().find(|subject| kind == format!("{}List", subject.kind()));
        if (version == "v1" && kind == "List") || (version == ours && list_of.is_some()) {
            return self.add_items(source, node);
        }
        let Some(subject) = ReviewedKind::ALL.into_iter().find(|subject| means(&kind, *subject)) else {
            self.foreign += 1;
            if RELATED.contains(&(&*version, &*kind)) {
                self.related.push(RelatedObject { source, start: node.place.start, value: node.value() });
            }
            return;
        };
        let invalid_object = if version == ours && kind == subject.kind() {
            None
        } else if version == ours {
            Some(("kind", format!("no kind {kind:?} in {ours}, did you mean {:?}?", subject.kind())))
        } else if version.is_empty() {
            Some(("apiVersion", format!("Required value: {ours} for a {kind}")))
        } else if version.split('/').next() == Some(crds::GROUP) && kind == subject.kind() {
            Some(("apiVersion", format!("Invalid value: {version:?}: the only version of a {kind} is {ours}")))
        } else {
            // Other groups may have kinds of these names.
            self.foreign += 1;
            return;
        };
        match invalid_object {
            Some((field, message)) => self.invalid.push(InvalidObject { source, node, field, message }),
            None => self.ours.push(InputObject { source, value: node.value(), node, subject }),
        }
    }

    fn add_items(&mut self, source: usize, node: YamlNode) {
        if node.get("items").is_some_and(|items| !items.is_null() && !matches!(items.content, Content::List(_))) {
            let message = "Invalid value: must be a list of objects".to_owned();
            return self.invalid.push(InvalidObject { source, node, field: "items", message });
        }
        let Content::Map(entries) = node.content else { return };
        for entry in entries.into_iter().filter(|entry| entry.key == "items") {
            if let Content::List(items) = entry.node.content {
                for item in items {
                    self.add(source, item);
                }
            }
        }
    }
}

/// Most files that are no YAML are Helm templates, whose first action is the place to show. It may also stand in quoted
/// text and be none, so the place of the error is said too.
fn unreadable(source: &InputFile, error: SyntaxError) -> Unreadable {
    let (at, message) = match helm::action(source.text()) {
        Some(at) => {
            let Position { line, column } = source.position(error.at);
            (at, format!("{} (as YAML, in line {line}, column {column}: {})", helm::ADVICE, error.message))
        }
        None => (error.at, error.message),
    };
    Unreadable { file: source.name().to_owned(), position: Some(source.position(at)), message }
}

/// The field of a type that may be one of ours, once helm has rendered it.
fn templated(version: &str, kind: &str) -> Option<&'static str> {
    let (is_version, is_kind) = (helm::action(version).is_some(), helm::action(kind).is_some());
    let may_be_our_kind = is_kind || ReviewedKind::ALL.into_iter().any(|subject| means(kind, subject));
    let may_be_our_version = is_version || version.is_empty() || version.split('/').next() == Some(crds::GROUP);
    match (is_kind && may_be_our_version, is_version && may_be_our_kind) {
        (true, _) => Some("kind"),
        (_, true) => Some("apiVersion"),
        _ => None,
    }
}

/// Whether a kind is that of `subject`, apart from case and plural.
fn means(kind: &str, subject: ReviewedKind) -> bool {
    let kind = kind.strip_suffix('s').unwrap_or(kind);
    kind.eq_ignore_ascii_case(subject.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(text: &str) -> InputObjects {
        let mut objects = InputObjects::default();
        super::super::yaml::read(text).0.into_iter().for_each(|node| objects.add(0, node));
        objects
    }

    #[test]
    fn lists_are_expanded_and_foreign_kinds_counted() {
        let objects = objects(
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: kubeflow.org/v1beta1, kind: Workspace}\n- {apiVersion: v1, kind: Pod}\n\
             ---\n---\napiVersion: kubeflow.org/v1beta1\nkind: WorkspaceKindList\nitems:\n- {apiVersion: kubeflow.org/v1beta1, kind: WorkspaceKind}\n\
             ---\napiVersion: kubeflow.org/v1\nkind: Notebook\n---\napiVersion: example.com/v1\nkind: Workspace\n---\njust text\n",
        );
        let subjects: Vec<_> = objects.ours.iter().map(|object| object.subject).collect();
        assert_eq!(subjects, [ReviewedKind::Workspace, ReviewedKind::WorkspaceKind]);
        assert_eq!((objects.invalid.len(), objects.foreign), (0, 4));
    }

    #[test]
    fn an_object_with_nearly_our_type_is_invalid() {
        let messages = |text: &str| {
            let invalid = objects(text).invalid;
            invalid
                .into_iter()
                .map(|invalid_object| format!("{}: {}", invalid_object.field, invalid_object.message))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            messages("apiVersion: kubeflow.org/v1beta1\nkind: Workspacekinds"),
            ["kind: no kind \"Workspacekinds\" in kubeflow.org/v1beta1, did you mean \"WorkspaceKind\"?"]
        );
        assert_eq!(
            messages("apiVersion: kubeflow.org/v1alpha1\nkind: WorkspaceKind"),
            [
                "apiVersion: Invalid value: \"kubeflow.org/v1alpha1\": the only version of a WorkspaceKind is kubeflow.org/v1beta1"
            ]
        );
        assert_eq!(
            messages("apiVersion: v1\nkind: List\nitems: {a: 1}"),
            ["items: Invalid value: must be a list of objects"]
        );
        for (text, field) in [
            ("apiVersion: kubeflow.org/v1beta1\nkind: '{{ .Values.kind }}'", "kind"),
            ("apiVersion: '{{ .Values.version }}'\nkind: '{{ .Values.kind }}'", "kind"),
            ("apiVersion: '{{ .Values.version }}'\nkind: WorkspaceKind", "apiVersion"),
        ] {
            assert_eq!(messages(text), [format!("{field}: {}", helm::ADVICE)], "{text}");
        }
        assert_eq!(messages("apiVersion: apps/v1\nkind: '{{ .Values.kind }}'"), [""; 0]);
        assert_eq!(messages("apiVersion: '{{ .Values.version }}'\nkind: Deployment"), [""; 0]);
        assert_eq!(messages("apiVersion: v1\nkind: List\nitems:"), [""; 0]);
        assert_eq!(messages("kind: Workspace"), ["apiVersion: Required value: kubeflow.org/v1beta1 for a Workspace"]);
    }
}
