//! T1: hostile templates are refused, or render within what the limits count. Time is not measured: every limit is a
//! count. All of it runs on a stack of 2 MiB.
#![allow(clippy::unwrap_used, clippy::panic)]

use crds::template::{Cost, ErrorKind, Functions, Limits, Mode, Template, TemplateError};
use proptest::prelude::*;

struct Paths;

impl Functions for Paths {
    fn http_path_prefix(&self, port_id: &str) -> Result<String, String> {
        Ok(format!("/workspace/namespace/workspace/{port_id}/"))
    }
}

/// Runs `test` on a thread with a small stack.
fn on_small_stack<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(2 << 20).spawn_scoped(scope, test).unwrap().join().unwrap()
    })
}

fn render(source: &str, limits: &Limits, mode: Mode) -> Result<(Vec<u8>, Cost), TemplateError> {
    let template = Template::parse("value", source, limits)?;
    let rendered = template.render(&Paths, mode)?;
    Ok((rendered.bytes, rendered.cost))
}

/// The outcome of a hostile template: its cost, or `None` if a limit refused it. Everything else is a failure.
fn survives(source: &str, limits: &Limits) -> Option<Cost> {
    let start = &source[..source.len().min(60)];
    match render(source, limits, Mode::Lenient) {
        Ok((output, cost)) => {
            assert!(output.len() <= limits.output, "{start}: {} bytes of output", output.len());
            assert!(cost.nodes <= limits.nodes && cost.made <= limits.made, "{start}: {cost:?}");
            Some(cost)
        }
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::Limit, "{start}: {error}");
            None
        }
    }
}

fn repeated(start: &str, part: &str, count: usize, end: &str) -> String {
    format!("{start}{}{end}", part.repeat(count))
}

