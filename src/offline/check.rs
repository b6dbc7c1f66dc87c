//! Checks objects: what the API server and the webhook would report about each, with places in the files.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use webhook::field::{self, Warning};
use webhook::rule::{Rule, Table};
use webhook::{BindCheck, Policy, Question, Refusal, ReviewedKind};

use super::api_server::path::Path;
use super::api_server::schema::Schema;
use super::api_server::schemas::{Schemas, Shaped};
use super::api_server::violation::Violation;
use super::api_server::{cel, metadata, nulls, validation};
use super::facts::OfflineFacts;
use super::finding::{CheckedObject, Finding, ObjectName, Report, Severity};
use super::input::helm;
use super::input::object::{InputObject, InputObjects, InvalidObject};
use super::input::position::{FieldPart, locate};
use super::input::source::{InputFile, Unreadable};

/// How many findings of one object are reported; nobody reads more, and locating thousands of fields is slow.
const FINDINGS_MAX: usize = 200;
/// The advice where a kind does not exist, which here may mean that it is not among the inputs.
const ADD_THE_KIND: &str = "The kind is neither among the inputs nor among the stored objects of --old. Add its \
                             file; kinds that are only in the cluster can be added with `kubectl get workspacekinds -o \
                             yaml > kinds.yaml` and `--old kinds.yaml`.";

/// Checks the objects of `inputs`. Those of `stored` are in the cluster already: an input of the same kind, namespace
/// and name is checked as an update of it.
///
/// The findings are in the order of the rules; [`Report::sort`] sorts them by line.
pub fn check(inputs: &[InputFile], stored: &[InputFile], policy: &Policy) -> Report {
    check_objects(inputs, &InputObjects::read(inputs), InputObjects::read(stored), policy, UnknownFields::Refused)
}

/// What becomes of fields that the schema does not have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum UnknownFields {
    /// The object is about to be applied: kubectl has it refused.
    Refused,
    /// The object is stored, under other CRDs: with ours the fields are dropped.
    Dropped,
}

/// The same for objects that have been read from `inputs` already.
pub(super) fn check_objects(
    inputs: &[InputFile],
    given: &InputObjects,
    stored: InputObjects,
    policy: &Policy,
    unknown_fields: UnknownFields,
) -> Report {
    let unreadable = given.unreadable.iter().chain(&stored.unreadable).cloned().collect();
    let mut report = Report { files: inputs.len(), foreign: given.foreign, unreadable, ..Report::default() };
    let schemas = match Schemas::read() {
        Ok(schemas) => schemas,
        // Never for our own schemas: a test reads them.
        Err(why) => {
            report.unreadable.push(Unreadable { file: "schema".to_owned(), position: None, message: why.to_owned() });
            return report;
        }
    };
    let mut facts = OfflineFacts::default();
    stored.related.iter().chain(&given.related).for_each(|other| facts.add_other(&other.value));
    let old = stored_objects(schemas, stored.ours);
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
    // The user who will apply the files is unknown.
    let policy = &Policy { cluster_role_bind: BindCheck::Off, ..policy.clone() };
    let mut check = Check { inputs, schemas, policy, unknown_fields, facts, report, found: 0, omitted: None };
    let identities: Vec<ObjectKey> =
        given.ours.iter().zip(&shaped).map(|(object, shaped)| identity(object.subject, &shaped.object)).collect();
    let last: BTreeMap<&ObjectKey, &InputObject> = identities.iter().zip(&given.ours).collect();
    for ((object, shaped), identity) in given.ours.iter().zip(shaped).zip(&identities) {
        let later = last.get(identity).copied().filter(|later| !std::ptr::eq(*later, object) && is_named(object));
        check.object(object, shaped, old.get(identity), later);
    }
    given.invalid.iter().for_each(|invalid_object| check.invalid_object(invalid_object));
    check.report
}

/// Kind, namespace and name.
type ObjectKey = (ReviewedKind, String, String);

fn identity(subject: ReviewedKind, object: &Value) -> ObjectKey {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (subject, text("namespace"), text("name"))
}

