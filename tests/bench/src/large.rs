//! The largest kinds: what a review of one costs compared with one pass of serde over its bytes, and how much memory it
//! needs.

use std::hint::black_box;

use cluster::ControllerProcess;
use serde_json::{Value, json};

use crate::process::{cpu_seconds, peak_memory, reset_peak_memory, resident_memory};
use crate::reviews::{KIND_PATH, port_of, post, review, with_another_image};
use crate::{Result, figure, ratio};

/// Of the kind as JSON; the review holds it twice.
const SIZE: usize = 1 << 20;
const REVIEWS: usize = 50;

/// Measures and prints.
pub fn measure(controller: &ControllerProcess<'_>, kind: &Value) -> Result<()> {
    let kind = large(kind)?;
    let body = review("UPDATE", &with_another_image(&kind), &kind).to_string();
    let (pid, port) = (controller.pid()?, port_of(&controller.webhook_url())?);
    let reviewed = |times| post(port, controller.ca_pem(), KIND_PATH, &body, times);
    // First of all, before earlier reviews of this size leave reusable memory behind.
    reset_peak_memory(pid)?;
    let rest = resident_memory(pid)?;
    reviewed(1)?;
    #[allow(clippy::cast_precision_loss)]
    let memory = peak_memory(pid)?.saturating_sub(rest) as f64 / body.len() as f64;

    reviewed(5)?;
    let before = cpu_seconds(pid)?;
    reviewed(REVIEWS)?;
    let ours = per_review(cpu_seconds(pid)? - before);
    let this = i32::try_from(std::process::id())?;
    let before = cpu_seconds(this)?;
    for _ in 0..REVIEWS {
        black_box(serde_json::from_str::<Value>(black_box(&body))?);
    }
    let serde = per_review(cpu_seconds(this)? - before);
    figure(&format!("WorkspaceKind UPDATE, {} KiB review: CPU", body.len() >> 10), ours, "ms", None);
    figure("  one serde pass into values", serde, "ms", None);
    ratio("  a review against one pass", ours / serde, 2.0);

    ratio("  memory on top, in bodies", memory, 6.0);
    Ok(())
}

#[allow(clippy::cast_precision_loss)]
fn per_review(seconds: f64) -> f64 {
    seconds * 1e3 / REVIEWS as f64
}

/// The kind with so many images that it has the size.
fn large(kind: &Value) -> Result<Value> {
    let mut large = kind.clone();
    let values = &mut large["spec"]["podTemplate"]["options"]["imageConfig"]["values"];
    let images = values.as_array().ok_or("the kind has no images")?.clone();
    let one = images[0].to_string().len();
    let many = (0..SIZE / one).map(|number| {
        let mut image = images[number % images.len()].clone();
        image["id"] = json!(format!("image_{number:05}"));
        image
    });
    *values = json!(many.collect::<Vec<_>>());
    large["spec"]["podTemplate"]["options"]["imageConfig"]["spawner"]["default"] = json!("image_00000");
    Ok(large)
}
