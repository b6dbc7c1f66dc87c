//! The Kubeflow Workspaces controller.

use std::process::ExitCode;

use workspaces_controller::config::Environment;
use workspaces_controller::{app, cli};

/// Bursts of large reviews leave less behind than with the system's allocator, and musl's is slow under load.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os(), &Environment::of_process()) {
        Ok(invocation) => app::start(invocation),
        Err(faults) => app::refuse(&faults),
    }
}