/// An object with a generated name is another one each time.
fn is_named(object: &InputObject) -> bool {
    object.value["metadata"]["name"].as_str().is_some_and(|name| !name.is_empty())
}

fn stored_objects(schemas: &Schemas, stored: Vec<InputObject>) -> BTreeMap<ObjectKey, Value> {
    let shaped = stored.into_iter().map(|object| (object.subject, schemas.shape(object.subject, &object.value).object));
    shaped.map(|(subject, object)| (identity(subject, &object), object)).collect()
}

struct Check<'a> {
    inputs: &'a [InputFile],
    schemas: &'a Schemas,
    policy: &'a Policy,
    unknown_fields: UnknownFields,
    facts: OfflineFacts,
    report: Report,
    /// How many findings the current object has, and the highest severity of those that are omitted.
    found: usize,
    omitted: Option<Severity>,
}

impl Check<'_> {
    /// `later`: the last input that defines the same object, if this one is not the last.
    fn object(&mut self, object: &InputObject, shaped: Shaped, old: Option<&Value>, later: Option<&InputObject>) {
        (self.found, self.omitted) = (0, None);
        let schema = self.schemas.of(object.subject);
        let Shaped { object: value, unknown } = shaped;
        let mut violations = metadata::validate(object.subject, &value);
        violations.extend(validation::validate(schema, &value, old));
        let broken: Vec<_> = violations.iter().map(|violation| violation.place.clone()).collect();
        let rules = cel::evaluate(schema, &value, old, &broken);
        let place = Place { object, schema, name: object_name(object.subject, &value) };
        // The API server reports only the first of these that fails: unknown fields (as kubectl requests it), the
        // schema, its rules (which some violations of the schema prevent), the webhook.
        let is_refused = !violations.is_empty() || !rules.is_empty();
        let is_unknown = self.unknown(&place, &unknown);
        let prevents_rules = violations.iter().any(prevents_rules);
        for violation in &violations {
            self.push_violation(&place, violation, is_unknown);
        }
        for violation in &rules {
            self.push_violation(&place, violation, is_unknown || prevents_rules);
        }
        self.webhook(&place, &value, old, &violations, is_unknown || is_refused);
        self.spelling(&place);
        if let Some(later) = later {
            let source = &self.inputs[later.source];
            let line = source.position(later.node.place.start).line;
            let message =
                format!("the same object is defined again in {}:{line}, and that definition wins", source.name());
            self.warn(&place, Rule::ObjectTwice, "metadata.name", message, false);
        }
        self.report_omitted(&place);
        let position = self.inputs[object.source].position(object.node.place.start);
        self.report.objects.push(CheckedObject {
            file: self.inputs[object.source].name().to_owned(),
            line: position.line,
            object: place.name,
            is_update: old.is_some(),
        });
    }

    /// Adds the unknown fields; whether the API server refuses the object because of them.
    fn unknown(&mut self, place: &Place<'_>, unknown: &[Violation]) -> bool {
        for violation in unknown {
            match self.unknown_fields {
                UnknownFields::Refused => self.push_violation(place, violation, false),
                // The status is written anew, whatever it was.
                UnknownFields::Dropped if Path::of("status").covers(&violation.place) => {}
                UnknownFields::Dropped => {
                    let message = format!("dropped once the CRDs of this version are installed: {}", violation.message);
                    let (rule, warning, field) =
                        (Rule::TakeOverFieldDropped, Severity::Warning, violation.place.to_string());
                    self.push(place, rule, warning, &field, &field, FieldPart::Key, message, false);
                }
            }
        }
        self.unknown_fields == UnknownFields::Refused && !unknown.is_empty()
    }

    /// Adds what the webhook reports.
    fn webhook(
        &mut self,
        place: &Place<'_>,
        object: &Value,
        old: Option<&Value>,
        violations: &[Violation],
        masked: bool,
    ) {
        let question = Question { object: Some(object), old };
        let lacks_namespace = self.policy.enforce_filter_rules && self.facts.lacks_namespace_of(object);
        let unfiltered = lacks_namespace.then(|| Policy { enforce_filter_rules: false, ..self.policy.clone() });
        let policy = unfiltered.as_ref().unwrap_or(self.policy);
        let verdict = futures::executor::block_on(question.verdict(&self.facts, policy));
        let kind = object["spec"]["kind"].as_str().unwrap_or_default();
        let is_kind_broken = place.object.subject == ReviewedKind::Workspace && self.facts.is_broken_kind(kind);
        let mut is_reported = false;
        match verdict.refusal {
            Some(Refusal::Invalid { faults: found, .. }) => {
                let is_known = repeats(violations, place, self.inputs[place.object.source].text());
                let rests_on_kind = |fault: &field::Fault| is_kind_broken && fault.rule.depends_on_kind();
                for fault in found.iter().filter(|fault| !is_known(fault) && !rests_on_kind(fault)) {
                    self.push_webhook_fault(place, fault, masked);
                }
            }
            Some(Refusal::Conflict { fault, .. }) => self.push_webhook_fault(place, &fault, masked),
            Some(Refusal::BadRequest(why) | Refusal::Unavailable(why) | Refusal::Internal(why)) => {
                is_reported = violations.is_empty();
                if is_reported {
                    let violation = Violation { rule: Rule::Schema, place: Path::default(), field: None, message: why };
                    self.push_violation(place, &violation, masked);
                }
            }
            None => {}
        }
        if is_kind_broken && !is_reported {
            let message = format!(
                "workspace kind {} is among the inputs but is invalid (see its findings), so the options could not be checked",
                field::quoted(kind)
            );
            self.warn(place, Rule::WorkspaceKindExists, "spec.kind", message, masked);
        }
        if lacks_namespace {
            let message = "the Namespace is not among the inputs, so the filter rules of the kind could not be checked";
            self.warn(place, Rule::FilterDenied, "metadata.namespace", message.to_owned(), masked);
        }
        for Warning { rule, field, text } in verdict.warnings {
            let message = text.strip_prefix(&format!("{field}: ")).unwrap_or(&text).to_owned();
            self.warn(place, rule, &field, message, masked);
        }
    }

    /// Warns of what is not what it looks like in the file.
    fn spelling(&mut self, place: &Place<'_>) {
        if let Some(field) = helm::field(&place.object.value) {
            self.warn(place, Rule::HelmTemplate, &field, helm::ADVICE.to_owned(), false);
        }
        for null in nulls::find(place.schema, &place.object.value) {
            self.warn(place, null.rule, &null.field(), null.message, false);
        }
    }

    fn warn(&mut self, place: &Place<'_>, rule: Rule, field: &str, message: String, masked: bool) {
        self.push(place, rule, Severity::Warning, field, field, FieldPart::Value, message, masked);
    }

    fn push_violation(&mut self, place: &Place<'_>, violation: &Violation, masked: bool) {
        let target = if violation.rule == Rule::UnknownField { FieldPart::Key } else { FieldPart::Value };
        let (field, at) = (violation.field(), violation.place.to_string());
        self.push(place, violation.rule, Severity::Error, &field, &at, target, violation.message.clone(), masked);
    }

    fn push_webhook_fault(&mut self, place: &Place<'_>, fault: &field::Fault, masked: bool) {
        let target = match fault.at {
            Some(byte) => FieldPart::Byte(byte),
            None if is_about_key(fault) => FieldPart::Key,
            None => FieldPart::Value,
        };
        self.push(place, fault.rule, Severity::Error, &fault.field, &fault.field, target, fault.message(), masked);
    }

    #[allow(clippy::too_many_arguments)] // the parts of a finding
    fn push(
        &mut self,
        place: &Place<'_>,
        rule: Rule,
        severity: Severity,
        field: &str,
        at: &str,
        target: FieldPart,
        message: String,
        masked: bool,
    ) {
        self.found += 1;
        if self.found > FINDINGS_MAX {
            self.omitted = self.omitted.max(Some(severity));
            return;
        }
        let source = &self.inputs[place.object.source];
        let bytes = locate(source.text(), &place.object.node, Some(place.schema), at, target);
        let is_kind_missing = rule == Rule::WorkspaceKindExists && severity == Severity::Error;
        let advice = if is_kind_missing { ADD_THE_KIND } else { rule.advice() };
        self.report.findings.push(Finding {
            masked,
            advice: advice.to_owned(),
            ..Finding::at(place.object.source, source, bytes, rule, severity, &place.name, field, message)
        });
    }

    /// Adds a finding for the omitted ones of the object.
    fn report_omitted(&mut self, place: &Place<'_>) {
        let (Some(severity), index) = (self.omitted, place.object.source) else { return };
        let (source, start) = (&self.inputs[index], place.object.node.place.start);
        let message = format!("… and {} more findings", self.found - FINDINGS_MAX);
        let rest = Finding::at(index, source, start..start, Rule::Schema, severity, &place.name, "", message);
        self.report.findings.push(rest);
    }

    fn invalid_object(&mut self, invalid_object: &InvalidObject) {
        let source = &self.inputs[invalid_object.source];
        let bytes = locate(source.text(), &invalid_object.node, None, invalid_object.field, FieldPart::Value);
        let object = ObjectName::of(&invalid_object.node.value());
        let message = invalid_object.message.clone();
        let error = Severity::Error;
        self.report.findings.push(Finding::at(
            invalid_object.source,
            source,
            bytes,
            Rule::Schema,
            error,
            &object,
            invalid_object.field,
            message,
        ));
    }
}

