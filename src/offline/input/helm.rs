//! Recognises Helm templates, which are neither YAML nor objects before helm renders them.
//!
//! The values of a kind are Go templates too: only what Helm alone has makes a template one of Helm's.

use serde_json::Value;

/// The objects that Helm gives to a template; ours has none.
const OBJECTS: [&str; 6] = ["Values", "Release", "Chart", "Capabilities", "Files", "Template"];
/// Functions of Helm that charts use most; ours has only `httpPathPrefix` beside those of Go.
const FUNCTIONS: [&str; 4] = ["include", "nindent", "toYaml", "tpl"];
/// Words of Go templates that a call can follow.
const KEYWORDS: [&str; 4] = ["if", "else", "with", "range"];
/// Fields whose text may well speak of templates: to people, or in the language of a script.
const PROSE: [&str; 2] = ["description", "script"];

/// What to do about one.
pub const ADVICE: &str =
    "this is a Helm template, which has to be rendered first: helm template … | workspaces-controller validate -";

/// The offset of the first action of Helm, such as `{{ .Values.name }}`, outside of comments.
pub fn action(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut quote, mut before) = (0, None, b'\n');
    while let Some(byte) = bytes.get(at).copied() {
        let is_apart = before.is_ascii_whitespace();
        match byte {
            b'\n' => quote = None,
            b'{' if bytes.get(at + 1) == Some(&b'{') => {
                let end = text[at + 2..].find("}}").map_or(text.len(), |length| at + 2 + length);
                if is_helm(&text[at + 2..end]) {
                    return Some(at);
                }
                (at, before) = (end, b'}');
                continue;
            }
            b'\\' if quote == Some(b'"') => at += 1,
            b'#' if quote.is_none() && is_apart => {
                at += text[at..].find('\n').unwrap_or(text.len() - at);
                continue;
            }
            b'"' | b'\'' if quote == Some(byte) => quote = None,
            // Elsewhere it is an apostrophe.
            b'"' | b'\'' if quote.is_none() && (is_apart || b"[{,".contains(&before)) => quote = Some(byte),
            _ => {}
        }
        (at, before) = (at + 1, byte);
    }
    None
}

/// Whether an action has an object of Helm, or a function of Helm where one is called.
fn is_helm(action: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || matches!(character, '.' | '$' | '_');
    let (mut rest, mut is_call) = (action, true);
    while let Some(character) = rest.chars().next() {
        let length = if is_part(character) {
            let length = rest.find(|character| !is_part(character)).unwrap_or(rest.len());
            let word = &rest[..length];
            if is_object(word) || (is_call && FUNCTIONS.contains(&word)) {
                return true;
            }
            is_call = KEYWORDS.contains(&word);
            length
        } else {
            // A `-` is that of `{{-`.
            is_call = matches!(character, '|' | '(' | '=')
                || (is_call && matches!(character, '-' | ' ' | '\t' | '\r' | '\n'));
            literal(rest).unwrap_or(character.len_utf8())
        };
        rest = &rest[length..];
    }
    false
}

/// The length of the string or comment that a text starts with. In a quoted value of YAML the quotes are escaped.
fn literal(text: &str) -> Option<usize> {
    let (open, close) = [("\\\"", "\\\""), ("\"", "\""), ("`", "`"), ("'", "'"), ("/*", "*/")]
        .into_iter()
        .find(|(open, _)| text.starts_with(open))?;
    let (mut at, is_escaping) = (open.len(), matches!(open, "\"" | "'"));
    while at < text.len() && !text.as_bytes()[at..].starts_with(close.as_bytes()) {
        at += if is_escaping && text.as_bytes()[at] == b'\\' { 2 } else { 1 };
    }
    let mut end = (at + close.len()).min(text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    Some(end)
}

/// Whether it is `.Values.x`, `$.Values.x` or `$root.Values.x`.
fn is_object(word: &str) -> bool {
    let mut parts = word.split('.');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    (first.is_empty() || first.starts_with('$')) && second.is_some_and(|object| OBJECTS.contains(&object))
}

/// The path of the first field with an action of Helm in its value or its name, as the API server prints it.
pub fn field(object: &Value) -> Option<String> {
    Some(below(object)?.trim_start_matches('.').to_owned())
}

fn below(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => action(text).map(|_| String::new()),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(index, item)| Some(format!("[{index}]{}", below(item)?)))
        }
        Value::Object(map) => {
            map.iter().filter(|(name, _)| !PROSE.contains(&name.as_str())).find_map(|(name, child)| {
                let rest = if action(name).is_some() { String::new() } else { below(child)? };
                Some(format!(".{name}{rest}"))
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn actions_of_helm_are_told_from_templates_of_kinds() {
        for helm in [
            "{{ .Values.name }}",
            "{{- if .Values.enabled }}",
            "{{.Release.Name}}-lab",
            "{{ $.Values.name | quote }}",
            "{{ $root.Chart.Name }}",
            "{{- include \"lab.labels\" . | nindent 4 }}",
            "{{- with (index .Values \"a\") }}",
            "{{\n  .Values.name\n}}",
            "{{ .Values.unclosed",
            "{{ if include \"lab\" . }}",
            "{{ $x := (tpl .x .) }}",
            r#"a: "{{ printf \"%s\" .Values.x }}""#,
            "a: 'b # {{ .Values.x }}'",
            "a: b#{{ .Values.x }}",
            "{{ httpPathPrefix \"lab\" }}{{ .Values.suffix }}",
        ] {
            assert!(action(helm).is_some(), "{helm}");
        }
        for ours in [
            "{{ httpPathPrefix \"lab\" }}",
            "{{ . }}",
            "{{ .Field }}",
            "{{ \"my.Values\" }}",
            "{{ if eq \"a\" \"b\" }}{{ end }}",
            "{{ printf \"%s\" .ValuesOfMine }}",
            "# {{ .Values.name }} {{ .Values.other }}",
            ".Values.name",
            "{{ httpPathPrefix \"include\" }}",
            r#"value: "{{ httpPathPrefix \"include\" }}""#,
            "{{ httpPathPrefix `.Values.x` }}",
            "{{/* tpl of Helm */}}a",
            "{{ \"ä\\\"ä tpl \" }}",
            "{{ \"\\",
            "a: b # see {{ .Values.x }}",
            "a: it's b # see {{ .Values.x }}",
            "a: 'it''s # b' # see {{ .Values.x }}",
            "{{",
            "",
        ] {
            assert_eq!(action(ours), None, "{ours}");
        }
        assert_eq!(action("a: 1\n  # {{ .Values.a }}\nb: {{ .Values.b }}\n"), Some(28));
    }

    #[test]
    fn the_field_with_an_action_is_found() {
        let object = json!({"metadata": {"name": "a"}, "spec": {"values": ["{{ . }}", {"id": "{{ .Values.id }}"}]}});
        assert_eq!(field(&object).as_deref(), Some("spec.values[1].id"));
        assert_eq!(field(&json!({"labels": {"{{ .Values.a }}": 1}})).as_deref(), Some("labels.{{ .Values.a }}"));
        let prose =
            json!({"spawner": {"description": "Set {{ .Values.x }}"}, "podExec": {"script": "echo '{{ include }}'"}});
        assert_eq!(field(&prose), None);
        assert_eq!(field(&json!({"a": [1, null, true, "{{ httpPathPrefix \"x\" }}"]})), None);
    }

    #[test]
    fn text_without_end_is_read_once() {
        assert_eq!(action(&"{{".repeat(1 << 20)), None);
        assert_eq!(action(&"{{}}".repeat(1 << 18)), None);
    }
}
