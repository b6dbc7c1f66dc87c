//! All that is to be said about the objects of some texts.

use std::collections::BTreeMap;

use serde_json::Value;
use webhook::field::{self, Warning};
use webhook::rule::{Rule, Table};
use webhook::{BindCheck, Policy, Question, Refusal, ReviewedKind};

use super::api_server::schema::Schema;
use super::api_server::schemas::{Schemas, Shaped};
use super::api_server::violation::Violation;
use super::api_server::{cel, metadata, validation};
use super::facts::Facts;
use super::finding::{Finding, Judged, ObjectName, Report, Severity};
use super::input::object::{Misfit, Object, Objects};
use super::input::position::{Target, locate};
use super::input::source::{InputFile, Unreadable};

/// As many findings of one object are told; nobody reads more, and looking up where each of thousands stands takes time.
const FINDINGS_MAX: usize = 200;
/// Stands in for the advice where a kind is not known, which here may mean that it was not given.
const GIVE_THE_KIND: &str = "The kind is neither among the inputs nor among the stored objects of --old. Give its file \
                             too; kinds that are only in the cluster can be given with `kubectl get workspacekinds -o \
                             yaml > kinds.yaml` and `--old kinds.yaml`.";

/// Checks the objects of `inputs`. What `stored` holds is in the cluster already: an input of the same kind, namespace and
/// name is judged as an update of it, and the rest of it stays.
///
/// The findings are in the order of the rules; [`Report::sort`] puts them into that of the lines.
pub fn check(inputs: &[InputFile], stored: &[InputFile], policy: &Policy) -> Report {
    check_objects(inputs, &Objects::read(inputs), Objects::read(stored), policy)
}

/// The same for objects that have been read from `inputs`.
pub(super) fn check_objects(inputs: &[InputFile], given: &Objects, stored: Objects, policy: &Policy) -> Report {
    let unreadable = given.unreadable.iter().chain(&stored.unreadable).cloned().collect();
    let mut report = Report { files: inputs.len(), foreign: given.foreign, unreadable, ..Report::default() };
    let schemas = match Schemas::read() {
        Ok(schemas) => schemas,
        // Our own schemas: a test reads them.
        Err(why) => {
            report.unreadable.push(Unreadable { file: "schema".to_owned(), position: None, message: why.to_owned() });
            return report;
        }
    };
    let mut facts = Facts::default();
    stored.others.iter().chain(&given.others).for_each(|other| facts.add_other(other));
    let old = objects_in_place(schemas, stored.ours);
    let shaped: Vec<Shaped> = given.ours.iter().map(|object| schemas.shape(object.subject, &object.value)).collect();
    let all = old.iter().map(|((subject, ..), object)| (*subject, object));
    for (subject, object) in
        all.chain(given.ours.iter().zip(&shaped).map(|(one, shaped)| (one.subject, &shaped.object)))
    {
        match subject {
            ReviewedKind::WorkspaceKind => facts.add_kind(object),
            ReviewedKind::Workspace => facts.add_workspace(object),
        }
    }
    // Who will apply the files is not known.
    let policy = &Policy { cluster_role_bind: BindCheck::Off, ..policy.clone() };
    let mut check = Check { inputs, schemas, policy, facts, report, found: 0, untold: None };
    let identities: Vec<Identity> =
        given.ours.iter().zip(&shaped).map(|(object, shaped)| identity(object.subject, &shaped.object)).collect();
    let last: BTreeMap<&Identity, &Object> = identities.iter().zip(&given.ours).collect();
    for ((object, shaped), identity) in given.ours.iter().zip(shaped).zip(&identities) {
        let later = last.get(identity).copied().filter(|later| !std::ptr::eq(*later, object) && is_named(object));
        check.object(object, shaped, old.get(identity), later);
    }
    given.misfits.iter().for_each(|misfit| check.misfit(misfit));
    check.report
}

/// Kind, namespace and name.
type Identity = (ReviewedKind, String, String);

fn identity(subject: ReviewedKind, object: &Value) -> Identity {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (subject, text("namespace"), text("name"))
}

/// A generated name makes an object of its own each time.
fn is_named(object: &Object) -> bool {
    object.value["metadata"]["name"].as_str().is_some_and(|name| !name.is_empty())
}

fn objects_in_place(schemas: &Schemas, stored: Vec<Object>) -> BTreeMap<Identity, Value> {
    let shaped = stored.into_iter().map(|object| (object.subject, schemas.shape(object.subject, &object.value).object));
    shaped.map(|(subject, object)| (identity(subject, &object), object)).collect()
}

struct Check<'a> {
    inputs: &'a [InputFile],
    schemas: &'a Schemas,
    policy: &'a Policy,
    facts: Facts,
    report: Report,
    /// How many findings the object at hand has, and the worst of those that are not told.
    found: usize,
    untold: Option<Severity>,
}

