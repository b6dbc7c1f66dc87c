//! Typical mistakes: `mistakes/NAME.yaml` and what `validate` prints about it, to the letter, in `mistakes/NAME.txt`.

use super::{assert_file, printed, root};

/// Set it to write the expected outputs instead of comparing them. Read them before you keep them.
const REGENERATE: &str = "REGENERATE_MISTAKES";

#[test]
fn typical_mistakes_are_shown_where_they_are() {
    let folder = root().join("tests/offline/mistakes");
    let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter_map(|name| Some(name.strip_suffix(".yaml")?.to_owned())).collect();
    names.sort();
    assert!(names.len() > 10);
    for name in names {
        let (text, code) = printed(&["validate", &format!("mistakes/{name}.yaml")], "");
        let expected = format!("{text}exit code {code}\n");
        assert_file(&folder.join(format!("{name}.txt")), &expected, REGENERATE);
    }
}
