//! Counts: how many Workspaces use a kind, and each of its options. Pure: it is given the numbers.

use crds::options::{KindOption, OptionList};
use crds::workspace_kind::{OptionCount, OptionCounts, PodTemplate};

/// How often each option of the kind is used, in its order, unused ones too. `users` counts the Workspaces that select an
/// option.
pub(super) fn option_counts(template: &PodTemplate, users: impl Fn(&KindOption) -> usize) -> OptionCounts {
    let options = &template.options;
    let count = |list, id: &String| {
        let workspaces = count(users(&KindOption { list, id: id.clone() }));
        OptionCount { id: id.clone(), workspaces }
    };
    let images = options.image_config.values.iter().map(|value| count(OptionList::ImageConfig, &value.id));
    let pods = options.pod_config.values.iter().map(|value| count(OptionList::PodConfig, &value.id));
    OptionCounts { image_config: images.collect(), pod_config: pods.collect() }
}

/// A number as the status has it.
pub(super) fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use crds::testing;

    use super::*;

    #[test]
    fn every_option_is_counted_in_the_order_of_the_kind() {
        let mut template = testing::workspace_kind("lab").spec.pod_template;
        template.options.image_config.values.reverse();
        let images: Vec<String> = template.options.image_config.values.iter().map(|value| value.id.clone()).collect();
        assert_eq!(images, ["large", "small"]);
        // An option that a Workspace selects and the kind no longer has is not counted.
        let users = |option: &KindOption| match (option.list, &*option.id) {
            (OptionList::ImageConfig, "small") => 3,
            (OptionList::ImageConfig, "removed") => 2,
            (OptionList::PodConfig, _) => 5,
            _ => 0,
        };
        let counts = option_counts(&template, users);
        let of = |counts: &[OptionCount]| -> Vec<(String, i32)> {
            counts.iter().map(|count| (count.id.clone(), count.workspaces)).collect()
        };
        assert_eq!(of(&counts.image_config), [("large".to_owned(), 0), ("small".to_owned(), 3)]);
        let pods: Vec<_> = template.options.pod_config.values.iter().map(|value| (value.id.clone(), 5)).collect();
        assert_eq!(of(&counts.pod_config), pods);
        assert_eq!(count(usize::MAX), i32::MAX);
    }
}