/// Templates that cost Go gigabytes or hours, or that are merely long and deep.
fn hostile() -> Vec<(&'static str, String)> {
    let doubling = repeated("{{ $x := \"aaaaaaaa\" }}", "{{ $x = print $x $x }}", 27, "{{ len $x }}");
    let printf_doubling = repeated("{{ $x := \"aaaaaaaa\" }}", "{{ $x = printf \"%s%s\" $x $x }}", 27, "{{ len $x }}");
    let escapes = repeated("{{ $x := \"&\" }}", "{{ $x = print (html $x) (js $x) (urlquery $x) }}", 30, "");
    let calls = |i: usize| format!("{{{{template \"t{i}\"}}}}").repeat(2);
    let defines: Vec<String> = (0..40).map(|i| format!("{{{{define \"t{i}\"}}}}{}{{{{end}}}}", calls(i + 1))).collect();
    let defines = defines.concat();
    let scopes = (0..1500).map(|i| format!("{{{{$v{i}:=1}}}}")).collect::<Vec<_>>().concat();
    vec![
        ("string doubling", doubling),
        ("printf doubling", printf_doubling),
        ("escape doubling", escapes),
        ("define doubling", format!("{defines}{{{{define \"t40\"}}}}xxxxxxxx{{{{end}}}}{{{{template \"t0\"}}}}")),
        ("recursion", "{{define \"t\"}}{{template \"t\"}}{{end}}{{template \"t\"}}".to_owned()),
        ("mutual recursion", "{{block \"a\" 1}}{{template \"b\" .}}{{end}}{{define \"b\"}}{{template \"a\" .}}{{end}}".to_owned()),
        ("recursion of the main template", "x{{template \"value\"}}".to_owned()),
        ("recursion with variables", "{{define \"t\"}}{{$x := .}}{{if true}}{{with $x}}{{template \"t\" .}}{{end}}{{end}}{{end}}{{template \"t\" 1}}".to_owned()),
        ("range over 1e9", "{{range 1000000000}}{{end}}".to_owned()),
        ("range within range", "{{range 1000000000}}{{range 1000000000}}{{end}}{{end}}".to_owned()),
        ("range with text", "{{range 9223372036854775807}}x{{end}}".to_owned()),
        ("range with continue", "{{range 9223372036854775807}}{{continue}}{{end}}".to_owned()),
        ("width", "{{printf \"%999999d\" 1}}".to_owned()),
        ("width of a star", "{{printf \"%*d\" 1000000 1}}".to_owned()),
        ("width to the right", "{{printf \"%-999999s|\" \"\"}}".to_owned()),
        ("width of a quoted string", "{{printf \"%999999q\" \"x\"}}".to_owned()),
        ("width of hexadecimal", "{{printf \"%999999x\" \"\"}}".to_owned()),
        ("precision", "{{printf \"%.999999d\" 1}}".to_owned()),
        ("precision of a float", "{{printf \"%.999999f %.999999e %.999999x\" 1.5 1.5 1.5}}".to_owned()),
        ("precision of a short float", "{{range 5000}}{{$x := printf \"%.1000g\" 0.1}}{{end}}".to_owned()),
        ("precision of a code point", "{{printf \"%.999999U\" 1}}".to_owned()),
        ("many widths", repeated("{{printf \"", "%9999d", 1000, "\" 1}}")),
        ("values without directives", repeated("{{printf \"\"", " 1", 20_000, "}}")),
        ("silent directives", repeated("{{$f := \"", "%[1].0s", 8000, "\"}}{{range 5000}}{{$x := printf $f \"\"}}{{end}}")),
        ("open brackets", repeated("{{printf \"", "%[", 30_000, "\"}}")),
        ("comparisons", repeated("{{$a := print \"", "a", 30_000, "\" 1}}{{$b := print $a}}{{range 5000}}{{$x := eq $a $b}}{{end}}")),
        ("port ids", "{{range 5000}}{{$x := httpPathPrefix (print .)}}{{end}}".to_owned()),
        ("long port ids", repeated("{{$p := \"", "p", 30_000, "\"}}{{range 5000}}{{$x := httpPathPrefix $p}}{{end}}")),
        ("parentheses", format!("{{{{ {}1{} }}}}", "(".repeat(10_000), ")".repeat(10_000))),
        ("open parentheses", repeated("{{ ", "(", 30_000, "")),
        ("arguments in parentheses", format!("{{{{ {}1{} }}}}", "print (".repeat(5000), ")".repeat(5000))),
        ("else ifs", repeated("{{if false}}", "{{else if 0}}", 4000, "{{end}}")),
        ("else withs", repeated("{{with false}}", "{{else with 0}}", 4000, "{{end}}")),
        ("ifs", format!("{}{}", "{{if 1}}".repeat(4000), "{{end}}".repeat(4000))),
        ("ranges", format!("{}{}", "{{range 2}}".repeat(3000), "{{end}}".repeat(3000))),
        ("blocks", format!("{}{}", "{{block \"b\" 1}}".repeat(2500), "{{end}}".repeat(2500))),
        ("fields", repeated("{{ ", ".a", 30_000, " }}")),
        ("pipes", repeated("{{ 1 ", "|print", 10_000, " }}")),
        ("actions", "{{1}}".repeat(13_000)),
        ("comments", "{{/**/}}".repeat(8000)),
        ("variables", format!("{scopes}{}", "{{$v700}}".repeat(4000))),
        ("hidden variables", repeated("", "{{$x:=1}}", 7000, "{{$x}}")),
        ("digits", repeated("{{ 1.", "1", 60_000, " }}")),
        ("hexadecimal digits", repeated("{{ 0x.", "0", 60_000, "1p999999 }}")),
        ("escapes", repeated("{{ \"", "\\xff", 16_000, "\" }}")),
        ("newlines", "{{1}}\n".repeat(10_000)),
    ]
}

#[test]
fn hostile_templates_stay_within_the_limits() {
    on_small_stack(|| {
        let hostile = hostile();
        let mut refused = 0;
        for (_, source) in &hostile {
            for limits in [Limits::HEADER, Limits::ENV] {
                refused += usize::from(survives(source, &limits).is_none());
            }
        }
        println!("T1 pass {} {}", hostile.len(), hostile.len());
        assert!(refused > hostile.len(), "only {refused} refused");
    });
}

/// The limit that stops each of these is the one meant for it.
#[test]
fn each_limit_stops_what_it_is_for() {
    let refusal = |source: &str, limits: &Limits| on_small_stack(|| render(source, limits, Mode::Strict).unwrap_err());
    let else_ifs = repeated("{{if false}}", "{{else if 0}}", 10_000, "{{end}}");
    let parentheses = format!("{{{{ {}1{} }}}}", "(".repeat(10_000), ")".repeat(10_000));
    let wide = Limits { source: 1 << 20, ..Limits::ENV };
    for (source, limits, text) in [
        ("{{range 1000000000}}{{end}}", Limits::HEADER, "executes more than 10000 nodes"),
        ("{{define \"t\"}}{{template \"t\"}}{{end}}{{template \"t\"}}", Limits::ENV, "executes more than 10000 nodes"),
        ("{{len (printf \"%999999d\" 1)}}", Limits::ENV, "produces more than 262144 bytes in all"),
        ("{{printf \"%9000d\" 1}}", Limits::HEADER, "renders to more than 8192 bytes"),
        (&"x".repeat(4097), Limits::HEADER, "the source has 4097 bytes, 4096 are allowed"),
        (&"x".repeat(1 << 20), Limits::ENV, "the source has 1048576 bytes, 65536 are allowed"),
        (&else_ifs, wide, "nested more than 64 levels deep"),
        (&parentheses, wide, "nested more than 64 levels deep"),
    ] {
        let error = refusal(source, &limits);
        assert_eq!(error.kind, ErrorKind::Limit, "{error}");
        assert!(error.message.contains(text), "{error}");
    }
}

