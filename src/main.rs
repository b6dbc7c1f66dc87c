//! The Kubeflow Workspaces controller.

use std::process::ExitCode;

use workspaces_controller::config::Environment;
use workspaces_controller::{cli, commands};

/// Retains less memory after bursts of large reviews than the system's allocator, and musl's is slow under load.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let status = match cli::parse(std::env::args_os(), &Environment::of_process()) {
        Ok(invocation) => commands::start(invocation),
        Err(errors) => commands::refuse(&errors),
    };
    status.into()
}
