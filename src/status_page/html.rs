//! The page itself: a template of tera, which escapes every value. It has no script, and the only style is the one whose hash the
//! policy of the page names.

use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};
use tera::{Context, Kwargs, State, Tera, TeraResult, Value};

use super::text::distance;
use super::view::StatusView;

/// The name of the template: values are escaped because it ends in `.html`.
const PAGE: &str = "page.html";
const STYLE: &str = include_str!("page.css");
/// The size of a chart; a bar takes a few units of its width.
const CHART_HEIGHT: u64 = 40;
const BAR_STEP: usize = 4;
const BAR_WIDTH: usize = 3;

/// The template, made when the first page is asked for: most processes serve none.
static TEMPLATE: LazyLock<TeraResult<Tera>> = LazyLock::new(template);

/// The page of a view.
pub fn page(view: &StatusView) -> Result<String, String> {
    let tera = TEMPLATE.as_ref().map_err(ToString::to_string)?;
    let mut context = Context::from_serialize(view).map_err(|error| error.to_string())?;
    context.insert("style", STYLE);
    tera.render(PAGE, &context).map_err(|error| error.to_string())
}

/// What a Content-Security-Policy has to say of the style: `'sha256-…'`.
pub fn style_source() -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(STYLE)))
}

fn template() -> TeraResult<Tera> {
    let mut tera = Tera::default();
    tera.register_filter("ago", |time: &str, arguments: Kwargs, _: &State| -> TeraResult<String> {
        let now: &str = arguments.must_get("now")?;
        Ok(match (time.parse::<Timestamp>(), now.parse::<Timestamp>()) {
            (Ok(time), Ok(now)) => distance(time, now),
            _ => time.to_owned(),
        })
    });
    tera.register_filter("clock", |time: &str, _: Kwargs, _: &State| time.replace('T', " ").replace('Z', " UTC"));
    tera.register_filter("query", |text: &str, _: Kwargs, _: &State| {
        utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
    });
    tera.register_filter("code", |text: &str, _: Kwargs, _: &State| Value::safe_string(&with_code(text)));
    tera.register_filter("total", |counts: Vec<u64>, _: Kwargs, _: &State| counts.iter().sum::<u64>());
    tera.register_filter("highest", |counts: Vec<u64>, _: Kwargs, _: &State| counts.iter().copied().max().unwrap_or(0));
    tera.register_filter("bars", |counts: Vec<u64>, _: Kwargs, _: &State| bars(&counts));
    tera.add_raw_template(PAGE, include_str!("page.html"))?;
    Ok(tera)
}

/// HTML of a text of ours, in which commands stand between backquotes.
fn with_code(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let parts = escaped.split('`').enumerate();
    parts.map(|(index, part)| if index % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

/// The path of an SVG: a bar for each count, the highest as high as the chart; none is lower than what can be seen.
fn bars(counts: &[u64]) -> String {
    let highest = counts.iter().copied().max().unwrap_or_default().max(1);
    let mut path = String::new();
    for (index, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let height = (count.saturating_mul(CHART_HEIGHT) / highest).max(1);
        let x = index * BAR_STEP;
        // Writing to a String cannot fail.
        let _ = write!(path, "M{x} {CHART_HEIGHT}v-{height}h{BAR_WIDTH}v{height}z");
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_bar_is_as_high_as_the_chart_and_none_is_lost() {
        assert_eq!(bars(&[]), "");
        assert_eq!(bars(&[0, 0]), "");
        assert_eq!(bars(&[0, 1, 2]), "M4 40v-20h3v20zM8 40v-40h3v40z");
        assert_eq!(bars(&[1, 100_000]), "M0 40v-1h3v1zM4 40v-40h3v40z");
    }

    #[test]
    fn commands_are_set_as_code_and_nothing_is_let_through() {
        assert_eq!(
            with_code("Run `a <b> && \"c\"`, then `d`."),
            "Run <code>a &lt;b&gt; &amp;&amp; &quot;c&quot;</code>, then <code>d</code>."
        );
    }

    #[test]
    fn the_policy_names_the_style_of_the_page() {
        let source = style_source();
        assert!(source.starts_with("'sha256-") && source.ends_with("='"), "{source}");
        assert!(!STYLE.contains("</"), "it would end the element");
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"), "the policy allows nothing to be loaded");
    }
}
