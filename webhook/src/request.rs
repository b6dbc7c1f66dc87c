//! The AdmissionReview from the API server: decoded in one pass where its objects decode, else with raw JSON as specs.

use std::borrow::Cow;

use crds::WorkspaceKindSpec;
use crds::decode::DecodeError;
use k8s_openapi::api::authentication::v1::UserInfo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::field::Fault;
use crate::rule::Rule;

/// The kinds of objects that are reviewed; each has its own webhook.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ReviewedKind {
    /// A Workspace.
    Workspace,
    /// A WorkspaceKind.
    WorkspaceKind,
}

impl ReviewedKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Workspace, Self::WorkspaceKind];

    /// The `kind` of the object.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Workspace => "Workspace",
            Self::WorkspaceKind => "WorkspaceKind",
        }
    }
}

/// A body, as far as it could be decoded.
#[allow(clippy::large_enum_variant)] // one a request, moved once
#[derive(Debug)]
pub(crate) enum Body<'a> {
    /// A review of WorkspaceKinds that decode. They are large: to decode them twice would take longer than to validate
    /// them.
    Kinds(Envelope<'a, Box<WorkspaceKindSpec>>),
    /// Any review.
    Review(Envelope<'a>),
    /// A review that does not decode, with a uid that can be answered.
    Broken {
        /// The apiVersion of the review.
        api_version: Cow<'a, str>,
        /// The uid of the request.
        uid: Cow<'a, str>,
        /// What does not decode.
        why: String,
    },
    /// A body without a uid, which cannot be answered.
    Unreadable(String),
}

/// An AdmissionReview.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Envelope<'a, Spec = &'a RawValue> {
    #[serde(borrow, default = "default_api_version")]
    pub api_version: Cow<'a, str>,
    #[serde(borrow)]
    pub request: Request<'a, Spec>,
}

/// The fields of the request that a verdict needs. `dryRun` is not among them: a dry run gets the same verdict.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request<'a, Spec = &'a RawValue> {
    #[serde(borrow)]
    pub uid: Cow<'a, str>,
    #[serde(borrow)]
    pub operation: Cow<'a, str>,
    #[serde(borrow, default)]
    pub kind: Option<RequestKind<'a>>,
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub namespace: Cow<'a, str>,
    /// The user; only rules about permissions need it.
    #[serde(borrow, default)]
    user_info: Option<&'a RawValue>,
    #[serde(borrow, default = "Option::default")]
    pub object: Option<Object<'a, Spec>>,
    #[serde(borrow, default = "Option::default")]
    pub old_object: Option<Object<'a, Spec>>,
}

/// The group and kind of the object under review.
#[derive(Debug, Deserialize)]
pub(crate) struct RequestKind<'a> {
    #[serde(borrow, default)]
    pub group: Cow<'a, str>,
    #[serde(borrow, default)]
    pub kind: Cow<'a, str>,
}

/// An object under review.
#[derive(Debug, Deserialize)]
pub(crate) struct Object<'a, Spec> {
    #[serde(borrow, default)]
    pub metadata: Metadata<'a>,
    #[serde(default = "Option::default")]
    pub spec: Option<Spec>,
}

/// The metadata of an object under review.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Metadata<'a> {
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub namespace: Cow<'a, str>,
}

/// Whether an update changes a spec.
pub(crate) trait SameSpec {
    /// Whether both specs are the same.
    fn is_same(&self, old: &Self) -> bool;
}

impl SameSpec for Box<WorkspaceKindSpec> {
    fn is_same(&self, old: &Self) -> bool {
        self == old
    }
}

impl SameSpec for &RawValue {
    /// Byte for byte: the API server writes both in the same way.
    fn is_same(&self, old: &Self) -> bool {
        self.get() == old.get()
    }
}

/// The fields without which there is no answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stub<'a> {
    #[serde(borrow, default)]
    api_version: Option<&'a RawValue>,
    #[serde(borrow)]
    request: RequestStub<'a>,
}

#[derive(Deserialize)]
struct RequestStub<'a> {
    #[serde(borrow)]
    uid: Cow<'a, str>,
}

fn default_api_version() -> Cow<'static, str> {
    Cow::Borrowed("admission.k8s.io/v1")
}

/// The most objects, lists and items in a body: read, the smallest of them take a hundred times the memory of their
/// text. Two kinds of 1.5 MiB, as much as etcd takes, have half as many.
const VALUES_MAX: usize = 400_000;

/// Reads a body.
pub(crate) fn read(reviewed: ReviewedKind, body: &[u8]) -> Body<'_> {
    if body.iter().filter(|byte| matches!(byte, b'{' | b'[' | b',')).count() > VALUES_MAX {
        return undecoded(body, format!("it has more than {VALUES_MAX} values"));
    }
    if reviewed == ReviewedKind::WorkspaceKind
        // UTF-8 is validated once for the whole text, not for each string.
        && let Ok(text) = std::str::from_utf8(body)
        && let Ok(review) = serde_json::from_str::<Envelope<'_, Box<WorkspaceKindSpec>>>(text)
        && !review.request.uid.is_empty()
    {
        return Body::Kinds(review);
    }
    let why = match serde_json::from_slice::<Envelope<'_>>(body) {
        Ok(review) if review.request.uid.is_empty() => return Body::Unreadable("request.uid is empty".to_owned()),
        Ok(review) => return Body::Review(review),
        Err(why) => why.to_string(),
    };
    undecoded(body, why)
}

