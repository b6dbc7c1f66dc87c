//! The flags of `rollout`, without a cluster: what is wrong is named with what to write instead.

use super::printed;

#[test]
fn what_is_wrong_is_named_with_what_to_write_instead() {
    let rate = "must be a whole number from 1 to 1000 and a unit of time: 5/min, 1/s or 100/h for example";
    for (arguments, expected) in [
        (
            &[][..],
            "error: --max: needs a rate, such as 5/min\nerror: rollout: needs the name of a WorkspaceKind on the cluster\n",
        ),
        (&["lab"], "error: --max: needs a rate, such as 5/min\n"),
        (&["lab", "--max", "5"], &format!("error: --max=\"5\": {rate}\n")),
        (&["lab", "--max", "5/minute"], &format!("error: --max=\"5/minute\": {rate}\n")),
        (
            &["lab", "--max", "5/min", "--only-idle", "--idle-for", "30"],
            "error: --idle-for=\"30\": must be a duration such as 30m or 2h, at least 1m\n",
        ),
        (
            &["lab", "--max", "5/min", "--only-idle", "--idle-for", "0s"],
            "error: --idle-for=\"0s\": must be a duration such as 30m or 2h, at least 1m\n",
        ),
        (&["lab", "--max", "5/min", "--idle-for", "2h"], "error: --idle-for: needs --only-idle\n"),
        (
            &["lab", "--max", "5/min", "--max-unavailable", "0", "--progress-deadline", "soon"],
            "error: --max-unavailable=\"0\": must be a whole number from 1 to 1000\nerror: --progress-deadline=\"soon\": must be a \
             duration such as 90s, 5m or 1h30m, from 0 to 24h\n",
        ),
    ] {
        let (output, code) = printed(&[&["rollout"], arguments].concat(), "");
        assert_eq!((output.as_str(), code), (expected, 2), "{arguments:?}");
    }
}

#[test]
fn without_a_cluster_nothing_happens() {
    let (output, code) = printed(&["rollout", "lab", "--max=5/min"], "");
    assert!(output.starts_with("error: --kubeconfig (KUBECONFIG): not set, and not running in a pod "), "{output}");
    assert_eq!(code, 2);
}
