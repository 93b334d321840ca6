//! The shingles of a text, each as a hash.

use xxhash_rust::xxh3::xxh3_64;

/// How many words a shingle has.
pub const WORDS: usize = 5;

/// Odd, so that no bit of a word is lost, and different, so that the order counts.
const FACTORS: [u64; WORDS] = [
    0x9e37_79b9_7f4a_7c15,
    0xbf58_476d_1ce4_e5b9,
    0x94d0_49bb_1331_11eb,
    0xd6e8_feb8_6659_fd93,
    0xc2b2_ae3d_27d4_eb4f,
];

/// The hashes of a text's shingles, in order; at least one.
pub(super) fn shingles(text: &str) -> Vec<u64> {
    let words = words(text);
    if words.len() < WORDS {
        let few = words.iter().zip(FACTORS).map(|(word, factor)| word.wrapping_mul(factor));
        return vec![few.fold(words.len() as u64, u64::wrapping_add)];
    }
    let shingle = |words: &[u64; WORDS]| {
        let pairs = words.iter().zip(FACTORS);
        pairs.fold(0, |sum: u64, (word, factor)| sum.wrapping_add(word.wrapping_mul(factor)))
    };
    words.array_windows().map(shingle).collect()
}

/// The hash of each word.
fn words(text: &str) -> Vec<u64> {
    let lower = lower(text);
    let words = lower.split(|byte| matches!(byte, b'\t'..=b'\r' | b' '));
    words.filter(|word| !word.is_empty()).map(xxh3_64).collect()
}

/// The text in lower case, letter by letter (the whole text's `to_lowercase` looks at a sigma's neighbours), with blanks
/// for white space that is not ASCII.
fn lower(text: &str) -> Vec<u8> {
    let mut lower = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        // ASCII is most text, and many bytes at a time are several times faster than a letter.
        let ascii = rest.bytes().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(ascii);
        let start = lower.len();
        lower.extend_from_slice(run.as_bytes());
        lower[start..].make_ascii_lowercase();
        let mut letters = behind.chars();
        let Some(letter) = letters.next() else { return lower };
        if letter.is_whitespace() {
            lower.push(b' ');
        } else {
            for letter in letter.to_lowercase() {
                lower.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        rest = letters.as_str();
    }
}
