//! Every input gets an answer soon, and never a panic.

use std::time::{Duration, Instant};

use super::run;

/// Far more than any of this takes; a hang takes longer.
const SOON: Duration = Duration::from_mins(1);

/// Gives `input` to the program; the exit code.
#[track_caller]
fn code(name: &str, input: &[u8]) -> i32 {
    let start = Instant::now();
    let output = run(&["validate", "-"], input);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(start.elapsed() < SOON, "{name} took {:?}", start.elapsed());
    assert!(errors.is_empty(), "{name}: {errors}");
    output.status.code().unwrap_or_else(|| panic!("{name}: {:?}", output.status))
}

const HEAD: &str = "apiVersion: kubeflow.org/v1beta1\nkind: WorkspaceKind\nmetadata: {name: a}\nspec:\n";

#[test]
fn text_that_nests_without_end_is_unreadable() {
    assert_eq!(code("brackets", "[".repeat(1_000_000).as_bytes()), 3);
    assert_eq!(code("braces", format!("{HEAD}  x: {}", "{a: ".repeat(100_000)).as_bytes()), 3);
    assert_eq!(code("dashes", "- ".repeat(100_000).as_bytes()), 3);
    let indented = (0..2_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect::<Vec<_>>().concat();
    assert_eq!(code("indentation", indented.as_bytes()), 3);
}

#[test]
fn aliases_that_multiply_are_unreadable() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let items = format!("*a{}, ", level - 1).repeat(10);
        bomb.extend([format!("a{level}: &a{level} [{items}]\n")]);
    }
    assert_eq!(code("bomb", bomb.as_bytes()), 3);
}

#[test]
fn large_inputs_are_read() {
    let long = format!("{HEAD}  spawner: {{description: {}}}\n", "x".repeat(10 << 20));
    assert_eq!(code("one long text", long.as_bytes()), 1);
    let many = format!("{HEAD}  unknown:\n{}", "  - a: 1\n".repeat(1 << 17));
    assert_eq!(code("many items", many.as_bytes()), 1);
    let fields = (0..20_000).map(|number| format!("  field{number}: 1\n")).collect::<Vec<_>>().concat();
    assert_eq!(code("many unknown fields", format!("{HEAD}{fields}").as_bytes()), 1);
}

#[test]
fn bytes_that_are_no_text_are_unreadable() {
    assert_eq!(code("not UTF-8", b"kind: \xff\xfe"), 3);
    assert_eq!(code("NUL", b"kind: \0"), 3);
    assert_eq!(code("tabs", b"kind:\n\tx: 1"), 3);
    assert_eq!(code("duplicate keys", format!("{HEAD}  spawner: 1\n  spawner: 2\n").as_bytes()), 3);
    assert_eq!(code("a template of Helm", b"{{- if .Values.x }}\nkind: Workspace\n{{- end }}\n"), 3);
}

#[test]
fn fields_of_any_type_are_judged() {
    for value in ["1", "x", "[]", "{}", "~", "[[[]]]", "{1: 2}", "true", "1e400", "99999999999999999999999"] {
        for path in
            ["metadata: V", "metadata: {name: V}", "metadata: {name: a, labels: V}", "metadata: {name: a}\nspec: V"]
        {
            for kind in ["Workspace", "WorkspaceKind"] {
                let text = format!("apiVersion: kubeflow.org/v1beta1\nkind: {kind}\n{}\n", path.replace('V', value));
                assert_eq!(code(&text, text.as_bytes()), 1, "{text}");
            }
        }
    }
}

#[test]
fn empty_input_is_unreadable() {
    for command in [&["validate", "-"][..], &["render", "-"], &["migrate", "--check", "-"]] {
        for text in ["", " \n"] {
            let (output, code) = crate::printed(command, text);
            assert!(code == 3 && output.contains("stdin: "), "{command:?} {text:?}: {code} {output}");
        }
    }
}

#[test]
fn documents_without_objects_and_what_is_not_ours_are_clean() {
    for text in ["---\n---\n", "# only a comment\n", "just text", "- 1\n", "apiVersion: v1\nkind: List\nitems: ~\n"] {
        assert_eq!(code(text, text.as_bytes()), 0, "{text}");
    }
}
