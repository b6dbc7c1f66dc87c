//! Memory, CPU time and file descriptors of this process, read from `/proc` at each scrape.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Linux counts processor time in `/proc` in hundredths of a second, whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

/// Collects nothing without `/proc`.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    started: f64,
}

impl ProcessCollector {
    /// Uses the current time as the start of the process: it is created first.
    pub(super) fn new() -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        Self { started }
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        gauge("process_start_time_seconds", "When the process started, in seconds since 1970", self.started)?;
        if let Some(bytes) = resident_bytes() {
            gauge("process_resident_memory_bytes", "Resident memory", bytes)?;
        }
        if let Some(open) = open_descriptors() {
            gauge("process_open_fds", "Open file descriptors", open)?;
        }
        if let Some(max) = max_descriptors() {
            #[allow(clippy::cast_precision_loss)] // far fewer than 2^52
            gauge("process_max_fds", "File descriptors that may be open", max as f64)?;
        }
        if let Some(seconds) = cpu_seconds() {
            let counter = ConstCounter::new(seconds);
            let help = "Processor time used, in user and system mode";
            counter.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    resident_bytes_of(&status)
}

/// From the line `VmRSS:     12345 kB`.
fn resident_bytes_of(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn cpu_seconds() -> Option<f64> {
    cpu_seconds_of(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// From fields 14 and 15, counted after the command, which is in parentheses and may contain anything.
fn cpu_seconds_of(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

#[allow(clippy::cast_precision_loss)] // far fewer than 2^52
fn open_descriptors() -> Option<f64> {
    // The listing itself has one open.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

/// How many file descriptors this process may open; `None` where that is unlimited or unknown.
pub(super) fn max_descriptors() -> Option<usize> {
    max_descriptors_of(&fs::read_to_string("/proc/self/limits").ok()?)
}

/// The soft limit, from the line `Max open files   1024   4096   files`.
fn max_descriptors_of(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_the_lines_of_proc() {
        assert_eq!(resident_bytes_of("Name:\tx\nVmRSS:\t   1000 kB\n"), Some(1_024_000.0));
        assert_eq!(resident_bytes_of("Name:\tx\n"), None);
        let stat = "7 (a) b)) S 1 7 7 0 -1 4194560 100 0 0 0 250 150 0 0 20 0 3 0 1 2 3";
        assert_eq!(cpu_seconds_of(stat), Some(4.0));
        assert_eq!(cpu_seconds_of("7 (x) S 1"), None);
        assert_eq!(max_descriptors_of("Max open files            1024                 4096       files\n"), Some(1024));
    }

    #[test]
    fn this_process_has_figures() {
        assert!(resident_bytes().unwrap() > 100_000.0);
        assert!(cpu_seconds().is_some());
        assert!(open_descriptors().unwrap() >= 3.0);
    }
}
