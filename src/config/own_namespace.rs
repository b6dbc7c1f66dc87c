//! The namespace that the process runs in: that of its pod.

use std::path::Path;

use crds::labels::is_dns_label;

use super::settings;
use super::source::SettingSource;

/// Where the kubelet writes the namespace of the pod, beside the token of its ServiceAccount.
const FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The namespace of this process's pod, of the variable `POD_NAMESPACE` or of what is mounted with the token of the account. None
/// outside of a pod, where neither is there.
pub(super) fn own_namespace(source: &mut SettingSource<'_>) -> Option<String> {
    source.optional(&settings::POD_NAMESPACE, namespace).or_else(|| read(Path::new(FILE)))
}

fn namespace(value: &str) -> Result<String, String> {
    if is_dns_label(value) {
        Ok(value.to_owned())
    } else {
        Err("must be a namespace: at most 63 lower-case letters, digits and '-', such as kubeflow-workspaces"
            .to_owned())
    }
}

fn read(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    Some(text.trim().to_owned()).filter(|name| is_dns_label(name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_mounted_namespace_is_read_if_it_is_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, expected) in [("team-a", Some("team-a")), ("team-a\n", Some("team-a")), ("", None), ("a/b", None)] {
            std::fs::write(file.path(), text).unwrap();
            assert_eq!(read(file.path()).as_deref(), expected, "{text:?}");
        }
        assert_eq!(read(Path::new("/nowhere/namespace")), None);
    }
}
