//! Shows the product at work on a real control plane: builds what is missing, runs the demo, and on a terminal stays up
//! until Ctrl-C.

use std::io::{BufRead as _, BufReader, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cluster::demo::{self, Style};
use cluster::{ADMIN, Cluster, ClusterOptions, ControllerOptions, ControllerProcess, Error, Result, Tools};

fn main() -> ExitCode {
    match show() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn show() -> Result<()> {
    let tools = Tools::ensure()?;
    let product = build()?;
    eprintln!("demo: starting etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok");
    let started = Instant::now();
    let cluster = Cluster::start(ClusterOptions::default())?;
    let controller = ControllerProcess::start(&cluster, &ControllerOptions::new(&product))?;
    let took = started.elapsed().as_secs_f32();
    eprintln!("demo: ready after {took:.1} s, workspaces-controller runs and is asked about every Workspace\n");

    let attended = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    let coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let style = if coloured { Style::Terminal } else { Style::Plain };
    let target = product.ancestors().nth(2).unwrap_or(Path::new("."));
    demo::run(&cluster, target, std::io::stdout(), style)?;
    if attended { stay(&cluster, &controller, &tools) } else { Ok(()) }
}

/// Builds the product as `cargo build` does and returns its path. Cargo shows its own progress.
fn build() -> Result<PathBuf> {
    let failed = |why: String| Error::Build { program: "workspaces-controller".to_owned(), why };
    eprintln!("demo: building workspaces-controller with cargo (some minutes the first time)");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // With the variables that `cargo run` sets for our package, build scripts would run again in every build.
    let ours = |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(ours)) {
        command.env_remove(name);
    }
    let mut child = command
        .args(["build", "--package", "workspaces-controller", "--bin", "workspaces-controller"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("cargo does not start: {error}")))?;
    let mut product = None;
    for line in child.stdout.take().into_iter().flat_map(|output| BufReader::new(output).lines()) {
        let line = line.map_err(|error| failed(error.to_string()))?;
        let message: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        product = message["executable"].as_str().map(PathBuf::from).or(product);
    }
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        return Err(failed(format!("cargo exited with {status}")));
    }
    product.ok_or_else(|| failed("cargo does not say where the program is".to_owned()))
}

/// Waits until Ctrl-C, which stops the servers too, or until one of them exits.
fn stay(cluster: &Cluster, controller: &ControllerProcess<'_>, tools: &Tools) -> Result<()> {
    let kubectl = tools.kubectl.parent().unwrap_or(&tools.kubectl);
    println!("\nAll this stays up until Ctrl-C. To go on in another terminal:");
    println!("export KUBECONFIG={}", cluster.kubeconfig(ADMIN)?.display());
    println!("export PATH={}:$PATH", kubectl.display());
    loop {
        thread::sleep(Duration::from_secs(1));
        cluster.servers_must_run()?;
        if let Some(exit) = controller.exited()? {
            let why = format!("workspaces-controller exited ({exit:?}); the end of its log:\n{}", controller.log());
            return Err(Error::Unknown(why));
        }
    }
}
