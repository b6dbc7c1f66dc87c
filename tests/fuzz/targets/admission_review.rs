//! Any bytes as the body of a review: an answer with its uid, or none, and never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use webhook::testing::FakeLookup;
use webhook::{Policy, WORKSPACE_KIND_PATH, WORKSPACE_PATH};

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
}

fuzz_target!(|body: &[u8]| {
    let (lookup, policy) = (FakeLookup::default(), Policy::default());
    for path in [WORKSPACE_PATH, WORKSPACE_KIND_PATH] {
        let answer = RUNTIME.with(|runtime| runtime.block_on(webhook::answer(path, body, &lookup, &policy)));
        let Ok(answer) = answer else { continue };
        let answer: Value = serde_json::from_slice(&answer).expect("an answer is JSON");
        let response = &answer["response"];
        assert!(!response["uid"].as_str().expect("an answer has a uid").is_empty());
        // A panic is caught and answered with 500: here it counts as a finding.
        assert_ne!(response["status"]["code"], 500, "{answer}");
    }
});
