//! Recognises Helm templates, which are neither YAML nor objects before helm renders them.
//!
//! The values of a kind are Go templates too: what only Helm has tells the two apart.

use serde_json::Value;

/// The objects that Helm gives to a template; ours has none.
const OBJECTS: [&str; 6] = ["Values", "Release", "Chart", "Capabilities", "Files", "Template"];
/// Functions of Helm that charts use most; ours has only `httpPathPrefix` beside those of Go.
const FUNCTIONS: [&str; 4] = ["include", "nindent", "toYaml", "tpl"];

/// What to do about one.
pub const ADVICE: &str =
    "this is a Helm template, which has to be rendered first: helm template … | workspaces-controller validate -";

/// The offset of the first action of Helm, such as `{{ .Values.name }}`, outside of comment lines.
pub fn action(text: &str) -> Option<usize> {
    let (mut last, mut start, mut is_comment) = (0, 0, starts_comment(text));
    while let Some(found) = text[start..].find("{{") {
        let open = start + found;
        if let Some(line_break) = text[last..open].rfind('\n') {
            is_comment = starts_comment(&text[last + line_break + 1..]);
        }
        last = open;
        let inner = open + 2;
        let end = text[inner..].find("}}").map_or(text.len(), |length| inner + length);
        if !is_comment && is_helm(&text[inner..end]) {
            return Some(open);
        }
        start = end;
    }
    None
}

fn starts_comment(line: &str) -> bool {
    line.trim_start_matches([' ', '\t']).starts_with('#')
}

fn is_helm(action: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || matches!(character, '.' | '$' | '_');
    action.split(|character| !is_part(character)).any(|token| {
        let mut parts = token.split('.');
        let (first, second) = (parts.next().unwrap_or_default(), parts.next());
        match second {
            // `.Values.x`, `$.Values.x`, `$root.Values.x`
            Some(object) => (first.is_empty() || first.starts_with('$')) && OBJECTS.contains(&object),
            None => FUNCTIONS.contains(&first),
        }
    })
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
        Value::Object(map) => map.iter().find_map(|(name, child)| {
            let rest = if action(name).is_some() { String::new() } else { below(child)? };
            Some(format!(".{name}{rest}"))
        }),
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
        assert_eq!(field(&json!({"a": [1, null, true, "{{ httpPathPrefix \"x\" }}"]})), None);
    }

    #[test]
    fn text_without_end_is_read_once() {
        assert_eq!(action(&"{{".repeat(1 << 20)), None);
        assert_eq!(action(&"{{}}".repeat(1 << 18)), None);
    }
}