impl Check<'_> {
    /// `later`: the last of the inputs that is the same object, where this one is not it.
    fn object(&mut self, object: &Object, shaped: Shaped, old: Option<&Value>, later: Option<&Object>) {
        (self.found, self.untold) = (0, None);
        let schema = self.schemas.of(object.subject);
        let Shaped { object: value, unknown } = shaped;
        let mut faults = metadata::validate(&value);
        faults.extend(validation::validate(schema, &value, old));
        let broken: Vec<_> = faults.iter().map(|fault| fault.place.clone()).collect();
        let rules = cel::evaluate(schema, &value, old, &broken);
        let place = Place { object, schema, name: object_name(object.subject, &value) };
        // The API server answers with the first of these that finds anything: unknown fields (asked to by kubectl), the
        // schema, its rules unless the schema keeps it from evaluating them, the webhook.
        let (is_unknown, is_refused) = (!unknown.is_empty(), !faults.is_empty() || !rules.is_empty());
        let keeps_from_rules = faults.iter().any(keeps_from_rules);
        for fault in &unknown {
            self.push_fault(&place, fault, false);
        }
        for fault in &faults {
            self.push_fault(&place, fault, is_unknown);
        }
        for fault in &rules {
            self.push_fault(&place, fault, is_unknown || keeps_from_rules);
        }
        self.webhook(&place, &value, old, &faults, is_unknown || is_refused);
        if let Some(later) = later {
            let source = &self.inputs[later.source];
            let line = source.position(later.node.place.start).line;
            let message = format!("the same object stands in {}:{line} once more, and that one counts", source.name());
            self.warn(&place, Rule::ObjectTwice, "metadata.name", message, false);
        }
        self.tell_of_the_rest(&place);
        let position = self.inputs[object.source].position(object.node.place.start);
        self.report.objects.push(Judged {
            file: self.inputs[object.source].name().to_owned(),
            line: position.line,
            object: place.name,
            is_update: old.is_some(),
        });
    }

    /// What the webhook itself says of the object.
    fn webhook(&mut self, place: &Place<'_>, object: &Value, old: Option<&Value>, faults: &[Violation], masked: bool) {
        let question = Question { object: Some(object), old };
        let lacks_namespace = self.policy.enforce_filter_rules && self.facts.lacks_namespace_of(object);
        let unfiltered = lacks_namespace.then(|| Policy { enforce_filter_rules: false, ..self.policy.clone() });
        let policy = unfiltered.as_ref().unwrap_or(self.policy);
        let verdict = futures::executor::block_on(question.verdict(&self.facts, policy));
        let kind = object["spec"]["kind"].as_str().unwrap_or_default();
        let is_kind_broken = place.object.subject == ReviewedKind::Workspace && self.facts.is_broken_kind(kind);
        let mut said = false;
        match verdict.refusal {
            Some(Refusal::Invalid { faults: found, .. }) => {
                // Where an object does not decode, the schema has said so.
                let is_known = |fault: &field::Fault| {
                    fault.rule.table() == Table::Schema
                        && faults.iter().any(|known| touch(&known.field(), &fault.field))
                };
                let rests_on_kind = |fault: &field::Fault| is_kind_broken && fault.rule.depends_on_kind();
                for fault in found.iter().filter(|fault| !is_known(fault) && !rests_on_kind(fault)) {
                    self.push_webhook_fault(place, fault, masked);
                }
            }
            Some(Refusal::Conflict { fault, .. }) => self.push_webhook_fault(place, &fault, masked),
            Some(Refusal::BadRequest(why) | Refusal::Unavailable(why) | Refusal::Internal(why)) => {
                said = faults.is_empty();
                if said {
                    let fault = Violation {
                        rule: Rule::Schema,
                        place: super::api_server::path::Path::default(),
                        field: None,
                        message: why,
                    };
                    self.push_fault(place, &fault, masked);
                }
            }
            None => {}
        }
        if is_kind_broken && !said {
            let message = format!(
                "workspace kind {} is among the inputs but cannot be read (see what is said of it), so the options could \
                 not be checked",
                field::quoted(kind)
            );
            self.warn(place, Rule::WorkspaceKindExists, "spec.kind", message, masked);
        }
        if lacks_namespace {
            let message = "the Namespace is not given, so the filter rules of the kind could not be checked";
            self.warn(place, Rule::FilterDenied, "metadata.namespace", message.to_owned(), masked);
        }
        for Warning { rule, field, text } in verdict.warnings {
            let message = text.strip_prefix(&format!("{field}: ")).unwrap_or(&text).to_owned();
            self.warn(place, rule, &field, message, masked);
        }
    }

    fn warn(&mut self, place: &Place<'_>, rule: Rule, field: &str, message: String, masked: bool) {
        self.push(place, rule, Severity::Warning, field, field, Target::Value, message, masked);
    }

    fn push_fault(&mut self, place: &Place<'_>, fault: &Violation, masked: bool) {
        let target = if fault.rule == Rule::UnknownField { Target::Key } else { Target::Value };
        let (field, at) = (fault.field(), fault.place.to_string());
        self.push(place, fault.rule, Severity::Error, &field, &at, target, fault.message.clone(), masked);
    }

    fn push_webhook_fault(&mut self, place: &Place<'_>, fault: &field::Fault, masked: bool) {
        let target = match fault.at {
            Some(byte) => Target::Byte(byte),
            None if is_about_key(fault) => Target::Key,
            None => Target::Value,
        };
        self.push(place, fault.rule, Severity::Error, &fault.field, &fault.field, target, fault.message(), masked);
    }

    #[allow(clippy::too_many_arguments)] // the parts of a finding, put together here only
    fn push(
        &mut self,
        place: &Place<'_>,
        rule: Rule,
        severity: Severity,
        field: &str,
        at: &str,
        target: Target,
        message: String,
        masked: bool,
    ) {
        self.found += 1;
        if self.found > FINDINGS_MAX {
            self.untold = self.untold.max(Some(severity));
            return;
        }
        let source = &self.inputs[place.object.source];
        let bytes = locate(source.text(), &place.object.node, Some(place.schema), at, target);
        let is_kind_missing = rule == Rule::WorkspaceKindExists && severity == Severity::Error;
        let advice = if is_kind_missing { GIVE_THE_KIND } else { rule.advice() };
        self.report.findings.push(Finding {
            masked,
            advice: advice.to_owned(),
            ..finding(place.object.source, source, bytes, rule, severity, &place.name, field, message)
        });
    }

    /// Stands for the findings of the object that are not told.
    fn tell_of_the_rest(&mut self, place: &Place<'_>) {
        let (Some(severity), index) = (self.untold, place.object.source) else { return };
        let (source, start) = (&self.inputs[index], place.object.node.place.start);
        let message = format!("… and {} more findings", self.found - FINDINGS_MAX);
        let rest = finding(index, source, start..start, Rule::Schema, severity, &place.name, "", message);
        self.report.findings.push(rest);
    }

    fn misfit(&mut self, misfit: &Misfit) {
        let source = &self.inputs[misfit.source];
        let bytes = locate(source.text(), &misfit.node, None, misfit.field, Target::Value);
        let object = object_name_of(&misfit.node.value());
        let message = misfit.message.clone();
        let error = Severity::Error;
        self.report.findings.push(finding(
            misfit.source,
            source,
            bytes,
            Rule::Schema,
            error,
            &object,
            misfit.field,
            message,
        ));
    }
}

