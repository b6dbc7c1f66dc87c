//! Memory: returns what is free to the system.
//!
//! The allocator does that for what was freed a second ago, but only when something else is freed, or a thread ends. A process
//! at rest does neither, and would keep what its start or a burst of reviews needed.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use tokio::time::sleep;

const EVERY: Duration = Duration::from_secs(2);

/// Returns free memory to the system again and again. Never returns.
pub(super) async fn return_free() {
    loop {
        sleep(EVERY).await;
        // Its end counts only if it has allocated something. Where there can be no thread now, there may be one later.
        drop(thread::Builder::new().name("memory".to_owned()).spawn(|| drop(black_box(Box::new(0_u8)))));
    }
}
