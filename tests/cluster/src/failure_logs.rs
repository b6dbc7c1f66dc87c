//! A test that fails shows the end of the log of every controller that runs at that moment.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};

use crate::error::tail;

static LOGS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static HOOK: Once = Once::new();

pub(crate) fn add(log: &Path) {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            for log in LOGS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                eprintln!("--- the end of {}:\n{}", log.display(), tail(log, 30));
            }
        }));
    });
    LOGS.lock().unwrap_or_else(PoisonError::into_inner).push(log.to_owned());
}

pub(crate) fn remove(log: &Path) {
    LOGS.lock().unwrap_or_else(PoisonError::into_inner).retain(|known| known != log);
}
