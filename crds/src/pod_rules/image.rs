//! The image of a container.
//!
//! What the kubelet accepts is the grammar of `github.com/distribution/reference`, as `ParseNormalizedNamed` reads it.

use super::faults::PodFaults;
use crate::field_path::FieldPath;

/// The longest repository without its registry, in bytes, and the first part of the official ones of Docker Hub, which
/// may be left out but counts.
const REPOSITORY_MAX: usize = 255;
const OFFICIAL: &str = "library/";
/// The longest tag, in bytes.
const TAG_MAX: usize = 128;
/// Algorithms of digests, and how many hexadecimal digits theirs have.
const DIGESTS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];

/// Validates the image at `at`.
pub fn validate(image: &str, at: &FieldPath<'_>, faults: &mut PodFaults) {
    if image.is_empty() {
        return faults.required(at, "");
    }
    if image.trim() != image {
        faults.invalid(at, image, "must not have leading or trailing whitespace");
        faults.hint(if image.ends_with('\n') {
            ": `|` and `>` of YAML add a line break, write the image in the line of its field, or use `>-`"
        } else {
            ", remove it"
        });
    }
}

/// Why no kubelet can pull the image, though the API server accepts it, if so: what to write instead.
pub fn unusable(image: &str) -> Option<&'static str> {
    // White space around it is a fault already.
    let image = image.trim();
    if image.is_empty() || is_reference(image) {
        return None;
    }
    let (name, tag) = split_tag(image.split_once('@').map_or(image, |(name, _)| name));
    Some(if image.contains(['<', '>', '{', '}', '$']) {
        "write the image without placeholders"
    } else if image.contains("://") {
        "write the image without `https://`"
    } else if image.contains(char::is_whitespace) {
        "write the image without spaces"
    } else if tag == Some("") {
        "write a tag after the colon"
    } else if split_registry(name).1.chars().any(char::is_uppercase) {
        "write the repository in lower case"
    } else {
        "write it as `registry/repository:tag`"
    })
}

/// Whether this is `[registry/]repository[:tag][@digest]`.
fn is_reference(image: &str) -> bool {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let (name, tag) = split_tag(name);
    let (registry, repository) = split_registry(name);
    let is_official = matches!(registry, None | Some("docker.io" | "index.docker.io")) && !repository.contains('/');
    let bytes = repository.len() + if is_official { OFFICIAL.len() } else { 0 };
    let is_id = image.len() == 64 && image.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_path = |path: &str| path.split('/').all(is_path_component);
    let has_registry = registry.is_none_or(is_registry) && bytes <= REPOSITORY_MAX && is_path(repository);
    // A host with a `_` is none for the grammar, but as a part of the repository it may stand there all the same.
    let has_odd_registry = registry.is_some() && name.len() <= REPOSITORY_MAX && is_path(name);
    !is_id && (has_registry || has_odd_registry) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest)
}

/// The name and the tag of an image without a digest. A colon before a slash belongs to the port of the registry.
fn split_tag(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    }
}

/// The registry and the repository of a name. Without a registry, it is an image of Docker Hub.
fn split_registry(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((registry, repository)) if registry.contains(['.', ':']) || registry == "localhost" => {
            (Some(registry), repository)
        }
        // The kubelet takes a first part in upper case for the name of a host, where there is no registry.
        _ => (None, name),
    }
}

fn is_registry(registry: &str) -> bool {
    let is_address = |host: &str| {
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        address.is_some_and(|digits| {
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':')
        })
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_host = |host: &str| is_address(host) || host.split('.').all(is_label);
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    is_host(registry) || registry.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && is_port(port))
}

