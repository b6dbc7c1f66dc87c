//! What a process has used, from `/proc`.

use crate::Result;

/// `USER_HZ`, fixed by the kernel's interface.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time of all threads, user and system, in seconds; in steps of 10 ms.
pub fn cpu_seconds(pid: i32) -> Result<f64> {
    Ok(stat_seconds(pid, 11)? + stat_seconds(pid, 12)?)
}

/// The time since it was started, in seconds; in steps of 10 ms.
pub fn age_seconds(pid: i32) -> Result<f64> {
    let uptime = std::fs::read_to_string("/proc/uptime")?;
    let uptime: f64 = uptime.split_whitespace().next().ok_or("empty /proc/uptime")?.parse()?;
    Ok(uptime - stat_seconds(pid, 19)?)
}

/// A time of `/proc/PID/stat`, by its place after the name of the program.
fn stat_seconds(pid: i32, index: usize) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field, the name in parentheses, may hold spaces.
    let after_name = stat.rsplit_once(')').ok_or("no name in /proc/PID/stat")?.1;
    let ticks: f64 = after_name.split_whitespace().nth(index).ok_or("short /proc/PID/stat")?.parse()?;
    Ok(ticks / TICKS_PER_SECOND)
}

/// Bytes in MiB.
#[allow(clippy::cast_precision_loss)]
pub fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Resident memory in bytes.
pub fn resident_memory(pid: i32) -> Result<usize> {
    status(pid, "VmRSS:")
}

/// The most memory that was ever resident, in bytes, since it was reset.
pub fn peak_memory(pid: i32) -> Result<usize> {
    status(pid, "VmHWM:")
}

/// Resets the peak.
pub fn reset_peak_memory(pid: i32) -> Result<()> {
    // 5 resets the peak, see proc(5).
    Ok(std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

fn status(pid: i32, field: &str) -> Result<usize> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or_else(|| format!("no {field}"))?;
    let kib: usize = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib << 10)
}