/// A body that does not decode: broken if it has a uid, else unreadable.
fn undecoded(body: &[u8], why: String) -> Body<'_> {
    match serde_json::from_slice::<Stub<'_>>(body) {
        Ok(Stub { api_version, request }) if !request.uid.is_empty() => {
            let api_version = api_version.and_then(|raw| serde_json::from_str(raw.get()).ok().map(Cow::Owned));
            Body::Broken { api_version: api_version.unwrap_or_else(default_api_version), uid: request.uid, why }
        }
        _ => Body::Unreadable(why),
    }
}

impl<Spec> Request<'_, Spec> {
    /// The name to validate: with `generateName` the API server has already put the generated one into the object.
    pub fn name(&self) -> &str {
        let new = self.object.as_ref().map_or("", |object| &object.metadata.name);
        let old = self.old_object.as_ref().map_or("", |object| &object.metadata.name);
        [new, old, &self.name].into_iter().find(|name| !name.is_empty()).unwrap_or_default()
    }

    /// The spec to store.
    pub fn spec(&self) -> Option<&Spec> {
        self.object.as_ref()?.spec.as_ref()
    }

    /// The stored spec that an update is compared with; `None` for other operations.
    pub fn old_spec(&self) -> Option<&Spec> {
        self.old_object.as_ref().filter(|_| self.operation == "UPDATE")?.spec.as_ref()
    }

    /// Whether a request is an update that does not change the spec.
    pub fn keeps_spec(&self) -> bool
    where
        Spec: SameSpec,
    {
        let same = match (self.spec(), self.old_spec()) {
            (Some(new), Some(old)) => new.is_same(old),
            (new, old) => new.is_none() && old.is_none(),
        };
        self.operation == "UPDATE" && self.old_object.is_some() && same
    }

    /// The user. One without a name has no permissions.
    pub fn user(&self) -> UserInfo {
        self.user_info.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    /// The namespace of the object.
    pub fn namespace(&self) -> &str {
        let of_object = self.object.as_ref().map_or("", |object| &object.metadata.namespace);
        if self.namespace.is_empty() { of_object } else { &self.namespace }
    }
}

/// Decodes a spec, or returns the first field that does not decode.
pub(crate) fn decode<T: DeserializeOwned>(spec: Option<&&RawValue>) -> Result<T, Box<Fault>> {
    let spec = spec.ok_or_else(missing)?.get();
    crds::decode::decode(spec).map_err(|error| Box::new(undecodable(&error)))
}

/// The fault of an object without a spec.
pub(crate) fn missing() -> Box<Fault> {
    Box::new(Fault::required(Rule::Schema, "spec", ""))
}

fn undecodable(error: &DecodeError) -> Fault {
    let DecodeError { path, why } = error;
    let field = if path.is_empty() { "spec".to_owned() } else { format!("spec.{path}") };
    // The class of the fault says the rest.
    let why = ["invalid value: ", "invalid type: ", "invalid "]
        .iter()
        .find_map(|class| why.strip_prefix(class))
        .unwrap_or(why.as_str());
    match why.strip_suffix("expected i32") {
        Some(start) => Fault::undecodable(field, &format!("{start}expected a 32-bit integer")),
        None => Fault::undecodable(field, why),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn review(text: &str) -> Envelope<'_> {
        match read(ReviewedKind::Workspace, text.as_bytes()) {
            Body::Review(review) => review,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_a_review_without_copying() {
        let text = r#"{"kind":"AdmissionReview","apiVersion":"v","request":{"uid":"u","operation":"UPDATE","name":"n",
            "object":{"metadata":{"name":"o","managedFields":[1]},"spec":{"a": 1}},"oldObject":{"spec":{"a": 2}}}}"#;
        let review = review(text);
        assert!(matches!(review.request.uid, Cow::Borrowed("u")));
        assert_eq!(review.api_version, "v");
        assert_eq!(review.request.spec().unwrap().get(), r#"{"a": 1}"#);
        assert_eq!(review.request.old_spec().unwrap().get(), r#"{"a": 2}"#);
        assert_eq!(review.request.name(), "o");
        assert!(!review.request.keeps_spec());
    }

    #[test]
    fn an_update_that_keeps_the_spec_is_seen_without_decoding() {
        let text = |old: &str| {
            format!(r#"{{"request":{{"uid":"u","operation":"UPDATE","object":{{"spec":[1]}},"oldObject":{old}}}}}"#)
        };
        assert!(review(&text(r#"{"spec":[1],"status":{}}"#)).request.keeps_spec());
        assert!(!review(&text(r#"{"spec":[2]}"#)).request.keeps_spec());
        assert!(!review(&text("null")).request.keeps_spec());
    }

    #[test]
    fn a_broken_review_keeps_its_uid() {
        let cases = [
            r#"{"apiVersion":"v","request":{"uid":"u"}}"#,
            r#"{"apiVersion":"v","request":{"uid":"u","operation":1}}"#,
            r#"{"apiVersion":"v","request":{"uid":"u","operation":"CREATE","object":1}}"#,
            r#"{"apiVersion":"v","request":{"uid":"u","operation":"CREATE","object":{},"object":{}}}"#,
        ];
        for text in cases {
            match read(ReviewedKind::Workspace, text.as_bytes()) {
                Body::Broken { api_version, uid, .. } => assert_eq!((&*api_version, &*uid), ("v", "u"), "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        match read(ReviewedKind::Workspace, br#"{"apiVersion":7,"request":{"uid":"u"}}"#) {
            Body::Broken { api_version, .. } => assert_eq!(api_version, "admission.k8s.io/v1"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_a_uid_there_is_nobody_to_answer() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"request":null}"#,
            r#"{"request":{}}"#,
            r#"{"request":{"uid":""}}"#,
            r#"{"request":{"uid":7}}"#,
        ] {
            assert!(matches!(read(ReviewedKind::WorkspaceKind, text.as_bytes()), Body::Unreadable(_)), "{text}");
        }
    }
}
