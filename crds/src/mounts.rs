//! Mount paths, and the names of the volumes that the controller adds to pods.

/// The name of the volume that holds the home directory.
pub const HOME_VOLUME: &str = "home-volume";
const DATA_VOLUME: &str = "data-volume-";
const SECRET_VOLUME: &str = "secret-volume-";

/// The name of the volume of `spec.podTemplate.volumes.data[index]`.
pub fn data_volume(index: usize) -> String {
    format!("{DATA_VOLUME}{index}")
}

/// The name of the volume of `spec.podTemplate.volumes.secrets[index]`.
pub fn secret_volume(index: usize) -> String {
    format!("{SECRET_VOLUME}{index}")
}

/// Whether the name is reserved for the volumes that the controller adds.
pub fn is_reserved_volume(name: &str) -> bool {
    let is_number = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    name == HOME_VOLUME
        || [DATA_VOLUME, SECRET_VOLUME].iter().any(|start| name.strip_prefix(start).is_some_and(is_number))
}

/// The normal form of a mount path: absolute, without empty segments, `.`, `..` and a final slash. The root is `/`.
pub fn normalised(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_spelling() {
        for spelling in ["/data", "/data/", "//data", "/data/.", "/./data//", "/data/x/..", "/../data", "data"] {
            assert_eq!(normalised(spelling), "/data", "{spelling}");
        }
        for root in ["/", "/.", "//", "/..", "/a/.."] {
            assert_eq!(normalised(root), "/", "{root}");
        }
        assert_eq!(normalised("/a/b c/...d"), "/a/b c/...d");
    }

    #[test]
    fn names_of_our_volumes_are_reserved() {
        for name in [HOME_VOLUME, &data_volume(0), &secret_volume(12), "data-volume-007"] {
            assert!(is_reserved_volume(name), "{name}");
        }
        for name in
            ["home-volume-0", "data-volume-", "data-volume-x", "data-volume", "secret-volume-1a", "my-data-volume-1"]
        {
            assert!(!is_reserved_volume(name), "{name}");
        }
    }
}