#[test]
fn nesting_is_allowed_up_to_the_limit() {
    let nested = |depth: usize| {
        [
            format!("{{{{ {}1{} }}}}", "(".repeat(depth), ")".repeat(depth)),
            format!("{}1{}", "{{if 1}}".repeat(depth), "{{end}}".repeat(depth)),
            repeated("{{if 0}}0", "{{else if 0}}0", depth - 1, "{{else}}1{{end}}"),
            repeated("{{with 0}}0", "{{else with 0}}0", depth - 1, "{{else}}1{{end}}"),
            format!("{}{{{{ (1) }}}}{}", "{{range 1}}".repeat(depth - 1), "{{end}}".repeat(depth - 1)),
        ]
    };
    on_small_stack(|| {
        for source in nested(64) {
            assert_eq!(render(&source, &Limits::HEADER, Mode::Strict).unwrap().0, b"1", "{source}");
        }
        for source in nested(65) {
            assert_eq!(survives(&source, &Limits::HEADER), None, "{source}");
        }
    });
}

#[test]
fn executed_nodes_are_texts_actions_and_arguments() {
    for (source, nodes) in [
        ("text", 1),
        ("a{{ 1 }}b", 3),
        ("{{ httpPathPrefix \"a\" }}", 2),
        ("{{ print 1 (print 2 3) | print }}", 6),
        ("{{ if 1 }}a{{ else }}b{{ end }}", 2),
        ("{{ range 3 }}a{{ end }}", 4),
        ("{{ range 3 }}{{ end }}", 4),
        ("{{ define \"t\" }}a{{ end }}{{ template \"t\" }}", 2),
        ("{{ and 0 1 }}", 2),
    ] {
        assert_eq!(render(source, &Limits::HEADER, Mode::Strict).unwrap().1.nodes, nodes, "{source}");
    }
    assert!(render("{{ range 10000 }}{{ end }}", &Limits::HEADER, Mode::Strict).is_err());
    assert!(render("{{ range 9999 }}{{ end }}", &Limits::HEADER, Mode::Strict).is_ok());
}

#[test]
fn made_bytes_are_strings_and_output() {
    for (source, made) in [
        ("text", 4),
        ("{{ \"abc\" }}", 3),
        ("{{ print \"abc\" }}", 6),
        ("{{ slice (print \"abc\") 1 }}", 5),
        ("{{ $x := print \"abc\" \"d\" }}", 4),
        ("{{ len (html \"<\") }}", 5),
    ] {
        assert_eq!(render(source, &Limits::HEADER, Mode::Strict).unwrap().1.made, made, "{source}");
    }
}

#[test]
fn a_thousand_headers_at_their_limits_are_answered() {
    on_small_stack(|| {
        let part = "{{ $x = print $x $x }}";
        let header = repeated("{{ $x := \"aaaaaaaa\" }}", part, 40, "{{ $x }}");
        for i in 0..1000 {
            assert_eq!(survives(&format!("{header}{i}"), &Limits::HEADER), None);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_engine_panic(parts in prop::collection::vec(prop_oneof![
        any::<String>(),
        "[ -~\n]{0,6}",
        prop::sample::select(vec!["{{", "}}", "{{if ", "{{end}}", "{{- ", " -}}", "(", ")", "|", "$x := ", "\"", "printf ", "%*.*[1]d"])
            .prop_map(str::to_owned),
    ], 0..20)) {
        let source = parts.concat();
        for mode in [Mode::Strict, Mode::Lenient] {
            match render(&source, &Limits::HEADER, mode) {
                Ok((output, cost)) => prop_assert!(output.len() <= cost.made),
                Err(error) => {
                    prop_assert!(source.is_char_boundary(error.offset));
                    prop_assert!(!error.message.is_empty() && error.line > 0 && error.column > 0);
                }
            }
        }
    }
}
