//! What this process has taken of the machine, as Linux tells it.

use std::fs;

use anyhow::{Context, Result};

/// What one tick of the kernel's accounting is worth; the same on every Linux that runs here.
const TICKS_PER_SECOND: f64 = 100.0;

/// The processor time of all threads since the start, in seconds.
///
/// # Errors
/// Where there is no `/proc`.
pub fn cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    parse_cpu(&stat).context("/proc/self/stat has no times")
}

/// The most memory that was resident at a time, in bytes.
///
/// # Errors
/// Where there is no `/proc`.
pub fn memory_peak_bytes() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(kib.context("/proc/self/status has no VmHWM")? << 10)
}

fn parse_cpu(stat: &str) -> Option<f64> {
    // The program's name stands in parentheses and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_a_name_with_spaces() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 9 0 0 0 150 50 0 0 20 0 1 0 5 6 7";
        assert_eq!(parse_cpu(stat), Some(2.0));
    }

    #[test]
    fn this_process_has_taken_memory() {
        assert!(memory_peak_bytes().unwrap() > 1 << 20);
        assert!(cpu_seconds().unwrap() >= 0.0);
    }
}
