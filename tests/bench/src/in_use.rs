//! The Workspaces that use an option: the time of the lookup with few and with many Workspaces, in this process.

use std::hint::black_box;
use std::time::Instant;

use crds::options::{KindOption, OptionList};
use serde_json::json;
use webhook::KindUsage;
use workspaces_controller::stores::collection::Collection;
use workspaces_controller::stores::workspace::StoredWorkspace;

use crate::{Result, figure, ratio};

const FEW: usize = 10;
const MANY: usize = 10_000;
const ANSWERS: u32 = 200_000;
const ROUNDS: usize = 5;

/// Measures and prints.
pub fn measure() -> Result<()> {
    let (few, many) = (workspaces(FEW)?, workspaces(MANY)?);
    // In turns, so that both have the same neighbours; the best of several is the least disturbed.
    let (mut of_few, mut of_many) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        of_few = of_few.min(nanoseconds(&few));
        of_many = of_many.min(nanoseconds(&many));
    }
    figure(&format!("Who uses an option, {FEW} Workspaces: an answer"), of_few, "ns", None);
    figure(&format!("Who uses an option, {MANY} Workspaces: an answer"), of_many, "ns", None);
    ratio("  many against few", of_many / of_few, 1.2);
    Ok(())
}

/// Workspaces that all use one option.
fn workspaces(count: usize) -> Result<Collection<StoredWorkspace>> {
    let collection = Collection::default();
    for number in 0..count {
        let mut workspace = serde_json::to_value(crds::testing::workspace("team", &format!("ws-{number:05}"), "lab"))?;
        workspace["metadata"]["uid"] = json!(format!("u-{number}"));
        workspace["metadata"]["resourceVersion"] = json!((number + 1).to_string());
        collection.put(serde_json::from_value(workspace)?);
    }
    Ok(collection)
}

fn nanoseconds(workspaces: &Collection<StoredWorkspace>) -> f64 {
    let option = KindOption { list: OptionList::ImageConfig, id: "small".to_owned() };
    let start = Instant::now();
    for _ in 0..ANSWERS {
        black_box(workspaces.using_option("lab", black_box(&option), KindUsage::NAMED));
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(ANSWERS)
}
