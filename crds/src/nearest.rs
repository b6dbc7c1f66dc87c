//! The most similar id, for messages about one that does not exist.

/// How many pairs of characters are compared in search of the nearest id: a hint must not take longer than the verdict.
const COMPARED_MAX: usize = 200_000;

/// The candidate that is most similar to `wanted`, by edit distance; the first of several equally similar ones.
///
/// `None` if the distance of all of them is more than a third of the longer of the two. Of very many or very long
/// candidates only the first are compared.
pub fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    let length = wanted.chars().count();
    let mut compared = 0;
    let mut best = None;
    for candidate in candidates {
        let other = candidate.chars().count();
        let farthest = length.max(other).div_ceil(3);
        if length.abs_diff(other) > farthest {
            continue;
        }
        compared += length * other;
        if compared > COMPARED_MAX {
            break;
        }
        let distance = strsim::osa_distance(&wanted, &candidate.to_lowercase());
        if distance <= farthest && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_id_is_suggested_only_when_it_is_near() {
        let ids = ["jupyterlab", "rstudio", "code-server"];
        assert_eq!(nearest("jupterlab", ids), Some("jupyterlab"));
        assert_eq!(nearest("JupyterLab", ids), Some("jupyterlab"));
        assert_eq!(nearest("rstuido", ids), Some("rstudio"));
        assert_eq!(nearest("vnc", ids), None);
        assert_eq!(nearest("a", []), None);
    }

    #[test]
    fn the_search_for_the_nearest_id_ends() {
        let long = "x".repeat(COMPARED_MAX);
        let others = ["jupyterlabs", "a"].into_iter().chain(std::iter::repeat("jupyterlob"));
        assert_eq!(nearest("jupyterlab", others), Some("jupyterlabs"));
        assert_eq!(nearest(&long, [&*long]), None);
    }
}
