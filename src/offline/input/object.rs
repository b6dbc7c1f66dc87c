//! Documents to the objects that we judge; all else is counted or, where it is likely a mistake, a finding.

use serde_json::Value;
use webhook::ReviewedKind;

use super::source::{InputFile, Unreadable};
use super::yaml::{self, Content, Node};

/// An object as it is written.
#[derive(Clone, Debug)]
pub struct Object {
    /// The text that it stands in.
    pub source: usize,
    /// Where its fields stand.
    pub node: Node,
    /// What it is.
    pub subject: ReviewedKind,
    /// Its fields.
    pub value: Value,
}

/// Something that looks like an object of ours but is none.
#[derive(Clone, Debug)]
pub struct Misfit {
    /// The text that it stands in.
    pub source: usize,
    /// The whole of it.
    pub node: Node,
    /// `apiVersion`, `kind` or, for a list, `items`.
    pub field: &'static str,
    /// Why the API server would not know it.
    pub message: String,
}

/// Objects of other kinds that verdicts depend on, or that show what runs: apiVersion and kind.
const OTHERS: [(&str, &str); 5] = [
    ("v1", "Namespace"),
    ("v1", "Secret"),
    ("v1", "PersistentVolumeClaim"),
    ("kubeflow.org/v1", "Notebook"),
    ("apps/v1", "StatefulSet"),
];

/// What documents hold.
#[derive(Debug, Default)]
pub struct Objects {
    /// What we judge, in the order of the texts.
    pub ours: Vec<Object>,
    /// What is likely meant to be judged.
    pub misfits: Vec<Misfit>,
    /// How many there are of other kinds.
    pub foreign: usize,
    /// Those of them that something is asked about.
    pub others: Vec<Value>,
    /// What could not be read.
    pub unreadable: Vec<Unreadable>,
}

impl Objects {
    /// The objects of texts.
    pub fn read(sources: &[InputFile]) -> Self {
        let mut objects = Self::default();
        for (index, source) in sources.iter().enumerate() {
            let (documents, fault) = yaml::read(source.text());
            for document in documents {
                objects.add(index, document);
            }
            objects.unreadable.extend(fault.map(|fault| Unreadable {
                file: source.name().to_owned(),
                position: Some(source.position(fault.at)),
                message: fault.message,
            }));
        }
        objects
    }

    /// Adds a document of a text. Lists are unfolded; empty documents are nothing.
    pub fn add(&mut self, source: usize, node: Node) {
        if node.is_null() {
            return;
        }
        let field = |name: &str| node.get(name).and_then(Node::text).unwrap_or_default().to_owned();
        let (version, kind) = (field("apiVersion"), field("kind"));
        let ours = format!("{}/{}", crds::GROUP, crds::VERSION);
        let list_of = ReviewedKind::ALL.into_iter().find(|subject| kind == format!("{}List", subject.kind()));
        if (version == "v1" && kind == "List") || (version == ours && list_of.is_some()) {
            return self.add_items(source, node);
        }
        let Some(subject) = ReviewedKind::ALL.into_iter().find(|subject| means(&kind, *subject)) else {
            self.foreign += 1;
            if OTHERS.contains(&(&*version, &*kind)) {
                self.others.push(node.value());
            }
            return;
        };
        let misfit = if version == ours && kind == subject.kind() {
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
        match misfit {
            Some((field, message)) => self.misfits.push(Misfit { source, node, field, message }),
            None => self.ours.push(Object { source, value: node.value(), node, subject }),
        }
    }

    fn add_items(&mut self, source: usize, node: Node) {
        if node.get("items").is_some_and(|items| !items.is_null() && !matches!(items.content, Content::List(_))) {
            let message = "Invalid value: must be a list of objects".to_owned();
            return self.misfits.push(Misfit { source, node, field: "items", message });
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

/// Whether a kind is that of `subject`, give or take capitals and a plural.
fn means(kind: &str, subject: ReviewedKind) -> bool {
    let kind = kind.strip_suffix('s').unwrap_or(kind);
    kind.eq_ignore_ascii_case(subject.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(text: &str) -> Objects {
        let mut objects = Objects::default();
        super::super::yaml::read(text).0.into_iter().for_each(|node| objects.add(0, node));
        objects
    }

    #[test]
    fn lists_are_unfolded_and_foreign_kinds_counted() {
        let objects = objects(
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: kubeflow.org/v1beta1, kind: Workspace}\n- {apiVersion: v1, kind: Pod}\n\
             ---\n---\napiVersion: kubeflow.org/v1beta1\nkind: WorkspaceKindList\nitems:\n- {apiVersion: kubeflow.org/v1beta1, kind: WorkspaceKind}\n\
             ---\napiVersion: kubeflow.org/v1\nkind: Notebook\n---\napiVersion: example.com/v1\nkind: Workspace\n---\njust text\n",
        );
        let subjects: Vec<_> = objects.ours.iter().map(|object| object.subject).collect();
        assert_eq!(subjects, [ReviewedKind::Workspace, ReviewedKind::WorkspaceKind]);
        assert_eq!((objects.misfits.len(), objects.foreign), (0, 4));
    }

    #[test]
    fn what_is_nearly_ours_is_no_foreign_object() {
        let said = |text: &str| {
            let misfits = objects(text).misfits;
            misfits.into_iter().map(|misfit| format!("{}: {}", misfit.field, misfit.message)).collect::<Vec<_>>()
        };
        assert_eq!(
            said("apiVersion: kubeflow.org/v1beta1\nkind: Workspacekinds"),
            ["kind: no kind \"Workspacekinds\" in kubeflow.org/v1beta1, did you mean \"WorkspaceKind\"?"]
        );
        assert_eq!(
            said("apiVersion: kubeflow.org/v1alpha1\nkind: WorkspaceKind"),
            [
                "apiVersion: Invalid value: \"kubeflow.org/v1alpha1\": the only version of a WorkspaceKind is kubeflow.org/v1beta1"
            ]
        );
        assert_eq!(
            said("apiVersion: v1\nkind: List\nitems: {a: 1}"),
            ["items: Invalid value: must be a list of objects"]
        );
        assert_eq!(said("apiVersion: v1\nkind: List\nitems:"), [""; 0]);
        assert_eq!(said("kind: Workspace"), ["apiVersion: Required value: kubeflow.org/v1beta1 for a Workspace"]);
    }
}
