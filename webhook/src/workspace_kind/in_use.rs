//! Options that Workspaces use must not be removed or changed.

use std::collections::{BTreeMap, BTreeSet};

use crds::equality::semantically_equal;
use crds::options::{KindOption, OptionList};
use crds::pod_rules::{can_run_image, can_run_pod_config};
use crds::workspace_kind::PodTemplate;
use serde::Serialize;

use super::stored::{StoredOption, StoredTemplate};
use crate::field::{Fault, Findings, key, quoted};
use crate::lookup::{KindUsage, Lookup, LookupError};
use crate::rule::Rule;

/// What an update does to an option.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Touch {
    Changed,
    Removed,
}

/// The options that an update changes although a pod could run with them, or removes: images first; the changed ones
/// in their order, then the removed ones.
pub(super) fn touched(old: &StoredTemplate<'_>, new: &PodTemplate) -> Vec<(KindOption, Touch)> {
    let images = new.options.image_config.values.iter().map(|value| (&*value.id, &value.spec));
    let mut touched = touched_of(OptionList::ImageConfig, &old.images, images, can_run_image);
    let pods = new.options.pod_config.values.iter().map(|value| (&*value.id, &value.spec));
    touched.extend(touched_of(OptionList::PodConfig, &old.pods, pods, |spec| can_run_pod_config(spec, &old.labels)));
    touched
}

fn touched_of<'a, Spec: Clone + PartialEq + Serialize + 'a>(
    list: OptionList,
    old: &[StoredOption<'_, Spec>],
    new: impl Iterator<Item = (&'a str, &'a Spec)> + Clone,
    can_run: impl Fn(&Spec) -> bool,
) -> Vec<(KindOption, Touch)> {
    if old.iter().map(|value| (&*value.id, value.spec.as_deref())).eq(new.clone().map(|(id, spec)| (id, Some(spec)))) {
        // The common case, and cheap to detect.
        return Vec::new();
    }
    let option = |id: &str| KindOption { list, id: id.to_owned() };
    let before: BTreeMap<&str, Option<&Spec>> = old.iter().map(|value| (&*value.id, value.spec.as_deref())).collect();
    let mut kept = BTreeSet::new();
    let mut touched = Vec::new();
    for (id, spec) in new {
        kept.insert(id);
        // A spec that does not decode, or that the API server refuses in a pod, runs none: any other one repairs it.
        let stored = before.get(id).copied().flatten();
        if stored.is_some_and(|old| !semantically_equal(old, spec) && can_run(old)) {
            touched.push((option(id), Touch::Changed));
        }
    }
    let removed = old.iter().filter(|value| !kept.contains(&*value.id));
    touched.extend(removed.map(|value| (option(&value.id), Touch::Removed)));
    touched
}

/// The faults of changing or removing options that Workspaces use.
///
/// Usage is looked up in the cache first. Options that are unused there are looked up on the API server, all at once: a
/// Workspace may have been created a moment ago.
pub(super) async fn validate<L: Lookup>(
    kind: &str,
    touched: Vec<(KindOption, Touch)>,
    lookup: &L,
) -> Result<Findings, LookupError> {
    let mut usages: BTreeMap<KindOption, KindUsage> = BTreeMap::new();
    for (option, _) in &touched {
        usages.insert(option.clone(), lookup.workspaces_using_option(kind, option).await?);
    }
    let unused: BTreeSet<KindOption> =
        usages.iter().filter(|(_, usage)| usage.count == 0).map(|(option, _)| option.clone()).collect();
    if !unused.is_empty() {
        usages.extend(lookup.workspaces_using_options_live(kind, &unused).await?);
    }
    let mut findings = Findings::default();
    for (option, touch) in touched {
        let usage = usages.get(&option).cloned().unwrap_or_default();
        if usage.count > 0 {
            findings.faults.push(in_use(&option, touch, &usage));
        }
    }
    Ok(findings)
}

fn in_use(option: &KindOption, touch: Touch, usage: &KindUsage) -> Fault {
    let list = option.list.as_str();
    let what = match touch {
        Touch::Changed => "changed",
        Touch::Removed => "removed",
    };
    let field = key(&format!("spec.podTemplate.options.{list}.values"), &option.id);
    let detail = format!("{list} value {} is in use and cannot be {what}", quoted(&option.id));
    Fault::invalid(Rule::OptionInUse, field, &option.id, detail).with_hint(format!(": used by {usage}"))
}