/// What findings are about.
struct Place<'a> {
    object: &'a Object,
    schema: &'a Schema,
    name: ObjectName,
}

#[allow(clippy::too_many_arguments)] // the parts of a finding
fn finding(
    index: usize,
    source: &InputFile,
    bytes: std::ops::Range<usize>,
    rule: Rule,
    severity: Severity,
    object: &ObjectName,
    field: &str,
    message: String,
) -> Finding {
    let (start, end) = (source.position(bytes.start), source.position(bytes.end));
    Finding {
        source: index,
        file: source.name().to_owned(),
        line: start.line,
        column: start.column,
        end_column: (end.line == start.line && end.column > start.column).then_some(end.column),
        severity,
        code: rule.code().to_owned(),
        rule: rule.id().to_owned(),
        object: object.clone(),
        field: field.to_owned(),
        message,
        advice: rule.advice().to_owned(),
        masked: false,
    }
}

/// Of a generated name the part that is known.
fn object_name(subject: ReviewedKind, object: &Value) -> ObjectName {
    ObjectName { kind: subject.kind().to_owned(), ..object_name_of(object) }
}

fn object_name_of(object: &Value) -> ObjectName {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let metadata = &object["metadata"];
    let name = text(&metadata["generateName"]).filter(|base| {
        text(&metadata["name"]).is_none_or(|name| name.starts_with(base.as_str()) && name.ends_with("xxxxx"))
    });
    ObjectName {
        kind: text(&object["kind"]).unwrap_or_default(),
        namespace: text(&metadata["namespace"]),
        name: name.or_else(|| text(&metadata["name"])).unwrap_or_default(),
    }
}

/// Whether the API server skips the rules of an object with this fault: it may be too far from what they expect.
fn keeps_from_rules(fault: &Violation) -> bool {
    let message = &fault.message;
    !(message.starts_with("Invalid value") || message.starts_with("Duplicate value"))
        || message.contains("in body must be of type")
}

/// Whether a fault is about the name of a map's entry and not about its value.
fn is_about_key(fault: &field::Fault) -> bool {
    let quotes_key = match &fault.value {
        field::Value::Text(text) => fault.field.ends_with(&field::key("", text)),
        field::Value::Omitted | field::Value::Number(_) | field::Value::Block(_) => false,
    };
    fault.field.ends_with(']') && (quotes_key || matches!(fault.fault_type, field::FaultType::Forbidden))
}

/// Whether one of two fields is the other one or lies below it.
fn touch(one: &str, other: &str) -> bool {
    let below = |upper: &str, lower: &str| {
        lower.strip_prefix(upper).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    below(one, other) || below(other, one)
}
