//! The process's memory, as Linux tells it; zero where it does not.

/// Bytes that are in memory now.
#[must_use]
pub fn resident_memory_bytes() -> u64 {
    status("VmRSS:")
}

/// The most bytes that were in memory at once.
#[must_use]
pub fn peak_memory_bytes() -> u64 {
    status("VmHWM:")
}

fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
