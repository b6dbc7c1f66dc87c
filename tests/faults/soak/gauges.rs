//! What a process takes, over time: memory, file descriptors and threads, from `/proc`.

use std::time::Duration;

/// One look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Since the beginning.
    pub at: Duration,
    /// Resident memory without what is mapped from files, KiB.
    pub memory: f64,
    pub descriptors: f64,
    pub threads: f64,
}

impl Sample {
    /// Of that process; nothing where it is gone.
    pub fn of(pid: i32, at: Duration) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
        Some(Self {
            at,
            memory: number("RssAnon:")?,
            descriptors: f64::from(u32::try_from(descriptors).ok()?),
            threads: number("Threads:")?,
        })
    }
}

/// Of a line through these points (least squares), units of y for one of x. Nothing where there is no line.
pub fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = f64::from(u32::try_from(points.len()).ok()?);
    let (sum_x, sum_y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (mut covariance, mut variance) = (0.0, 0.0);
    for (x, y) in points {
        covariance += (x - mean_x) * (y - mean_y);
        variance += (x - mean_x).powi(2);
    }
    (variance > 0.0).then(|| covariance / variance)
}

/// The least memory of each minute, and when that began: what is left when nothing is under way.
pub fn floors(samples: &[Sample]) -> Vec<(Duration, f64)> {
    let minute = |sample: &Sample| sample.at.as_secs() / 60;
    let least = |chunk: &[Sample]| chunk.iter().map(|sample| sample.memory).fold(f64::MAX, f64::min);
    let minutes = samples.chunk_by(|one, other| minute(one) == minute(other));
    minutes.map(|chunk| (Duration::from_mins(minute(&chunk[0])), least(chunk))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_that_of_the_line() {
        let close = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-9;
        assert!(close(slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]), 2.0));
        assert!(close(slope(&[(0.0, 1.0), (1.0, 2.0), (2.0, 1.0)]), 0.0));
        assert_eq!(slope(&[(1.0, 1.0)]), None);
        assert_eq!(slope(&[]), None);
    }

    #[test]
    fn a_floor_is_the_least_of_a_minute() {
        let seconds = Duration::from_secs;
        let sample = |at: u64, memory: f64| Sample { at: seconds(at), memory, descriptors: 0.0, threads: 0.0 };
        let samples = [sample(1, 5.0), sample(59, 4.0), sample(61, 9.0), sample(62, 7.0)];
        assert_eq!(floors(&samples), [(seconds(0), 4.0), (seconds(60), 7.0)]);
    }
}
