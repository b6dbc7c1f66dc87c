//! A log line as one flat JSON object: what happened, where, and what the spans around it say of the reconcile or the review.

use std::collections::BTreeSet;
use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// The fields of every line; none of an event or a span may be called so.
const OF_THE_LINE: [&str; 3] = ["timestamp", "level", "target"];

/// Writes the lines. A field that several spans have is that of the innermost one, and an event's own come before any.
pub(super) struct FlatJson;

/// Writes the fields of a span, once, when it begins: each as `"key":value` on a line of its own, which no JSON value breaks.
pub(super) struct SpanFields;

impl<'writer> FormatFields<'writer> for SpanFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = Visitor(OfSpan { writer, result: Ok(()) });
        fields.record(&mut visitor);
        visitor.0.result
    }

    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        fields: &tracing::span::Record<'_>,
    ) -> fmt::Result {
        self.format_fields(current.as_writer(), fields)
    }
}

impl<S, N> FormatEvent<S, N> for FlatJson
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, "\",\"level\":\"{}\"", event.metadata().level())?;
        let seen = BTreeSet::from(OF_THE_LINE.map(str::to_owned));
        let mut visitor = Visitor(OfEvent { writer: writer.by_ref(), target: None, seen, result: Ok(()) });
        event.record(&mut visitor);
        let OfEvent { target, mut seen, result, .. } = visitor.0;
        result?;
        let target = target.unwrap_or_else(|| json(format_args!("{}", event.metadata().target())));
        write!(writer, ",\"target\":{target}")?;
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let Some(fields) = extensions.get::<FormattedFields<N>>() else { continue };
            for field in fields.lines() {
                let key = field.split('"').nth(1).unwrap_or_default();
                if seen.insert(key.to_owned()) {
                    write!(writer, ",{field}")?;
                }
            }
        }
        writer.write_str("}\n")
    }
}

/// Takes each field with its value as JSON.
trait TakeField {
    fn take(&mut self, name: &'static str, value: fmt::Arguments<'_>);
}

struct OfSpan<'writer> {
    writer: Writer<'writer>,
    result: fmt::Result,
}

struct OfEvent<'writer> {
    writer: Writer<'writer>,
    /// Where a line of the crate `log` comes from, as JSON.
    target: Option<String>,
    seen: BTreeSet<String>,
    result: fmt::Result,
}

impl TakeField for OfSpan<'_> {
    fn take(&mut self, name: &'static str, value: fmt::Arguments<'_>) {
        if self.result.is_ok() {
            self.result = writeln!(self.writer, "\"{name}\":{value}");
        }
    }
}

impl TakeField for OfEvent<'_> {
    fn take(&mut self, name: &'static str, value: fmt::Arguments<'_>) {
        match name {
            "log.target" => self.target = Some(value.to_string()),
            "log.module_path" | "log.file" | "log.line" => {}
            _ if self.result.is_ok() && self.seen.insert(name.to_owned()) => {
                self.result = write!(self.writer, ",\"{name}\":{value}");
            }
            _ => {}
        }
    }
}

struct Visitor<T>(T);

impl<T: TakeField> Visit for Visitor<T> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.0.take(field.name(), format_args!("{value}"));
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.take(field.name(), format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.take(field.name(), format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.take(field.name(), format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.take(field.name(), format_args!("{}", json(format_args!("{value}"))));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.take(field.name(), format_args!("{}", json(format_args!("{value:?}"))));
    }
}

/// As a JSON string.
fn json(text: fmt::Arguments<'_>) -> String {
    // Any text can be written as one.
    serde_json::to_string(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is written while `log` runs, without the times.
    fn lines(log: impl FnOnce()) -> Vec<String> {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .event_format(FlatJson)
            .fmt_fields(SpanFields)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .map(|line| {
                let (time, rest) = line.strip_prefix("{\"timestamp\":\"").unwrap().split_once("\",").unwrap();
                assert!(time.ends_with('Z') && time.contains('T'), "{line}");
                rest.to_owned()
            })
            .collect()
    }

    #[test]
    fn a_line_is_flat_and_names_everything_once() {
        let found = lines(|| {
            let outer =
                tracing::error_span!("reconcile", namespace = "ns", name = "lab", generation = tracing::field::Empty);
            let _outer = outer.enter();
            outer.record("generation", 7);
            let _inner = tracing::error_span!("inner", name = %"inner", done = true).entered();
            tracing::warn!(count = 3, name = ?"own", level = "forged", "it failed: {}", "why");
            tracing::info!("plain");
        });
        let target = "\"target\":\"workspaces_controller::telemetry::flat_json::tests\"";
        let expected = [
            format!(
                "\"level\":\"WARN\",\"message\":\"it failed: why\",\"count\":3,\"name\":\"\\\"own\\\"\",{target},\"done\":true,\
                 \"namespace\":\"ns\",\"generation\":7}}"
            ),
            format!(
                "\"level\":\"INFO\",\"message\":\"plain\",{target},\"name\":\"inner\",\"done\":true,\"namespace\":\"ns\",\
                 \"generation\":7}}"
            ),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn no_value_breaks_a_line_or_becomes_another_field() {
        let hostile = "a\nb\",\"level\":\"ERROR\u{2028}\u{1b}[31m";
        let found = lines(|| {
            let _span = tracing::error_span!("span", text = hostile, shown = %hostile, debugged = ?hostile).entered();
            tracing::info!(own = hostile, displayed = %hostile, "{hostile}");
        });
        assert_eq!(found.len(), 1, "{found:?}");
        let line: Value = serde_json::from_str(&format!("{{{}", found[0])).unwrap();
        for field in ["text", "shown", "own", "displayed", "message"] {
            assert_eq!(line[field], hostile, "{field}");
        }
        assert_eq!(line["debugged"], json!(format!("{hostile:?}")));
        assert_eq!(line["level"], "INFO");
    }
}
