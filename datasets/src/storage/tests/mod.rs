//! Real servers in this process: one of S3 over a folder, and one that fails on purpose.

mod faults;
pub(super) mod faulty;
mod reads;
mod s3;

use std::ops::Range;
use std::time::Duration;

use super::*;

/// Bytes that are the same at no two places.
pub(super) fn content(length: usize) -> Vec<u8> {
    (0..length as u64)
        .flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .take(length)
        .collect()
}

/// A range of some bytes.
pub(super) fn part<'a>(bytes: &'a [u8], range: &Range<u64>) -> &'a [u8] {
    &bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
}

/// Patience for tests: short waits, no cache.
pub(super) fn hasty() -> Options {
    Options {
        attempts: 5,
        first_delay: Duration::from_millis(10),
        timeout: Duration::from_millis(400),
        deadline: Duration::from_secs(4),
        part_bytes: 64 << 10,
        cache_bytes: 0,
        ..Options::default()
    }
}
