//! Which image and size a Workspace selects, and where redirects would take it. Redirects never change a Workspace by
//! themselves: they only show in its status.

use crds::redirects::{self, RedirectError};
use crds::workspace::{OptionStatus, PodTemplateOptionsStatus, WorkspaceOptions};
use crds::workspace_kind::{ImageConfigSpec, OptionRedirect, PodConfigSpec, PodTemplate};

use super::fault::{OptionFault, RenderFault};

const IMAGE_CONFIG: &str = "imageConfig";
const POD_CONFIG: &str = "podConfig";

/// The selected image.
pub(super) fn image_config<'a>(template: &'a PodTemplate, id: &str) -> Result<&'a ImageConfigSpec, OptionFault> {
    let mut values = template.options.image_config.values.iter();
    let value = values.find(|value| value.id == id);
    value.map(|value| &value.spec).ok_or_else(|| OptionFault::NotFound { list: IMAGE_CONFIG, id: id.to_owned() })
}

/// The selected size.
pub(super) fn pod_config<'a>(template: &'a PodTemplate, id: &str) -> Result<&'a PodConfigSpec, OptionFault> {
    let mut values = template.options.pod_config.values.iter();
    let value = values.find(|value| value.id == id);
    value.map(|value| &value.spec).ok_or_else(|| OptionFault::NotFound { list: POD_CONFIG, id: id.to_owned() })
}

/// Where the redirects of the selected options lead, and the first fault, imageConfig first. An option whose
/// redirects are faulty, or that does not exist, has no desired one.
pub fn resolve(template: &PodTemplate, selected: &WorkspaceOptions) -> (PodTemplateOptionsStatus, Option<RenderFault>) {
    let images = &template.options.image_config.values;
    let pods = &template.options.pod_config.values;
    let image = follow(IMAGE_CONFIG, &selected.image_config, |id| {
        images.iter().find(|value| value.id == id).map(|value| target(value.redirect.as_ref()))
    });
    let pod = follow(POD_CONFIG, &selected.pod_config, |id| {
        pods.iter().find(|value| value.id == id).map(|value| target(value.redirect.as_ref()))
    });
    let (image_config, image_fault) =
        image.map_or_else(|fault| (OptionStatus::default(), Some(fault)), |status| (status, None));
    let (pod_config, pod_fault) =
        pod.map_or_else(|fault| (OptionStatus::default(), Some(fault)), |status| (status, None));
    let fault = image_fault.map(RenderFault::ImageConfig).or(pod_fault.map(RenderFault::PodConfig));
    (PodTemplateOptionsStatus { image_config, pod_config }, fault)
}

fn target(redirect: Option<&OptionRedirect>) -> Option<&str> {
    redirect.map(|redirect| redirect.to.as_str())
}

fn follow<'a>(
    list: &'static str,
    selected: &'a str,
    target_of: impl Fn(&str) -> Option<Option<&'a str>>,
) -> Result<OptionStatus, OptionFault> {
    match redirects::follow(selected, target_of) {
        Ok(redirect_chain) => {
            let desired = redirect_chain.last().map_or(selected, |step| step.target.as_str()).to_owned();
            Ok(OptionStatus { desired: Some(desired), redirect_chain })
        }
        Err(RedirectError::NoStart(id)) => Err(OptionFault::NotFound { list, id }),
        Err(RedirectError::Missing { target, source_id }) => {
            Err(OptionFault::TargetNotFound { list, id: target, from: source_id })
        }
        Err(RedirectError::Cycle { source_id }) => Err(OptionFault::Circular { list, id: source_id }),
    }
}
