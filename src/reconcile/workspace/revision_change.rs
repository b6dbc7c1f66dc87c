//! What a pending restart would change: the difference of two ControllerRevisions, the pod's and the one of a new pod.

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::Api;
use serde_json::Value;

use super::target::Target;
use crate::client::{causes, in_time};
use crate::render::difference::{Difference, Extra, differences};

/// How many differences are listed.
const LISTED_MAX: usize = 5;

/// Names both revisions and what would change, as far as they can be read; they are not, where `known`, a text from earlier
/// on, is about the same two.
pub(super) async fn describe(target: &Target<'_>, running: &str, current: &str, known: Option<&str>) -> String {
    let start = format!("the pod was made from revision {}, the current one is {}", hash_of(running), hash_of(current));
    // Also where they could not be read: what is missing is usually a right, and thousands may be pending.
    let is_about_these = |rest: &str| rest.is_empty() || rest.starts_with(':');
    if let Some(known) = known.filter(|known| known.strip_prefix(&*start).is_some_and(is_about_these)) {
        return known.to_owned();
    }
    match tokio::try_join!(template(target, running), template(target, current)) {
        Ok((running, current)) => format!("{start}: {}", listed(&differences(&running, &current, Extra::Removed))),
        Err(error) => {
            tracing::debug!(error, "the revisions of the StatefulSet cannot be read");
            start
        }
    }
}

/// The part of a ControllerRevision's name that distinguishes it.
fn hash_of(revision: &str) -> &str {
    revision.rsplit_once('-').map_or(revision, |(_, hash)| hash)
}

fn listed(found: &[Difference]) -> String {
    let mut parts: Vec<String> = found.iter().take(LISTED_MAX).map(ToString::to_string).collect();
    if found.len() > LISTED_MAX {
        parts.push(format!("and {} more", found.len() - LISTED_MAX));
    }
    parts.join("; ")
}

/// The pod template of a revision.
async fn template(target: &Target<'_>, revision: &str) -> Result<Value, String> {
    let namespace = target.workspace.identity.key.namespace();
    let revisions: Api<ControllerRevision> = Api::namespaced(target.context.client.clone(), namespace);
    let revision = in_time(revisions.get(revision)).await.map_err(|error| causes(&error))?;
    Ok(revision.data.map(|mut data| data.0["spec"]["template"].take()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_differences_are_listed_and_the_others_counted() {
        let difference = |number: usize| Difference {
            path: format!("spec.p{number}"),
            before: Some("1".to_owned()),
            after: (number > 0).then(|| "2".to_owned()),
        };
        let found: Vec<_> = (0..7).map(difference).collect();
        assert_eq!(listed(&found[..2]), "spec.p0: 1 is removed; spec.p1: 1 -> 2");
        let all = listed(&found);
        assert!(all.ends_with("; spec.p4: 1 -> 2; and 2 more"), "{all}");
        assert_eq!(hash_of("ws-lab-eed504cd16-5d8f7c9b6d"), "5d8f7c9b6d");
    }
}
