//! A document as 128 numbers, and these as 16 keys.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::words::shingles;

/// How many numbers a signature has.
pub const SIZE: usize = 128;
/// How many keys a signature has.
pub const BANDS: usize = 16;
/// How many numbers a key is made of.
pub const ROWS: usize = SIZE / BANDS;

/// Bits of a hash that say how small it is; the round is above them, and the bin comes out of the top of the hash.
const VALUE_BITS: u32 = 56;
const EMPTY: u64 = u64::MAX;

/// The likeness at which a key in common gets likely: `(1 / BANDS)^(1 / ROWS)`.
pub fn threshold() -> f64 {
    (1.0 / BANDS as f64).powf(1.0 / ROWS as f64)
}

/// What is left of a document to compare it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature([u32; SIZE]);

impl Signature {
    /// The signature of a text.
    pub fn of(text: &str) -> Self {
        let shingles = shingles(text);
        let mut bins = [EMPTY; SIZE];
        for round in 0..2 * SIZE {
            // In the later half a round is a bin's own, so that none stays empty.
            let own = round.checked_sub(SIZE);
            throw(&shingles, round as u64, own, &mut bins);
            if !bins.contains(&EMPTY) {
                break;
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "the low half, which is as random")]
        Self(bins.map(|bin| bin as u32))
    }

    /// How alike two documents are: the share of numbers that are equal.
    pub fn estimate(&self, other: &Self) -> f64 {
        let equal = self.0.iter().zip(&other.0).filter(|(a, b)| a == b).count();
        equal as f64 / SIZE as f64
    }

    /// The keys: documents of a key in common are candidates. Keys of different bands differ.
    pub fn bands(&self) -> [u64; BANDS] {
        let mut bands = [0; BANDS];
        for ((band, rows), n) in bands.iter_mut().zip(self.0.chunks_exact(ROWS)).zip(0..) {
            let mut bytes = [0; 4 * ROWS];
            for (to, row) in bytes.chunks_exact_mut(4).zip(rows) {
                to.copy_from_slice(&row.to_le_bytes());
            }
            *band = xxh3_64_with_seed(&bytes, n);
        }
        bands
    }
}

/// Throws each shingle into a bin, which keeps the smallest. Those of earlier rounds are smaller.
fn throw(shingles: &[u64], round: u64, own: Option<usize>, bins: &mut [u64; SIZE]) {
    let start = (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for shingle in shingles {
        let hash = mixed(shingle.wrapping_add(start));
        // Seven bits: less than `SIZE`.
        let top = usize::try_from(hash >> (u64::BITS - SIZE.ilog2())).unwrap_or(0);
        let bin = own.unwrap_or(top % SIZE);
        let value = hash & ((1 << VALUE_BITS) - 1) | round << VALUE_BITS;
        bins[bin] = bins[bin].min(value);
    }
}

/// SplitMix64's output function: every bit of the input changes half of the output.
fn mixed(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