/// Lowercase letters and digits, with `.`, `_`, `__` or any number of `-` between them.
fn is_path_component(component: &str) -> bool {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_separator = |text: &str| matches!(text, "" | "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    let is_inside = |text: &str| text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).all(is_separator);
    let bytes = component.as_bytes();
    bytes.first().is_some_and(|byte| is_alphanumeric(*byte))
        && bytes.last().is_some_and(|byte| is_alphanumeric(*byte))
        && is_inside(component)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_MAX
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    let lowercase = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    digest
        .split_once(':')
        .is_some_and(|(algorithm, digits)| DIGESTS.contains(&(algorithm, digits.len())) && lowercase(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The faults of an image, each with its advice.
    fn faults_of(image: &str) -> Vec<String> {
        let faults = || PodFaults::of(|faults| validate(image, &FieldPath::root("image"), faults));
        faults()
            .written()
            .into_iter()
            .zip(faults())
            .map(|(written, fault)| format!("{written}{}", fault.hint))
            .collect()
    }

    #[test]
    fn white_space_around_is_refused() {
        let line_break =
            ": `|` and `>` of YAML add a line break, write the image in the line of its field, or use `>-`";
        for (image, quoted, hint) in [
            (" r.example.com/lab:1", "\" r.example.com/lab:1\"", ", remove it"),
            ("lab:1\t", "\"lab:1\\t\"", ", remove it"),
            ("lab:1\u{a0}", "\"lab:1\\u00a0\"", ", remove it"),
            ("  ", "\"  \"", ", remove it"),
            ("lab:1\n", "\"lab:1\\n\"", line_break),
        ] {
            let fault = format!("image: Invalid value: {quoted}: must not have leading or trailing whitespace{hint}");
            assert_eq!(faults_of(image), [fault]);
        }
        assert_eq!(faults_of(""), ["image: Required value"]);
        assert_eq!(faults_of("a b"), [""; 0], "the API server takes any other text");
    }

    #[test]
    fn a_kubelet_can_pull() {
        let digest = format!("sha256:{}", "a1".repeat(32));
        for image in [
            "lab",
            "lab:1",
            "kubeflow/jupyter-scipy:v1.9.0",
            "r.example.com/lab:1",
            "R.Example.com:5000/team/a.b_c__d---e:V1_x.y-z",
            "localhost/lab",
            "my_registry.local/lab",
            "[2001:db8::1]:5000/lab",
            "10.0.0.1/lab",
            &format!("lab@{digest}"),
            &format!("r.example.com/lab:1@{digest}"),
            &format!("lab@sha512:{}", "0".repeat(128)),
            &format!("lab:{}", "a".repeat(128)),
            &"a".repeat(247),
            &format!("a/{}", "b".repeat(253)),
        ] {
            assert_eq!(unusable(image), None, "{image}");
        }
    }

    #[test]
    fn no_kubelet_can_pull() {
        for (image, why) in [
            ("r.example.com/<team>/lab:<tag>", "write the image without placeholders"),
            ("${REGISTRY}/lab", "write the image without placeholders"),
            ("{{ registry }}/lab", "write the image without placeholders"),
            ("https://r.example.com/lab:1", "write the image without `https://`"),
            ("r.example.com/my lab:1", "write the image without spaces"),
            ("lab:1 # comment", "write the image without spaces"),
            ("lab:", "write a tag after the colon"),
            ("r.example.com:5000/lab:", "write a tag after the colon"),
            ("r.example.com/Lab:1", "write the repository in lower case"),
            ("Kubeflow/lab:1", "write the repository in lower case"),
            ("Lab", "write the repository in lower case"),
            ("lab:1:2", "write it as `registry/repository:tag`"),
            ("/lab", "write it as `registry/repository:tag`"),
            ("r.example.com/", "write it as `registry/repository:tag`"),
            ("r.example.com//lab", "write it as `registry/repository:tag`"),
            ("r.example.com:port/lab", "write it as `registry/repository:tag`"),
            ("-r.example.com/lab", "write it as `registry/repository:tag`"),
            ("[]/lab", "write it as `registry/repository:tag`"),
            ("lab-", "write it as `registry/repository:tag`"),
            ("a..b", "write it as `registry/repository:tag`"),
            ("a___b", "write it as `registry/repository:tag`"),
            ("ä", "write it as `registry/repository:tag`"),
            ("lab:-1", "write it as `registry/repository:tag`"),
            ("lab@", "write it as `registry/repository:tag`"),
            (&format!("lab:{}", "a".repeat(129)), "write it as `registry/repository:tag`"),
            (&format!("lab@sha256:{}", "a".repeat(63)), "write it as `registry/repository:tag`"),
            (&format!("lab@sha256:{}", "A".repeat(64)), "write it as `registry/repository:tag`"),
            (&format!("lab@md5:{}", "a".repeat(32)), "write it as `registry/repository:tag`"),
            (&"a".repeat(64), "write it as `registry/repository:tag`"),
            (&"a".repeat(248), "write it as `registry/repository:tag`"),
            (&format!("a/{}", "b".repeat(254)), "write it as `registry/repository:tag`"),
        ] {
            assert_eq!(unusable(image), Some(why), "{image}");
        }
    }
}