/// The object that findings are about.
struct Place<'a> {
    object: &'a InputObject,
    schema: &'a Schema,
    name: ObjectName,
}

/// Its kind is that of the path, whatever the object says.
fn object_name(subject: ReviewedKind, object: &Value) -> ObjectName {
    ObjectName { kind: subject.kind().to_owned(), ..ObjectName::of(object) }
}

/// Whether the API server skips the CEL rules of an object with this violation: they may expect another structure.
fn prevents_rules(violation: &Violation) -> bool {
    let message = &violation.message;
    !(message.starts_with("Invalid value") || message.starts_with("Duplicate value"))
        || message.contains("in body must be of type")
}

fn is_about_name(violation: &Violation) -> bool {
    ["metadata.name", "metadata.generateName"].contains(&&*violation.field())
}

/// Whether a fault is about the key of a map entry and not about its value.
fn is_about_key(fault: &field::Fault) -> bool {
    let quotes_key = match &fault.value {
        field::QuotedValue::Text(text) => fault.field.ends_with(&field::key("", text)),
        field::QuotedValue::Omitted | field::QuotedValue::Number(_) | field::QuotedValue::Block(_) => false,
    };
    fault.field.ends_with(']') && (quotes_key || matches!(fault.fault_type, field::FaultType::Forbidden))
}

/// Which faults repeat what the schema says of the object at `place` in `text`.
fn repeats(violations: &[Violation], place: &Place<'_>, text: &str) -> impl Fn(&field::Fault) -> bool {
    let at = |path: &str| locate(text, &place.object.node, Some(place.schema), path, FieldPart::Value).start;
    let places: BTreeSet<usize> = violations.iter().map(|known| at(&known.place.to_string())).collect();
    move |fault| match fault.rule {
        // Of bad characters in a name the API server speaks first.
        Rule::WorkspaceName => violations.iter().any(is_about_name),
        // What the schema says of a quantity the rules of pods say again.
        Rule::PodResources | Rule::PodVolume | Rule::PodVariable => places.contains(&at(&fault.field)),
        // An object that does not decode violates the schema already.
        rule => rule.table() == Table::Schema && violations.iter().any(|known| overlap(&known.field(), &fault.field)),
    }
}

/// Whether one of two fields is the other one, or below it.
fn overlap(one: &str, other: &str) -> bool {
    let below = |upper: &str, lower: &str| {
        lower.strip_prefix(upper).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    below(one, other) || below(other, one)
}
