//! Starts a control plane, prints its kubeconfig and stays up until Ctrl-C. `--build-only` just fills the cache, also with what only tests use.

use std::process::ExitCode;
use std::time::Instant;

use cluster::{ADMIN, Cluster, ClusterOptions, Result, Tools};

const USAGE: &str = "usage: control-plane [--build-only]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        [] => serve(),
        ["--build-only"] => build(),
        ["--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("control-plane: {error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<()> {
    let tools = Tools::ensure_all()?;
    println!("{tools:#?}");
    Ok(())
}

/// The servers are stopped with this process, whatever stops it: there is nothing to do on Ctrl-C.
fn serve() -> Result<()> {
    Tools::ensure()?;
    let started = Instant::now();
    let cluster = Cluster::start(ClusterOptions::default())?;
    println!(
        "ready after {:.1} s; Ctrl-C stops it and removes {}",
        started.elapsed().as_secs_f32(),
        cluster.dir().display()
    );
    println!("export KUBECONFIG={}", cluster.kubeconfig(ADMIN)?.display());
    println!("kubectl: {}", cluster.tools().kubectl.display());
    loop {
        std::thread::park();
    }
}
